"""A loss that climbs, or is no number any more."""

from __future__ import annotations

import math
from typing import ClassVar, Final

from analyzer.rules.verdict import BETWEEN, CLEAR, ERROR, HOLDS, Record, Thresholds, Verdict, number_in
from analyzer.stats import Blocks, kendall_tau

LOSSES: Final = ("loss", "total_loss", "train/loss", "train_loss")
_BLOCKS: Final = 10
#: Kendall's tau of ten block means: 0.7 or more comes about by chance in about 1 of 400 windows.
_TAU: Final = 0.7
#: The rise in standard errors of its two ends; 4 keeps heavy-tailed losses (A2C) quiet.
_Z: Final = 4.0
#: The rise in shares of the level that it began from ...
_RISE: Final = 0.1
#: ... and how much of what the run has gained since its start must be lost again.
_LOST: Final = 0.2
_ENDS: Final = 3
_HINT: Final = "Look first at the learning rate and its schedule, then at the data of these steps"
_HINT_NAN: Final = "Look first at the step before: learning rate, log or division by zero, a broken batch"


class LossDivergence:
    """A rising trend of the loss over `convergence_window` records, or a loss that is NaN or infinite: ERROR.

    The window is cut into ten blocks, and judged each time a block is complete. It rises when all of these hold, with
    `first` and `last` the means of the first and the last three block means, and `best` the lowest mean of three
    neighbouring blocks so far:

        Kendall's tau of the block means              >= 0.7      (a trend, not a step or a spike)
        (last - first) / (noise * sqrt(2 / (3 block))) >= 4        (more than noise; von Neumann's noise)
        last - first                                   >= 0.1 |first|
        last - best                                    >= 0.2 (start - best)

    Gone when the latest block is back below half of the rise that was seen when it fired. Work per record is constant
    (45 comparisons per block). One block of delay: a loss that rises from its first record on fires at record 50.

    Source: Mann (1945) and Kendall (1948) on block means, since single losses are serially correlated; the fourth line
    is a judgement, so that what a change of the data costs a run that has learned a lot does not count.
    Losses of value functions rise while an agent learns: such a run can fire here in good health.

    >>> rule = LossDivergence()
    >>> verdicts = [rule.update({"step": s, "loss": 1.0 + 0.01 * s}) for s in range(60)]
    >>> next(s for s, v in enumerate(verdicts) if v.condition == "holds")
    49
    >>> LossDivergence().update({"step": 0, "loss": float("inf")}).level
    'ERROR'
    """

    name: ClassVar[str] = "loss_divergence"
    metrics: ClassVar[tuple[str, ...]] = LOSSES

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 - frozen
        self._window = 0
        self._start: float | None = None
        self._best = math.inf
        #: Level at which the rise counts as undone, frozen while it holds.
        self._back: float | None = None
        self._rising: Verdict | None = None
        self._steps: list[int] = []
        self._broken_since: int | None = None
        self.take(thresholds)

    def take(self, thresholds: Thresholds) -> None:
        if thresholds.convergence_window != self._window:
            self._window = thresholds.convergence_window
            self._blocks = Blocks(self._window, _BLOCKS)
            self._steps = []

    def update(self, record: Record) -> Verdict | None:
        found = number_in(record, self.metrics)
        if found is None:
            return None
        metric, loss = found
        raw = record.get("step")
        step = raw if isinstance(raw, int) else 0
        if not math.isfinite(loss):
            if self._broken_since is None:
                self._broken_since = step
            text = f"{metric} is {loss}, expected a finite number, since step {self._broken_since}. {_HINT_NAN}"
            return Verdict(HOLDS, metric, loss, None, ERROR, text)
        self._broken_since = None
        if abs(loss) > 1e150:  # its square is infinite
            text = f"{metric} {loss:.3g} at step {step} is close to the largest number there is. {_HINT_NAN}"
            return Verdict(HOLDS, metric, loss, 1e150, ERROR, text)
        if self._blocks.push(loss):
            self._steps = [*self._steps[-_BLOCKS + 1 :], step]
            self._judge(metric)
        if self._rising is not None:
            return self._rising
        return Verdict(CLEAR if self._back is None else BETWEEN, metric, loss)

    def _judge(self, metric: str) -> None:
        """A block is complete: look at all of them."""
        means = list(self._blocks.means)
        self._rising = None
        if self._back is not None and means[-1] <= self._back:
            self._back = None
        if len(means) < _ENDS:
            return
        ends = min(_ENDS, len(means) // 2)
        first, last = sum(means[:ends]) / ends, sum(means[-ends:]) / ends
        self._start = first if self._start is None else self._start
        self._best = min(self._best, last)
        if not self._blocks.full or kendall_tau(means) < _TAU:
            return
        rise = last - first
        noise = self._blocks.noise * math.sqrt(2.0 / (ends * self._blocks.block))
        limit = max(_Z * noise, _RISE * abs(first))
        if rise < limit or last - self._best < _LOST * (self._start - self._best):
            return
        if self._back is None:
            self._back = first + rise / 2.0
        text = (
            f"{metric} has risen from {first:.4g} to {last:.4g} over the last {self._window} records, since about step "
            f"{self._steps[0]}; a rise above {limit:.3g} is more than noise, and the best was {self._best:.4g}. {_HINT}"
        )
        self._rising = Verdict(HOLDS, metric, last, first + limit, ERROR, text)
