"""How the demo ends when something happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from installing import running_on

from avaliacoes.demo.sessions import account

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


def start(spawn: Spawn, place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    place.parent.mkdir(exist_ok=True)
    log = open(place.parent / "demo.log", "wb")
    return spawn(
        "-m", "avaliacoes", "demo", "--seconds", "60", "--base-path", str(place), *arguments, stdout=log, stderr=log
    )


def said(place: Path) -> str:
    return (place.parent / "demo.log").read_text(errors="replace")


def sessions(place: Path) -> list[str]:
    return [path.name[len("rewards_") : -len(".jsonl")] for path in place.glob("rewards_cartpole_*.jsonl")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_and_loses_nothing(
    place: Path, spawn: Spawn, until: Until, number: signal.Signals
) -> None:
    """Ctrl-C, SIGTERM or a closed terminal in the middle: exit code 130, no process left, every record on disk once."""
    demo = start(spawn, place)
    assert until(lambda: len(sessions(place)) == 3 or demo.poll() is not None, 60), said(place)
    demo.send_signal(number)
    assert demo.wait(40) == 130, said(place)
    assert until(lambda: not running_on(place), 10), running_on(place)
    for session in sessions(place):
        found = account(place, session)
        assert found.whole, found
        assert found.logged == found.stored > 0


def test_a_trainer_that_dies_is_reported(place: Path, spawn: Spawn, until: Until) -> None:
    """A trainer killed by force is named with its exit code; the others go on, and its records are kept."""
    demo = start(spawn, place)
    assert until(lambda: len(sessions(place)) == 3 or demo.poll() is not None, 60), said(place)
    (victim,) = (
        process
        for process in psutil.Process(demo.pid).children(recursive=True)
        if "cartpole_seed1" in " ".join(process.cmdline())
    )
    victim.kill()
    assert until(lambda: "training seed1 ended with exit code -9" in said(place), 20), said(place)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(40) == 130
    assert until(lambda: not running_on(place), 10), running_on(place)
    for session in sessions(place):
        assert account(place, session).whole


def test_services_that_die_are_reported(place: Path, spawn: Spawn, until: Until) -> None:
    """When honcho itself is killed, the demo says so, ends with exit code 1 and still leaves nothing running."""
    demo = start(spawn, place)
    assert until(lambda: len(sessions(place)) == 3 or demo.poll() is not None, 60), said(place)
    (up,) = (
        process
        for process in psutil.Process(demo.pid).children()
        if process.cmdline()[-3:] == ["up", "--base-path", str(place)]
    )
    os.kill(up.pid, signal.SIGKILL)
    assert demo.wait(60) == 1, said(place)
    assert "the services ended early" in said(place)
    assert until(lambda: not running_on(place), 15), running_on(place)


def test_a_folder_in_use_is_refused(place: Path, spawn: Spawn, until: Until) -> None:
    """With services of somebody else on the folder the demo says whose, and touches nothing."""
    collector = spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL)
    assert until(lambda: (place / ".avaliacoes" / "collector.json").exists(), 20)
    done = subprocess.run(
        [sys.executable, "-m", "avaliacoes", "demo", "--base-path", str(place)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert b"already runs" in done.stderr
    assert collector.poll() is None


def test_a_duration_that_cannot_be_is_refused(place: Path) -> None:
    """Seconds out of range are an argument error, exit code 2, before anything is made."""
    done = subprocess.run(
        [sys.executable, "-m", "avaliacoes", "demo", "--seconds", "0", "--base-path", str(place)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert not place.exists()
