"""`avaliacoes top`: the runs of a data folder, live, in a terminal; once, as text or JSON, for everything else."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from typing import Final

from avaliacoes.commands import common
from avaliacoes.terminal import text
from avaliacoes.terminal.detail import detail
from avaliacoes.terminal.frame import Line, Size, overview, render
from avaliacoes.terminal.runs import Folder, Snapshot, as_json
from avaliacoes.terminal.screen import Screen
from contract import names, places, service

_PIPE_WIDTH: Final = 160
_SIGNALLED: Final = 128


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sessions", metavar="SESSION", nargs="*", help="only these (default: the newest, and all active)"
    )
    parser.add_argument("--once", action="store_true", help="one frame as text, then end (also when not on a terminal)")
    parser.add_argument("--json", action="store_true", help="one JSON object, then end")
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    parser.add_argument(
        "-n", "--runs", type=_runs, default=20, metavar="N", help="finished runs to show at most (default: 20)"
    )
    parser.add_argument(
        "--ascii", action="store_true", help="ASCII alone (by itself where the terminal can do no more)"
    )
    common.add_base(parser)
    parser.description = (
        "Runs of a data folder with their states, courses of loss, reward and gradient norm, rates and alerts, live. "
        "Keys: q quit, up and down choose, enter shows one run with its metrics and alerts in words, esc goes back. "
        "Reads the files; no service is needed. NO_COLOR is respected."
    )


def _interval(given: str) -> float:
    value = float(given)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected 0.1 to 3600 seconds, got {given}")
    return value


def _runs(given: str) -> int:
    value = int(given)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"expected 1 to 1000 runs, got {given}")
    return value


def run(arguments: argparse.Namespace) -> int:
    base = places.base_path(arguments.base_path)
    for name in arguments.sessions:
        names.check_session(name)
    found = Folder(base, arguments.runs, tuple(arguments.sessions))
    terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    signs = text.ASCII if arguments.ascii else text.glyphs(sys.stdout.encoding, os.environ)
    if arguments.json or arguments.once or not terminal:
        snapshot = found.look(time.time())
        if arguments.sessions and len(snapshot.runs) < len(set(arguments.sessions)):
            shown = {view.session for view in snapshot.runs}
            missing = next(name for name in arguments.sessions if name not in shown)
            raise FileNotFoundError(f"no session {missing} in {base}")
        if arguments.json:
            common.put_json(as_json(snapshot))
        else:
            _print(snapshot, signs, colour=terminal and _colour(), one=bool(arguments.sessions))
        return service.EXIT_OK
    return _live(found, signs, arguments.interval)


def _colour() -> bool:
    return not os.environ.get("NO_COLOR")


def _print(snapshot: Snapshot, signs: text.Glyphs, colour: bool, one: bool) -> None:
    """One frame as lines; of runs that were asked for by name, everything that is known."""
    size = Size(shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns, None)
    lines: list[Line] = overview(snapshot, size, signs)[0]
    for view in snapshot.runs if one else ():
        lines += [[], *detail(view, size, signs)[0]]
    for line in lines:
        common.put(render(line, size.width, colour).encode("utf-8", "backslashreplace") + b"\n")


class _Look:
    """What the person looks at: all runs with one chosen, or one run."""

    def __init__(self) -> None:
        self.chosen: str | None = None
        self.inside = False
        self.first = 0
        self.first_inside = 0

    def lines(self, snapshot: Snapshot, size: Size, signs: text.Glyphs) -> list[Line]:
        place = self._place(snapshot)
        if self.inside and snapshot.runs:
            found, self.first_inside = detail(snapshot.runs[place], size, signs, self.first_inside)
            return found
        self.inside = False
        found, self.first = overview(snapshot, size, signs, place, self.first)
        return found

    def key(self, name: str, snapshot: Snapshot, height: int) -> None:
        page = max(1, height - 6)
        moves = {"up": -1, "down": 1, "page up": -page, "page down": page, "home": -(10**9), "end": 10**9}
        if name in moves and self.inside:
            self.first_inside = max(0, self.first_inside + moves[name])
        elif name in moves and snapshot.runs:
            place = min(max(0, self._place(snapshot) + moves[name]), len(snapshot.runs) - 1)
            self.chosen = snapshot.runs[place].session
        elif name == "enter":
            if not self.inside and snapshot.runs:
                self.chosen = snapshot.runs[self._place(snapshot)].session
            self.inside, self.first_inside = not self.inside, 0
        elif name == "back":
            self.inside = False

    def _place(self, snapshot: Snapshot) -> int:
        return next((i for i, view in enumerate(snapshot.runs) if view.session == self.chosen), 0)


def _live(found: Folder, signs: text.Glyphs, interval: float) -> int:
    look, colour = _Look(), _colour()
    with Screen() as screen:
        due = 0.0
        snapshot = found.look(time.time())
        while True:
            now = time.monotonic()
            if now >= due:
                snapshot = found.look(time.time())
                due = now + interval
            width, height = screen.size
            lines = look.lines(snapshot, Size(width, height), signs)
            screen.draw([render(line, width, colour) for line in lines])
            for name in screen.wait(max(0.0, due - time.monotonic())):
                if name == "quit":
                    return service.EXIT_OK if screen.asked is None else _SIGNALLED + screen.asked
                look.key(name, snapshot, height)
