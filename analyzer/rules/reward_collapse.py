"""Rewards that are lost again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import SIGMAS, Run, progress
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.rules.quick import quick
from analyzer.series import Series

_CORROBORATES = (
    "policy_instability",
    "entropy_collapse",
    "gradient_explosion",
    "value_failure",
    "dead_update",
    "non_finite",
)


class RewardCollapse(Rule):
    """The mean of the newest episodes (3 % of the run, at least 10) against the best level and the first one.

    A run has something to lose when its best level lies above its first by 4 standard errors, also against the differences
    of whole levels, and by a fifth of its scale. The best level is kept: later cells must not dilute it.
    INFO: `half` of the gain is lost.  WARNING: `most` of it, or `corroborated` of it where the policy, the gradients, the value
    function or the learning rate broke too, or half in a fall of `steep` times what neighbouring levels differ, for `patience` episodes (or 2 % of them) and `experience` of all steps.  ERROR: all of it for four times as long.
    Clear: half is recovered.

    Healthy agents lose two thirds for a while (DQN and A2C on CartPole), hence `most`. Source: pilot in the project's corpus.
    """

    name: ClassVar[str] = "reward_collapse"
    metrics: ClassVar[tuple[str, ...]] = ("reward",)
    group: ClassVar[str] = "outcome"
    action: ClassVar[str] = "Go back to the best checkpoint; look at what changed when the rewards began to fall"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("half", 0.5, 0.0, 1e300, "share of the gain"),
        Limit("most", 0.85, 0.0, 1e300, "share of the gain; healthy agents were seen to lose 0.75 for a while"),
        Limit("corroborated", 0.6, 0.0, 1e300, "share of the gain, with another signal"),
        Limit("steep", 10.0, 1.0, 1e300, "times the usual difference of neighbouring levels"),
        Limit("settled", 40, 8, 1e6, "episodes before a gain counts"),
        Limit("patience", 20, 0, 1e6, "episodes"),
        Limit("experience", 0.02, 0.0, 1.0, "share of all steps so far; failing agents have short episodes"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._start = self._best = 0.0
        self._learned = False
        self._gone = self._fell = 0
        self._fell_at: int | None = None

    def judge(self, series: Series, run: Run) -> Answer:
        p = progress(series)
        limit = self.limit
        if p is None or series.n < limit.settled:
            return None
        gain = p.best - p.start
        if (
            p.gained
            and p.firm >= SIGMAS
            and gain > 0.2 * max(abs(p.start), 1e-9)
            and (not self._learned or p.best > self._best)
        ):
            self._learned, self._best = True, p.best
            self._start = min(self._start, p.start) if self._learned and self._start else p.start
        if not self._learned:
            return CLEAR
        gain = self._best - self._start
        q = quick(series, p, 10, 0.03)
        lost = (self._best - q.mean) / gain
        if lost <= limit.half or self._best - q.mean <= 5.0 * q.error:
            self._gone = self._fell = 0
            self._fell_at = None
            return CLEAR if lost <= limit.half / 2 else BETWEEN
        others = [run.signs[rule] for rule in _CORROBORATES if rule in run.signs]
        jump = run.rate_jump()
        level, patience = INFO, round(max(limit.patience, 0.02 * series.n))
        # Healthy agents dip by what their levels differ anyway; from a steady level a fall by many times that is none of it.
        steep = self._best - q.mean > limit.steep * p.apart
        if lost > limit.most or (lost > limit.corroborated and (others or jump)) or steep:
            self._fell += series.count
            self._fell_at = run.step if self._fell_at is None else self._fell_at
            if self._fell > patience and run.step - self._fell_at > limit.experience * run.step:
                level = WARNING
        else:
            self._fell, self._fell_at = 0, None
        self._gone = self._gone + series.count if lost >= 0.98 else 0
        if self._gone > 4 * patience:
            level = ERROR
        text = (
            f"{series.name} fell to {q.mean:.4g} over the last {q.records} episodes, from {self._best:.4g} at best: "
            f"{100 * lost:.3g} % of what was gained since {self._start:.4g}"
        )
        reasons = others + ([jump] if jump else [])
        return Finding(level, text, q.mean, self._best - limit.half * gain, self._best, q.records, reasons=reasons)
