"""A metric's course over a whole file in constant memory, by where in the file it was read. Pure."""

from __future__ import annotations

import math
from typing import Final

#: Buckets of one metric at most; when the file outgrows them, neighbours merge.
BUCKETS: Final = 128
_FIRST_UNIT: Final = 256


class History:
    """Means, or extremes, of one metric in buckets of `unit` bytes of its file. `add` is constant time.

    Where only samples of the file were read, a bucket stands for what was sampled in it.

    >>> course = History()
    >>> for offset, value in ((0, 1.0), (300, 3.0), (512, 5.0)):
    ...     course.add(offset, value)
    >>> course.columns(10), course.columns(2)
    ([1.0, 3.0, 5.0], [1.0, 4.0])
    """

    __slots__ = ("_bad", "_counts", "_highest", "_sums", "_unit")

    def __init__(self, highest: bool = False) -> None:
        self._unit = _FIRST_UNIT
        self._highest = highest
        self._sums: list[float] = []
        self._counts: list[int] = []
        self._bad: list[float] = []

    def add(self, offset: int, value: float) -> None:
        """Take a value read at byte `offset`."""
        place = offset // self._unit
        if place >= len(self._counts):
            while offset >= self._unit * BUCKETS:
                self._merge()
            place = offset // self._unit
            more = place + 1 - len(self._counts)
            if more > 0:
                self._sums += [0.0] * more
                self._counts += [0] * more
                self._bad += [0.0] * more
        if not math.isfinite(value):
            self._bad[place] = value
        elif self._highest:
            self._sums[place] = max(self._sums[place], value) if self._counts[place] else value
            self._counts[place] = 1
        else:
            self._counts[place] += 1
            # The mean moves by its share: sums of large values would overflow.
            self._sums[place] += (value - self._sums[place]) / self._counts[place]

    def _merge(self) -> None:
        self._unit *= 2
        sums, counts, bad = self._sums, self._counts, self._bad
        pairs = range(0, len(counts), 2)
        merged = [self._both(sums[i : i + 2], counts[i : i + 2]) for i in pairs]
        self._bad = [next((b for b in bad[i : i + 2] if b), 0.0) for i in pairs]
        self._sums = [value for value, _ in merged]
        self._counts = [number for _, number in merged]

    def _both(self, values: list[float], counts: list[int]) -> tuple[float, int]:
        total = sum(counts)
        if not total:
            return 0.0, 0
        if self._highest:
            return max(value for value, number in zip(values, counts, strict=True) if number), 1
        return sum(value * (number / total) for value, number in zip(values, counts, strict=True)), total

    def columns(self, width: int) -> list[float | None]:
        """At most `width` values from the beginning of the file to its end; one that was not finite stands for its column."""
        seen = [i for i, number in enumerate(self._counts) if number or self._bad[i]]
        if width <= 0 or not seen:
            return []
        wanted = min(width, len(seen))
        found: list[float | None] = []
        for column in range(wanted):
            part = seen[column * len(seen) // wanted : (column + 1) * len(seen) // wanted]
            bad = next((self._bad[i] for i in part if self._bad[i]), 0.0)
            found.append(bad or self._both([self._sums[i] for i in part], [self._counts[i] for i in part])[0])
        return found
