"""Rewards that stay low: never better than at the start, or lost again."""

from __future__ import annotations

import math
from typing import ClassVar, Final

from analyzer.rules.verdict import BETWEEN, CLEAR, HOLDS, INFO, WARNING, Record, Thresholds, Verdict, number_in
from analyzer.stats import Window

#: Windows without a gain over the first one: worth knowing after 3, a warning after 15.
_EARLY: Final = 3
_LATE: Final = 15
#: A gain is this many standard errors of the difference of two window means; a sure one, a loss, this many.
_GAIN_Z: Final = 3.0
_SURE_Z: Final = 5.0
#: Share of the gain (or, for a run that began well, of its first mean) that must be lost.
_LOST: Final = 0.8
_LOST_START: Final = 0.5
_RECOVERED: Final = 0.5
_HINT: Final = "Look first at the reward itself, exploration (entropy, epsilon) and the learning rate"


class PoorPerformance:
    """Rewards are consistently low: WARNING, after a first INFO. In windows of `poor_performance_window` episodes.

    With `start` and `error` the mean of the first window and sqrt(2) times its standard error, `now` the mean of the
    last window and `best` the best of any window so far (units of the reward):

        not learning  best - start <= 3 error after 3 windows: INFO, after 15: WARNING;
                      after 3 windows already WARNING when every reward so far was exactly the same
        lost again    best - start > 5 error, and best - now >= 0.8 (best - start), for a whole window of episodes
        fallen        start - now > max(5 error, 0.5 |start|), for a whole window of episodes

    Gone when a gain shows, or when half of what was lost is back. Constant work per record (amortised).

    Source: judgement, on real runs (docs/decisions/analyzer-rules.md): the slowest healthy run shows a gain after
    12 windows. A gain that is larger than noise needs no scale of the reward, which no monitor can know: an agent that
    is as good as can be from its first episode on is taken for one that does not learn.

    >>> rule = PoorPerformance()
    >>> levels = [rule.update({"step": s, "episode_reward": -100.0 + s % 7}).level for s in range(300)]
    >>> levels.index("INFO"), levels.index("WARNING")
    (59, 299)
    """

    name: ClassVar[str] = "poor_performance"
    metrics: ClassVar[tuple[str, ...]] = (
        "episode_reward",
        "reward",
        "mean_reward",
        "ep_rew_mean",
        "rollout/ep_rew_mean",
    )

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008 - frozen
        self._size = thresholds.poor_performance_window
        self._last = Window(self._size)
        self._episodes = 0
        self._start: float | None = None
        self._error = 0.0
        self._best = -math.inf
        self._same: float | None = None
        self._all_same = True
        self._lost_for = 0
        self._lost_since = 0
        self._first_step = 0

    def take(self, thresholds: Thresholds) -> None:
        self._size = thresholds.poor_performance_window
        self._last.resize(self._size)

    def update(self, record: Record) -> Verdict | None:
        found = number_in(record, self.metrics)
        if found is None:
            return None
        metric, reward = found
        raw = record.get("step")
        step = raw if isinstance(raw, int) else 0
        if not math.isfinite(reward):
            text = f"{metric} is {reward} at step {step}, expected a finite number. {_HINT}"
            return Verdict(HOLDS, metric, reward, None, WARNING, text)
        if self._episodes == 0:
            self._same, self._first_step = reward, step
        self._episodes += 1
        self._all_same = self._all_same and reward == self._same
        self._last.push(reward)
        if not self._last.full:
            return Verdict(CLEAR, metric, reward)
        now = self._last.mean
        if self._start is None:
            self._start, self._error = now, math.sqrt(2.0) * self._last.standard_error
        self._best = max(self._best, now)
        return self._judge(metric, now, self._start, step)

    def _judge(self, metric: str, now: float, start: float, step: int) -> Verdict:
        gain = self._best - start
        # A change below a millionth of the level is rounding, whatever the first window's spread says.
        error = max(self._error, 1e-6 * abs(start))
        learned = gain > _SURE_Z * error
        fallen = start - now > max(_SURE_Z * error, _LOST_START * abs(start))
        if fallen or (learned and self._best - now >= _LOST * gain):
            self._lost_since = self._lost_since if self._lost_for else step
            self._lost_for += 1
            if self._lost_for >= self._size:
                text = (
                    f"{metric} is {now:.4g} on average of the last {self._last.size} episodes, after {start:.4g} at the "
                    f"start and {self._best:.4g} at best; low since about step {self._lost_since}. {_HINT}"
                )
                limit = self._best - _LOST * gain if learned else start - _LOST_START * abs(start)
                return Verdict(HOLDS, metric, now, limit, WARNING, text)
            return Verdict(BETWEEN, metric, now)
        self._lost_for = 0
        if gain <= _GAIN_Z * error:
            return self._not_learning(metric, now, start + _GAIN_Z * error)
        # The start is the level to hold for a run that fell below it, half of the gain for one that had learned.
        back = start + _RECOVERED * gain if learned else start - _LOST_START / 2.0 * abs(start)
        return Verdict(CLEAR if now >= back else BETWEEN, metric, now)

    def _not_learning(self, metric: str, now: float, limit: float) -> Verdict:
        if self._episodes < _EARLY * self._size:
            return Verdict(BETWEEN, metric, now)
        since = f"since step {self._first_step}. {_HINT}"
        if self._all_same:
            text = f"{metric} was exactly {self._same:.6g} in each of {self._episodes} episodes, {since}"
            return Verdict(HOLDS, metric, now, limit, WARNING, text)
        level = WARNING if self._episodes >= _LATE * self._size else INFO
        text = (
            f"{metric} has not improved in {self._episodes} episodes: {now:.4g} on average of the last {self._last.size}, "
            f"best such average {self._best:.4g}, where above {limit:.4g} would be more than noise, {since}"
        )
        return Verdict(HOLDS, metric, now, limit, level, text)
