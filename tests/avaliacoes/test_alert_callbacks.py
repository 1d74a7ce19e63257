"""Back to the trainer: who is told of which alert, where, when, and how often."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from avaliacoes import alert_callbacks
from avaliacoes.logger_integration import TrainingLoggerIntegration, create_integrated_logger
from avaliacoes.real_time_logger import RealTimeLogger
from contract import alerts, feed, service
from contract.names import file_name
from contract.rule_names import RULES, RuleRefused
from producer import Producer

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


def event(number: int, level: str = "ERROR", rule: str = "non_finite", state: str = "firing") -> dict[str, Any]:
    """Metrics of an alert of its own row."""
    fires = f"{number:016x}"
    own = fires if state == "firing" else f"{number:08x}{state[:8]:>8}"
    return {
        "id": own,
        "fires": fires,
        "rule": rule,
        "level": level,
        "state": state,
        "message": f"alert {number}",
        "producer": "p",
        "component": f"c{number}",
    }


class Analyst:
    """Publishes alerts of a session as the analyzer does: as a producer of its own."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._producers: dict[str, Producer] = {}

    def say(self, session: str, number: int, **how: str) -> None:
        if session not in self._producers:
            self._producers[session] = Producer(
                self._base, session=session, claim=False, lifecycle=False, autostart=False, buffer_size=1000
            )
        self._producers[session].log("alerts", number, event(number, **how))

    def close(self) -> None:
        for producer in self._producers.values():
            producer.close(timeout=5)


@pytest.fixture
def collector(place: Path, spawn: Spawn, until: Until, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a collector, on which nothing is started by itself."""
    monkeypatch.setenv("AVALIACOES_AUTOSTART", "0")
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: service.find(place, "collector"))
    return place


@pytest.fixture
def analyst(place: Path) -> Iterator[Analyst]:
    found = Analyst(place)
    yield found
    found.close()


@pytest.fixture
def integration(collector: Path) -> Iterator[TrainingLoggerIntegration]:
    found = create_integrated_logger(collector)
    yield found
    found.end_session()


def logging_until(integration: TrainingLoggerIntegration, condition: Callable[[], object], seconds: float = 20) -> bool:
    """Train until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        integration.log_training_step(loss=1.0)
        time.sleep(0.005)
    return True


def numbers(told: list[dict[str, Any]]) -> list[int]:
    return [int(alert["fires"], 16) for alert in told]


def test_a_trainer_hears_of_its_broken_gradient(place: Path) -> None:
    """With nothing running before, a callback is called on the training's thread with an alert on its own records, and the
    loop sees that it should stop."""
    integration = create_integrated_logger(place)
    told: list[tuple[dict[str, Any], threading.Thread]] = []
    integration.on_alert(
        lambda alert: told.append((alert, threading.current_thread())), rules="non_finite", level="ERROR"
    )
    integration.stop_on("ERROR")
    session = integration.start_session("loop")
    deadline = time.monotonic() + 60
    while not integration.should_stop and time.monotonic() < deadline:
        integration.log_training_step(loss=1.0)
        integration.log_gradient_info(grad_norm=math.nan)
        time.sleep(0.005)
    assert integration.should_stop and integration.stopped_by is not None
    integration.end_session()
    ((alert, thread),) = told
    assert thread is threading.current_thread()
    assert (alert["rule"], alert["level"], alert["metric"]) == ("non_finite", "ERROR", "grad_norm")
    assert integration.get_current_stats()["session"] == session


def test_told_on_its_own_thread_at_the_next_log_call(
    integration: TrainingLoggerIntegration, analyst: Analyst, until: Until
) -> None:
    """An alert waits until the trainer logs or looks at `should_stop`, and is told there."""
    told: list[str] = []
    integration.on_alert(lambda _: told.append(threading.current_thread().name))
    session = integration.start_session()
    integration.log_training_step(loss=1.0)
    desk = integration._desk
    assert desk is not None
    analyst.say(session, 1)
    assert until(lambda: desk.news)
    assert told == []
    trainer = threading.Thread(target=integration.log_training_step, kwargs={"loss": 1.0}, name="mine")
    trainer.start()
    trainer.join()
    assert told == ["mine"]
    analyst.say(session, 2)
    assert until(lambda: desk.news)
    assert integration.should_stop is False and told == ["mine", threading.current_thread().name]


def test_levels_and_rules_choose(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """Level and rules of each subscription decide what it hears, and the end of an alert comes only where it was asked for."""
    session = integration.start_session()
    everything, errors, named, ends = ([], [], [], [])  # type: tuple[list[Any], list[Any], list[Any], list[Any]]
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


def test_a_callback_that_raises_harms_nobody(
    integration: TrainingLoggerIntegration, analyst: Analyst, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once and counted, the others are told, and every record is logged; `SystemExit` alone passes."""
    told: list[Any] = []
    integration.on_alert(lambda alert: 1 / 0)
    integration.on_alert(told.append)
    session = integration.start_session()
    with caplog.at_level(logging.WARNING, "avaliacoes"):
        for number in range(3):
            analyst.say(session, number)
        assert logging_until(integration, lambda: len(told) == 3)
    assert len([record for record in caplog.records if "ZeroDivisionError" in record.getMessage()]) == 1
    assert integration.get_current_stats()["alert_callbacks"] == {"told": 6, "failed": 3, "dropped": 0}
    with integration.on_alert(lambda alert: sys.exit(3)), pytest.raises(SystemExit):
        analyst.say(session, 9)
        logging_until(integration, lambda: len(told) == 5)


def test_a_callback_may_log_and_end_the_session(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """Logging inside a callback does not call it again, and it may end the session it hears of."""
    calls: list[int] = []

    def act(alert: dict[str, Any]) -> None:
        calls.append(1)
        integration.log_training_step(reaction=1.0)
        if len(calls) == 2:
            integration.end_session()

    integration.on_alert(act)
    session = integration.start_session()
    analyst.say(session, 1)
    assert logging_until(integration, lambda: len(calls) == 1)
    analyst.say(session, 2)
    assert logging_until(integration, lambda: len(calls) == 2)
    integration.end_session()
    path = integration.base_path / file_name("training", session)
    assert sum("reaction" in line for line in path.read_text().splitlines()) == 2


def test_undone_ended_and_begun_again(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """A cancelled subscription hears no more, an ended session is not heard of, and the next session is."""
    kept: list[Any] = []
    undone: list[Any] = []
    integration.on_alert(kept.append)
    subscription = integration.on_alert(undone.append)
    integration.stop_on("ERROR")
    first = integration.start_session("one")
    analyst.say(first, 1)
    assert logging_until(integration, lambda: integration.should_stop)
    assert numbers(kept) == numbers(undone) == [1]
    subscription.cancel()
    subscription.cancel()
    second = integration.start_session("two")
    assert not integration.should_stop and integration.stopped_by is None
    analyst.say(first, 2)
    analyst.say(second, 3)
    assert logging_until(integration, lambda: len(kept) == 2)
    assert numbers(kept) == [1, 3] and numbers(undone) == [1]
    integration.reset_stop()
    assert not integration.should_stop


def test_who_asks_late_hears_of_what_comes_later(
    integration: TrainingLoggerIntegration, analyst: Analyst, until: Until
) -> None:
    """A subscription made in the middle of a run is not told of alerts from before."""
    session = integration.start_session()
    path = integration.base_path / file_name("alerts", session)
    analyst.say(session, 1)
    assert until(lambda: path.exists() and path.stat().st_size)
    early: list[Any] = []
    late: list[Any] = []
    integration.on_alert(early.append)
    analyst.say(session, 2)
    assert logging_until(integration, lambda: early)
    integration.on_alert(late.append)
    analyst.say(session, 3)
    assert logging_until(integration, lambda: late)
    assert numbers(early) == [2, 3] and numbers(late) == [3]


def test_each_of_several_integrations_hears_of_its_own(collector: Path, analyst: Analyst) -> None:
    """Two trainings in one process, and a plain logger beside them, are told of their own alerts, by one thread."""
    ours = [create_integrated_logger(collector) for _ in range(2)]
    told: list[list[Any]] = [[], [], []]
    sessions = []
    for integration, found in zip(ours, told, strict=False):
        integration.on_alert(found.append)
        sessions.append(integration.start_session())
    with RealTimeLogger(collector, prefix="plain") as logger:
        logger.on_alert(told[2].append)
        sessions.append(logger.session)
        for number, session in enumerate(sessions):
            analyst.say(session, number)
        deadline = time.monotonic() + 20
        while not all(told) and time.monotonic() < deadline:
            for integration in ours:
                integration.log_training_step(loss=1.0)
            logger.log_training_step(0, loss=1.0)
            time.sleep(0.005)
        threads = [thread.name for thread in threading.enumerate()]
    for integration in ours:
        integration.end_session()
    assert [numbers(found) for found in told] == [[0], [1], [2]]
    assert threads.count("avaliacoes-alerts") == 1


def test_a_collector_killed_and_started_again_loses_and_doubles_nothing(
    place: Path, spawn: Spawn, analyst: Analyst, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the collector is killed twice and comes back, every alert is told once, in order."""
    monkeypatch.setenv("AVALIACOES_AUTOSTART", "0")
    told: list[Any] = []
    integration = create_integrated_logger(place)
    integration.on_alert(told.append)
    session = integration.start_session()
    for turn in range(3):
        process = spawn(
            *("-m", "collector", "--base-path", str(place), "--worker"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None and process.stdout.readline()
        for number in range(100 * turn, 100 * turn + 100):
            analyst.say(session, number)
            if number % 100 == 50:
                assert logging_until(integration, lambda turn=turn: len(told) > 100 * turn)
                os.kill(process.pid, signal.SIGKILL) if turn < 2 else None
    assert logging_until(integration, lambda: len(told) == 300, 40)
    integration.end_session()
    assert numbers(told) == list(range(300))


def test_without_a_feed_the_file_is_followed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no collector at all, what is written into the file is told; a line twice, and one cut in two, once."""
    monkeypatch.setenv("AVALIACOES_AUTOSTART", "0")
    integration = create_integrated_logger(place)
    told: list[Any] = []
    integration.on_alert(told.append)
    session = integration.start_session()
    lines = [orjson.dumps({"timestamp": 1.0, "step": 1, **event(number)}) + b"\n" for number in range(3)]
    with open(place / file_name("alerts", session), "ab", buffering=0) as file:
        file.write(lines[0] + lines[1] + lines[1] + lines[2][:20])
        assert logging_until(integration, lambda: len(told) == 2)
        file.write(lines[2][20:])
        assert logging_until(integration, lambda: len(told) == 3)
    assert numbers(told) == [0, 1, 2] and "_p" not in told[0]
    integration._logger.close(timeout=0.1)  # type: ignore[union-attr] - nobody will take the records


def test_a_forks_child_is_told_nothing_unless_it_asks(integration: TrainingLoggerIntegration, analyst: Analyst) -> None:
    """A forked child that logs is not told its parent's alerts; one that asks itself is told; the parent hears all."""
    told: list[Any] = []
    integration.on_alert(told.append)
    session = integration.start_session()
    analyst.say(session, 1)
    assert logging_until(integration, lambda: told)
    pids = []
    reader, writer = os.pipe()
    for asks in (False, True):
        pid = os.fork()
        if pid == 0:
            code = 9
            try:
                heard: list[Any] = []
                if asks:
                    integration.on_alert(heard.append)
                    os.write(writer, b"x")
                done = logging_until(integration, lambda heard=heard: numbers(heard) == [2], 20.0 if asks else 1.5)
                code = 0 if done == asks and len(told) == 1 else 1
            finally:
                os._exit(code)
        pids.append(pid)
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    os.close(writer)
    analyst.say(session, 2)
    assert logging_until(integration, lambda: numbers(told) == [1, 2])
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]


@pytest.mark.parametrize("keyed", [False, True])
def test_alerts_from_another_machine(
    keyed: bool, place: Path, tmp_path: Path, spawn: Spawn, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer whose collector's files are elsewhere is told through the feed that it names, with a key that may write and
    read where keys are asked for; nothing is started here."""
    if keyed:
        for command in (["init"], ["add", "gpu1"], ["add", "gpu1", "--reader"]):
            keys = [sys.executable, "-m", "avaliacoes", "keys", *command, "--base-path", str(place)]
            subprocess.run(keys, capture_output=True, check=True, timeout=60)
        folder = place / ".avaliacoes" / "keys"
        shutil.copytree(folder / "clients" / "gpu1", tmp_path / "client")
    spawn(
        *("-m", "collector", "--base-path", str(place), *(["--keys", str(folder)] if keyed else [])),
        env={**os.environ, "AVALIACOES_BIND": "tcp://127.0.0.1:*", "AVALIACOES_FEED": "tcp://127.0.0.1:*"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert until(lambda: service.find(place, "collector"))
    info = service.find(place, "collector") or {}
    assert ("curve" in info) == keyed
    monkeypatch.setenv("AVALIACOES_ENDPOINT", info["ingest"])
    monkeypatch.setenv(feed.ENV_FEED_ENDPOINT, info["feed"])
    if keyed:
        monkeypatch.setenv("AVALIACOES_KEYS", str(tmp_path / "client"))
    here = tmp_path / "here"
    integration = create_integrated_logger(here)
    told: list[Any] = []
    integration.on_alert(told.append)
    session = integration.start_session()
    analyst = Analyst(here)
    number = 0

    def one_more() -> list[Any]:
        nonlocal number
        number += 1  # the subscription may not have arrived when the first is published
        analyst.say(session, number)
        return told

    assert logging_until(integration, one_more)
    integration.end_session()
    analyst.close()
    assert told[0]["rule"] == "non_finite" and not (here / ".avaliacoes" / "analyzer.log").exists()
    assert not (here / file_name("alerts", session)).exists()


def test_a_feed_elsewhere_that_nobody_named_is_asked_for(
    place: Path, tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """With a collector elsewhere and no word of its feed, that is said, once, and no analyzer is started for nothing."""
    nobody = f"ipc://{place.parent}/nobody.sock"
    with caplog.at_level(logging.WARNING, "avaliacoes"):
        integration = create_integrated_logger(place, endpoint=nobody)
        integration.on_alert(print)
        integration.start_session()
        assert until(lambda: feed.ENV_FEED_ENDPOINT in caplog.text)
        assert not until(lambda: caplog.text.count(feed.ENV_FEED_ENDPOINT) > 1, 0.6)  # two more looks
    assert not (place / ".avaliacoes" / "analyzer.log").exists()
    integration._logger.close(timeout=0.1)  # type: ignore[union-attr] - nobody will take the records


def test_nothing_runs_where_nobody_asked(collector: Path) -> None:
    """Without a callback there is no listening thread, none of its code, no analyzer, and nothing in the statistics."""
    script = (
        "import sys, threading\n"
        "from avaliacoes.logger_integration import create_integrated_logger\n"
        f"i = create_integrated_logger({str(collector)!r})\n"
        "i.start_session()\n"
        "i.log_training_step(loss=1.0)\n"
        "print(i.should_stop, i.stopped_by, i.get_current_stats()['alert_callbacks'])\n"
        "print([name for name in sys.modules if 'avaliacoes.alert' in name])\n"
        "print([thread.name for thread in threading.enumerate() if 'alerts' in thread.name])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False None None", "[]", "[]"]
    assert not service.is_running(collector, "analyzer")


def test_a_script_that_ends_without_a_word_ends_cleanly(place: Path) -> None:
    """A script that asked to be told and just ends does so at once, with nothing on standard error."""
    script = (
        "from avaliacoes.logger_integration import create_integrated_logger\n"
        f"i = create_integrated_logger({str(place)!r})\n"
        "i.on_alert(print)\n"
        "i.start_session()\n"
        "i.log_training_step(loss=1.0)\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "" and time.monotonic() - begin < 30


def test_the_analyzer_is_started_shared_and_brought_back(
    place: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking starts one analyzer for a folder, which a second asker shares, and which comes back when it is killed."""
    first, second = create_integrated_logger(place), create_integrated_logger(place)
    for integration in (first, second):
        integration.on_alert(print)
        integration.start_session()
    try:
        assert until(lambda: service.find(place, "analyzer"), 40)
        found = service.find(place, "analyzer") or {}
        assert found["auto"] is True
        os.kill(found["pid"], signal.SIGKILL)
        assert until(lambda: (service.find(place, "analyzer") or found)["pid"] != found["pid"], 40)
    finally:
        first.end_session()
        second.end_session()


def test_levels_are_those_of_the_contract() -> None:
    """The levels that may be named are the three there are, in any case."""
    assert [alert_callbacks.check_level(level.lower()) for level in alerts.LEVELS] == list(alerts.LEVELS)
