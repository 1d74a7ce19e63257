"""A value function that explains nothing, or whose error grows without bound."""

from __future__ import annotations

import math
from typing import ClassVar

from analyzer.context import FLAT, LEARNED, WORSE, Run
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series

_OF = 20


class ValueFailure(Rule):
    """`explained_variance` that stays at 0, and a value loss decades above where it began, while the rewards never rose.

    Nothing explained: all of the last 20 values within `nothing` of 0.  Grown: the block's middle value loss more than `decades`
    above the median of the first values.  WARNING while the outcome is flat or worse (grown: also after learning has ended); INFO otherwise.  Clear: above ten times `nothing`;
    within half of `decades`.

    Never explained variance below 0: five of six healthy CartPole runs end there. A value loss that rises is what learning looks
    like where rewards rise, hence decades and the gate.
    """

    name: ClassVar[str] = "value_failure"
    metrics: ClassVar[tuple[str, ...]] = ("explained_variance", "value_loss")
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = "Scale rewards, check gamma and the value function's learning rate, clip its loss"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("nothing", 0.005, 0.0, 1.0, "of the returns' variance"),
        Limit("decades", 3.0, 0.1, 100.0, "healthy value losses were seen to grow by 1.6"),
        Limit("patience", 10, 0, 1e6, "records"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        outcome = run.outcome
        never = outcome.state in (FLAT, WORSE)  # rewards that dip and come back are no proof against the value function
        level = WARNING if never else INFO
        if series.key == "explained_variance":
            recent = series.recent(_OF)
            if len(recent) < _OF:
                return None
            top = max(max(recent), -min(recent))
            if top >= self.limit.nothing or outcome.good:
                return CLEAR if top > 10.0 * self.limit.nothing or outcome.good else BETWEEN
            text = (
                f"{series.name} has been within {top:.2g} of 0 for {_OF} records: the value function explains nothing"
            )
            return Finding(level, text, series.last, self.limit.nothing, window=_OF)
        head = sorted(series.head)[len(series.head) // 2]
        if head <= 0 or series.middle <= 0 or series.n <= len(series.head):
            return None
        grown = math.log10(series.middle) - math.log10(head)
        if grown <= self.limit.decades:
            return CLEAR if grown < self.limit.decades / 2 else BETWEEN
        text = (
            f"{series.name} {series.middle:.4g} is {10 ** min(grown, 300):.3g} times what it was at first ({head:.3g})"
        )
        limit = min(head * 10.0**self.limit.decades, 1e300)
        if outcome.state == LEARNED:
            level = WARNING
        return Finding(level, text, series.middle, limit, head, series.count, patience=int(self.limit.patience))
