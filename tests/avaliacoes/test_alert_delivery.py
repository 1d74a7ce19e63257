"""The ways by which alerts come back: through a feed, from the file, after a restart, in forks, from another machine."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from alert_analyst import Analyst, event, logging_until, numbers

from avaliacoes.logger_integration import TrainingLoggerIntegration, create_integrated_logger
from contract import feed, service
from contract.names import file_name

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


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
