"""What a rule may know beside the values it judges: does the run get anywhere, how far is it, what else is wrong. Pure.

A symptom alone says little: healthy networks have large gradients, zero gradients and rising losses. What tells is whether the
outcome (rewards; where there are none, the loss or the accuracy) is bad too. That gate is AutoTrainer's (ICSE 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from analyzer.series import HEAD, Series

UNKNOWN: Final = "unknown"
IMPROVING: Final = "improving"
LEARNED: Final = "learned"
LOST: Final = "lost"
FLAT: Final = "flat"
WORSE: Final = "worse"
#: Standard errors that make a difference one. The best of many windows is compared, so 3 would be chance.
SIGMAS: Final = 4.0
#: A gain smaller than this share of where the run began is none.
MATERIAL: Final = 0.01
#: Times a rule's patience, for symptoms of runs that log nothing to tell how they do; and the words for it.
UNTOLD_PATIENCE: Final = 10
UNTOLD: Final = "nothing is logged that tells whether the run learns"
#: Fewer values say nothing; with this many, no gain means flat.
FEWEST: Final = 8
_FLAT_AFTER: Final = {"reward": 150, "loss": 60, "accuracy": 60}
_BETTER: Final = {"reward": 1.0, "accuracy": 1.0, "val_accuracy": 1.0}


@dataclass(slots=True)
class Progress:
    """How a series has gone, oriented so that higher is better; levels are means over an eighth of the run.

    start, best, recent: levels.  best_at: where the best lies, 0 (start) to 1 (now).
    noise: standard deviation of one level, from the median difference of neighbouring cells (a jump does not count).
    sigmas: (best - start) in standard errors.  firm: the same against differences of whole levels, which also holds for values
    that are smoothed already (`ep_rew_mean`), whose neighbours hardly differ.  lost: share of the gain that is lost again.
    worse: (start - recent) in standard errors.  drift: second half minus first half of the run, in standard errors;
    late: the same for its last two quarters.  apart: usual difference of two levels next to each other, with its own noise.
    window: values in a level.
    """

    n: int
    start: float
    best: float
    recent: float
    best_at: float
    noise: float
    sigmas: float
    firm: float
    lost: float
    worse: float
    drift: float
    late: float
    window: int
    apart: float

    @property
    def hint(self) -> bool:
        """Whether anything at all speaks for it: too little to say that it learns, too much to say that it never did."""
        return self.moving or self.drift >= 1.0 or self.sigmas >= 2.5

    @property
    def gained(self) -> bool:
        """Whether it was ever better than at the start, by more than noise and by more than a trifle."""
        return self.sigmas >= SIGMAS and self.best - self.start > MATERIAL * abs(self.start)

    @property
    def moving(self) -> bool:
        """Whether it gets better, if only as a drift beneath the noise: enough to say that it learns, not that it has."""
        return self.gained or (self.drift >= 3.0 and self.best - self.start > MATERIAL * abs(self.start))

    @property
    def worsened(self) -> bool:
        """Whether it is worse than at the start."""
        return self.worse >= SIGMAS and self.start - self.recent > MATERIAL * abs(self.start)


def progress(series: Series) -> Progress | None:
    """How a series has gone; None while it has fewer than `FEWEST` values."""
    known = series.memo.get("progress")
    if known is not None and known[0] == series.n:
        return known[1]  # type: ignore[no-any-return]
    found = _progress(series) if series.n >= FEWEST else None
    series.memo["progress"] = (series.n, found)
    return found


def _progress(series: Series) -> Progress | None:
    values = series.cells.values
    m = len(values)
    if m < 4:
        return None
    sign = _BETTER.get(series.key, -1.0)
    w = max(1, min(m // 3, max(m // 8, -(-FEWEST // series.cells.width))))
    sums = [0.0, *accumulate(values)]
    levels = [sign * (b - a) / w for a, b in zip(sums, sums[w:])]  # noqa: B905 - the last w sums have no partner
    steps = sorted([abs(b - a) for a, b in pairwise(values)])
    sigma = 1.048 * steps[len(steps) // 2]  # median |difference| of normal values is 0.954 sigma
    if sigma == 0.0:
        sigma = math.sqrt(sum([x * x for x in steps]) / (2 * len(steps)))
    noise = sigma / math.sqrt(w)
    start, recent, best = levels[0], levels[-1], max(levels)
    where = levels.index(best)
    error = 1.414 * noise
    gain = best - start
    sigmas = _ratio(gain, error)
    head = sign * sum(series.head) / len(series.head)
    if head < start and w * series.cells.width > HEAD:
        # What was learned in the first moments of a long run is in its first values only.
        by_head = _ratio(best - head, noise * math.sqrt(1.0 + w * series.cells.width / HEAD))
        if by_head >= SIGMAS:
            gain, sigmas, start = best - head, max(sigmas, by_head), head
    half = m // 2
    drift = sign * ((sums[m] - sums[half]) / (m - half) - sums[half] / half)
    quarter = 3 * m // 4
    late = sign * ((sums[m] - sums[quarter]) / (m - quarter) - (sums[quarter] - sums[half]) / max(1, quarter - half))
    apart = sorted([abs(b - a) for a, b in zip(levels, levels[w:])])  # noqa: B905
    usual = 1.4826 * apart[len(apart) // 2] if apart else math.inf
    firm = _ratio(gain, usual) if apart else 0.0
    return Progress(
        n=series.n,
        start=start,
        best=best,
        recent=recent,
        best_at=(where + 1) / len(levels),
        noise=noise,
        sigmas=sigmas,
        firm=firm,
        lost=(best - recent) / gain if gain > 0 else 0.0,
        worse=_ratio(start - recent, error),
        drift=_ratio(drift, sigma * 2.0 / math.sqrt(m)),
        late=_ratio(late, sigma * math.sqrt(8.0 / m)),
        apart=usual,
        window=w * series.cells.width,
    )


def _ratio(difference: float, error: float) -> float:
    if error > 0:
        return difference / error
    return math.inf if difference > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run does: `state`, by which series, and in words that can follow "and"."""

    state: str = UNKNOWN
    words: str = "it is too early to say whether the run learns"
    progress: Progress | None = None
    series: Series | None = None

    @property
    def good(self) -> bool:
        return self.state in (IMPROVING, LEARNED)

    @property
    def bad(self) -> bool:
        return self.state in (FLAT, WORSE, LOST)


class Run:
    """One session as rules see it.

    Attributes:
        main: the series that stand for the run, by key: the first of its name, without component if there is one.
        reinforced: reinforcement learning, as far as the metrics' names tell (or adversaries): the loss is no outcome.
        firing: rule -> level of what fires now, over all producers and components.
    signs: rule -> words on a strong symptom that is there now, whatever the outcome: what corroborates another rule.
        total: steps that the run is to take, None where its configuration does not say.
        step: highest step so far;  time: highest record time so far.  over: the run has ended, this is the last look.
    """

    def __init__(self) -> None:
        self.main: dict[str, Series] = {}
        self.reinforced = False
        self.firing: dict[str, str] = {}
        self.signs: dict[str, str] = {}
        self.total: int | None = None
        self.step = 0
        self.time = 0.0
        self.over = False
        self._outcome: tuple[tuple[int, ...], Outcome] = ((), Outcome())

    def add(self, series: Series) -> None:
        """A series has begun."""
        known = self.main.get(series.key)
        better = known is None or (known.component and not series.component)
        if series.key == "reward" and known is not None and known.category != "rewards":
            better = better or series.category == "rewards"
        if better:
            self.main[series.key] = series

    @property
    def part(self) -> float | None:
        """Share of the run that is done, 0 to 1; None where nobody said how long it is to be."""
        return min(1.0, self.step / self.total) if self.total else None

    @property
    def _telling(self) -> list[Series]:
        keys = ("reward",) if self.reinforced else ("loss", "accuracy")
        return [self.main[key] for key in keys if key in self.main]

    @property
    def untold(self) -> bool:
        """Whether nothing is logged that tells how the run does: then a symptom that lasts has only itself to be judged by."""
        return not self._telling

    def patience(self, records: float, series: Series) -> int:
        """Records that a symptom must last: at least 1 % of the series, and longer where nothing tells how the run does."""
        return round(max(records * (UNTOLD_PATIENCE if self.untold else 1), 0.01 * series.n))

    @property
    def outcome(self) -> Outcome:
        """How the run does, by all values up to now."""
        found = self._telling
        mark = tuple([series.n for series in found])
        if mark != self._outcome[0]:
            self._outcome = (mark, _outcome(found))
        return self._outcome[1]

    def rate_jump(self) -> str:
        """Words on a learning rate that has just been multiplied, else empty."""
        series = self.main.get("learning_rate")
        if series is None or series.n < 4:
            return ""
        values = series.cells.values
        before = sorted(values[: max(1, len(values) * 3 // 4)])
        usual = before[len(before) // 2]
        if usual > 0 and series.last > 3.0 * usual:
            return f"the learning rate is {series.last:.3g}, it was {usual:.3g}"
        return ""

    def rate_rises(self) -> bool:
        """Whether the learning rate is being warmed up."""
        series = self.main.get("learning_rate")
        if series is None or series.n < 4:
            return False
        values = series.cells.values
        return series.last > 1.2 * series.head[0] and series.last > 1.01 * values[-1 - len(values) // 4]


def _outcome(found: list[Series]) -> Outcome:
    outcomes = [outcome for series in found if (outcome := _of(series)) is not None]
    if not outcomes:
        return Outcome()
    order = (IMPROVING, LEARNED, LOST, UNKNOWN, WORSE, FLAT)
    return min(outcomes, key=lambda outcome: order.index(outcome.state))


def _of(series: Series) -> Outcome | None:
    p = progress(series)
    if p is None:
        return None
    sign = _BETTER.get(series.key, -1.0)
    word = {"reward": "rewards", "accuracy": "accuracy"}.get(series.key, series.name)
    levels = f"{sign * p.start:.4g} at the start, {sign * p.best:.4g} at best, {sign * p.recent:.4g} now"
    if p.gained:
        if p.lost >= 0.5 and p.firm >= SIGMAS:
            return Outcome(LOST, f"the {word} lost what they had gained ({levels})", p, series)
        if p.best_at > 0.75 and p.late >= 2.0:
            return Outcome(
                IMPROVING, f"the {word} {'improve' if series.key == 'reward' else 'improves'} ({levels})", p, series
            )
        return Outcome(LEARNED, f"the {word} had improved before ({levels})", p, series)
    if p.moving:
        return Outcome(
            IMPROVING, f"the {word} {'improve' if series.key == 'reward' else 'improves'} slowly ({levels})", p, series
        )
    if p.worsened:
        return Outcome(WORSE, f"the {word} got worse ({levels})", p, series)
    if series.n >= _FLAT_AFTER.get(series.key, 60):
        return Outcome(FLAT, f"the {word} did not improve ({levels})", p, series)
    return Outcome(UNKNOWN, f"the {word} say nothing yet ({levels})", p, series)


def words_for(outcome: Outcome) -> list[str]:
    """The outcome as a sentence to stand with an alert; none while nothing is known."""
    return [outcome.words] if outcome.series is not None else []
