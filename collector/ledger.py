"""What to do with a batch, given the sequence that is expected: pure decisions, no I/O.

stored so far   0 1 2 3 4 | expected = 5
batch 2..4                  duplicate: acknowledge again, store nothing
batch 3..7                  accept, without its first 2
batch 5..9                  accept
batch 7..9                  gap: drop it, the acknowledgement asks for 5
batch 7..9, floor 7         5 and 6 will never come: accept, 2 lost
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """The four answers to a batch; `WAIT` is the storage's: the file cannot be written at present."""

    ACCEPT = "accept"
    DUPLICATE = "duplicate"
    GAP = "gap"
    WAIT = "wait"


class Verdict(NamedTuple):
    """What to do: skip the first `skip` records of the batch; `lost` sequences before it will never come."""

    kind: Kind
    skip: int = 0
    lost: int = 0


_ACCEPT = Verdict(Kind.ACCEPT)
_DUPLICATE = Verdict(Kind.DUPLICATE)
_GAP = Verdict(Kind.GAP)


def decide(expected: int, first: int, count: int, floor: int) -> Verdict:
    """Judge a batch of sequences `first` to `first + count - 1` when `expected` comes next.

    Args:
        floor: the lowest sequence the producer can still deliver; `floor <= first`.
    """
    if first == expected:
        return _ACCEPT
    if first + count <= expected:
        return _DUPLICATE
    if first < expected:
        return Verdict(Kind.ACCEPT, skip=expected - first)
    if floor <= expected:
        return _GAP
    return Verdict(Kind.ACCEPT if first == floor else Kind.GAP, lost=floor - expected)
