"""Gradients that are too large, or no numbers at all."""

from __future__ import annotations

import math
from typing import ClassVar, Final

from analyzer.rules.verdict import BETWEEN, CLEAR, ERROR, HOLDS, INFO, Recent, Record, Thresholds, Verdict, number_in

#: Crossings among the last `_OF` records that make a spike an explosion.
_NEEDED: Final = 3
_OF: Final = 5
#: One record this many times over the limit needs no second one.
_ENORMOUS: Final = 100.0
#: The condition is gone at this share of the limit.
_CLEAR_SHARE: Final = 0.5
_HINT: Final = "Look first at the learning rate, gradient clipping and the scale of rewards or targets"


class GradientExplosion:
    """`grad_norm` (L2 norm of the gradient before clipping, no unit) above `gradient_threshold_high`.

    ERROR when 3 of the last 5 records are above the limit, when one is 100 times above it, or when one is NaN or
    infinite. A single record above the limit is a spike: INFO. Gone at or below half the limit.

    Source: the documented limit of 10.0; spikes apart from explosions as in ZClip (arXiv 2504.02507), which finds
    single spikes normal. The limit is absolute, so a run whose gradients are large by nature (rewards in the hundreds)
    crosses it while all is well: `gradient_threshold_high` is there to be set.

    >>> rule = GradientExplosion()
    >>> [rule.update({"step": s, "grad_norm": n}).level for s, n in enumerate([1.0, 50.0, 50.0, 50.0])]
    ['', 'INFO', 'INFO', 'ERROR']
    >>> rule.update({"step": 4, "grad_norm": float("nan")}).level
    'ERROR'
    """

    name: ClassVar[str] = "gradient_explosion"
    metrics: ClassVar[tuple[str, ...]] = ("grad_norm", "gradient_norm", "grad_norm_max")

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 - frozen
        self._recent = Recent(_OF)
        self.take(thresholds)

    def take(self, thresholds: Thresholds) -> None:
        self._high = thresholds.gradient_threshold_high

    def update(self, record: Record) -> Verdict | None:
        found = number_in(record, self.metrics)
        if found is None:
            return None
        metric, norm = found
        finite = math.isfinite(norm)
        crossed = not finite or norm > self._high
        count = self._recent.push(crossed, record.get("step"))
        if not crossed:
            return Verdict(CLEAR if norm <= _CLEAR_SHARE * self._high else BETWEEN, metric, norm, self._high)
        step = record.get("step")
        if not finite:
            level = ERROR
            text = f"{metric} is {norm} at step {step} (expected a finite number up to {self._high:g})"
        elif count >= _NEEDED:
            level = ERROR
            text = (
                f"{metric} {norm:.4g} is above {self._high:g}, as in {count} of the last {_OF} records, "
                f"without a pause since step {self._recent.since}"
            )
        elif norm >= _ENORMOUS * self._high:
            level = ERROR
            text = f"{metric} {norm:.4g} at step {step} is {norm / self._high:.3g} times the limit of {self._high:g}"
        else:
            level = INFO
            text = f"spike: {metric} {norm:.4g} at step {step} is above {self._high:g}"
        return Verdict(HOLDS, metric, norm, self._high, level, f"{text}. {_HINT}")
