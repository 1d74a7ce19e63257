"""Gradients that are exactly zero nearly everywhere."""

from __future__ import annotations

from typing import ClassVar

from analyzer.context import UNTOLD, Run
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class ZeroGradients(Rule):
    """Share of gradient entries that are exactly zero, 0 to 1.

    INFO: above the documented `zeros_ratio_threshold`.  WARNING: at `nearly_all` or above for `patience` records (or 1 % of
    the run) and the outcome is bad (or, ten times as long, is not logged); so is a rise to it from below half.  Clear: below nine tenths of the documented limit.

    Source: SageMaker Debugger DeadRelu (50 %), AutoTrainer (70 %, gated). Healthy DQN has 80 %: ReLU layers, and embeddings more,
    are sparse by nature, so the share alone is never more than INFO.
    """

    name: ClassVar[str] = "zero_gradients"
    metrics: ClassVar[tuple[str, ...]] = ("zeros",)
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = (
        "Look for dead ReLUs, frozen layers or a mask that hides everything; try another initialisation"
    )
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("zeros_ratio_threshold", 0.5, 0.0, 1.0, "the documented limit, as in plot_config"),
        Limit("nearly_all", 0.98, 0.0, 1.0, "what is left cannot train a network"),
        Limit("patience", 20, 0, 1e6, "records"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        most = self.limit.zeros_ratio_threshold
        nearly = series.middle >= self.limit.nearly_all
        self.sign(run, f"{100 * series.middle:.3g} % of the gradient is exactly zero" if nearly else "")
        if series.high <= most:
            return CLEAR if series.high <= 0.9 * most else BETWEEN
        outcome = run.outcome
        text = f"{100 * series.middle:.3g} % of the gradient is exactly zero, above {100 * most:g} %"
        start = sum(series.head) / len(series.head)
        if start > most and series.n > len(series.head):
            text += ", as since the start"
        if outcome.series is not None:
            text += f"{', but' if outcome.good else ';'} {outcome.words}"
        level = WARNING if nearly and (outcome.bad or run.untold) else INFO
        if level == WARNING and run.untold:
            text += f"; {UNTOLD}"
        patience = run.patience(self.limit.patience, series) if level == WARNING else 0
        return Finding(level, text, series.middle, most, start, series.count, patience=patience, crossed=True)
