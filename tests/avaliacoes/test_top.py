"""`avaliacoes top`: what it shows, from its parts and as a user runs it in a terminal and in a pipe."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from strict_terminal import StrictTerminal

from avaliacoes.real_time_logger import create_real_time_logger
from avaliacoes.terminal import text
from avaliacoes.terminal.detail import detail
from avaliacoes.terminal.follow import WHOLE_BYTES, Followed
from avaliacoes.terminal.frame import Size, overview, render
from avaliacoes.terminal.history import BUCKETS, History
from avaliacoes.terminal.runs import Folder, as_json
from avaliacoes.terminal.screen import keys

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b5A\u202e\r\n\u2028<b>\x00"
SESSION = "run_20260101_000000"


def _write(base: Path, category: str, *records: dict[str, Any], session: str = SESSION) -> None:
    base.mkdir(exist_ok=True)
    with open(base / f"{category}_{session}.jsonl", "a") as file:
        for number, record in enumerate(records):
            head = {"_p": "0123456789ab", "_q": number, "timestamp": time.time(), "step": number}
            file.write(json.dumps({**head, **record}) + "\n")


@pytest.fixture
def hostile(place: Path) -> Path:
    """A run in which every text that a trainer chooses tries to take the terminal over."""
    _write(place, "lifecycle", {"event": "start", "host": HOSTILE, "argv0": HOSTILE}, {"event": "end", "status": "failed", "error": HOSTILE})  # fmt: skip
    _write(place, "training", *({"loss": 1.0 + n, HOSTILE: 1.0, "component": HOSTILE, "日本": 1} for n in range(20)))
    alert = {"rule": HOSTILE, "level": "ERROR", "state": "firing", "message": HOSTILE * 9, "action": HOSTILE, "component": HOSTILE}  # fmt: skip
    _write(place, "alerts", alert, {"rule": "x", "level": HOSTILE, "state": HOSTILE, "first_step": HOSTILE, "episodes": HOSTILE})  # fmt: skip
    return place


@pytest.fixture
def in_terminal() -> Iterator[Callable[..., StrictTerminal]]:
    started: list[StrictTerminal] = []

    def start(*arguments: Any, **environment: str) -> StrictTerminal:
        started.append(StrictTerminal(*arguments, **environment))
        return started[-1]

    yield start
    for one in started:
        assert b"Traceback" not in one.end()


def _run(*arguments: str, code: int = 0, **environment: str) -> str:
    variables = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-m", "avaliacoes", "top", *arguments], capture_output=True, timeout=60, check=False, env=variables)  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode() if code == 0 else done.stderr.decode()


@given(st.text(max_size=80), st.integers(0, 60))
def test_text_from_outside_is_harmless_and_fits(given_text: str, width: int) -> None:
    """Whatever a name is, it is shown without a control or format character, in exactly the cells it was given."""
    for signs in (text.UNICODE, text.ASCII):
        shown = signs.safe(given_text)
        assert shown.isprintable()
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Mn", "Zl", "Zp") for char in shown)
        assert cell_len(text.fit(shown, width)) == width
        assert all(cell_len(part) <= max(2, width) for part in text.wrap(shown, max(2, width)))
    assert text.ASCII.safe(given_text).isascii()


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=300), st.integers(0, 80), st.booleans())
def test_a_course_is_bounded_and_keeps_what_was_not_finite(values: list[float], width: int, highest: bool) -> None:
    """Any series gives at most the asked columns from constant memory; NaN and infinities stay visible, peaks stay the highest."""
    course = History(highest)
    for number, value in enumerate(values):
        course.add(number * 150, value)
    columns = course.columns(width)
    assert len(columns) <= min(width, len(values)) and len(course._counts) <= BUCKETS
    if width and any(not math.isfinite(value) for value in values):
        assert any(column is not None and not math.isfinite(column) for column in columns)
    finite = [value for value in values if math.isfinite(value)]
    if highest and len(finite) == len(values) and values and width:
        assert max(c for c in columns if c is not None) == max(values)
    assert len(text.spark(columns, text.UNICODE)) == len(columns)


def test_a_big_file_is_followed_in_small_looks(tmp_path: Path) -> None:
    """A file of any size is sampled over its whole length, counted bit by bit to the exact number, and then followed."""
    path = tmp_path / "training_s.jsonl"
    line = '{{"_p":"0123456789ab","_q":{0},"timestamp":{0},"step":{0},"loss":{1},"note":"' + "x" * 100 + '"}}\n'
    count = 5 * WHOLE_BYTES // 150
    with open(path, "w") as file:
        file.writelines(line.format(n, count - n) for n in range(count))
    followed = Followed(path)
    followed.look(4096, 0.0)
    while not followed.counted:
        followed.look(4096, 0.0)
    assert followed.records == count and followed.step == count - 1
    columns = followed.metrics["loss"].history.columns(20)
    assert len(columns) == 20 and all(a > b for a, b in itertools.pairwise(columns))  # type: ignore[operator]
    assert columns[0] > 0.9 * count  # type: ignore[operator]
    with open(path, "a") as file:
        file.writelines(line.format(n, 0.5) for n in range(count, count + 3000))
        file.write('{"half": ')
    followed.look(4096, 0.0)
    assert followed.records == count + 3000 and followed.step == count + 2999 and len(followed.fresh) < 100
    path.write_text(line.format(7, 1.0))
    followed.look(4096, 0.0)
    assert followed.records == 1 and followed.step == 7


def test_a_look_reads_only_what_is_new(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first look no file that did not grow is opened again, and of one that did only the new bytes are read."""
    _write(place, "training", *({"loss": float(n)} for n in range(2000)))
    _write(place, "rewards", *({"episode_reward": float(n)} for n in range(2000)))
    folder = Folder(place)
    folder.look(time.time())
    read: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: read.append(size) or real(fd, size, at))
    folder.look(time.time())
    assert read == []
    _write(place, "training", {"loss": 0.5})
    view = folder.look(time.time()).runs[0]
    assert sum(read) < 200 and view.records == 4001
    assert view.shown[0] is not None and view.shown[0].last == 0.5


def test_what_is_known_of_a_run(place: Path) -> None:
    """State, step, records, rate, the three metrics and the firing alerts are those of the files, NaN included."""
    with create_real_time_logger(place) as logger:
        for step in range(50):
            logger.log_training_step(step, loss=float("nan") if step == 49 else 1.0, learning_rate=1e-3)
            logger.log_gradient_info(step, grad_norm=2.0)
        logger.log_reward_info(49, episode_reward=7.0)
    _write(place, "alerts", {"rule": "stagnation", "level": "INFO", "state": "firing", "message": "m", "action": "a"}, session=logger.session)  # fmt: skip
    found = json.loads(_run("--json", "--base-path", str(place)))
    (run,) = found["runs"]
    assert (run["session"], run["state"], run["active"], run["step"], run["records"]) == (logger.session, "finished", False, 49, 101)  # fmt: skip
    assert (run["loss"], run["reward"], run["grad_norm"]) == ("NaN", 7.0, 2.0) and run["rate"] > 0
    assert run["firing"] == {"ERROR": 0, "WARNING": 0, "INFO": 1} and run["alerts"][0]["action"] == "a"
    assert set(found["services"]) >= {"collector", "analyzer", "renderer"}
    lines = _run("--base-path", str(place), LANG="C.UTF-8", COLUMNS="160").splitlines()
    (line,) = [line for line in lines if logger.session in line]
    assert "finished" in line and "NaN" in line and "1 info" in line and "\x1b" not in "".join(lines)
    everything = _run(logger.session, "--base-path", str(place))
    assert "stagnation" in everything and "learning_rate" in everything
    assert "no session nothing" in _run("nothing", "--base-path", str(place), code=1)
    _run("../x", "--base-path", str(place), code=2)
    _run("--interval", "0", code=2)


@pytest.mark.parametrize("width", [1, 10, 36, 60, 80, 149, 150, 400])
@pytest.mark.parametrize("height", [1, 3, 10, 24, None])
def test_every_size_of_terminal(hostile: Path, width: int, height: int | None) -> None:
    """No line is wider than the terminal and there are no more of them than it has, with hostile names, in both views."""
    for number in range(30):
        _write(hostile, "training", {"loss": 1.0}, session=f"more{number:02d}_20260101_000000")
    snapshot = Folder(hostile, most=40).look(time.time())
    size = Size(width, height)
    for signs in (text.UNICODE, text.ASCII):
        for lines in (overview(snapshot, size, signs, chosen=29)[0], detail(snapshot.runs[-1], size, signs, 10**6)[0]):
            shown = [render(line, width, colour=False) for line in lines]
            assert all(cell_len(line) <= width and line.isprintable() for line in shown)
            assert height is None or len(shown) <= height


def test_the_chosen_run_stays_in_sight(place: Path) -> None:
    """Moving down through more runs than fit scrolls, one run at a time, and back."""
    for number in range(30):
        _write(place, "training", {"loss": 1.0}, session=f"r{number:02d}")
    snapshot = Folder(place, most=30).look(time.time())
    first = 0
    for chosen in (*range(30), *reversed(range(30))):
        lines, first = overview(snapshot, Size(80, 24), text.ASCII, chosen, first)
        marked = [line for line in (render(line, 80, colour=False) for line in lines) if line.startswith(">")]
        assert len(marked) == 1 and snapshot.runs[chosen].session in marked[0]
    assert as_json(snapshot)["sessions"] == 30


def test_which_signs_a_terminal_gets() -> None:
    """Blocks where the encoding has them, ASCII where the locale, the terminal or the encoding cannot."""
    assert text.glyphs("utf-8", {"LANG": "pt_BR.UTF-8", "TERM": "xterm"}) is text.UNICODE
    for encoding, variables in (("utf-8", {"LC_ALL": "C"}), ("utf-8", {}), ("latin-1", {"LANG": "pt_BR.ISO-8859-1"}), ("utf-8", {"LANG": "C.UTF-8", "TERM": "linux"}), (None, {"LANG": "C.UTF-8"})):  # fmt: skip
        assert text.glyphs(encoding, variables) is text.ASCII


def test_keys_of_several_terminals() -> None:
    """Arrows in both modes, letters, and nothing for what is unknown, cut or pasted."""
    assert keys(b"\x1b[A\x1bOBjk\r") == ["up", "down", "down", "up", "enter"]
    assert keys(b"\x1b[1;5A\x1b[200~xyz\x1b[201~") == [] and keys(b"") == [] and keys(b"\x1b[") == []


def test_in_a_terminal(place: Path, in_terminal: Callable[..., StrictTerminal]) -> None:
    """Runs appear and go on live, enter shows one in words, esc goes back, q ends with code 0 and the terminal as it was."""
    with create_real_time_logger(place, prefix="first") as logger:
        logger.log_training_step(1, loss=0.5)
        logger.flush(10)
        shown = in_terminal(place, 80, 24)
        assert shown.shows(lambda screen: logger.session in screen and "running" in screen)
        assert shown.other_screen and shown.cursor_hidden and "32" in shown.styles
        logger.log_training_step(4321, loss=0.25, learning_rate=0.125)
        assert shown.shows(lambda screen: "step 4321" in screen and "0.25" in screen)
        with create_real_time_logger(place, prefix="second") as other:
            other.log_training_step(1, loss=0.5)
            assert shown.shows(lambda screen: other.session in screen and "2 running" in screen)
        shown.type("\x1b[B")
        assert shown.shows(lambda screen: any(row.startswith(f"> {logger.session}") for row in screen.split("\n")) or "> second" not in screen)  # fmt: skip
        shown.type("\r")
        assert shown.shows(lambda screen: "ALERTS" in screen and "learning_rate" in screen and "esc back" in screen)
        shown.resize(40, 10)
        os.kill(shown.process.pid, signal.SIGWINCH)
        assert shown.shows(lambda screen: "ALERTS" in screen)
        shown.type("\x1b")
        assert shown.shows(lambda screen: "ALERTS" not in screen and "> " in screen)
        shown.type("q")
        assert shown.process.wait(10) == 0 and shown.restored()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_gives_the_terminal_back(place: Path, in_terminal: Callable[..., StrictTerminal], number: int, code: int) -> None:  # fmt: skip
    """Ctrl-C, SIGTERM and a hang-up end it with their code and the terminal as it was."""
    shown = in_terminal(place, 80, 24)
    assert shown.shows(lambda screen: "no runs" in screen)
    os.kill(shown.process.pid, number)
    assert shown.process.wait(10) == code and shown.restored()


def test_hostile_names_do_nothing_to_a_terminal(hostile: Path, in_terminal: Callable[..., StrictTerminal]) -> None:
    """Names, messages and reasons full of control sequences arrive as their escapes; the terminal obeys none."""
    for environment in ({}, {"LC_ALL": "C", "NO_COLOR": "1"}):
        shown = in_terminal(hostile, 80, 40, **environment)
        assert shown.shows(lambda screen: SESSION in screen and "1 error" in screen)
        shown.type("\r")
        assert shown.shows(lambda screen: "ALERTS" in screen and "\\x1b[2J" in screen and "\\u202e" in screen)
        assert shown.styles == {"0"} if environment else len(shown.styles) > 3
        assert not environment or shown.screen.isascii()
        shown.type("q")
        assert shown.process.wait(10) == 0


def test_a_pipe_gets_text_and_a_dumb_terminal_one_frame(hostile: Path, in_terminal: Callable[..., StrictTerminal]) -> None:  # fmt: skip
    """Without a terminal, or on one that can do nothing, one frame comes as plain lines, and standard error stays empty."""
    for arguments in ([], ["--once"]):
        out = _run(*arguments, "--base-path", str(hostile), LC_ALL="C", COLUMNS="70")
        assert SESSION in out and out.isascii() and all(len(line) <= 70 for line in out.splitlines())
    dumb = in_terminal(hostile, 80, 24, TERM="dumb")
    assert dumb.process.wait(20) == 0
