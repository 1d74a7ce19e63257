"""A training that has become slow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class Slowdown(Rule):
    """Steps per second, where they are logged, against their own baseline.

    Baseline: the median of the run's cells while it is not slow, over at least `settled` records.  Slow: all of the last `patience`
    values (or a tenth of the run) below `share` of it: INFO; WARNING below `loud` of it, or of the lower quartile where that is not
    above 0.7 of the median (a rate that wavers by itself). None where the last value is far below the first ones: an averaged rate creeps,
    and off-policy agents slow down once, when they begin to learn.  Clear: above `again`.
    """

    name: ClassVar[str] = "slowdown"
    metrics: ClassVar[tuple[str, ...]] = ("fps",)
    action: ClassVar[str] = "Look at other processes on the machine, at memory that fills, and at what is done per step"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("share", 0.5, 0.0, 1.0, "of the usual rate"),
        Limit("loud", 0.35, 0.0, 1.0, "of the usual rate: more than what another job on the machine costs"),
        Limit("again", 0.7, 0.0, 1.0, "of the usual rate"),
        Limit("patience", 10, 1, 64, "records; evaluations and checkpoints take a moment"),
        Limit("settled", 10, 2, 1e6, "records before there is a baseline"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._usual = 0.0
        self._floor = 0.0

    def judge(self, series: Series, run: Run) -> Answer:
        limit = self.limit
        recent = series.recent(max(int(limit.patience), series.n // 10))
        if self._usual and max(recent) < limit.share * self._usual:
            if len(recent) < limit.patience:
                return None
            mean = sum(recent) / len(recent)
            text = f"{series.name} {mean:.4g} over the last {len(recent)} records is {100 * mean / self._usual:.3g} % of what it was ({self._usual:.4g})"
            level = WARNING if max(recent) < limit.loud * self._floor else INFO
            return Finding(level, text, mean, limit.share * self._usual, self._usual, len(recent))
        if self._usual and series.mean < limit.again * self._usual:
            return BETWEEN
        if self._usual and series.mean < 0.85 * self._usual:
            return CLEAR  # it may have begun to fall: what is usual stands still
        ordered = sorted(series.cells.values)
        if series.n >= limit.settled:
            self._usual = ordered[len(ordered) // 2]
            head = sum(series.head) / len(series.head)
            quarter = ordered[len(ordered) // 4]
            self._floor = 0.0 if series.mean <= 0.85 * head else self._usual if quarter > 0.7 * self._usual else quarter
        return CLEAR
