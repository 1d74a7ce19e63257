"""Engine: order, batches, restarts and hostile values change nothing; an alert lives, rises, is silenced, ends."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.engine import MAX_STREAMS, Engine
from analyzer.rules import CLEAR, INFO, WARNING, Answer, Finding, Rule
from analyzer.tuning import Tuning
from contract.alerts import rows

P = "aaaaaaaaaaaa"
Record = dict[str, Any]


def line(seq: int, producer: str = P, at: float | None = None, **metrics: Any) -> Record:
    return {"_p": producer, "_q": seq, "timestamp": 1000.0 + (seq if at is None else at), "step": seq, **metrics}


def session(seed: int, count: int = 240) -> dict[str, list[Record]]:
    """A sick run in three categories: norms that explode, a loss that turns NaN, rewards that collapse, components, holes."""
    chance = random.Random(seed)
    broken = count // 2
    training, gradients, rewards = [], [], []
    for i in range(count):
        at = 2.0 * i
        loss = 3.0 / (1 + i / 40) + chance.gauss(0, 0.05) if i < broken else 4.0 + chance.random()
        row: Record = {
            "loss": math.nan if i > count * 0.9 and i % 3 == 0 else loss,
            "entropy_loss": -0.69 if i < broken else -1e-9,
        }
        if i % 7 == 0:
            row["note"] = "text"
        if i % 11 == 3:
            del row["entropy_loss"]
        training.append(line(i, at=at, **row))
        for part in ("actor", "critic"):
            norm = chance.lognormvariate(0.0, 0.3) * (500.0 if i >= broken and part == "actor" else 1.0)
            gradients.append(
                line(2 * i + (part == "critic"), at=at + 0.1, grad_norm=norm, component=part, grad_zeros_ratio=0.2)
            )
        if i % 3 == 0:
            rewards.append(line(i // 3, at=at + 0.2, episode_reward=(i if i < broken else 0) + chance.gauss(0, 4)))
    return {"training": training, "gradients": gradients, "rewards": rewards}


def judged(parts: list[tuple[str, list[Record]]], tuning: Tuning | None = None, live: bool = True) -> list[Record]:
    """The events of records that come in these parts, sorted as they are on disk."""
    engine = Engine(tuning or Tuning())
    events: list[Record] = []
    left = {name for name, _ in parts}
    for index, (name, records) in enumerate(parts):
        events += engine.feed(name, records)
        left = {other for other, _ in parts[index + 1 :]}
        events += engine.advance(left)
    events += engine.finish()
    assert not engine.failed and not engine.late
    return sorted(events, key=lambda event: (event["timestamp"], event["id"]))


def test_the_session_of_these_tests_is_sick_enough() -> None:
    """What the property tests compare is not nothing: several rules, levels, silenced alerts, ends."""
    events = judged(list(session(1).items()))
    assert {"non_finite", "gradient_explosion", "entropy_collapse"} <= {event["rule"] for event in events}
    assert {"firing", "ended"} <= {event["state"] for event in events} and len(events) > 6


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 5), cut_by=st.integers(0, 10**9), profile=st.sampled_from(["calibrated", "documented"]))
def test_how_records_are_cut_and_interleaved_changes_nothing(seed: int, cut_by: int, profile: str) -> None:
    """Any batches of any categories in any order of arrival give the same events, field by field."""
    data, cut = session(seed), random.Random(cut_by)
    parts: list[tuple[str, list[Record]]] = []
    for name, records in data.items():
        at = 0
        while at < len(records):
            size = cut.choice([1, 1, 2, 3, 17, 200])
            parts.append((name, records[at : at + size]))
            at += size
    order = [name for name, _ in parts]
    cut.shuffle(order)
    queues = {name: [part for part in parts if part[0] == name] for name in data}
    shuffled = [queues[name].pop(0) for name in order]
    tuning = Tuning(profile)
    assert judged(shuffled, tuning) == judged(list(data.items()), tuning)


def test_record_by_record_live_gives_the_same() -> None:
    """Fed in the order of time, one by one, with nothing waiting on disk, the engine says the same as over whole files."""
    data = session(2)
    one_by_one = sorted(
        [(record["timestamp"], name, record) for name, records in data.items() for record in records],
        key=lambda item: item[:2],
    )
    engine = Engine()
    events: list[Record] = []
    for _, name, record in one_by_one:
        events += engine.update(name, record)
    events += engine.finish()
    assert engine.late == 0
    assert sorted(events, key=lambda event: (event["timestamp"], event["id"])) == judged(list(data.items()))


def test_reading_twice_repeats_nothing() -> None:
    """Records whose sequence was seen are counted and not judged again; without a sequence, the place in the file is it."""
    data = session(3)
    engine = Engine()
    for name, records in data.items():
        engine.feed(name, records)
        assert engine.feed(name, records) == []
        assert engine.feed(name, records[-5:]) == []
    assert engine.repeated == sum(map(len, data.values())) + 15
    bare = {name: [{k: v for k, v in r.items() if k not in ("_p", "_q")} for r in rs] for name, rs in data.items()}
    assert len(judged(list(bare.items()))) == len(judged(list(data.items())))


def test_late_records_are_counted() -> None:
    """A lane that comes far behind what has been judged is counted, whatever follows from it."""
    engine = Engine()
    for i in range(100):
        engine.update("training", line(i, loss=1.0))
    assert engine.late == 0
    engine.update("rewards", line(0, at=10.0, episode_reward=1.0))
    assert engine.late == 1


def test_other_lanes_are_waited_for_but_not_for_ever() -> None:
    """A crossing is told once the other lane has come as far, or the session's time is a second ahead."""
    engine = Engine()
    engine.update("training", line(0, loss=1.0, at=0.0))
    assert engine.update("gradients", line(0, grad_norm=50.0, at=0.5)) == []
    told = engine.update("training", line(1, loss=1.0, at=0.6))
    assert [event["rule"] for event in told] == ["gradient_explosion"]
    engine = Engine()
    engine.update("training", line(0, loss=1.0, at=0.0))
    assert engine.update("gradients", line(0, grad_norm=50.0, at=0.5)) == []
    told = engine.update("gradients", line(1, grad_norm=50.0, at=1.6))
    assert [event["rule"] for event in told] == ["gradient_explosion"]


def test_what_is_no_number_is_told_at_once() -> None:
    """A NaN loss waits for nobody; it silences what follows from it, and is over after 20 records and 60 s."""
    engine = Engine()
    engine.update("rewards", line(0, at=0.0, episode_reward=1.0))
    for i in range(30):
        assert engine.update("training", line(i, loss=1.0 + i % 2, at=1000.0 + i)) == [] or i > 0
    (event,) = list(engine.feed("training", [line(30, loss=math.nan, at=1030.0)]))
    assert (event["rule"], event["level"], event["state"], event["step"]) == ("non_finite", "ERROR", "firing", 30)
    assert event["evidence"]["metric"] == "loss" and event["evidence"]["steps"][-1] == 30 and event["action"]
    over = []
    for i in range(31, 200):
        over += [e for e in engine.feed("training", [line(i, loss=1.0, at=1000.0 + i)]) if e["state"] == "resolved"]
    assert [(e["rule"], e["step"]) for e in over] == [("non_finite", 31 + 60)]
    assert over[0]["fires"] == event["id"] and over[0]["row"] == event["row"]


class Above(Rule):
    """Fires at the level that the value says."""

    name = "above"
    metrics = ("thing",)

    def judge(self, series: Any, run: Any) -> Answer:
        if series.last <= 0:
            return CLEAR
        return Finding({1: INFO, 2: WARNING, 3: "ERROR"}[int(series.last)], f"it is {series.last:g}", series.last, 0.5)


def test_the_life_of_an_alert() -> None:
    """It fires, rises at once, never falls in an episode, is over after 20 records and 60 s, opens again, and ends with the run."""
    engine = Engine(Tuning(own=(Above,)))
    values = [0, 1, 1, 2, 1, 3, 3, *[0] * 19, 1, *[0] * 70, 2, 2]
    events: list[Record] = []
    for i, value in enumerate(values):
        events += engine.update("training", line(i, thing=float(value)))
    events += engine.finish()
    own = [event for event in events if event["rule"] == "above"]
    told = [(event["state"], event["level"], event["step"]) for event in own]
    assert told[:3] == [("firing", "INFO", 1), ("firing", "WARNING", 3), ("firing", "ERROR", 5)]
    assert [state for state, _, _ in told[3:]] == ["resolved", "firing", "ended"]
    assert told[3][2] == 27 + 60  # the condition came back once, so the clock began anew at 27
    assert len({event["id"] for event in own}) == len(own) and len({event["row"] for event in own}) == 1
    (row,) = rows(own)
    assert (row["episodes"], row["worst"], row["state"]) == (2, "ERROR", "ended")
    assert own[0]["first_step"] == 1 and own[3]["last_step"] == 26 and own[3]["count"] == 7 and own[3]["peak"] == 3


def test_missing_data_resolves_nothing() -> None:
    """A metric that is no longer logged leaves its alert as it is, until the run ends."""
    engine = Engine(Tuning(own=(Above,)))
    events = engine.update("training", line(0, thing=2.0))
    for i in range(1, 300):
        events += engine.update("training", line(i, other=1.0))
    events += engine.finish()
    assert [(e["rule"], e["state"]) for e in events] == [("above", "firing"), ("above", "ended")]


class Breaks(Rule):
    """A user's rule with a bug."""

    name = "breaks"
    metrics = ("loss",)

    def judge(self, series: Any, run: Any) -> Answer:
        if series.n > 3:
            raise KeyError("bug")
        return CLEAR


def test_a_rule_that_raises_is_an_alert_about_the_rule() -> None:
    """It is told once, at WARNING, under the rule's name; the other rules go on."""
    engine = Engine(Tuning(own=(Breaks, Above)))
    events: list[Record] = []
    for i in range(50):
        events += engine.update("training", line(i, loss=1.0, thing=float(i == 40)))
    about = [event for event in events if event["rule"] == "breaks"]
    assert [(e["level"], e["state"], e["step"]) for e in about] == [("WARNING", "firing", 3)]
    assert "KeyError" in about[0]["message"] and engine.failed["breaks"].startswith("KeyError")
    assert [e["step"] for e in events if e["rule"] == "above"] == [40]


class Answers(Above):
    """Says what no rule may say."""

    name = "answers"

    def judge(self, series: Any, run: Any) -> Any:
        return 5 if series.n == 1 else None


def test_a_wrong_answer_is_an_error_of_the_rule() -> None:
    """judge() must return a Finding, CLEAR, BETWEEN or None; anything else switches the rule off and says so."""
    engine = Engine(Tuning(own=(Answers,)))
    (event,) = engine.update("training", line(0, thing=1.0))
    assert event["rule"] == "answers" and "Finding" in event["message"]


HOSTILE: list[Any] = [None, "high", [1.0], {"a": 1}, True, math.inf, -math.inf, math.nan, 10**400, -1e308, 5e-324, 0]


@pytest.mark.parametrize("profile", ["calibrated", "documented"])
def test_hostile_values_break_nothing(profile: str) -> None:
    """Values of any type in any field are judged or left alone; no rule raises, and the next good record is judged."""
    chance = random.Random(5)
    engine = Engine(Tuning(profile))
    fields = ("loss", "grad_norm", "grad_zeros_ratio", "episode_reward", "entropy", "approx_kl", "weight_update_ratio", "val_loss",
              "explained_variance", "value_loss", "fps", "learning_rate", "component")  # fmt: skip
    for i in range(600):
        record: Record = {
            "_p": chance.choice([P, None, 5]),
            "_q": chance.choice([i, None, "x", -1]),
            "step": chance.choice(HOSTILE),
        }
        record["timestamp"] = chance.choice([*HOSTILE, float(i)])
        record.update({name: chance.choice(HOSTILE) for name in fields if chance.random() < 0.6})
        engine.update(chance.choice(["training", "gradients", "rewards", "my_own", "lifecycle"]), record)
    engine.finish()
    assert engine.failed == {}


def test_streams_are_bounded() -> None:
    """A trainer that invents components without end is judged up to a limit, and the rest is counted."""
    engine = Engine()
    for i in range(MAX_STREAMS + 10):
        engine.update("gradients", line(i, grad_norm=50.0, component=f"c{i}"))
    assert engine.streams_refused == 10 and engine.firing == MAX_STREAMS


def test_a_cause_silences_its_symptoms() -> None:
    """When a loss turns NaN, what else breaks is told at INFO with the cause's name; of WARNING and above there is one alert."""
    events = judged(list(session(4).items()))
    loud = [event for event in events if event["state"] == "firing" and event["level"] != "INFO"]
    assert 1 <= len({event["row"] for event in loud}) <= 3
    for event in events:
        if event.get("silenced_by"):
            assert event["level"] == "INFO" and event["silenced_by"] != event["rule"]


def test_levels_only_rise_within_an_episode() -> None:
    """Between a firing and its end, events of one row get worse or not told."""
    order = {"INFO": 0, "WARNING": 1, "ERROR": 2}
    by_row: dict[str, list[Record]] = {}
    for event in judged(list(session(0).items())):
        by_row.setdefault(event["row"], []).append(event)
    for events in by_row.values():
        for before, after in pairwise(events):
            if before["state"] == after["state"] == "firing":
                assert order[after["level"]] > order[before["level"]] and before["fires"] == after["fires"]
