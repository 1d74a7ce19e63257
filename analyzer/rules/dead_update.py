"""Weights that do not move, or that are thrown about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class DeadUpdate(Rule):
    """`weight_update_ratio` = |dw| / |w| since the last record: about 1e-3 is healthy, 0 means that nobody trains.

    Dead: below `least` for `patience` records (or 1 % of the run, or twice as long as it was dead before and then moved; half of
    `patience` where the learning rate is logged as 0).  ERROR, but INFO where the learning rate has come down to
    nothing (a schedule's end; WARNING when the run goes on so for a tenth of its length), where the record is of one component only (it may be frozen), or where the run has learned and its
    rate is zero.  Also dead: `approx_kl` within `no_kl` of 0 (the policy does not move) for twice the patience while the outcome is bad: WARNING.
    Thrown about: above `most` in three of the last ten records and the outcome is bad: WARNING, else INFO.  Clear: in range.

    Source: |dw|/|w| about 1e-3, Karpathy (CS231n notes); SageMaker Debugger WeightUpdateRatio (10 and 1e-8).
    """

    name: ClassVar[str] = "dead_update"
    metrics: ClassVar[tuple[str, ...]] = ("update_ratio", "approx_kl", "learning_rate")
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = (
        "Check that optimizer.step() is called, that it holds these parameters, and the learning rate's schedule"
    )
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("least", 1e-8, 0.0, 1.0, "float32 cannot store a change of 6e-8 of a weight"),
        Limit(
            "most",
            1.0,
            0.0,
            1e300,
            "weights replaced, not adjusted; healthy off-policy runs were seen at 0.25 per record",
        ),
        Limit("no_kl", 1e-8, 0.0, 1.0, "the policy is the same to the last digit; healthy is 1e-4 and more"),
        Limit("patience", 10, 0, 1e6, "records; where gradients are accumulated, or the rate is 0, see above"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._moved = False
        self._still = self._healed = 0

    def judge(self, series: Series, run: Run) -> Answer:
        if series.key == "learning_rate":
            return self._rate(series, run)
        if series.key == "approx_kl":
            return self._kl(series, run)
        limit = self.limit
        dead = series.high < limit.least
        if not series.component:
            self.sign(run, "the weights do not move" if dead else "")
        if dead:
            return self._dead(series, run)
        if series.low >= limit.least:
            self._moved = True
            self._healed, self._still = max(self._healed, self._still), 0
        wild = sum([x > limit.most for x in series.recent(10)])
        if series.high > limit.most or wild >= 3:
            outcome = run.outcome
            level = WARNING if wild >= 3 and outcome.bad and series.n >= 20 else INFO
            text = f"{series.name} {series.high:.3g}: in {wild} of the last 10 records the weights changed by more than their own size"
            return Finding(level, text, series.high, limit.most, window=10)
        return CLEAR if series.low >= limit.least else BETWEEN

    def _dead(self, series: Series, run: Run) -> Answer:
        rate = run.main.get("learning_rate")
        self._still += series.count
        # Accumulated gradients: weights that stood still and then moved may do so again, twice as long.
        patience = round(max(self.limit.patience, 0.01 * series.n, 2 * self._healed))
        text = f"the weights do not move: {series.name} {series.high:.3g} is below {self.limit.least:g}"
        level = ERROR
        if rate is not None and rate.n:
            top = max(rate.cells.values or [rate.last])
            if rate.last <= 0.01 * top and self._moved:
                over = self._still > max(4 * self.limit.patience, 0.1 * series.n)
                level, text = WARNING if over else INFO, f"{text}; the learning rate has come down to {rate.last:.3g}"
            elif rate.last == 0:
                patience = round(max(self.limit.patience / 2, 0.01 * series.n))
                text += "; the learning rate is 0" + ("" if self._moved else " since the start")
            else:
                text += f" although the learning rate is {rate.last:.3g}"
        if series.component:
            level = INFO
        if level == ERROR and self._moved and run.outcome.state == "learned" and rate is None:
            level = WARNING
        return Finding(level, text, series.high, self.limit.least, window=series.count, patience=patience)

    def _rate(self, series: Series, run: Run) -> Answer:
        """A learning rate of 0 from the first record on, where nobody logs how far the weights move."""
        if "update_ratio" in run.main or series.high > 0:
            return CLEAR if series.high > 0 else None
        if any(value > 0 for value in series.cells.values):
            return BETWEEN
        text = f"{series.name} has been 0 since the start"
        patience = round(max(2 * self.limit.patience, 0.01 * series.n))
        return Finding(WARNING, text, 0.0, 0.0, window=series.count, patience=patience)

    def _kl(self, series: Series, run: Run) -> Answer:
        if "update_ratio" in run.main and run.main["update_ratio"].n:
            return None  # the weights themselves are known
        still = max(abs(series.low), abs(series.high)) < self.limit.no_kl
        if not still:
            return CLEAR if series.middle > 10.0 * self.limit.no_kl else BETWEEN
        level = WARNING if run.outcome.bad else INFO
        text = f"the policy does not move: {series.name} {series.middle:.3g} is within {self.limit.no_kl:g} of 0"
        patience = round(max(2 * self.limit.patience, 0.01 * series.n))
        return Finding(level, text, series.middle, self.limit.no_kl, window=series.count, patience=patience)
