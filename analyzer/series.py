"""One metric of one stream, remembered in bounded memory: the whole run in cells, the last values in a ring. Pure.

Values come in blocks (`analyzer.streams`), whose size grows with the run, so that a rule looks often at a young run and seldom
at a long one, and the price per record is that of an append.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

#: Cells that a run is kept in; when they are full, neighbours are merged, so a cell is 1.6 to 3 % of the run so far.
CELLS: Final = 64
#: Raw values kept, for trends over the last records and as evidence.
RING: Final = 64
#: First values kept as they were: where the run began, before the cells blur it.
HEAD: Final = 8


class Cells:
    """The whole of a series as at most `CELLS` means of (nearly) equal numbers of values.

    `push` is amortised constant work, memory is constant, and the shape of the run stays visible at about 2 % of its length
    whatever that length is, which is what rules need that must not depend on how often a trainer logs.

    >>> cells = Cells()
    >>> for x in range(100):
    ...     cells.push(float(x), 1)
    >>> cells.width, len(cells.values), cells.values[:2], cells.values[-1]
    (2, 50, [0.5, 2.5], 98.5)
    """

    __slots__ = ("_count", "_sum", "values", "width")

    def __init__(self) -> None:
        self.values: list[float] = []
        self.width = 1
        self._sum = 0.0
        self._count = 0

    def push(self, mean: float, count: int) -> None:
        """Take the mean of `count` values."""
        self._sum += mean * count
        self._count += count
        if self._count < self.width:
            return
        values = self.values
        values.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(values) >= CELLS:
            self.values = [(a + b) / 2.0 for a, b in zip(values[::2], values[1::2], strict=True)]
            self.width *= 2


class Series:
    """A metric of one producer and component, as far as it has been judged.

    Attributes:
        key: name that rules know it by (`analyzer.metrics`);  name: as it was logged;  category, producer, component.
        n: finite values so far.  bad: those that were not, bad_now: in the last block, bad_row: in the blocks since a finite one.
        mean, middle, low, high, last: of the block that was judged last; `count` values. `middle` is the median where `robust`, else the mean.
        head: the first `HEAD` values.  ring, steps: the last `RING` values and their steps.
        cells: block means (medians where `robust`) over the whole run.
        at: the record that ended the last block, (seq, step, time).
        started: step and time of the first record.
    """

    __slots__ = (
        "at",
        "bad",
        "bad_now",
        "bad_row",
        "category",
        "cells",
        "component",
        "count",
        "head",
        "high",
        "key",
        "last",
        "low",
        "mean",
        "memo",
        "middle",
        "n",
        "name",
        "producer",
        "ring",
        "robust",
        "scope",
        "started",
        "steps",
    )

    def __init__(self, key: str, name: str, category: str, producer: str, component: str, robust: bool = False) -> None:
        self.key, self.name, self.category = key, name, category
        self.producer, self.component, self.robust = producer, component, robust
        self.n = self.bad = self.bad_now = self.bad_row = self.count = 0
        self.mean = self.middle = self.low = self.high = self.last = 0.0
        self.head: list[float] = []
        self.cells = Cells()
        self.ring: deque[float] = deque(maxlen=RING)
        self.steps: deque[int] = deque(maxlen=RING)
        self.at: tuple[int, int, float] = (0, 0, 0.0)
        self.started: tuple[int, float] = (0, 0.0)
        self.scope: Any = None
        #: What was worked out from the values so far, by name, with the `n` it holds for.
        self.memo: dict[str, tuple[int, Any]] = {}

    def push(self, values: Sequence[float], steps: Sequence[int], at: tuple[int, int, float], bad: int = 0) -> None:
        """Take a block of finite values, the steps of its records (as many), and the record that ended it."""
        count = len(values)
        self.at = at
        self.bad += bad
        self.bad_now = bad
        self.bad_row = self.bad_row + bad if bad else 0
        self.count = count
        if not count:
            return
        if not self.n:
            self.started = (steps[0], at[2])
        if count == 1:
            x = values[0]
            self.mean = self.middle = self.low = self.high = self.last = x
            self.ring.append(x)
            self.steps.append(steps[0])
        else:
            self.last = values[-1]
            self.mean = sum(values) / count
            if self.robust:
                ordered = sorted(values)
                self.low, self.high, self.middle = ordered[0], ordered[-1], ordered[count // 2]
            else:
                self.low, self.high, self.middle = min(values), max(values), self.mean
            if self.mean - self.mean:  # the sum of huge values is not finite; their mean is
                self.mean = sum(x / count for x in values)
            self.ring.extend(values[-RING:])
            self.steps.extend(steps[-RING:])
        if len(self.head) < HEAD:
            self.head.extend(values[: HEAD - len(self.head)])
        self.n += count
        self.cells.push(self.middle if self.robust else self.mean, count)

    def recent(self, records: int) -> list[float]:
        """The last `records` values, at most `RING`."""
        ring = self.ring
        if records >= len(ring):
            return list(ring)
        return list(ring)[-records:]
