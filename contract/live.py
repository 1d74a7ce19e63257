"""The live part of a ring file: how a collector on the same machine takes records straight out of it.

    page 0, byte 1024    wish u64 (the producer's) | beat u64 (the collector's)
    page 0, byte 2048    64 entries of 32 bytes, one for each category of page 1:
                         current u64 (the producer's) | stored u64 (the collector's) | sent u64 (the producer's) | unused 8
      wish     0 `NO`: I send; 1 `WELCOME`: I send, and will leave it to you once you beat; 2 `RELIED`: I do not send, take them
      beat     CLOCK_MONOTONIC in nanoseconds when the collector last could take all there was, or had; 0: it stopped
      current  index of the block that is written to, plus one; 0: there is none in the ring
      stored   next sequence << 17 | byte of its block up to which all is stored: the acknowledgement
      sent     the same of what went through the socket: where taking begins

Each word has one writer and is stored whole (aligned, eight bytes), so a reader sees the old or the new one. A reader must also
see the bytes of a record once it sees the head that publishes them: `ORDERED` says whether this processor keeps stores in
order; elsewhere records go through the socket.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

PAGE: Final = 4096
ORDERED: Final = os.uname().machine in ("x86_64", "amd64", "i686", "i386")

NO, WELCOME, RELIED = 0, 1, 2
#: Seconds after which a beat is too old to be relied upon; a collector looks a hundred times a second.
FRESH_S: Final = 0.3
_WISH, _BEAT, _TABLE, _ENTRY = 128, 129, 256, 4
_BYTE_BITS: Final = 17
#: Sequences that fit into a word beside the byte; a producer that gets there goes on through the socket.
MAX_SEQ: Final = 1 << (64 - _BYTE_BITS)


class Mark(NamedTuple):
    """All before `next_seq`; in the block that holds it, the first `byte` bytes."""

    next_seq: int
    byte: int


class LiveWords:
    """The words of page 0, by name. `tag` is a category's index plus one, as in the heads of blocks.

    Args:
        page: page 0 of a ring file, as bytes.
    """

    __slots__ = ("_words",)

    def __init__(self, page: memoryview) -> None:
        self._words = page[:PAGE].cast("Q")

    @property
    def wish(self) -> int:
        return self._words[_WISH]

    @wish.setter
    def wish(self, wish: int) -> None:
        self._words[_WISH] = wish

    @property
    def beat(self) -> int:
        return self._words[_BEAT]

    @beat.setter
    def beat(self, nanoseconds: int) -> None:
        self._words[_BEAT] = nanoseconds

    def fresh(self, now_ns: int) -> bool:
        """Whether a collector takes what is published, judged by its last beat."""
        return 0 <= now_ns - self._words[_BEAT] < FRESH_S * 1e9

    def current(self, tag: int) -> int | None:
        """Index of the block that a category is written to; None if it is not in the ring."""
        word = self._words[_TABLE + (tag - 1) * _ENTRY]
        return word - 1 if word else None

    def note_current(self, tag: int, index: int | None) -> None:
        self._words[_TABLE + (tag - 1) * _ENTRY] = 0 if index is None else index + 1

    def stored(self, tag: int) -> Mark:
        return _unpack(self._words[_TABLE + (tag - 1) * _ENTRY + 1])

    def note_stored(self, tag: int, stored: Mark) -> None:
        """Acknowledge; `next_seq` below `MAX_SEQ`, `byte` at most a block's size."""
        self._words[_TABLE + (tag - 1) * _ENTRY + 1] = _pack(stored)

    def sent(self, tag: int) -> Mark:
        return _unpack(self._words[_TABLE + (tag - 1) * _ENTRY + 2])

    def note_sent(self, tag: int, sent: Mark) -> None:
        self._words[_TABLE + (tag - 1) * _ENTRY + 2] = _pack(sent)

    def release(self) -> None:
        """Let go of the page, so that its mapping can be closed."""
        self._words.release()


def _pack(mark: Mark) -> int:
    return mark.next_seq << _BYTE_BITS | mark.byte


def _unpack(word: int) -> Mark:
    return Mark(word >> _BYTE_BITS, word & ((1 << _BYTE_BITS) - 1))
