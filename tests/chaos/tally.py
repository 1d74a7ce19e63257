"""The independent counter: a file of 64-bit words that outlives the process that counts in it.

    word 0             allowance: calls each slot may have begun so far (the test raises it)
    word 1             epoch: raised by the test when a phase begins (a freeze, say)
    from word 64 on    per slot and category: calls begun, calls returned

A slot has one writer, a thread of one process. A shared mapping is the kernel's memory, so what was counted before a
SIGKILL or a segmentation fault is there to be read. It knows nothing of the system under test.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

CATEGORIES = ("training", "gradients", "convergence", "rewards", "performance")
SLOTS = 2_048
_HEAD = 64
NO_LIMIT = 1 << 60


class Tally:
    """Opens the counter file, made with room for `slots` slots when it is not there."""

    def __init__(self, path: str | os.PathLike[str], slots: int = SLOTS) -> None:
        self.path = Path(path)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            size = os.fstat(fd).st_size
            fresh = size == 0
            if fresh:
                size = self.index(slots, CATEGORIES[0]) * 8
                os.posix_fallocate(fd, 0, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self.slots = (size // 8 - _HEAD) // (len(CATEGORIES) * 2)
        self.words = memoryview(self._map).cast("Q")
        if fresh:
            self.words[0] = NO_LIMIT

    @property
    def allowance(self) -> int:
        return self.words[0]

    @allowance.setter
    def allowance(self, calls: int) -> None:
        self.words[0] = calls

    @property
    def epoch(self) -> int:
        return self.words[1]

    @epoch.setter
    def epoch(self, number: int) -> None:
        self.words[1] = number

    @staticmethod
    def index(slot: int, category: str) -> int:
        """Where the calls begun are counted; the calls returned are one word further."""
        return _HEAD + (slot * len(CATEGORIES) + CATEGORIES.index(category)) * 2

    def begun(self, slot: int, category: str) -> int:
        return self.words[self.index(slot, category)]

    def returned(self, slot: int, category: str) -> int:
        return self.words[self.index(slot, category) + 1]

    def used(self) -> list[tuple[int, str]]:
        """Every (slot, category) in which a call was begun."""
        return [(slot, c) for slot in range(self.slots) for c in CATEGORIES if self.begun(slot, c)]

    def total(self) -> int:
        """Calls returned, all slots together."""
        return sum(self.returned(slot, category) for slot, category in self.used())

    def total_of(self, slot: int) -> int:
        """Calls returned in one slot."""
        return sum(self.returned(slot, category) for category in CATEGORIES)
