"""Gradients far above what they were, while the run gets nowhere."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import LEARNED, UNTOLD, UNTOLD_PATIENCE, Run
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class GradientExplosion(Rule):
    """`grad_norm` (L2 norm before clipping) against the run's own baseline, in decades.

    x = log10 of the block's middle value; baseline b = mean of x over about the last quarter of the run, s = its mean absolute
    deviation, both standing still while the condition holds, unless that is for a fifth of the run and it learns. Jump: x - b > max(`decades`, 4 s), after
    `warm_up` records. Huge: x above `huge` times the documented limit since the start, no baseline to jump from.

    INFO: the documented limit (`gradient_threshold_high`) is crossed, or a jump.  WARNING: a jump or huge for `patience` records
    (or 1 % of the run) and the outcome is bad, or ten times as long where nothing is logged that tells the outcome; a jump of `converged` decades after learning has ended.  ERROR: the same with a jump of two decades, or huge.  Clear: below the
    documented limit and within half of `decades`.

    Source: decades over a slow baseline from the pilot in the project's corpus; that single spikes are normal, ZClip
    (arXiv 2504.02507); the gate by the outcome, AutoTrainer (ICSE 2021).
    """

    name: ClassVar[str] = "gradient_explosion"
    metrics: ClassVar[tuple[str, ...]] = ("grad_norm",)
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = "Lower the learning rate, clip gradients, or scale rewards and targets down"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("gradient_threshold_high", 10.0, 1e-12, 1e300, "the documented limit, as in plot_config"),
        Limit("decades", 1.0, 0.1, 100.0, "a tenfold norm is outside of what batches and schedules do"),
        Limit(
            "converged", 3.0, 0.1, 100.0, "decades; a run that has learned and no longer improves has no reason for it"
        ),
        Limit("huge", 100.0, 1.0, 1e300, "times the documented limit; healthy runs were seen at 40 times"),
        Limit("patience", 5, 0, 1e6, "records; single spikes are normal"),
        Limit("warm_up", 8, 1, 1e6, "records before there is a baseline; PPO has few"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._base = self._spread = 0.0
        self._crossed_at = -1
        self._held = 0

    def judge(self, series: Series, run: Run) -> Answer:
        limit, outcome = self.limit, run.outcome
        x = math.log10(max(series.middle, 1e-300))
        ready = series.n - series.count >= limit.warm_up
        jump = x - self._base if ready else 0.0
        jumped = ready and jump > max(limit.decades, 4.0 * self._spread)
        high = limit.gradient_threshold_high
        huge = series.middle > limit.huge * high
        self._held = self._held + series.count if jumped or huge else 0
        if not jumped or (outcome.good and self._held > 0.2 * series.n):
            self._learn(x, series)  # a fifth of the run, and it learns: this is what is usual now
        self.sign(run, f"{series.name} is {10 ** min(jump, 300):.3g} times the usual" if jumped and jump > 2.0 else "")
        crossed = series.high > high
        if crossed and self._crossed_at < 0:
            self._crossed_at = series.n - series.count
        if not jumped and not huge and not crossed:
            return CLEAR if jump < limit.decades / 2 else BETWEEN
        usual = 10.0**self._base if series.n > series.count else None
        lasting = self._held > max(limit.patience, 0.01 * series.n)
        untold = run.untold and self._held > UNTOLD_PATIENCE * limit.patience
        bad = outcome.bad or untold
        if jumped:
            level = INFO if not (lasting and bad) else ERROR if jump > 2.0 else WARNING
            if level == INFO and lasting and jump > limit.converged and outcome.state == LEARNED:
                level = WARNING
            text = f"{series.name} {series.middle:.4g} is {10 ** min(jump, 300):.3g} times what is usual for this run ({usual:.3g})"
            text += f"; {UNTOLD}" if untold else ""
            return Finding(
                level, text, series.middle, 10.0 ** min(self._base + limit.decades, 300), usual, series.count
            )
        text = f"{series.name} {series.high:.4g} is above {high:g}"
        if self._crossed_at < limit.warm_up:
            text += ", but has been since the start" if outcome.good else ", as since the start"
        if outcome.series is not None:
            text += f"{' and' if outcome.good else ';'} {outcome.words}"
        text += f"; {UNTOLD}" if untold else ""
        level = WARNING if huge and lasting and bad else INFO
        return Finding(level, text, series.high, high, usual, series.count)

    def _learn(self, x: float, series: Series) -> None:
        weight = min(1.0, max(series.count / series.n, 4.0 * series.count / max(series.n, 32)))
        difference = x - self._base if series.n > series.count else 0.0
        self._base = x if series.n == series.count else self._base + weight * difference
        self._spread += weight * (abs(difference) - self._spread)
