"""Rewards that never rose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import Run, progress
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class PoorPerformance(Rule):
    """Rewards without any gain over the first level, by levels of an eighth of the run and their own noise.

    No monitor knows what a good reward is; it can see whether any was gained.  The same: every reward so far was the same, for
    `same` episodes (or the last ones were, below the best level): WARNING.  No gain: by 4 standard errors and 1 %, after `never` episodes, `never_corroborated` where another rule is loud about
    the inside, half of the planned steps (and 20 episodes), or at the end of the run: WARNING.
    INFO: the documented threshold, the mean of the last `poor_performance_window` episodes is not above that of the first.
    Clear: neither.

    Source: RLExplorer (TSE 2025) on rewards without progress; healthy agents of the corpus show a gain within 240 episodes.
    """

    name: ClassVar[str] = "poor_performance"
    metrics: ClassVar[tuple[str, ...]] = ("reward",)
    group: ClassVar[str] = "outcome"
    action: ClassVar[str] = (
        "Check that rewards reach the agent and that it explores; try another learning rate or shape the reward"
    )
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("poor_performance_window", 20, 3, 100_000, "episodes of the documented threshold, as in plot_config"),
        Limit(
            "same",
            120,
            2,
            1e9,
            "episodes with one reward; sparse tasks need luck: one in seventy random walks crosses a frozen lake",
        ),
        Limit("never", 500, 8, 1e9, "episodes without any gain"),
        Limit("never_corroborated", 60, 8, 1e9, "episodes, where another signal says the same"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._same = True
        self._alike = 0
        self._last = 0.0

    def judge(self, series: Series, run: Run) -> Answer:
        limit = self.limit
        if series.low != series.high or series.high != series.head[0]:
            self._same = False
        self._alike = self._alike + series.count if series.low == series.high == self._last else 0
        self._last = series.last
        p = progress(series)
        if (
            self._alike >= limit.same
            and p is not None
            and p.gained
            and series.last < p.best - 3.0 * p.apart
            and not self._same
        ):
            text = f"every {series.name} of the last {self._alike} episodes was {series.last:.4g}, below the best level of {p.best:.4g}"
            return Finding(WARNING, text, series.last, None, p.best, self._alike)
        if self._same and series.n >= limit.same:
            text = f"every {series.name} so far was {series.last:.4g}, for {series.n} episodes"
            return Finding(WARNING, text, series.last, None, series.last, series.n, onset=series.started)
        if p is not None and not p.moving:
            others = list(run.signs.values())
            planned = run.part is not None and run.part >= 0.5 and series.n >= 20
            enough = (
                series.n >= limit.never * (3 if p.hint else 1)
                or planned
                or (others and series.n >= limit.never_corroborated)
            )
            if enough or (run.over and series.n >= 20 and not p.hint):
                text = (
                    f"{series.name} {'fell' if p.worsened else 'did not rise'} in {series.n} episodes: {p.start:.4g} at the start, "
                    f"{p.best:.4g} at best, {p.recent:.4g} now"
                )
                return Finding(
                    WARNING, text, p.recent, p.start, p.start, series.n, onset=series.started, reasons=others
                )
        window = min(64, int(limit.poor_performance_window))
        if series.n < 2 * window or p is None:
            return None
        now = sum(series.recent(window)) / window
        start = sum(series.head) / len(series.head)
        if now > start:
            return CLEAR if p.moving else BETWEEN
        text = f"the mean reward of the last {window} episodes, {now:.4g}, is not above that of the first, {start:.4g}"
        return Finding(INFO, text, now, start, start, window)
