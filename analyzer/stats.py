"""Online statistics: constant work per value, no drift over millions of values. Pure: no clocks, no files."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

#: count, mean, sum of squared deviations
_Moments = tuple[int, float, float]
_EMPTY: _Moments = (0, 0.0, 0.0)


def _merged(a: _Moments, b: _Moments) -> _Moments:
    """Moments of two samples together (Chan, Golub, LeVeque 1979)."""
    if not a[0]:
        return b
    if not b[0]:
        return a
    n = a[0] + b[0]
    delta = b[1] - a[1]
    return n, a[1] + delta * b[0] / n, a[2] + b[2] + delta * delta * a[0] * b[0] / n


class Window:
    """Mean and variance of the last `size` values, in amortised constant time.

    A queue made of two stacks, each holding the moments of what lies on it, so nothing is ever subtracted: after a
    value of 1e300 has left the window no trace of it remains, as it would in a running sum.

    >>> window = Window(3)
    >>> for x in (1e17, 1.0, 2.0, 3.0):
    ...     window.push(x)
    >>> window.mean, window.variance
    (2.0, 1.0)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._new: list[float] = []
        self._new_moments = _EMPTY
        self._old: list[_Moments] = []

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    @property
    def full(self) -> bool:
        return len(self) >= self.size

    def push(self, x: float) -> None:
        """Take one finite value; the oldest beyond `size` leaves."""
        self._new.append(x)
        self._new_moments = _merged(self._new_moments, (1, x, 0.0))
        while len(self) > self.size:
            self._drop_oldest()

    def resize(self, size: int) -> None:
        """Change the size and keep the newest values."""
        self.size = size
        while len(self) > size:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        if not self._old:
            moments = _EMPTY
            for x in reversed(self._new):
                moments = _merged((1, x, 0.0), moments)
                self._old.append(moments)
            self._new.clear()
            self._new_moments = _EMPTY
        self._old.pop()

    def _moments(self) -> _Moments:
        return _merged(self._old[-1] if self._old else _EMPTY, self._new_moments)

    @property
    def mean(self) -> float:
        """Arithmetic mean, in the unit of the values; 0 while empty."""
        return self._moments()[1]

    @property
    def variance(self) -> float:
        """Sample variance (n - 1), in the unit squared; 0 below two values."""
        n, _, squares = self._moments()
        return squares / (n - 1) if n > 1 else 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean, values taken as independent: sqrt(variance / n)."""
        return math.sqrt(self.variance / len(self)) if len(self) else 0.0


@dataclass(slots=True)
class Ewma:
    """Exponentially weighted mean that starts as the plain mean of what it has seen.

    mean += weight * (x - mean), with weight = max(1 / count, 2 / (span + 1)), span in values: the usual pandas
    `span`, without the pull of the first value that `adjust=False` has.

    >>> smooth = Ewma(span=4)
    >>> [round(smooth.push(x), 3) for x in (1.0, 3.0, 2.0, 6.0)]
    [1.0, 2.0, 2.0, 3.6]
    """

    span: float
    mean: float = 0.0
    count: int = 0

    def push(self, x: float) -> float:
        self.count += 1
        self.mean += max(1.0 / self.count, 2.0 / (self.span + 1.0)) * (x - self.mean)
        return self.mean


def kendall_tau(values: Sequence[float]) -> float:
    """Kendall's rank correlation of a series with time, -1 (falling) to 1 (rising); ties count as neither (tau-a).

    Mann (1945). Quadratic in the number of values: for a handful of block means, not for raw series.

    >>> kendall_tau([1.0, 2.0, 4.0]), kendall_tau([1.0, 1.0]), round(kendall_tau([1.0, 9.0, 3.0]), 3)
    (1.0, 0.0, 0.333)
    """
    n = len(values)
    if n < 2:
        return 0.0
    score = sum((values[j] > values[i]) - (values[j] < values[i]) for j in range(n) for i in range(j))
    return 2.0 * score / (n * (n - 1))


class Blocks:
    """The last `window` values as the means of at most `count` equal blocks, and their noise without their trend.

    The noise is von Neumann's: half the mean squared difference of neighbours, which a slow trend leaves alone
    (von Neumann 1941). `push` is constant work; what it yields changes each time a block is complete.

    >>> blocks = Blocks(window=4, count=2)
    >>> [blocks.push(x) for x in (1.0, 3.0, 5.0, 7.0)]
    [False, True, False, True]
    >>> list(blocks.means), blocks.noise
    ([2.0, 6.0], 1.4142135623730951)
    """

    def __init__(self, window: int, count: int = 10) -> None:
        self.count = min(count, window)
        self.block = max(1, window // self.count)
        self.means: deque[float] = deque(maxlen=self.count)
        self._squares: deque[tuple[int, float]] = deque(maxlen=self.count)
        self._sum = self._differences = 0.0
        self._pushed = self._compared = 0
        self._last: float | None = None

    @property
    def full(self) -> bool:
        return len(self.means) == self.count

    def push(self, x: float) -> bool:
        """Take one finite value; True when it completed a block."""
        if self._last is not None:
            difference = x - self._last
            self._differences += difference * difference
            self._compared += 1
        self._last = x
        self._sum += x / self.block
        self._pushed += 1
        if self._pushed < self.block:
            return False
        self.means.append(self._sum)
        self._squares.append((self._compared, self._differences))
        self._sum = self._differences = 0.0
        self._pushed = self._compared = 0
        return True

    @property
    def noise(self) -> float:
        """Standard deviation of one value about the trend, in the unit of the values."""
        n = sum(compared for compared, _ in self._squares)
        return math.sqrt(sum(squares for _, squares in self._squares) / (2.0 * n)) if n else 0.0
