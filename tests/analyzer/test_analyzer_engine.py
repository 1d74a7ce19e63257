"""The engine: one alert per episode, the same alerts for the same records, one stream never mixed with another."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.engine import CLEAR_RECORDS, Engine
from analyzer.rules import RULES, Thresholds, Verdict
from contract.alerts import alert_id

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def record(seq: int, producer: str = A, gap: float = 1.0, **metrics: Any) -> dict[str, Any]:
    return {"_p": producer, "_q": seq, "timestamp": 1000.0 + gap * seq, "step": seq * 10, **metrics}


def run(engine: Engine, norms: list[float], first: int = 0, **extra: Any) -> list[dict[str, Any]]:
    found = (engine.update("gradients", record(first + i, grad_norm=x, **extra)) for i, x in enumerate(norms))
    return list(chain.from_iterable(found))


def test_one_alert_per_episode_and_its_fields() -> None:
    """A thousand exploding records are one alert that rises from INFO to ERROR, with the fields of the contract."""
    alerts = run(Engine(), [1.0] * 5 + [50.0] * 1000)
    assert [(a["rule"], a["level"], a["state"], a["seq"]) for a in alerts] == [
        ("gradient_explosion", "INFO", "firing", 5),
        ("gradient_explosion", "ERROR", "firing", 7),
    ]
    last = alerts[-1]
    assert last["id"] == last["fires"] == alert_id("gradient_explosion", "firing", A, "gradients", 7)
    assert (last["step"], last["timestamp"], last["source"], last["producer"]) == (70, 1007.0, "gradients", A)
    assert (last["metric"], last["value"], last["threshold"]) == ("grad_norm", 50.0, 10.0)


def test_an_alert_resolves_after_records_and_seconds_in_order() -> None:
    """Resolved needs 20 clear records and 10 s of record time, and names the alert that it ends."""
    engine = Engine()
    fired = run(engine, [50.0] * 3)
    ended = run(engine, [1.0] * 200, first=3)
    assert [(a["state"], a["seq"], a["fires"]) for a in ended] == [("resolved", 22, fired[-1]["id"])]
    assert ended[0]["level"] == "ERROR" and engine.firing == 0
    fast = Engine()
    assert (
        len(list(chain.from_iterable(fast.update("gradients", record(i, gap=0.01, grad_norm=50.0)) for i in range(3))))
        == 2
    )
    quick = [fast.update("gradients", record(i, gap=0.01, grad_norm=1.0)) for i in range(3, 900)]
    assert not any(quick) and fast.firing == 1


def test_slow_records_still_need_their_number() -> None:
    """One record an hour: 10 s pass at once, yet 20 records must be in order."""
    engine = Engine()
    for i in range(3):
        engine.update("gradients", record(i, gap=3600, grad_norm=50.0))
    ended = [engine.update("gradients", record(i, gap=3600, grad_norm=1.0)) for i in range(3, 40)]
    assert [i for i, alerts in enumerate(ended, 1) if alerts] == [CLEAR_RECORDS]


def test_flapping_is_one_alert() -> None:
    """A condition that comes and goes within the keep-firing time is one alert, not one per crossing."""
    assert len(run(Engine(), ([50.0] * 4 + [1.0] * 10) * 50)) == 2


def test_an_alert_resolves_although_the_clock_was_set_back() -> None:
    """A clock that jumps back an hour does not hold an alert for an hour."""
    engine = Engine()
    run(engine, [50.0] * 3)
    later = [{**record(i, grad_norm=1.0), "timestamp": -2600.0 + i} for i in range(3, 100)]
    assert any(engine.update("gradients", r) for r in later)


def test_components_and_producers_are_judged_apart() -> None:
    """An exploding critic does not hide behind a calm actor, and says its name; another producer has its own state."""
    engine = Engine()
    alerts = []
    for i in range(8):
        alerts += engine.update("gradients", record(2 * i, grad_norm=1.0, component="actor"))
        alerts += engine.update("gradients", record(2 * i + 1, grad_norm=50.0, component="critic"))
        alerts += engine.update("gradients", record(i, producer=B, grad_norm=1.0))
    assert {(a["component"], a["producer"]) for a in alerts} == {("critic", A)}
    assert alerts[-1]["message"].startswith("critic: ")


def test_a_repeated_record_is_not_judged_again() -> None:
    """Records that were seen before, by their sequence, are counted and passed over."""
    engine = Engine()
    first = run(engine, [50.0] * 5)
    assert run(engine, [50.0] * 5) == [] and engine.repeated == 5 and len(first) == 2


def test_lines_without_producer_and_sequence_are_judged() -> None:
    """Imported and hand-written lines count by their place in the file."""
    engine = Engine()
    alerts = [engine.update("gradients", {"step": i, "timestamp": float(i), "grad_norm": 50.0}) for i in range(3)]
    assert [a["seq"] for a in chain.from_iterable(alerts)] == [0, 2]


def test_odd_records_do_no_harm() -> None:
    """Steps, times, components and metrics of the wrong type are passed over; alerts and lifecycle are not judged."""
    engine = Engine()
    for odd in (
        {},
        {"step": "x", "timestamp": "y", "grad_norm": 50.0, "component": 7, "_p": 3, "_q": "1"},
        {"grad_norm": [1, 2], "loss": {"a": 1}, "reward": None},
    ):
        engine.update("gradients", odd)
    assert engine.update("alerts", record(0, grad_norm=1e9)) == [] == engine.update("lifecycle", record(0, loss=1e300))
    assert not engine.failed


def test_a_rule_that_raises_is_switched_off_and_named() -> None:
    """A rule with an error of its own does not stop the others."""

    class Broken:
        name: ClassVar[str] = "broken"
        metrics: ClassVar[tuple[str, ...]] = ("grad_norm",)

        def __init__(self, thresholds: Thresholds = Thresholds()) -> None:  # noqa: B008
            pass

        def take(self, thresholds: Thresholds) -> None:
            pass

        def update(self, record: Mapping[str, Any]) -> Verdict | None:
            raise ZeroDivisionError("mine")

    engine = Engine(rules=(Broken, *RULES))
    assert len(run(engine, [50.0] * 10)) == 2
    assert engine.failed == {"broken": "ZeroDivisionError: mine"}


def test_new_thresholds_hold_from_the_next_record_on() -> None:
    """A limit that is lowered while running fires on what was in order before."""
    engine = Engine()
    assert run(engine, [9.0] * 10) == []
    engine.take(Thresholds(gradient_threshold_high=8.0))
    assert [a["threshold"] for a in run(engine, [9.0] * 10, first=10)] == [8.0, 8.0]


NUMBERS = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1.0, 50.0, 1e-9, 0.9]))
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["training", "gradients", "rewards"]),
        st.sampled_from([A, B]),
        st.dictionaries(
            st.sampled_from(["loss", "grad_norm", "grad_zeros_ratio", "episode_reward"]), NUMBERS, min_size=1
        ),
    ),
    max_size=200,
)


def numbered(rows: list[tuple[str, str, dict[str, float]]]) -> list[tuple[str, dict[str, Any]]]:
    counts: dict[tuple[str, str], int] = {}
    made = []
    for category, producer, metrics in rows:
        seq = counts.get((category, producer), 0)
        counts[(category, producer)] = seq + 1
        made.append((category, record(seq, producer, gap=7.0, **metrics)))
    return made


@given(RECORDS, st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_the_same_records_give_the_same_alerts_however_they_interleave(
    rows: list[tuple[str, str, dict[str, float]]], again: int
) -> None:
    """File by file, as they came, or some of them twice: the alerts are the same, each id once."""
    stream = numbered(rows)
    live, restarted, stuttering = Engine(), Engine(), Engine()

    def all_of(engine: Engine, order: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
        alerts = [a for category, r in order for a in engine.update(category, r)]
        assert len({a["id"] for a in alerts}) == len(alerts) and not engine.failed
        return {a["id"]: repr(sorted(a.items())) for a in alerts}

    expected = all_of(live, stream)
    assert all_of(restarted, sorted(stream, key=lambda pair: pair[0])) == expected
    assert all_of(stuttering, [*stream[:again], *stream]) == expected


def test_a_stagnation_resolves_once_the_loss_falls_again() -> None:
    """A loss that is flat and then falls on: the stagnation fires, and is over while the loss still falls."""
    engine = Engine()
    losses = [1.0] * 120 + [1.0 * 0.98**n for n in range(120)]
    alerts = [
        (n, alert)
        for n, loss in enumerate(losses)
        for alert in engine.update("training", record(n, loss=loss))
        if alert["rule"] == "stagnation"
    ]
    assert [alert["state"] for _, alert in alerts] == ["firing", "resolved"]
    assert alerts[0][0] < 120 < alerts[1][0] < 160
