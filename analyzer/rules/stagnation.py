"""A loss that does not get better any more."""

from __future__ import annotations

import math
from typing import ClassVar, Final

from analyzer.rules.loss_divergence import LOSSES
from analyzer.rules.verdict import BETWEEN, CLEAR, HOLDS, INFO, Record, Thresholds, Verdict, number_in
from analyzer.stats import Ewma

#: Records, as a share of the window, before the smoothed loss is trusted to be a best.
_WARM_UP: Final = 0.1
#: Further than this many times the threshold above its best, the loss changes: that is no stagnation.
_FAR: Final = 5.0
_HINT: Final = "Either it has converged, or look first at the learning rate and whether the optimizer steps"


class Stagnation:
    """No gain of `stagnation_threshold` (a share) in the smoothed loss for `convergence_window` records: INFO.

    Smoothed: exponentially weighted, span of half a window. A gain is a new best lower than the old one by
    `stagnation_threshold * |best|`. It is no stagnation while the smoothed loss lies more than 5 times that above the
    best: then it changes, for the worse. Gone with a new best. Constant work per record.

    Source: SageMaker Debugger's Overtraining and LossNotDecreasing, on a smoothed loss; the share is relative to the
    best, so negative losses work too. A converged run stagnates as well: worth knowing, not wrong.

    >>> rule = Stagnation()
    >>> verdicts = [rule.update({"step": s, "loss": 0.7}) for s in range(60)]
    >>> next(s for s, v in enumerate(verdicts) if v.condition == "holds")
    54
    """

    name: ClassVar[str] = "stagnation"
    metrics: ClassVar[tuple[str, ...]] = LOSSES

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 - frozen
        self._smooth = Ewma(1.0)
        self._best = math.inf
        self._best_step = 0
        self._without_gain = 0
        self.take(thresholds)

    def take(self, thresholds: Thresholds) -> None:
        self._window = thresholds.convergence_window
        self._share = thresholds.stagnation_threshold
        self._smooth.span = self._window / 2.0

    def update(self, record: Record) -> Verdict | None:
        found = number_in(record, self.metrics)
        if found is None or not math.isfinite(found[1]):
            return None
        metric, loss = found
        level = self._smooth.push(loss)
        if self._smooth.count < _WARM_UP * self._window:
            return Verdict(CLEAR, metric, loss)
        gain = self._share * abs(self._best) if math.isfinite(self._best) else 0.0
        if level < self._best - gain or not math.isfinite(self._best):
            step = record.get("step")
            self._best, self._best_step = level, step if isinstance(step, int) else 0
            self._without_gain = 0
            return Verdict(CLEAR, metric, loss)
        self._without_gain += 1
        if self._without_gain < self._window:
            return Verdict(CLEAR, metric, loss)
        if level > self._best + _FAR * gain:
            return Verdict(BETWEEN, metric, loss)
        text = (
            f"{metric} has not improved by {self._share:.2g} of its value for {self._without_gain} records, since step "
            f"{self._best_step}: smoothed {level:.4g}, best {self._best:.4g}. {_HINT}"
        )
        return Verdict(HOLDS, metric, level, self._best - gain, INFO, text)
