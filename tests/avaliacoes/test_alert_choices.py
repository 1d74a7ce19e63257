"""Which alerts a trainer asks for: levels, rules, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alert_analyst import Analyst, logging_until, numbers

from avaliacoes import alert_callbacks
from avaliacoes.logger_integration import TrainingLoggerIntegration, create_integrated_logger
from contract import alerts
from contract.rule_names import RULES, RuleRefused


def test_levels_and_rules_choose(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """Level and rules of each subscription decide what it hears, and the end of an alert comes only where it was asked for."""
    session = integration.start_session()
    everything: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    named: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    integration.on_alert(everything.append)
    integration.on_alert(errors.append, level="error")
    integration.on_alert(named.append, level="WARNING", rules=["loss_spike", "stagnation"])
    integration.on_alert(ends.append, rules="non_finite", resolved=True)
    analyst.say(session, 1, level="INFO", rule="stagnation")
    analyst.say(session, 2, level="WARNING", rule="loss_spike")
    analyst.say(session, 3, level="ERROR", rule="non_finite")
    analyst.say(session, 3, level="ERROR", rule="non_finite", state="resolved")
    analyst.say(session, 2, level="WARNING", rule="loss_spike", state="ended")
    analyst.say(session, 4, level="ERROR", rule="crashed")
    assert logging_until(integration, lambda: len(everything) == 4 and len(ends) == 2)
    assert numbers(everything) == [1, 2, 3, 4] and numbers(errors) == [3, 4] and numbers(named) == [2]
    assert [alert["state"] for alert in ends] == ["firing", "resolved"]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        (lambda i: i.on_alert(print, level="EROR"), "ERROR"),
        (lambda i: i.on_alert(print, rules="gradient_explosions"), "'gradient_explosion'"),
        (lambda i: i.on_alert(print, rules=["non_finite", "stagnatoin"]), "'stagnation'"),
        (lambda i: i.stop_on("non_finit"), "'non_finite'"),
        (lambda i: i.stop_on({"WARNIN"}), "'WARNING'"),
        (lambda i: i.stop_on({"overfits": "INFO"}), "'overfit'"),
        (lambda i: i.stop_on({"overfit": "LOUD"}), "ERROR, WARNING, INFO"),
        (lambda i: i.stop_on(set()), "empty"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(
    place: Path, asked: Callable[[TrainingLoggerIntegration], object], nearest: str
) -> None:
    """A level or rule that does not exist is refused where it is named, with the one that was meant; nothing is started."""
    integration = create_integrated_logger(place)
    with pytest.raises(RuleRefused, match=nearest):
        asked(integration)
    assert integration.stopped_by is None and not place.exists()


def test_what_cannot_be_called_or_named_is_a_type_error(place: Path) -> None:
    """A callback that is none, and a `stop_on` of no kind, are refused at once."""
    integration = create_integrated_logger(place)
    with pytest.raises(TypeError, match="to call"):
        integration.on_alert("print")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stop_on=3"):
        integration.stop_on(3)  # type: ignore[arg-type]


def test_a_users_own_rule_may_be_named(place: Path) -> None:
    """A rule that the folder's configuration names is as good a name as ours."""
    place.mkdir()
    (place / "avaliacoes.toml").write_text('[plugins]\nmy_rule = "mine.rules:MyRule"\n')
    assert alert_callbacks.for_stop({"my_rule"}, place).rules == {"my_rule": "WARNING"}


@pytest.mark.parametrize(
    ("stop_on", "stops"),
    [
        ("ERROR", [("ERROR", "crashed")]),
        ("WARNING", [("ERROR", "crashed"), ("WARNING", "loss_spike"), ("WARNING", "stagnation")]),
        ({"stagnation"}, [("WARNING", "stagnation")]),
        ({"stagnation", "ERROR"}, [("ERROR", "crashed"), ("WARNING", "stagnation")]),
        ({"stagnation": "INFO"}, [("INFO", "stagnation"), ("WARNING", "stagnation")]),
    ],
)
def test_what_stop_on_means(stop_on: alert_callbacks.StopOn, stops: list[tuple[str, str]], place: Path) -> None:
    """A level takes that and worse; a rule counts from WARNING on, unless its level is given."""
    selection = alert_callbacks.for_stop(stop_on, place)
    cases = [
        ("ERROR", "crashed"),
        ("WARNING", "loss_spike"),
        ("WARNING", "stagnation"),
        ("INFO", "stagnation"),
        ("INFO", "loss_spike"),
    ]
    assert sorted(case for case in cases if selection.takes({"level": case[0], "rule": case[1]})) == sorted(stops)


def test_every_rule_of_the_analyzer_can_be_named() -> None:
    """The names that a trainer may give are those that the analyzer's rules bear."""
    from analyzer.rules import RULES as JUDGED

    assert {rule.name for rule in JUDGED} <= set(RULES)


def test_levels_are_those_of_the_contract() -> None:
    """The levels that may be named are the three there are, in any case."""
    assert [alert_callbacks.check_level(level.lower()) for level in alerts.LEVELS] == list(alerts.LEVELS)
