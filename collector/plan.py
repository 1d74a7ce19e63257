"""A batch on its way: planned in one round, then written or undone as a whole or up to a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from collector.sessions import Stream


@dataclass(slots=True, eq=False)
class Planned:
    """A batch that is accepted and waits for this round's write.

    Attributes:
        data, count: its lines and how many they are.
        after: the stream's next sequence once it is written.
        lost: sequences before it that will never come.
        spent: whether some of its sequences have no line (kept apart, or known alerts).
        records: a lifecycle batch's records, to learn from once they are stored.
        alerts: the ids of the alerts in it.
    """

    stream: Stream
    data: bytes
    count: int
    after: int
    lost: int = 0
    spent: bool = False
    records: Sequence[Any] | None = None
    alerts: list[str] | None = None


class Written(NamedTuple):
    """What was appended to one file by one batch: committed bytes `begin` to `begin + len(lines)`."""

    stream: Stream
    begin: int
    lines: bytes


def is_adoption(payload: bytes) -> bool:
    """Whether a lifecycle payload begins with an `adopted` record, which speaks of another producer's session."""
    if b"adopted" not in payload[:200]:
        return False
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(payload)
    try:
        record = unpacker.unpack()
        return bool(record[2]["event"] == "adopted")
    except Exception:  # whatever it is, it is judged later
        return False
