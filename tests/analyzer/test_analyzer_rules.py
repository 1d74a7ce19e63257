"""Each rule fires on what it should, says why, and is silent on what is healthy: whole runs, made by formula, through the engine."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from analyzer.engine import Engine
from analyzer.rules import RULES
from analyzer.tuning import Tuning

Record = dict[str, Any]
Series = Callable[[int, random.Random], float]


def run(
    count: int,
    tuning: Tuning | None = None,
    finish: bool = True,
    rewards: Series | None = None,
    every: int = 1,
    **metrics: Series,
) -> list[Record]:
    """The firing events of a run of `count` records whose metrics are functions of the record's number."""
    chance = random.Random(7)
    engine = Engine(tuning or Tuning())
    events: list[Record] = []
    for i in range(count):
        record = {"timestamp": 1e9 + i, "step": i, **{name: f(i, chance) for name, f in metrics.items()}}
        events += engine.feed("training", [record])
        if rewards is not None and i % every == 0:
            events += engine.feed("rewards", [{"timestamp": 1e9 + i, "step": i, "episode_reward": rewards(i, chance)}])
        events += engine.advance()
    if finish:
        events += engine.finish()
    assert not engine.failed and not engine.late
    return [event for event in events if event["state"] == "firing"]


def loud(events: list[Record]) -> list[tuple[str, str]]:
    return [(event["rule"], event["level"]) for event in events if event["level"] != "INFO"]


def falling(i: int, chance: random.Random) -> float:
    return 0.1 + 2.0 * math.exp(-i / 100) + chance.gauss(0, 0.03)


def rising(i: int, chance: random.Random) -> float:
    return 20.0 + i / 2 + chance.gauss(0, 8)


def flat(level: float, noise: float) -> Series:
    return lambda i, chance: level + chance.gauss(0, noise)


def norm(scale: float) -> Series:
    return lambda i, chance: scale * chance.lognormvariate(0, 0.4)


def after(at: int, then: Series, before: Series) -> Series:
    return lambda i, chance: (then if i >= at else before)(i, chance)


def test_large_norms_of_a_run_that_learns_are_worth_knowing_no_more() -> None:
    """A norm above 10 since the start is an INFO that says so, with the outcome."""
    events = run(500, loss=falling, grad_norm=norm(53.0))
    (event,) = [event for event in events if event["rule"] == "gradient_explosion"]
    assert event["level"] == "INFO" and "above 10" in event["message"] and event["threshold"] == 10.0
    assert loud(events) == []


def test_a_jump_of_the_norm_counts_when_the_run_gets_nowhere() -> None:
    """The same jump by a thousand: INFO where rewards rise, WARNING or ERROR where they are lost, with baseline and evidence."""
    jump = after(300, norm(1000.0), norm(1.0))
    assert loud(run(600, grad_norm=jump, rewards=rising)) == []
    lost = run(600, grad_norm=jump, rewards=after(300, flat(20.0, 8.0), rising))
    event = next(e for e in lost if e["rule"] == "gradient_explosion" and e["level"] == "ERROR")
    assert 0.3 < event["baseline"] < 3.0 and event["value"] > 100 and event["onset_step"] >= 300
    assert len(event["evidence"]["values"]) == len(event["evidence"]["steps"]) == 32 and event["corroborating"]


@pytest.mark.parametrize("component", ["", "actor"])
def test_weights_that_do_not_move(component: str) -> None:
    """Updates of exactly 0 are an ERROR within a few records, but INFO for one component, or when the rate has come down to 0."""
    chance = random.Random(1)
    engine = Engine()
    events: list[Record] = []
    for i in range(100):
        record: Record = {
            "timestamp": 1e9 + i,
            "step": i,
            "weight_update_ratio": 1e-3 if i < 50 else 0.0,
            "loss": 2.0 + chance.random(),
        }
        if component:
            record["component"] = component
        events += [e for e in engine.update("training", record) if e["rule"] == "dead_update"]
    assert [event["level"] for event in events] == (["INFO"] if component else ["ERROR"])
    assert 50 <= events[0]["step"] < 65 and events[0]["onset_step"] == 50
    scheduled = run(
        300,
        loss=falling,
        learning_rate=lambda i, _: max(0.0, 1e-3 * (1 - i / 200)),
        weight_update_ratio=lambda i, _: max(0.0, 1e-3 * (1 - i / 200)),
    )
    assert ("dead_update", "ERROR") not in loud(scheduled)


def test_accumulated_gradients_are_no_dead_update() -> None:
    """A trainer that logs between its steps has updates of 0 most of the time, and is well."""
    assert loud(run(400, loss=falling, weight_update_ratio=lambda i, _: 1e-3 if i % 8 == 7 else 0.0)) == []


def test_zero_gradients_count_when_nothing_is_learned() -> None:
    """99.9 % zeros: INFO while the loss falls, WARNING while it stands still."""
    assert loud(run(400, loss=falling, grad_zeros_ratio=flat(0.999, 0.0))) == []
    found = loud(run(400, loss=flat(2.3, 0.02), grad_zeros_ratio=flat(0.999, 0.0)))
    assert ("zero_gradients", "WARNING") in found and ("stagnation", "WARNING") in found and len(found) == 2


def test_vanished_gradients_count_when_nothing_was_learned() -> None:
    """Norms of 1e-12: INFO after convergence, WARNING on a run that never learned."""
    assert loud(run(900, loss=falling, grad_norm=after(700, norm(1e-12), norm(1.0)))) == []
    events = run(400, loss=flat(2.3, 0.02), grad_norm=norm(1e-12))
    assert ("vanishing_gradient", "WARNING") in loud(events)


def test_gradients_alone_are_judged_with_patience_not_for_ever_in_peace() -> None:
    """Where nothing tells whether a run learns, what lasts long enough is more than an INFO, and the alert says so."""
    huge = run(300, grad_norm=norm(1e9))
    jump = run(600, grad_norm=after(200, norm(1e6), norm(1.0)))
    gone = run(600, grad_norm=norm(1e-12))
    dead = run(600, grad_zeros_ratio=flat(1.0, 0.0))
    assert loud(huge) == [("gradient_explosion", "WARNING")]
    assert loud(jump) == [("gradient_explosion", "ERROR")]
    assert loud(gone) == [("vanishing_gradient", "WARNING")] and loud(dead) == [("zero_gradients", "WARNING")]
    for events in (huge, jump, gone, dead):
        assert events[0]["level"] == "INFO" and "nothing is logged" in events[-1]["message"]
    assert loud(run(300, grad_norm=norm(53.0))) == [] and loud(run(40, grad_norm=norm(1e9))) == []


def test_a_crossing_that_may_become_more_is_told_at_once() -> None:
    """While a rule waits whether the condition lasts, the documented crossing is an INFO already."""
    events = run(
        400,
        loss=flat(2.3, 0.02),
        grad_norm=after(200, norm(1e-12), norm(1.0)),
        grad_zeros_ratio=after(200, flat(0.999, 0.0), flat(0.1, 0.0)),
    )
    for rule in ("vanishing_gradient", "zero_gradients"):
        found = [(event["level"], event["step"]) for event in events if event["rule"] == rule]
        assert found[0][0] == "INFO" and 200 <= found[0][1] <= 206, found


def test_a_loss_that_jumps_and_stays() -> None:
    """Told within some records, once for spike and divergence together; a single outlier and a small step are not."""
    events = run(600, loss=after(400, flat(2.2, 0.03), falling))
    assert loud(events)[0] in (("loss_spike", "WARNING"), ("loss_divergence", "WARNING"))
    assert len({event["row"] for event in events if event["level"] != "INFO"}) == 1
    first = next(event for event in events if event["level"] != "INFO")
    assert 400 <= first["step"] <= 430
    assert loud(run(600, loss=lambda i, c: 50.0 if i == 400 else falling(i, c))) == []
    assert loud(run(900, loss=after(500, flat(0.3, 0.03), falling))) == []


def test_a_loss_that_climbs_step_by_step() -> None:
    """A slow divergence is told long before the gain is gone."""
    climb = run(900, loss=lambda i, c: falling(i, c) + max(0, i - 400) * 0.004)
    (first, *_) = [event for event in climb if event["rule"] == "loss_divergence" and event["level"] != "INFO"]
    assert 400 < first["step"] < 700


def test_a_loss_above_its_start() -> None:
    """A loss that rises from the first records on and never comes back is a divergence."""
    assert ("loss_divergence", "WARNING") in loud(run(200, loss=lambda i, c: 2.3 + min(i, 50) * 0.4 + c.gauss(0, 0.05)))


def test_a_plateau_is_information_and_never_learning_is_more() -> None:
    """After learning a plateau is INFO; without any gain it is a WARNING, later or sooner as others say the same."""
    events = run(1200, loss=falling)
    assert loud(events) == [] and any(e["rule"] == "stagnation" for e in events)
    never = [e for e in run(400, loss=flat(2.3, 0.05)) if e["rule"] == "stagnation" and e["level"] == "WARNING"]
    assert never and 190 <= never[0]["step"] <= 300


def test_a_warm_up_is_no_stagnation() -> None:
    """While the learning rate is being warmed up a loss need not fall."""
    warm = {"loss": flat(9.0, 0.05), "learning_rate": lambda i, _: 1e-6 * (i + 1)}
    assert loud(run(400, finish=False, **warm)) == []


def test_rewards_that_collapse() -> None:
    """All that was gained is lost for long: WARNING, then ERROR; two thirds for a while are normal."""
    events = run(900, loss=flat(1.0, 0.5), rewards=after(500, flat(20.0, 8.0), rising))
    assert ("reward_collapse", "ERROR") in loud(events)
    (first, *_) = [event for event in events if event["rule"] == "reward_collapse" and event["level"] != "INFO"]
    assert 500 < first["step"] < 600 and first["baseline"] > 150
    dip = lambda i, c: rising(i, c) * (0.4 if 500 <= i < 560 else 1.0)  # noqa: E731
    assert loud(run(900, loss=flat(1.0, 0.5), rewards=dip)) == []


def test_rewards_that_never_rise() -> None:
    """The same reward for ever, or none gained in hundreds of episodes, is a WARNING; rising ones, negative or not, are well."""
    assert ("poor_performance", "WARNING") in loud(run(300, loss=flat(1.0, 0.1), rewards=flat(-200.0, 0.0)))
    assert ("poor_performance", "WARNING") in loud(run(900, loss=flat(1.0, 0.1), rewards=flat(20.0, 10.0)))
    assert loud(run(600, loss=flat(1.0, 0.1), rewards=lambda i, c: -1500 + i + c.gauss(0, 100))) == []


def test_a_policy_that_jumps() -> None:
    """KL above 1 again and again is told, by the outcome; one such update is not."""
    wild = run(
        200, approx_kl=after(100, flat(5.0, 1.0), flat(0.01, 0.002)), rewards=after(100, flat(20.0, 2.0), rising)
    )
    assert ("policy_instability", "ERROR") in loud(wild) or ("policy_instability", "WARNING") in loud(wild)
    once = lambda i, _: 2.0 if i == 100 else 0.01  # noqa: E731
    assert loud(run(200, approx_kl=once, rewards=rising)) == []


def test_entropy_that_collapses() -> None:
    """One action in all states: INFO on a task that is solved, more where rewards stay low; continuous policies are not judged."""
    dies: Series = lambda i, _: -0.69 * math.exp(-i / 10)  # noqa: E731
    assert loud(run(400, entropy_loss=lambda i, _: -0.69 * math.exp(-i / 40), rewards=rising)) == []
    assert ("entropy_collapse", "ERROR") in loud(run(400, entropy_loss=dies, rewards=flat(9.3, 0.5)))
    continuous = run(120, entropy_loss=lambda i, _: 1.4 - i / 50, rewards=flat(9.3, 0.5))
    assert "entropy_collapse" not in {rule for rule, _ in loud(continuous)}


def test_a_value_function_that_explains_nothing() -> None:
    """Explained variance at 0 counts only while rewards never rose; below 0 it says nothing."""
    assert ("value_failure", "WARNING") in loud(run(300, explained_variance=flat(0.0, 0.001), rewards=flat(9.3, 0.5)))
    assert loud(run(300, explained_variance=flat(0.0, 0.001), rewards=rising)) == []
    assert loud(run(140, finish=False, explained_variance=flat(-0.5, 0.2), rewards=flat(9.3, 0.5))) == []


def test_a_validation_loss_that_rises() -> None:
    """While training goes on falling, a validation loss far above its best for several evaluations is a WARNING."""
    over = run(400, loss=falling, val_loss=lambda i, c: 0.5 + 1.5 * math.exp(-i / 60) + max(0, i - 150) * 0.01)
    assert ("overfit", "WARNING") in loud(over)
    assert loud(run(400, loss=falling, val_loss=lambda i, c: falling(i, c) + 0.3)) == []


def test_a_training_that_becomes_slow() -> None:
    """Half the usual rate for 20 records is told; loudly if it was steady before, not where an average creeps."""
    assert ("slowdown", "WARNING") in loud(run(300, loss=falling, fps=after(200, flat(300.0, 5.0), flat(1000.0, 20.0))))
    assert loud(run(300, loss=falling, fps=lambda i, _: 1000.0 / (1 + i / 30))) == []


@pytest.mark.parametrize("times", [1, 8])
def test_infinite_norms_and_mixed_precision(times: int) -> None:
    """One infinite norm is a skipped step of mixed precision; many in a row are an ERROR."""
    events = run(200, loss=falling, grad_norm=lambda i, c: math.inf if 100 <= i < 100 + times else 1.0)
    levels = [event["level"] for event in events if event["rule"] == "non_finite"]
    assert levels[-1] == ("INFO" if times == 1 else "ERROR")


def test_a_crossing_is_never_silent() -> None:
    """Each documented threshold that is crossed is at least an INFO of the rule that bears its name."""
    crossings: dict[str, dict[str, Series]] = {
        "gradient_explosion": {"grad_norm": lambda i, _: 11.0 if i == 333 else 1.0},
        "vanishing_gradient": {"grad_norm": lambda i, _: 1e-9 if i == 333 else 1.0},
        "zero_gradients": {"grad_zeros_ratio": lambda i, _: 0.51 if i == 333 else 0.1},
    }
    for rule, metrics in crossings.items():
        (event,) = run(500, loss=falling, **metrics)[:1] or [{}]
        found = [e for e in run(500, loss=falling, **metrics) if e["rule"] == rule]
        assert found and found[0]["step"] <= 345 and event
    slope = run(500, loss=after(300, lambda i, c: falling(300, c) + (i - 300) * 1e-4, falling))
    assert any(event["rule"] == "loss_divergence" for event in slope)


def test_every_rule_says_what_to_do_and_why_its_limits_are_so() -> None:
    """Names are unique, each has an action and a docstring with a source or a reason, and each limit its bounds and its why."""
    assert len({kind.name for kind in RULES}) == len(RULES)
    for kind in RULES:
        assert kind.action and kind.metrics and kind.__doc__ and len(kind.__doc__) > 60
        for limit in kind.limits:
            assert limit.low <= limit.default <= limit.high and limit.why


def test_documented_profile_is_literal() -> None:
    """The six thresholds at once, each record for itself, at the documented levels."""
    documented = Tuning("documented")
    events = run(
        60, documented, finish=False, loss=lambda i, _: 1.0 + i, grad_norm=lambda i, _: 10.5 if i == 5 else 1.0
    )
    assert [(e["rule"], e["level"], e["step"]) for e in events] == [
        ("gradient_explosion", "ERROR", 5),
        ("loss_divergence", "ERROR", 49),
    ]
    events = run(
        60, documented, finish=False, loss=flat(1.0, 0.0), grad_norm=flat(1e-9, 0.0), grad_zeros_ratio=flat(0.6, 0.0)
    )
    assert {(e["rule"], e["level"]) for e in events} == {
        ("vanishing_gradient", "WARNING"), ("zero_gradients", "WARNING"), ("stagnation", "INFO"),
    }  # fmt: skip
    events = run(60, documented, finish=False, rewards=lambda i, _: -float(i))
    assert [(e["rule"], e["level"], e["step"]) for e in events] == [("poor_performance", "WARNING", 39)]
