"""A training that has become slow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class Slowdown(Rule):
    """Steps per second, where they are logged, against their own baseline.

    Baseline: the median of the run's cells before the drop, frozen while the condition holds.  Slow: all of the last `patience` values
    below `share` of it: INFO.  WARNING: the same, and the baseline was steady (its middle half within a fifth) over at least 50
    records: off-policy agents slow down once, when they begin to learn, and an averaged rate creeps.  Clear: above `again`.
    """

    name: ClassVar[str] = "slowdown"
    metrics: ClassVar[tuple[str, ...]] = ("fps",)
    action: ClassVar[str] = "Look at other processes on the machine, at memory that fills, and at what is done per step"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("share", 0.5, 0.0, 1.0, "of the usual rate"),
        Limit("again", 0.7, 0.0, 1.0, "of the usual rate"),
        Limit("patience", 20, 1, 64, "records; evaluations and checkpoints take a moment"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._usual = 0.0
        self._steady = False

    def judge(self, series: Series, run: Run) -> Answer:
        patience = int(self.limit.patience)
        recent = series.recent(patience)
        if self._usual and max(recent) < self.limit.share * self._usual:
            if len(recent) < patience:
                return None
            mean = sum(recent) / len(recent)
            text = f"{series.name} {mean:.4g} over the last {patience} records is {100 * mean / self._usual:.3g} % of what it was ({self._usual:.4g})"
            level = WARNING if self._steady else INFO
            return Finding(level, text, mean, self.limit.share * self._usual, self._usual, patience)
        if self._usual and series.mean < self.limit.again * self._usual:
            return BETWEEN
        ordered = sorted(series.cells.values)
        if ordered and series.n > patience:
            self._usual = ordered[len(ordered) // 2]
            middle = ordered[len(ordered) // 4 : max(1, 3 * len(ordered) // 4)]
            self._steady = series.n >= 50 and bool(middle) and middle[-1] - middle[0] <= 0.2 * self._usual
        return CLEAR
