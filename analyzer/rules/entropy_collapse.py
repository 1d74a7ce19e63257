"""A policy that has stopped to explore before it learned anything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class EntropyCollapse(Rule):
    """Entropy of a discrete policy as a share of what it was at first (which is near its maximum).

    SB3's `entropy_loss` is negative entropy: the sign of the first values says which way it is logged. The entropy of a continuous
    policy has no zero to collapse to (it may be negative): such runs, and those that log `std`, are not judged.

    Collapsed: below `share`.  INFO while the outcome is good (a solved deterministic task), WARNING while it is not known, ERROR
    while it is bad.  Low: below `low_share` and the outcome is bad: WARNING.  Each for `patience` records.  Clear: above
    three times the limit.

    Source: pilot in the project's corpus; Andrychowicz et al. 2021 (arXiv 2006.05990) on entropy and exploration.
    """

    name: ClassVar[str] = "entropy_collapse"
    metrics: ClassVar[tuple[str, ...]] = ("entropy",)
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = "Raise the entropy coefficient, lower the learning rate; check the sign of the entropy term"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("share", 0.03, 0.0, 1.0, "of the first entropy: one action in all states"),
        Limit("low_share", 0.3, 0.0, 1.0, "of the first entropy, which is healthy only where rewards rise"),
        Limit("patience", 3, 0, 1e6, "records; PPO has few"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._first = 0.0
        self._continuous = False

    def judge(self, series: Series, run: Run) -> Answer:
        sign = 1.0 if series.head[0] >= 0 else -1.0
        if self._continuous or "std" in series.scope or sign * series.low * 1.0 < -1e-6 or sign * series.high < -1e-6:
            if not self._continuous:
                self._continuous = True
                self.sign(run, "")
            return None
        self._first = max(self._first, sign * series.head[0], *([sign * x for x in series.head[:3]]))
        if self._first <= 0:
            return None
        share = sign * series.mean / self._first
        self.sign(
            run, f"the policy's entropy is {100 * share:.2g} % of what it was" if share < self.limit.share else ""
        )
        if share > 3.0 * self.limit.low_share:
            return CLEAR
        outcome = run.outcome
        collapsed = share < self.limit.share
        if not collapsed and not (share < self.limit.low_share and outcome.bad):
            return CLEAR if share > 3.0 * self.limit.share and not outcome.bad else BETWEEN
        level = WARNING
        if collapsed:
            level = INFO if outcome.good else ERROR if outcome.bad else WARNING
        text = f"the policy's entropy {sign * series.mean:.3g} is {100 * share:.2g} % of what it was at first ({self._first:.3g})"
        limit = (self.limit.share if collapsed else self.limit.low_share) * self._first
        return Finding(
            level, text, sign * series.mean, limit, self._first, series.count, patience=int(self.limit.patience)
        )
