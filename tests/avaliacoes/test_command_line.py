"""The console script, as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avaliacoes.__main__ import COMMANDS
from avaliacoes.real_time_logger import create_real_time_logger
from contract import service

Until = Callable[..., bool]


def _run(*arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "avaliacoes", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def session(place: Path) -> str:
    """A finished session with 100 steps, two episodes and a NaN."""
    with create_real_time_logger(place) as logger:
        for step in range(100):
            logger.log_training_step(step, loss=float("nan") if step == 99 else 1.0 / (step + 1))
        for step in (10, 20):
            logger.log_reward_info(step, episode_reward=1.0)
    return logger.session


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_everywhere(command: str) -> None:
    """Every command explains itself and the exit codes on standard output."""
    done = _run(*filter(None, [command]), "--help")
    assert "usage: avaliacoes" in done.stdout and "exit codes" in done.stdout.lower()


def test_version_and_wrong_arguments() -> None:
    """The version is printed; an unknown command and a missing one are usage errors."""
    assert _run("--version").stdout.startswith("avaliacoes ")
    for wrong in (["nonsense"], [], ["tail"], ["tail", "training", "-n", "-1"]):
        _run(*wrong, code=2)


def test_tail_gives_the_last_records_as_json_lines(place: Path, session: str) -> None:
    """tail prints the last n records; names that cannot be, or are not there, are errors with their codes."""
    lines = _run("tail", "training", "-n", "3", "--base-path", str(place)).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [97, 98, 99] and records[2]["loss"] == "NaN"
    assert all("_p" not in record for record in records)
    everything = _run("tail", "training", "-n", "1000", "--follow", "--session", session, "--base-path", str(place))
    assert everything.stdout.count("\n") == 100
    assert _run("tail", "training", "-n", "0", "--base-path", str(place)).stdout == ""
    _run("tail", "../x", "--base-path", str(place), code=2)
    assert "no session" in _run("tail", "training", "--session", "x", "--base-path", str(place), code=1).stderr


def test_status_is_a_true_account(place: Path, session: str) -> None:
    """status says logged, stored and lost, as a table and as JSON, with exit code 0 when nothing is lost."""
    found = json.loads(_run("status", "--json", "--base-path", str(place)).stdout)
    (row,) = found["sessions"]
    assert (row["session"], row["logged"], row["stored"], row["lost"]) == (session, 102, 102, 0)
    assert row["state"] == "finished" and found["lost"] == 0
    table = _run("status", "--base-path", str(place))
    assert table.stdout.splitlines()[0].split("\t")[:3] == ["session", "state", "logged"]
    assert "lost: nothing" in table.stderr


def test_status_tells_of_a_loss(place: Path, session: str) -> None:
    """Records that a producer had to drop make status exit with 1 and say why."""
    gap = b'{"_p":"0123456789ab","_q":0,"timestamp":1.0,"step":0,"event":"gap","category":"training","dropped":5,"reason":"spool full"}\n'
    with open(place / f"lifecycle_{session}.jsonl", "ab") as file:
        file.write(gap)
    done = _run("status", "--base-path", str(place), code=1)
    assert "lost: 5" in done.stderr and "spool full" in done.stderr


def test_export_and_import_round_trip(place: Path, session: str, tmp_path: Path) -> None:
    """A session exported as CSV and imported again has the same records; JSON lines come out as they went in."""
    rows = list(csv.DictReader(io.StringIO(_run("export", "--category", "training", "--base-path", str(place)).stdout)))
    assert len(rows) == 100 and rows[99]["loss"] == "nan"
    out = tmp_path / "out"
    files = _run("export", session, "--output", str(out), "--base-path", str(place)).stdout.split()
    assert sorted(Path(file).name for file in files) == [f"rewards_{session}.csv", f"training_{session}.csv"]
    done = _run("import", *files, "--base-path", str(place))
    again = done.stdout.strip()
    assert again.startswith("import_")
    wanted = _run("export", session, "--category", "training", "--format", "jsonl", "--base-path", str(place)).stdout
    found = _run("export", again, "--category", "training", "--format", "jsonl", "--base-path", str(place)).stdout
    assert [json.loads(line) for line in found.splitlines()] == [json.loads(line) for line in wanted.splitlines()]


def test_check_exits_by_the_worst_alert(place: Path, session: str) -> None:
    """check exits 2 on an ERROR alert, as lines and as JSON."""
    with create_real_time_logger(place, prefix="bad") as logger:
        for step in range(1000):
            logger.log_gradient_info(step, grad_norm=1e12)
            logger.log_training_step(step, loss=float("nan"))
    done = _run("check", logger.session, "--base-path", str(place), code=2)
    assert "ERROR" in done.stdout
    found = json.loads(_run("check", "--json", logger.session, "--base-path", str(place), code=2).stdout)
    assert found[logger.session]


def test_report_prints_a_path(place: Path, session: str) -> None:
    """report writes the page and prints where it is, nothing else, on standard output."""
    done = _run("report", session, "--base-path", str(place))
    assert Path(done.stdout.strip()).is_file()


def test_a_reader_that_goes_away_is_no_error(place: Path) -> None:
    """A pipe closed by its reader ends the command quietly."""
    with create_real_time_logger(place) as logger:
        for step in range(20_000):
            logger.log_training_step(step, loss=1.0, text="x" * 50)
    process = subprocess.Popen(
        [sys.executable, "-m", "avaliacoes", "export", "--category", "training", "--base-path", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait(20) == 0 and b"Error" not in complaint


def test_ctrl_c_is_130(place: Path, spawn: Callable[..., subprocess.Popen[bytes]], until: Until, session: str) -> None:
    """Ctrl-C ends a following tail with exit code 130 and no traceback."""
    with create_real_time_logger(place, prefix="live") as logger:
        logger.log_training_step(0, loss=1.0)
        arguments = ("-m", "avaliacoes", "tail", "training", "--follow", "--session", logger.session)
        process = spawn(*arguments, "--base-path", str(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        assert b'"loss":1.0' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert b"Traceback" not in process.stderr.read()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_runs_the_three_and_ends_them(
    place: Path, spawn: Callable[..., subprocess.Popen[bytes]], until: Until, number: signal.Signals
) -> None:
    """up starts collector, analyzer and renderer, refuses a second time, and ends all within 5 s of a signal."""
    process = spawn(
        "-m", "avaliacoes", "up", "--base-path", str(place), stderr=subprocess.DEVNULL, start_new_session=True
    )
    kinds = ("collector", "analyzer", "renderer")
    assert until(lambda: all(service.find(place, kind) for kind in kinds), 30)
    if number == signal.SIGINT:
        assert "already runs" in _run("up", "--base-path", str(place), code=service.EXIT_ALREADY_RUNNING).stderr
    begin = time.monotonic()
    os.kill(process.pid, number)
    assert process.wait(10) == 128 + number
    assert time.monotonic() - begin < 5.5
    assert not any(service.is_running(place, kind) for kind in kinds)


def test_status_of_a_killed_trainer(place: Path) -> None:
    """Records of a trainer killed without any collector are shown as orphaned, not as lost, until one stores them."""
    code = (
        "import os, signal\n"
        "from avaliacoes.real_time_logger import RealTimeLogger\n"
        f"logger = RealTimeLogger({str(place)!r}, autostart=False)\n"
        "for step in range(500): logger.log_training_step(step, loss=1.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == -signal.SIGKILL
    (row,) = json.loads(_run("status", "--json", "--base-path", str(place)).stdout)["sessions"]
    assert (row["state"], row["orphaned"], row["stored"], row["lost"]) == ("crashed", 500, 0, 0)
    with create_real_time_logger(place, prefix="next") as logger:
        logger.log_training_step(0, loss=1.0)
    rows = json.loads(_run("status", "--json", "--base-path", str(place)).stdout)["sessions"]
    assert {(row["orphaned"], row["stored"]) for row in rows} == {(0, 500), (0, 1)}


def test_up_ends_when_asked_while_it_starts(
    place: Path, spawn: Callable[..., subprocess.Popen[bytes]], until: Until
) -> None:
    """A signal that comes while the services are being started ends them all the same, without a traceback."""
    process = spawn("-m", "avaliacoes", "up", "--base-path", str(place), stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    while b"data folder" not in process.stderr.readline():
        pass
    time.sleep(0.02)  # not a wait for anything: the moment to strike
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(10) in (128 + signal.SIGTERM, -signal.SIGTERM) and b"Traceback" not in said
    assert until(lambda: not any(service.is_running(place, kind) for kind in ("collector", "analyzer", "renderer")), 6)
