"""Gradients that are next to nothing before anything was learned."""

from __future__ import annotations

from typing import ClassVar

from analyzer.context import FLAT, UNTOLD, WORSE, Run
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class VanishingGradient(Rule):
    """`grad_norm` below the documented limit, or below `share` of what it was at the start.

    INFO: one record below `gradient_threshold_low`.  WARNING: the block's middle is below it, or below `share` times the median
    of the first values, for `patience` records (or 1 % of the run), and the outcome never was good (or, ten times as long, is not logged). A run that has learned
    may have no gradient left: that is convergence.  Clear: ten times the limit.

    Source: SageMaker Debugger VanishingGradient (1e-7 and no progress); AutoTrainer.
    """

    name: ClassVar[str] = "vanishing_gradient"
    metrics: ClassVar[tuple[str, ...]] = ("grad_norm",)
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = "Look at activations and initialisation; check that the loss reaches the parameters"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("gradient_threshold_low", 1e-8, 0.0, 1e300, "the documented limit, as in plot_config"),
        Limit("share", 1e-4, 0.0, 1.0, "four decades below the start is no schedule"),
        Limit("patience", 20, 0, 1e6, "records; batches without a signal come alone"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        low = self.limit.gradient_threshold_low
        head = sorted(series.head)[len(series.head) // 2]
        fallen = series.n > 4 * len(series.head) and series.middle < self.limit.share * head
        self.sign(run, f"{series.name} {series.middle:.3g} is next to nothing" if fallen or series.middle < low else "")
        if series.low >= low and not fallen:
            return CLEAR if series.low >= 10.0 * low else BETWEEN
        outcome = run.outcome
        lasting = series.middle < low or fallen
        text = (
            f"{series.name} {series.low:.3g} is below {low:g}"
            if series.low < low
            else f"{series.name} {series.middle:.3g} is {series.middle / head:.2g} of what it was at the start ({head:.3g})"
        )
        level = WARNING if lasting and (outcome.state in (FLAT, WORSE) or run.untold) else INFO
        if level == WARNING and run.untold:
            text += f"; {UNTOLD}"
        patience = run.patience(self.limit.patience, series) if level == WARNING else 0
        crossed = series.low < low
        return Finding(level, text, series.low, low, head, series.count, patience=patience, crossed=crossed)
