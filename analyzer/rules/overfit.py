"""A validation loss that rises while the training loss falls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import BETWEEN, CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series


class Overfit(Rule):
    """The validation loss against its best value, while the training loss goes on falling.

    Rising: the last `times` evaluations all lie above the best by `rise` of what validation had gained, and the training loss is
    lower than at the best evaluation: INFO.  WARNING: by `much` of it, in twice as many.  Clear: within half of `rise`.

    Source: SageMaker Debugger Overfit (three evaluations, a tenth); against the run's own gain, so that the gap between
    the two losses, which dropout and augmentation make, plays no part.
    """

    name: ClassVar[str] = "overfit"
    metrics: ClassVar[tuple[str, ...]] = ("val_loss",)
    group: ClassVar[str] = "outcome"
    action: ClassVar[str] = "Stop early and take the best checkpoint; regularise or find more data"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("times", 3, 1, 32, "evaluations in a row"),
        Limit("rise", 0.1, 0.0, 1e300, "share of what validation had gained"),
        Limit("much", 0.3, 0.0, 1e300, "share of what validation had gained"),
    )

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        super().__init__(limit)
        self._best = self._train_then = 0.0
        self._seen = False

    def judge(self, series: Series, run: Run) -> Answer:
        train = run.main.get("loss")
        now = train.cells.values[-1] if train is not None and train.cells.values else None
        if not self._seen or series.low < self._best:
            self._seen, self._best = True, series.low
            self._train_then = now if now is not None else 0.0
            return CLEAR
        gain = max(series.head) - self._best
        if gain <= 0 or now is None:
            return CLEAR
        times = int(self.limit.times)
        rises = [(x - self._best) / gain for x in series.recent(2 * times)]
        if len(rises) < times or min(rises[-times:]) <= self.limit.rise or now >= self._train_then:
            return CLEAR if rises[-1] <= self.limit.rise / 2 else BETWEEN
        loud = len(rises) == 2 * times and min(rises) > self.limit.much
        text = (
            f"{series.name} {series.last:.4g} is above its best, {self._best:.4g}, by {100 * rises[-1]:.3g} % of its gain, "
            f"while {train.name if train is not None else 'loss'} fell from {self._train_then:.4g} to {now:.4g}"
        )
        return Finding(
            WARNING if loud else INFO, text, series.last, self._best + self.limit.rise * gain, self._best, len(rises)
        )
