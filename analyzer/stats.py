"""Online statistics: constant work per value, no drift over millions of values. Pure: no clocks, no files."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class SlidingSlope:
    """Slope of the least-squares line through the last `size` values, in units per record.

    sum((i - mean(i)) y) / sum((i - mean(i))^2), computed anew over the window: constant work, no drift.

    >>> slope = SlidingSlope(3)
    >>> [slope.push(x) for x in (1.0, 2.0, 4.0, 4.0)]
    [None, None, 1.5, 1.0]
    """

    def __init__(self, size: int) -> None:
        self.values: deque[float] = deque(maxlen=size)
        middle = (size - 1) / 2.0
        self._weights = [(i - middle) * 12.0 / (size * (size * size - 1.0)) for i in range(size)]

    @classmethod
    def of(cls, values: Sequence[float]) -> float:
        """The slope of a whole list."""
        line = cls(len(values))
        line.values.extend(values[:-1])
        return line.push(values[-1]) or 0.0

    def push(self, x: float) -> float | None:
        """Take one value; the slope, None until there are `size` of them."""
        self.values.append(x)
        if len(self.values) < len(self._weights):
            return None
        slope = sum([w * y for w, y in zip(self._weights, self.values, strict=True)])
        # Of equal values the sum is not quite 0: what their rounding makes is no slope.
        return slope if abs(slope) * len(self.values) > 1e-12 * abs(x) else 0.0
