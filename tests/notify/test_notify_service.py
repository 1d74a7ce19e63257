"""A real analyzer that tells a real receiver: grouped, tried again, remembered, and silent about its secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from analyzer.notify import state
from contract import service
from contract.tail import read_all
from tests.notify.conftest import Receiver, Write

pytest.importorskip("apprise")

Until = Callable[..., bool]
SECRETS = ("s3cretPassw0rd", "hidden-path")


class Analyzer:
    """`python -m analyzer` on a folder, started and killed as the test wants; `said` is its standard error."""

    def __init__(self, base: Path, log: Path) -> None:
        self._base = base
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **environment: str) -> None:
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "analyzer", "--base-path", str(self._base), "--worker", *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment},
            )
        assert self.process.stdout is not None and b"ready" in self.process.stdout.readline()

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(10)

    @property
    def said(self) -> str:
        return self._log.read_text()


@pytest.fixture
def analyzer(place: Path, tmp_path: Path) -> Iterator[Analyzer]:
    found = Analyzer(place, tmp_path / "analyzer.log")
    yield found
    found.end(signal.SIGKILL)


Configure = Callable[..., Path]


def test_forty_runs_make_one_message_and_a_restart_no_second(
    receiver: Receiver, analyzer: Analyzer, write: Write, configure: Configure, until: Until
) -> None:
    """40 runs with one fault are one message; an analyzer that is killed and started again tells it no second time, but
    what came while it was away."""
    configure(group_interval=1)
    for number in range(40):
        write(f"run{number}_20250101_000000", number)
    analyzer.start()
    assert until(lambda: receiver.messages, 30)
    (sent,) = receiver.messages
    assert sent["title"] == "[ERROR] non_finite: 40 runs" and sent["type"] == "failure"
    assert "loss is NaN" in sent["message"] and "lower the learning rate" in sent["message"]
    assert "/dashboard_run0_20250101_000000.html" in sent["message"]
    assert until(lambda: not state.load(configure().parent).outbox.letters)
    analyzer.end(signal.SIGKILL)
    write("late_20250101_000000", 99, rule="crashed")
    analyzer.start()
    assert until(lambda: len(receiver.messages) == 2, 30)
    write("later_20250101_000000", 100, rule="overfit")
    assert until(lambda: len(receiver.messages) == 3, 30)
    assert [sent["title"].split(":")[0] for sent in receiver.messages[1:]] == ["[ERROR] crashed", "[ERROR] overfit"]


@pytest.mark.parametrize("trouble", ["down", "refuses"])
def test_a_receiver_that_is_not_there_is_told_when_it_is(
    trouble: str, receiver: Receiver, analyzer: Analyzer, write: Write, configure: Configure, until: Until, place: Path
) -> None:
    """A message for a receiver that is down or answers 503 is kept, also while the analyzer is killed, and arrives once; no
    word of it, nor the state, holds a secret."""
    configure()
    if trouble == "down":
        receiver.down()
    else:
        receiver.status = 503
    write("run_20250101_000000")
    analyzer.start()
    assert until(lambda: any(letter.tries for letter in state.load(place).outbox.letters), 30)
    assert until(lambda: "trying again" in analyzer.said)
    analyzer.end(signal.SIGKILL)
    analyzer.start()
    receiver.status = 200
    if trouble == "down":
        receiver.up()
    assert until(lambda: receiver.messages, 60)
    assert until(lambda: not state.load(place).outbox.letters)
    analyzer.end()
    assert [sent["title"] for sent in receiver.messages] == ["[ERROR] non_finite: run_20250101_000000"]
    said = analyzer.said + state.state_file(place).read_text()
    assert "urls[0] (json)" in said and not any(secret in said for secret in SECRETS)
    assert ("could not be reached" if trouble == "down" else "HTTP status 503") in said


def test_a_slow_receiver_holds_up_no_alert(
    receiver: Receiver, analyzer: Analyzer, write: Write, configure: Configure, place: Path, spawn: Any, until: Until
) -> None:
    """While a receiver takes half a minute over a message, the analyzer goes on raising alerts, and ends within 5 s."""
    configure(group_wait=0)
    receiver.delay_s = 25.0
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: service.find(place, "collector"))
    write("slow_20250101_000000")
    analyzer.start()
    assert until(lambda: receiver.asked == 1, 30)
    with open(place / "gradients_sick_20250101_000000.jsonl", "ab") as file:
        for step in range(60):
            row = {"_p": "aaaaaaaaaaaa", "_q": step, "timestamp": time.time(), "step": step, "grad_norm": 1e6}
            file.write(orjson.dumps(row) + b"\n")
    assert until(lambda: any(read_all(place / "alerts_sick_20250101_000000.jsonl")), 20)
    assert receiver.asked == 1 and receiver.messages == []
    begin = time.monotonic()
    analyzer.end()
    assert time.monotonic() - begin < 5


def test_from_a_record_to_a_message(
    receiver: Receiver, analyzer: Analyzer, configure: Configure, place: Path, spawn: Any, until: Until
) -> None:
    """A trainer's gradients explode: by collector and analyzer somebody gets a message that says so."""
    from avaliacoes.real_time_logger import RealTimeLogger

    configure(level="INFO")
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: service.find(place, "collector"))
    analyzer.start()
    with RealTimeLogger(place, autostart=False, prefix="real") as logger:
        for step in range(200):
            logger.log_gradient_info(step, grad_norm=1e9)
        assert until(lambda: receiver.messages, 30)
        told = " ".join(sent["title"] for sent in receiver.messages)
        assert "gradient_explosion" in told and logger.session in told


def test_asked_to_end_it_tells_what_waits(
    receiver: Receiver, analyzer: Analyzer, write: Write, configure: Configure, until: Until, place: Path
) -> None:
    """SIGTERM in the middle of group_wait: the message goes out before the end."""
    configure(group_wait="10m")
    analyzer.start()
    write("run_20250101_000000")
    assert until(lambda: state.load(place).groups.groups)
    analyzer.end()
    assert len(receiver.messages) == 1


def test_what_the_folder_held_before_is_not_told(
    receiver: Receiver, analyzer: Analyzer, write: Write, configure: Configure, until: Until, place: Path
) -> None:
    """Notifications that are switched on for a folder of old runs tell only what comes from then on."""
    write("old_20250101_000000", 1)
    before = time.time() - 3_600
    os.utime(place / "alerts_old_20250101_000000.jsonl", (before, before))
    configure()
    analyzer.start()
    assert until(lambda: state.load(place).known)
    write("new_20250101_000000", 2)
    assert until(lambda: receiver.messages, 30)
    write("old_20250101_000000", 3, rule="crashed")
    assert until(lambda: len(receiver.messages) == 2, 30)
    assert [sent["title"].split(": ")[1] for sent in receiver.messages] == [
        "new_20250101_000000",
        "old_20250101_000000",
    ]


def test_the_configuration_is_followed_while_running(
    receiver: Receiver, analyzer: Analyzer, write: Write, configure: Configure, until: Until, place: Path
) -> None:
    """Receivers may be named later; a configuration that cannot be is said, and what held before still holds."""
    analyzer.start()
    path = configure()
    assert until(lambda: "telling urls[0] (json)" in analyzer.said)
    path.write_text(path.read_text().replace("group_wait", "group_weight"))
    assert until(lambda: "did you mean 'group_wait'" in analyzer.said and "still holds" in analyzer.said)
    write("run_20250101_000000")
    assert until(lambda: receiver.messages, 30)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("urls", "hint"),
    [
        (["json://a", "nosuchservice://s3cretPassw0rd"], "urls[1] (nosuchservice): apprise cannot use"),
        (["slack://s3cretPassw0rd"], "urls[0] (slack): apprise cannot use"),
        (["env:AVALIACOES_NO_SUCH_URL"], "no AVALIACOES_NO_SUCH_URL"),
        ([], "no receiver"),
    ],
)
def test_the_trial_refuses_what_cannot_be(place: Path, configure: Configure, urls: list[str], hint: str) -> None:
    """`--test-notify` with URLs that nobody can use ends with code 2, names the one, and tells no secret."""
    configure(urls=urls)
    done = run("--base-path", str(place), "--test-notify")
    assert done.returncode == service.EXIT_USAGE and hint in done.stderr and "s3cret" not in done.stdout + done.stderr


def test_the_trial_sends(place: Path, configure: Configure, receiver: Receiver) -> None:
    """`--test-notify` sends one message to each receiver and says what became of it: code 0, or 1 when one took it not."""
    configure()
    done = run("--base-path", str(place), "--test-notify")
    assert (done.returncode, done.stderr) == (0, "analyzer: urls[0] (json): sent\n")
    assert receiver.messages[0]["title"] == "[test] notifications work"
    receiver.status = 401
    done = run("--base-path", str(place), "--test-notify")
    assert (done.returncode, done.stderr) == (1, "analyzer: urls[0] (json): it answered with HTTP status 401\n")


def test_a_wrong_configuration_is_refused_at_the_start(place: Path, configure: Configure) -> None:
    """A service started by a person does not run with a `[notify]` that cannot be: code 2, the nearest name."""
    configure(retrys=3)
    done = run("--base-path", str(place))
    assert done.returncode == service.EXIT_USAGE and "did you mean 'retries'" in done.stderr
    assert not any(secret in done.stderr for secret in SECRETS)


def test_without_apprise_the_extra_is_named(
    place: Path, configure: Configure, analyzer: Analyzer, tmp_path: Path, until: Until
) -> None:
    """Without apprise the analyzer works and says which extra to install; the trial fails with the same words."""
    missing = tmp_path / "without"
    missing.mkdir()
    (missing / "apprise.py").write_text("raise ImportError('No module named apprise')\n")
    path = f"{missing}{os.pathsep}{os.environ['PYTHONPATH']}"
    configure()
    done = run("--base-path", str(place), "--test-notify", PYTHONPATH=path)
    assert done.returncode == service.EXIT_FAILED and "pip install 'avaliacoes[notify]'" in done.stderr
    analyzer.start(PYTHONPATH=path)
    assert until(lambda: "pip install 'avaliacoes[notify]'" in analyzer.said)
    assert service.is_running(place, "analyzer")


def test_an_analyzer_started_on_demand_waits_for_its_letters(
    place: Path, configure: Configure, analyzer: Analyzer, receiver: Receiver, write: Write, until: Until
) -> None:
    """With nothing left to watch, one that a trainer started stays until what it has to tell is told, then ends."""
    configure(group_wait=3)
    write("run_20250101_000000")
    analyzer.start("--auto", "--idle", "0.5")
    assert until(lambda: receiver.messages, 30)
    assert analyzer.process is not None and analyzer.process.wait(20) == 0
