"""What the loop makes of records that come late, settings that change, and a trainer that is heard of no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_analyzer_loop import EXPLODED, Writer, looping

from analyzer import check_session
from contract import places

Until = Callable[..., bool]


@pytest.fixture(autouse=True)
def documented(place: Path) -> None:
    places.prepare_base(place)
    (place / "avaliacoes.toml").write_text('profile = "documented"\n')


def test_records_that_come_too_late_are_judged_in_their_order_after_all(place: Path, until: Until) -> None:
    """A category that arrives when others have been judged past it: at the end the alerts are those of a reading in order."""
    (place / "avaliacoes.toml").unlink()
    writer = Writer(place, "s1")
    begin = time.time() - 900
    writer.start()
    with looping(place) as running:
        writer.write("gradients", *({"grad_norm": 1.0 if i < 100 else 5e3} for i in range(300)), at=begin)
        assert until(lambda: ("gradient_explosion", "INFO") in running.rules("s1"))
        writer.write("rewards", *({"episode_reward": float(i if i < 100 else 0)} for i in range(300)), at=begin)
        writer.end()
        assert until(lambda: running.done == ["s1"])
    published = {metrics["id"] for _, _, metrics in running.alerts}
    expected = check_session(place, "s1")
    assert {alert["id"] for alert in expected} <= published and len(published) == len(running.alerts)
    assert any(alert["level"] != "INFO" for alert in expected)


def test_a_broken_configuration_is_said_once_and_the_last_good_one_stays(
    place: Path, until: Until, capfd: pytest.CaptureFixture[str]
) -> None:
    """While `avaliacoes.toml` is wrong the settings before it hold; put right, it is taken within a look."""
    file = place / "avaliacoes.toml"
    writer = Writer(place, "s1")
    with looping(place) as running:
        writer.norms(50.0)
        assert until(lambda: running.rules("s1") == EXPLODED)
        file.write_text("[rules.gradient_explosions]\nenabled = false\n")
        said = ""

        def told() -> bool:
            nonlocal said
            said += capfd.readouterr().err
            return "did you mean 'gradient_explosion'?" in said

        assert until(told)
        other = Writer(place, "s2")
        other.norms(50.0)
        assert until(lambda: running.rules("s2") == EXPLODED)
        file.write_text('profile = "documented"\n[rules.gradient_explosion]\nenabled = false\n')
        # What fired by a rule that is off now is over.
        assert until(lambda: [m["state"] for name, _, m in running.alerts if name == "s1"] == ["firing", "ended"])
        third = 3

        def quiet() -> bool:
            nonlocal third
            third += 1
            another = Writer(place, f"s{third}")
            another.norms(50.0, 1e-12)
            assert until(lambda: ("vanishing_gradient", "WARNING") in running.rules(another.session))
            return ("gradient_explosion", "ERROR") not in running.rules(another.session)

        assert until(quiet)
    assert (said + capfd.readouterr().err).count("did you mean") == 1


def test_a_trainer_that_is_heard_of_no_more_has_crashed(
    place: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock tells a crash once; when the trainer is heard again it is over, and a later reading tells the same."""
    monkeypatch.setattr("analyzer.watch.CRASHED_AFTER_S", 0.1)
    writer = Writer(place, "s1")
    writer.write("lifecycle", {"event": "start", "pid": 1}, at=time.time() - 41)
    writer.write("training", {"loss": 1.0}, at=time.time() - 40)
    with looping(place, quiet_s=30.0) as running:
        assert until(lambda: running.rules("s1") == [("crashed", "ERROR")])
        writer.write("lifecycle", {"event": "heartbeat"}, at=time.time())
        writer.write("lifecycle", {"event": "heartbeat"}, at=time.time() + 5)
        assert until(lambda: [m["state"] for _, _, m in running.alerts] == ["firing", "resolved"])
    assert [a["id"] for a in check_session(place, "s1")] == [m["id"] for _, _, m in running.alerts]
