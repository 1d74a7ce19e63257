"""Blocks outside the ring: they bridge the moment until the spool has made room, and die with the process."""

from __future__ import annotations

import time

#: Blocks in the heap when the ring is full and the spool has not yet caught up (8 MiB). From the first share on, each new
#: block lets go of the interpreter for a moment: a loop that does nothing but log would starve the sender that helps it.
_MAX_HEAP_BLOCKS = 128
_YIELD_FROM_BLOCKS = 8
_YIELD_S = 0.0005


class HeapBlocks:
    """Counts the blocks in the heap, and slows down a loop that outruns its sender."""

    def __init__(self) -> None:
        self._blocks = 0

    def take(self) -> bool:
        """One more block, if there may be one; lets go of the interpreter for a moment when there are many."""
        if self._blocks >= _MAX_HEAP_BLOCKS:
            return False
        self.pace(self._blocks)
        self._blocks += 1
        return True

    @staticmethod
    def pace(blocks: int) -> None:
        """Let go of the interpreter for a moment when so many blocks more than planned are in use."""
        if blocks >= _YIELD_FROM_BLOCKS:
            time.sleep(_YIELD_S * (1 + blocks // 32))

    def returned(self) -> None:
        self._blocks -= 1

    def in_use(self) -> int:
        return self._blocks
