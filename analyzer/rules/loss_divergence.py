"""A loss that climbs."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import SIGMAS, Progress, Run, progress
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.rules.quick import quick
from analyzer.series import Series
from analyzer.stats import SlidingSlope


class LossDivergence(Rule):
    """The level of the loss now against its best and against where it began.

    Undone: the median of the newest 2 % (at least 9) is above the best level by more than `undone` of all that was gained, by 5
    standard errors and by 3 times what neighbouring levels differ, for `patience` records or 1 % of the run. WARNING; ERROR when nine
    tenths are gone for five times as long. Gains count from `settled` records on.  Above the start: a run that
    never gained lies above `above` times its first value for `patience` records. WARNING; ERROR ten times above.  Climbing:
    four successive levels of a sixteenth of the run, each above the one before, undo `climbing` of the gain: WARNING.  In
    reinforcement learning: `decades` above its first level while the rewards are bad: WARNING.
    INFO: the documented trend, a rising line through the last `convergence_window` records.  Clear: none of these, and half of
    the rise is undone.

    Source: llm-foundry's loss monitor; levels against noise instead of a slope, which rises on nearly every healthy run.
    """

    name: ClassVar[str] = "loss_divergence"
    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    group: ClassVar[str] = "outcome"
    action: ClassVar[str] = "Lower the learning rate; check the data that came when the loss began to rise"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("convergence_window", 50, 5, 100_000, "records of the documented trend, as in plot_config"),
        Limit("undone", 0.5, 0.01, 1e300, "share of the gain"),
        Limit("trifle", 0.02, 0.0, 1.0, "of the first level: a gain that the first moments of any network make"),
        Limit("above", 2.0, 1.0, 1e300, "times the first value"),
        Limit("climbing", 0.15, 0.01, 1e300, "share of the gain"),
        Limit("decades", 2.0, 0.1, 100.0, "value losses of healthy agents were seen to grow by 1.6"),
        Limit("patience", 5, 0, 1e6, "records"),
        Limit("settled", 40, 8, 1e6, "records before a gain counts; noise that is smoothed looks like one"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._best: float | None = None
        self._gain = 0.0
        self._gone = 0

    def judge(self, series: Series, run: Run) -> Answer:
        p = progress(series)
        found = None
        if p is not None:
            found = self._reinforced(series, run) if run.reinforced else self._supervised(series, p)
        if isinstance(found, Finding):
            return found
        return self._trend(series, run, found)

    def _supervised(self, series: Series, p: Progress) -> Answer:
        limit = self.limit
        enough = p.gained and p.firm >= SIGMAS and series.n >= limit.settled
        if enough and p.best - p.start >= max(self._gain * 0.999, limit.trifle * abs(p.start)):
            self._best, self._gain = -p.best, p.best - p.start
        q = quick(series, p, 9, 0.02)
        patience = round(max(limit.patience, 0.01 * series.n))
        if self._best is not None:
            rise = q.median - self._best
            share = rise / self._gain
            best, start = self._best, self._best + self._gain
            noise = max(5.0 * q.error, 3.0 * p.apart) if self._gone == 0 else 5.0 * q.error
            self._gone = self._gone + series.count if share > limit.undone and rise > noise else 0
            if self._gone:
                level = ERROR if share > 0.9 and self._gone > 4 * patience else WARNING
                text = f"{series.name} {q.median:.4g} has lost {100 * share:.3g} % of what it had gained (from {start:.4g} to {best:.4g} at best)"
                return Finding(
                    level, text, q.median, best + limit.undone * self._gain, best, q.records, patience=patience
                )
            if share > limit.climbing and rise > 5.0 * q.error and _climbs(series.cells.values, p.noise):
                text = f"{series.name} climbs: {q.median:.4g} now, {best:.4g} at best, {100 * share:.3g} % of the gain undone step by step"
                return Finding(
                    WARNING, text, q.median, best + limit.climbing * self._gain, best, q.records, patience=patience
                )
            return CLEAR if share < limit.undone / 2 else BETWEEN
        first = sorted(series.head[:3])[len(series.head[:3]) // 2]
        if first > 0 and series.n >= 10:
            if q.least > limit.above * first:
                level = ERROR if q.median > 10.0 * first else WARNING
                text = (
                    f"{series.name} {q.median:.4g} lies {q.median / first:.3g} times above its first value, {first:.4g}"
                )
                return Finding(level, text, q.median, limit.above * first, first, q.records, patience=patience)
            if q.median > first and p.worsened and p.start - p.recent > 3.0 * p.apart:
                text = f"{series.name} {q.median:.4g} lies above where it began, {first:.4g}, and never improved"
                return Finding(
                    WARNING if series.n >= 100 else INFO, text, q.median, first, first, q.records, patience=patience
                )
        return CLEAR

    def _reinforced(self, series: Series, run: Run) -> Answer:
        head = sorted(series.head)[len(series.head) // 2]
        if head <= 0 or series.middle <= 0 or series.n <= len(series.head):
            return CLEAR
        grown = math.log10(series.middle) - math.log10(head)
        if grown <= self.limit.decades or not run.outcome.bad:
            return CLEAR if grown < self.limit.decades / 2 else BETWEEN
        text = (
            f"{series.name} {series.middle:.4g} is {10 ** min(grown, 300):.3g} times what it was at first ({head:.3g})"
        )
        return Finding(
            WARNING, text, series.middle, min(head * 10**self.limit.decades, 1e300), head, series.count, patience=5
        )

    def _trend(self, series: Series, run: Run, found: Answer) -> Answer:
        """The documented threshold: the line through the last `convergence_window` records rises."""
        window = int(self.limit.convergence_window)
        values = series.recent(window)
        if len(values) < min(window, 64):
            return found or CLEAR
        slope = SlidingSlope.of(values)
        if slope <= 0:
            return found or CLEAR
        text = f"{series.name} rises over the last {len(values)} records ({slope:.3g} per record)"
        if run.outcome.series is not None:
            text += f", {'but ' if run.outcome.good else ''}{run.outcome.words}"
        return Finding(INFO, text, series.last, 0.0, window=len(values))


def _climbs(values: list[float], noise: float) -> bool:
    """Whether four successive levels, a sixteenth of the run each, rise one by one; a single step makes but two."""
    u = max(1, len(values) // 16)
    if len(values) < 4 * u + 4:
        return False
    levels = [sum(values[len(values) - (i + 1) * u : len(values) - i * u]) / u for i in range(4)]
    return all(later - earlier > noise for later, earlier in itertools.pairwise(levels))
