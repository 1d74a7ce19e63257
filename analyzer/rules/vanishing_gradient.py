"""Gradients too small to teach anything."""

from __future__ import annotations

from typing import ClassVar, Final

from analyzer.rules.verdict import BETWEEN, CLEAR, HOLDS, WARNING, Recent, Record, Thresholds, Verdict, number_in

_NEEDED: Final = 3
_CLEAR_FACTOR: Final = 10.0
_HINT: Final = (
    "Look first at saturated activations, the scale of the loss, detached tensors and whether anything is left to learn"
)


class VanishingGradient:
    """`grad_norm` (L2 norm, no unit) below `gradient_threshold_low` in 3 records in a row: WARNING.

    Gone at 10 times the limit. A norm that is no number is the business of `gradient_explosion`.

    Source: the documented limit of 1e-8; SageMaker Debugger's VanishingGradient judges at 1e-7 over some steps.

    >>> rule = VanishingGradient()
    >>> [rule.update({"step": s, "grad_norm": n}).condition for s, n in enumerate([1e-9, 1e-9, 0.0, 5e-8, 1e-3])]
    ['between', 'between', 'holds', 'between', 'clear']
    """

    name: ClassVar[str] = "vanishing_gradient"
    metrics: ClassVar[tuple[str, ...]] = ("grad_norm", "gradient_norm", "grad_norm_max")

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 - frozen
        self._recent = Recent(_NEEDED)
        self.take(thresholds)

    def take(self, thresholds: Thresholds) -> None:
        self._low = thresholds.gradient_threshold_low

    def update(self, record: Record) -> Verdict | None:
        found = number_in(record, self.metrics)
        if found is None:
            return None
        metric, norm = found
        count = self._recent.push(0.0 <= norm < self._low, record.get("step"))
        if count >= _NEEDED:
            text = (
                f"{metric} {norm:.3g} is below {self._low:g}, in at least {_NEEDED} records in a row, "
                f"since step {self._recent.since}. {_HINT}"
            )
            return Verdict(HOLDS, metric, norm, self._low, WARNING, text)
        return Verdict(CLEAR if norm >= _CLEAR_FACTOR * self._low else BETWEEN, metric, norm, self._low)
