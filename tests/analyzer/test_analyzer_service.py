"""`python -m analyzer` as a process: ready, one per folder, gives way, ends in time, survives its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from contract import service
from contract.tail import read_all

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


def exploding(base: Path, session: str, count: int = 3) -> None:
    with open(base / f"gradients_{session}.jsonl", "ab") as file:
        for i in range(count):
            row = {"_p": "aaaaaaaaaaaa", "_q": i, "timestamp": time.time(), "step": i, "grad_norm": 50.0}
            file.write(orjson.dumps(row) + b"\n")


def ready(base: Path) -> bool:
    return service.find(base, "analyzer") is not None


def test_it_says_that_it_is_ready_and_ends_within_5_seconds(place: Path, spawn: Spawn, until: Until) -> None:
    """One ready line, a clean end on SIGTERM with code 0, nothing left announced."""
    process = spawn("-m", "analyzer", "--base-path", str(place), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().decode().strip() == f"analyzer: ready, watching {place}"
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == service.EXIT_OK
    assert time.monotonic() - begin < 5
    assert not service.is_running(place, "analyzer") and not service.info_file(place, "analyzer").exists()


def test_a_second_one_is_refused(place: Path, spawn: Spawn, until: Until) -> None:
    """The folder has one analyzer: the second ends with code 3 and says which process holds it."""
    spawn("-m", "analyzer", "--base-path", str(place), stdout=subprocess.DEVNULL)
    assert until(lambda: ready(place))
    second = spawn("-m", "analyzer", "--base-path", str(place), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    _, said = second.communicate(timeout=20)
    assert second.returncode == service.EXIT_ALREADY_RUNNING
    info = service.find(place, "analyzer")
    assert info is not None and f"process {info['pid']}" in said.decode() and "--base-path" in said.decode()


def test_one_started_on_demand_gives_way(place: Path, spawn: Spawn, until: Until) -> None:
    """An analyzer started by hand takes the place of an automatic one, which ends cleanly."""
    auto = spawn("-m", "analyzer", "--base-path", str(place), "--auto", stdout=subprocess.DEVNULL)
    assert until(lambda: ready(place))
    spawn("-m", "analyzer", "--base-path", str(place), stdout=subprocess.DEVNULL)
    assert auto.wait(20) == service.EXIT_OK
    assert until(lambda: (service.find(place, "analyzer") or {}).get("auto") is False)


def test_an_automatic_one_ends_when_idle(place: Path, spawn: Spawn) -> None:
    """With no session at all it ends by itself after the idle time."""
    auto = spawn("-m", "analyzer", "--base-path", str(place), "--auto", "--idle", "0.5", stderr=subprocess.DEVNULL)
    assert auto.wait(20) == service.EXIT_OK


def test_a_killed_worker_is_started_again(place: Path, spawn: Spawn, until: Until) -> None:
    """After kill -9 of the worker the supervisor starts another one on the same folder."""
    spawn("-m", "analyzer", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: ready(place))
    first = (service.find(place, "analyzer") or {})["pid"]
    os.kill(first, signal.SIGKILL)
    assert until(lambda: (service.find(place, "analyzer") or {"pid": first})["pid"] != first)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--scan-interval", "0"], service.EXIT_USAGE, "scan_s"),
        (["--nonsense"], service.EXIT_USAGE, "nonsense"),
        (["--base-path", "/dev/null/x"], service.EXIT_CANNOT_START, "data folder"),
    ],
)
def test_wrong_arguments_are_explained(place: Path, spawn: Spawn, arguments: list[str], code: int, word: str) -> None:
    """A wrong option or folder ends at once with its exit code and a text that names it."""
    process = spawn("-m", "analyzer", *arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    _, said = process.communicate(timeout=20)
    assert process.returncode == code and word in said.decode()


def test_help_says_what_each_option_does(place: Path) -> None:
    """--help lists options and exit codes, and goes to stdout."""
    done = subprocess.run([sys.executable, "-m", "analyzer", "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("--base-path", "--auto", "--idle", "exit codes"))


def test_alerts_travel_by_the_collector_and_a_restart_doubles_none(place: Path, spawn: Spawn, until: Until) -> None:
    """A trainer's gradients become alerts on disk, also while the analyzer is killed, each id once, none lost."""
    producer = pytest.importorskip("producer")
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL)
    spawn("-m", "analyzer", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: ready(place) and service.find(place, "collector"))
    trainer = producer.Producer(place, autostart=False)
    path = place / f"alerts_{trainer.session}.jsonl"

    def on_disk() -> list[str]:
        return [alert["id"] for alert in read_all(path)]

    try:
        for i in range(30):
            for _ in range(3):
                trainer.log("gradients", i, {"grad_norm": 50.0, "component": f"c{i}"})
            if i in (10, 20):
                # Enough alerts may be there from before the last kill: the successor must be up to be killed.
                assert until(lambda i=i: len(on_disk()) >= i and service.find(place, "analyzer"))
                os.kill((service.find(place, "analyzer") or {})["pid"], signal.SIGKILL)
        assert until(lambda: len(on_disk()) >= 30, 30)
    finally:
        trainer.close(timeout=5)
    from analyzer import check_session

    assert until(lambda: len(on_disk()) >= 60, 30)  # and each of them has ended
    ids = on_disk()
    assert len(ids) == len(set(ids)) == 60
    assert set(ids) == {alert["id"] for alert in check_session(place, trainer.session)}
    alert = next(read_all(path))
    assert (alert["rule"], alert["source"], alert["producer"]) == (
        "gradient_explosion",
        "gradients",
        trainer.producer_id,
    )


def test_alerts_of_a_session_without_a_collector_wait(place: Path, spawn: Spawn, until: Until) -> None:
    """With no collector the analyzer neither blocks nor loses: what it said arrives when one comes."""
    pytest.importorskip("producer")
    place.mkdir(parents=True)
    exploding(place, "s1")
    analyzer = spawn("-m", "analyzer", "--base-path", str(place), "--quiet", "60", stdout=subprocess.DEVNULL)
    assert until(lambda: ready(place))
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL)
    path = place / "alerts_s1.jsonl"
    assert until(lambda: [alert["level"] for alert in read_all(path)] == ["INFO"])
    analyzer.terminate()
    assert analyzer.wait(6) == service.EXIT_OK
