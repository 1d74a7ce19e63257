"""A large share of the gradient is exactly zero."""

from __future__ import annotations

from typing import ClassVar, Final

from analyzer.rules.verdict import BETWEEN, CLEAR, HOLDS, WARNING, Recent, Record, Thresholds, Verdict, number_in

_NEEDED: Final = 3
_CLEAR_SHARE: Final = 0.9
_HINT: Final = "Look first at dead ReLUs, frozen or unused parameters, and masked inputs"


class ZeroGradients:
    """Share of gradient entries that are exactly zero (0 to 1) above `zeros_ratio_threshold` in 3 records in a row.

    WARNING. Gone at or below 90 % of the limit.

    Source: the documented limit of 50 %, which SageMaker Debugger's DeadRelu uses too. A ReLU network trained on few
    samples at a time (DQN) lives above it in good health: `zeros_ratio_threshold` is there to be set.

    >>> rule = ZeroGradients()
    >>> [rule.update({"step": s, "grad_zeros_ratio": 0.9}).condition for s in range(3)]
    ['between', 'between', 'holds']
    >>> rule.update({"step": 3, "grad_zeros_ratio": 0.1}).condition
    'clear'
    """

    name: ClassVar[str] = "zero_gradients"
    metrics: ClassVar[tuple[str, ...]] = ("grad_zeros_ratio", "zeros_ratio")

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 - frozen
        self._recent = Recent(_NEEDED)
        self.take(thresholds)

    def take(self, thresholds: Thresholds) -> None:
        self._limit = thresholds.zeros_ratio_threshold

    def update(self, record: Record) -> Verdict | None:
        found = number_in(record, self.metrics)
        if found is None:
            return None
        metric, ratio = found
        count = self._recent.push(ratio > self._limit, record.get("step"))
        if count >= _NEEDED:
            text = (
                f"{ratio:.0%} of the gradient is zero ({metric}), more than {self._limit:.0%} in at least {_NEEDED} "
                f"records in a row, since step {self._recent.since}. {_HINT}"
            )
            return Verdict(HOLDS, metric, ratio, self._limit, WARNING, text)
        return Verdict(CLEAR if ratio <= _CLEAR_SHARE * self._limit else BETWEEN, metric, ratio, self._limit)
