"""Each rule: when it fires, when it must not, what clears it, and what it says."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from analyzer.rules import RULES, Rule, Thresholds, Verdict
from analyzer.rules.gradient_explosion import GradientExplosion
from analyzer.rules.loss_divergence import LossDivergence
from analyzer.rules.poor_performance import PoorPerformance
from analyzer.rules.stagnation import Stagnation
from analyzer.rules.vanishing_gradient import VanishingGradient
from analyzer.rules.zero_gradients import ZeroGradients


def feed(rule: Rule, values: Iterable[float], metric: str | None = None, first: int = 0) -> list[Verdict]:
    name = metric or rule.metrics[0]
    verdicts = [rule.update({"step": first + i, name: x}) for i, x in enumerate(values)]
    return [verdict for verdict in verdicts if verdict is not None]


def held(verdicts: list[Verdict]) -> list[int]:
    return [i for i, verdict in enumerate(verdicts) if verdict.condition == "holds"]


def noise(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_six_rules_and_the_levels_that_users_know() -> None:
    """The list of rules is the documented one."""
    assert [rule.name for rule in RULES] == [
        "gradient_explosion",
        "vanishing_gradient",
        "zero_gradients",
        "loss_divergence",
        "stagnation",
        "poor_performance",
    ]


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_passes_over_what_it_does_not_know(kind: type[Rule]) -> None:
    """Records without a rule's metric, or with one that is no number, are not judged."""
    rule = kind()
    for value in ("high", None, True, [1.0], {"a": 1}):
        assert rule.update({"step": 1, rule.metrics[0]: value}) is None
    assert rule.update({"step": 1, "other": 1e9}) is None


@pytest.mark.parametrize("kind", RULES)
def test_every_metric_name_of_a_rule_is_judged(kind: type[Rule]) -> None:
    """A rule answers to each of the names that it lists, and says which one it judged."""
    for name in kind.metrics:
        verdict = kind().update({"step": 0, name: 0.5})
        assert verdict is not None and verdict.metric == name


@pytest.mark.parametrize("kind", RULES)
def test_thresholds_change_without_losing_what_was_learned(kind: type[Rule]) -> None:
    """Taking the limits in force again, at every record, changes no verdict."""
    values = [*noise().normal(1.0, 0.3, 150), *np.linspace(1, 9, 100), *([0.0] * 20)]
    plain, taking = kind(), kind()
    for step, value in enumerate(values):
        record = {"step": step, plain.metrics[0]: float(value)}
        taking.take(Thresholds())
        assert taking.update(record) == plain.update(record)


# gradient_explosion ------------------------------------------------------------------------------------------------


def test_explosion_by_the_third_large_gradient() -> None:
    """Three records of grad_norm 50 are an ERROR; the first is a spike already, and told as INFO."""
    levels = [v.level for v in feed(GradientExplosion(), [1.0, 1.0, 50.0, 50.0, 50.0, 50.0])]
    assert levels == ["", "", "INFO", "INFO", "ERROR", "ERROR"]


@pytest.mark.parametrize("norm", [1e3, 1e30, math.nan, math.inf])
def test_one_enormous_or_non_finite_gradient_is_enough(norm: float) -> None:
    """A single record 100 times over the limit, or no number at all, is an ERROR at once."""
    assert feed(GradientExplosion(), [1.0, norm])[-1].level == "ERROR"


def test_healthy_gradients_do_not_explode() -> None:
    """Log-normal norms about 1 never come near the limit."""
    assert not held(feed(GradientExplosion(), noise().lognormal(0, 0.5, 2000)))


def test_explosion_clears_at_half_the_limit_only() -> None:
    """Between 5 and 10 it neither holds nor is gone; exactly 10 does not cross."""
    conditions = [v.condition for v in feed(GradientExplosion(), [50.0, 10.0, 7.0, 5.0])]
    assert conditions == ["holds", "between", "between", "clear"]


def test_explosion_says_what_was_seen() -> None:
    """The message holds value, limit, the step it began and what to look at."""
    message = feed(GradientExplosion(), [50.0, 51.0, 52.0], first=700)[-1].message
    assert all(word in message for word in ("52", "10", "step 700", "learning rate"))


def test_explosion_limit_is_a_setting() -> None:
    """With a limit of 100 a norm of 50 is in order."""
    assert not held(feed(GradientExplosion(Thresholds(gradient_threshold_high=100.0)), [50.0] * 10))


# vanishing_gradient, zero_gradients --------------------------------------------------------------------------------


def test_vanished_by_the_third_tiny_gradient() -> None:
    """1e-9 three times is a WARNING, once or twice is not."""
    verdicts = feed(VanishingGradient(), [1e-9, 1e-9, 1.0, 1e-9, 0.0, 1e-9])
    assert held(verdicts) == [5] and verdicts[5].level == "WARNING" and "step 3" in verdicts[5].message


def test_vanished_clears_at_ten_times_the_limit() -> None:
    """Just above the limit is not yet gone."""
    conditions = [v.condition for v in feed(VanishingGradient(), [0.0, 0.0, 0.0, 5e-8, 1e-7])]
    assert conditions[2:] == ["holds", "between", "clear"]


def test_a_nan_norm_has_not_vanished() -> None:
    """NaN is the business of the explosion."""
    assert not held(feed(VanishingGradient(), [math.nan] * 5))


def test_many_zeros_by_the_third_record() -> None:
    """A ratio of 0.9 three times is a WARNING; exactly one half is not."""
    verdicts = feed(ZeroGradients(), [0.9, 0.9, 0.9])
    assert held(verdicts) == [2] and verdicts[2].level == "WARNING" and "90%" in verdicts[2].message
    assert not held(feed(ZeroGradients(), [0.5] * 20))
    assert held(feed(ZeroGradients(), [0.6] * 5, metric="zeros_ratio"))


def test_zeros_clear_below_the_limit() -> None:
    """Just under one half is between, 0.45 is clear."""
    assert [v.condition for v in feed(ZeroGradients(), [0.9] * 3 + [0.48, 0.45])][3:] == ["between", "clear"]


# loss_divergence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slope", [0.01, 0.05, 1.0])
def test_a_rising_loss_diverges_within_60_records(slope: float, seed: int) -> None:
    """A steady rise with some noise is an ERROR by record 60."""
    values = 1.0 + slope * np.arange(60) + noise(seed).normal(0, 2 * slope, 60)
    verdicts = feed(LossDivergence(), values)
    assert held(verdicts) and verdicts[held(verdicts)[0]].level == "ERROR"


def test_a_loss_that_turns_and_rises_diverges() -> None:
    """A rise after a good beginning is seen within 60 to 70 records of the turn."""
    values = [*np.linspace(2, 0.5, 300), *np.linspace(0.5, 1.2, 70)]
    first = held(feed(LossDivergence(), values))[0]
    assert 330 <= first < 370


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_divergence(seed: int) -> None:
    """2000 records of flat noise, of heavy-tailed noise, and of a noisy descent never diverge."""
    rng = noise(seed)
    for values in (
        rng.normal(1.0, 0.2, 2000),
        rng.uniform(0.5, 2.0, 2000),
        rng.lognormal(0, 1.0, 2000),
        np.exp(-np.arange(2000) / 400) + rng.normal(0, 0.05, 2000),
    ):
        assert not held(feed(LossDivergence(), values))


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e200])
def test_a_loss_that_is_no_number_diverges_at_once(loss: float) -> None:
    """NaN, infinity, and what is about to be, are an ERROR at their first record, with the step they began."""
    rule = LossDivergence()
    feed(rule, [1.0, 0.9])
    verdict = feed(rule, [loss], first=2)[0]
    assert verdict.condition == "holds" and verdict.level == "ERROR" and "step 2" in verdict.message


def test_divergence_clears_only_when_the_rise_is_undone() -> None:
    """A loss that has risen and stays up is not in order; back down, it is."""
    rule = LossDivergence()
    assert held(feed(rule, np.linspace(1, 5, 100)))
    assert {v.condition for v in feed(rule, [5.0] * 100)[60:]} == {"between"}
    assert feed(rule, [1.0] * 20)[-1].condition == "clear"


def test_one_spike_is_no_divergence() -> None:
    """A single loss a thousand times higher is no trend."""
    values = noise().normal(1.0, 0.05, 400)
    values[200] = 1000.0
    assert not held(feed(LossDivergence(), values))


# stagnation --------------------------------------------------------------------------------------------------------


def test_a_flat_loss_stagnates() -> None:
    """A constant loss is told within 60 records, as INFO."""
    verdicts = feed(Stagnation(), [0.7] * 60)
    assert held(verdicts) and verdicts[-1].level == "INFO"


def test_a_noisy_flat_loss_stagnates() -> None:
    """Noise about a level is no change either."""
    assert held(feed(Stagnation(), noise().normal(2.3, 0.05, 400)))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_falling_loss_does_not_stagnate(sign: float) -> None:
    """A loss that falls by 1 % of its value in a few records does not stagnate, negative or positive."""
    values = np.linspace(3, 1, 400) if sign > 0 else np.linspace(-1, -3, 400)
    assert not held(feed(Stagnation(), values))


def test_a_rising_loss_does_not_stagnate() -> None:
    """A steady rise is a change: it is the divergence's business."""
    assert not held(feed(Stagnation(), np.linspace(1, 10, 300)))


def test_stagnation_clears_with_a_new_best() -> None:
    """When the loss falls again the condition is gone."""
    rule = Stagnation()
    feed(rule, [1.0] * 100)
    assert feed(rule, [0.2] * 3)[-1].condition == "clear"


# poor_performance --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-200.0, 0.0, 1.0])
def test_rewards_that_never_change_are_poor(level: float) -> None:
    """60 episodes with exactly the same reward are a WARNING."""
    verdicts = feed(PoorPerformance(), [level] * 60)
    assert held(verdicts) == [59] and verdicts[59].level == "WARNING"


def test_rewards_that_never_improve_are_poor() -> None:
    """Noise about one level is INFO after 3 windows and WARNING after 15."""
    levels = [v.level for v in feed(PoorPerformance(), noise().normal(-100, 20, 400))]
    assert levels.index("INFO") == 59 and levels.index("WARNING") == 299


@pytest.mark.parametrize("metric", ["episode_reward", "reward", "mean_reward"])
def test_rewards_that_rise_are_not_poor(metric: str) -> None:
    """An agent that learns gives no WARNING, with negative rewards as with positive ones."""
    for values in (np.linspace(-500, -100, 500), np.linspace(10, 400, 500)):
        verdicts = feed(PoorPerformance(), values + noise().normal(0, 40, 500), metric=metric)
        assert "WARNING" not in {v.level for v in verdicts}


def test_rewards_that_are_lost_again_are_poor() -> None:
    """What an agent had learned and lost is a WARNING within three windows; half of it back clears it."""
    rule = PoorPerformance()
    rng = noise()
    assert not held(feed(rule, np.linspace(20, 200, 200) + rng.normal(0, 10, 200)))
    verdicts = feed(rule, rng.normal(20, 5, 60))
    assert held(verdicts) and verdicts[-1].level == "WARNING" and "at best" in verdicts[-1].message
    assert feed(rule, rng.normal(190, 5, 40))[-1].condition == "clear"


def test_rewards_that_fall_below_a_good_start_are_poor() -> None:
    """A run that began at 100 and falls to 1 is a WARNING though it had never improved."""
    verdicts = feed(PoorPerformance(), [*noise().normal(100, 5, 40), *([1.0] * 45)])
    assert verdicts[-1].level == "WARNING" and held(verdicts)[0] > 55


def test_a_reward_that_is_no_number_is_poor_at_once() -> None:
    """A NaN reward holds, and the windows go on without it."""
    rule = PoorPerformance()
    assert feed(rule, [1.0, math.nan])[-1].level == "WARNING"
    assert all(math.isfinite(v.value) for v in feed(rule, [1.0, 2.0] * 30))
