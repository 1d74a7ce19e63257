"""`avaliacoes tail`: several categories, since when, following across sessions, text and JSON, readers that go away."""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from avaliacoes.commands import tail
from avaliacoes.real_time_logger import create_real_time_logger
from avaliacoes.terminal.records import line

Spawn = Callable[..., "subprocess.Popen[bytes]"]
Until = Callable[..., bool]
HOSTILE = "\x1b[2J\x9b5A\u202e\r\n"


def _tail(place: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "avaliacoes", "tail", *arguments, "--base-path", str(place)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code and "Traceback" not in done.stderr, (done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr


def _rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in out.splitlines()]


def _write(place: Path, category: str, session: str, *records: dict[str, Any]) -> None:
    place.mkdir(exist_ok=True)
    with open(place / f"{category}_{session}.jsonl", "a") as file:
        file.writelines(json.dumps({"_p": "0123456789ab", "_q": 0, **record}) + "\n" for record in records)


def test_several_categories_come_in_order_of_time(place: Path) -> None:
    """The last records over all that was asked for, by time, each saying its category; --all is every one but lifecycle."""
    for category, begin in (("training", 0), ("rewards", 1), ("mine", 2), ("lifecycle", 0)):
        _write(place, category, "s", *({"timestamp": n + begin / 10, "step": n} for n in range(20)))
    found = _rows(_tail(place, "training", "rewards", "-n", "4"))
    assert [(row["_category"], row["step"]) for row in found] == [("training", 18), ("rewards", 18), ("training", 19), ("rewards", 19)]  # fmt: skip
    assert [row["_category"] for row in _rows(_tail(place, "--all", "-n", "3"))] == ["training", "rewards", "mine"]
    assert len(_rows(_tail(place, "training", "rewards"))) == 10
    assert "_category" not in _rows(_tail(place, "training"))[0]
    assert len(_rows(_tail(place, "training", "absent", "-n", "2"))) == 2
    assert "no records of category absent or gone" in _tail(place, "absent", "gone", code=1)
    _tail(place, code=2)
    _tail(place, "training", "--all", code=2)


def test_since(place: Path) -> None:
    """--since leaves out what is older, however the moment is given, and gives all that is newer unless -n says how many."""
    now = time.time()
    _write(place, "training", "s", *({"timestamp": now - 100 * age, "step": age} for age in range(100, 0, -1)))
    assert [row["step"] for row in _rows(_tail(place, "training", "--since", "5050s"))] == list(range(50, 0, -1))
    assert [row["step"] for row in _rows(_tail(place, "training", "--since", "3h", "-n", "2"))] == [2, 1]
    assert len(_rows(_tail(place, "training", "--since", str(now - 950)))) == 9
    assert _tail(place, "training", "--since", "2099-01-01") == ""
    assert len(_rows(_tail(place, "training", "--since", "2001-01-01T00:00"))) == 100
    for wrong in ("yesterday", "5x", "", "nan", "1e999h"):
        _tail(place, "training", "--since", wrong, code=2)
    assert tail._moment("1970-01-02T00:00+00:00") == 86400.0
    with pytest.raises(argparse.ArgumentTypeError, match="10m"):
        tail._moment("soon")


def test_text_for_people(place: Path) -> None:
    """On a terminal a record is a line with its time, category, step and values, and nothing in it is obeyed."""
    record = {"timestamp": 0.25, "step": 3, "loss": float("nan"), "rate": 1e-3, "on": True, HOSTILE: HOSTILE, "n": {"a": [1, HOSTILE]}}  # fmt: skip
    text = line("", "training", record, colour=False)
    assert text.isprintable() and "training  step 3  loss NaN  rate 0.001  on true" in text and "\\x1b[2J" in text
    alert = {"timestamp": 1.0, "step": 3, "level": "ERROR", "rule": HOSTILE, "state": "firing", "message": HOSTILE, "action": "wait"}  # fmt: skip
    assert (
        "ERROR" in line("s", "alerts", alert, colour=False) and line("s", "alerts", alert, colour=False).isprintable()
    )
    assert line("", "x", {"timestamp": "odd", "step": None}, colour=False) == "--:--:--  x  step None"
    _write(place, "training", "s", {"timestamp": 5.0, "step": 1, "loss": 0.5, HOSTILE: HOSTILE})
    assert "step 1  loss 0.5" in _tail(place, "training", "--text")
    main, side = os.openpty()
    for arguments, expected in (([], "loss 0.5"), (["--json"], '"loss":0.5')):
        argv = [sys.executable, "-m", "avaliacoes", "tail", "training", "--base-path", str(place), *arguments]
        subprocess.run(argv, stdout=side, timeout=60, check=True, env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"})
        shown = os.read(main, 65536).decode()
        assert expected in shown and "\x1b[2J" not in shown and "\x9b" not in shown and "\u202e" not in shown
        if arguments:
            assert json.loads(shown)[HOSTILE] == HOSTILE
    os.close(main)
    os.close(side)


def test_follows_into_new_sessions(place: Path, spawn: Spawn, until: Until) -> None:
    """Without --session, following waits for the first session, goes on with every one that begins, and loses no record."""
    place.mkdir()
    process = spawn(
        "-m", "avaliacoes", "tail", "training", "rewards", "--follow", "--base-path", str(place),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    said, found = lines_of(process.stderr), lines_of(process.stdout)
    # A session that is there when it first looks is shown from its last records on, so none may begin before.
    assert b"waiting for a session" in said.get(timeout=30)
    names = []
    for prefix in ("one", "two"):
        with create_real_time_logger(place, prefix=prefix) as logger:
            names.append(logger.session)
            for step in range(200):
                logger.log_training_step(step, loss=1.0)
            logger.log_reward_info(200, episode_reward=1.0)
        rows = [json.loads(found.get(timeout=30)) for _ in range(201)]
        assert {row["_session"] for row in rows} == {logger.session}
        assert [row["step"] for row in rows if row["_category"] == "training"] == list(range(200))
        assert sum(row["_category"] == "rewards" for row in rows) == 1
    assert process.poll() is None and names[0] != names[1]
    process.terminate()


def lines_of(pipe: IO[bytes] | None) -> queue.Queue[bytes]:
    """The lines of a pipe as they come, to be waited for with a deadline."""
    assert pipe is not None
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        with pipe:
            for line in pipe:
                lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    return lines


def test_a_follower_whose_reader_has_gone_ends(place: Path, spawn: Spawn, until: Until) -> None:
    """`tail --follow | head -1` ends, quietly and with code 0, also when no further record comes."""
    with create_real_time_logger(place) as logger:
        logger.log_training_step(0, loss=1.0)
        process = spawn(
            "-m", "avaliacoes", "tail", "training", "-f", "--session", logger.session, "--base-path", str(place),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert b'"loss":1.0' in process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0 and process.stderr.read() == b""
        process.stderr.close()
