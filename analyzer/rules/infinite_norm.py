"""Gradients that are no numbers."""

from __future__ import annotations

from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import CLEAR, ERROR, INFO, Answer, Finding, Limit, Rule
from analyzer.series import Series


class InfiniteNorm(Rule):
    """`non_finite` for `grad_norm`: judged in order, so that a loss that is no number explains it.

    ERROR: `times` in a block, or in a row of blocks without a finite one between; NaN or infinite.  INFO: fewer: mixed precision
    finds its loss scale by norms that overflow, and skips those steps.  Clear: a block of finite values.

    Losses and rewards are judged at once, see `analyzer.immediate`. Source: SageMaker Debugger ExplodingTensor.
    """

    name: ClassVar[str] = "non_finite"
    metrics: ClassVar[tuple[str, ...]] = ("grad_norm",)
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = "Look for a division by zero or a logarithm of 0; clip gradients, lower the learning rate"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("times", 3, 1, 1e6, "infinite norms in a row; single ones are skipped steps"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        if not series.bad_now:
            return CLEAR
        level = ERROR if series.bad_row >= self.limit.times else INFO
        text = f"{series.name} was not a finite number in {series.bad_row} records" + (
            "; single ones are normal where mixed precision looks for its scale" if level == INFO else " in a row"
        )
        return Finding(level, text, float("inf"), window=series.bad_row)
