"""The terminal itself: its other screen, its keys, its size, and back to how it was, however we end.

Only lines that changed are written: over a slow line a refresh is a few dozen bytes.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE: Final = "\x1b[0m\x1b[?25h\x1b[?1049l"
#: What keys send, by name; the longest first where one begins another.
_KEYS: Final = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up",
    b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1b[1~": "home", b"\x1bOH": "home", b"g": "home",
    b"\x1b[F": "end", b"\x1b[4~": "end", b"\x1bOF": "end", b"G": "end",
    b"\x1b[D": "back", b"\x1bOD": "back", b"\x7f": "back", b"h": "back",
    b"\r": "enter", b"\n": "enter", b"\x1b[C": "enter", b"\x1bOC": "enter", b"l": "enter",
    b"q": "quit", b"Q": "quit", b"\x04": "quit",
}  # fmt: skip


def keys(data: bytes) -> list[str]:
    """The names of the keys in what a terminal sent; what nobody knows is passed over, escape alone is "back".

    >>> keys(b"\\x1b[Bj\\r"), keys(b"\\x1b"), keys(b"\\x1b[99;5uq")
    (['down', 'down', 'enter'], ['back'], ['quit'])
    """
    found = []
    at = 0
    while at < len(data):
        for length in (4, 3, 1):
            name = _KEYS.get(data[at : at + length])
            if name:
                found.append(name)
                at += length
                break
        else:
            if data[at] != 0x1B:
                at += 1
            elif at + 1 == len(data):
                found.append("back")
                at += 1
            else:
                at += 2
                # A sequence that is not ours: its parameters, up to the letter that ends it.
                while data[at - 1 : at] in (b"[", b"O") or (0x20 <= data[at - 1] < 0x40):
                    at += 1
                    if at > len(data):
                        break
    return found


class Screen:
    """A terminal for a program that draws all of it. Use as a context manager, in the main thread."""

    def __init__(self) -> None:
        self._in = sys.stdin.fileno() if sys.stdin.isatty() else -1
        self._shown: list[str] = []
        self._before: list[Any] | None = None
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        self.asked: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        found = shutil.get_terminal_size((80, 24))
        with contextlib.suppress(OSError):
            found = os.get_terminal_size(sys.stdout.fileno())
        return max(1, found.columns or 80), max(1, found.lines or 24)

    def __enter__(self) -> Screen:
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._handlers = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._ask), (signal.SIGHUP, self._ask),
                (signal.SIGWINCH, self._redraw), (signal.SIGCONT, self._redraw), (signal.SIGTSTP, self._pause),
            )
        }  # fmt: skip
        self._enter()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._leave()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        for end in self._pipe:
            os.close(end)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, one per row of the terminal, each no wider than it."""
        out = []
        for row, line in enumerate(lines):
            if row >= len(self._shown) or self._shown[row] != line:
                # Erased first: after a full line some terminals would erase its last letter.
                out.append(f"\x1b[{row + 1};1H\x1b[0m\x1b[K{line}")
        if len(lines) < len(self._shown):
            out.append(f"\x1b[{len(lines) + 1};1H\x1b[J")
        self._shown = list(lines)
        if out:
            self._write("".join(out))

    def wait(self, seconds: float) -> list[str]:
        """The keys pressed within `seconds`, at once when there are any; "quit" when the terminal has gone or a signal asks."""
        deadline = time.monotonic() + seconds
        while True:
            watched = [fd for fd in (self._in, self._pipe[0]) if fd >= 0]
            ready, _, _ = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))
            if self._pipe[0] in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._pipe[0], 4096)
            if self.asked is not None:
                return ["quit"]
            if self._in in ready:
                data = os.read(self._in, 1024)
                return keys(data) if data else ["quit"]
            if ready or time.monotonic() >= deadline:
                return []

    def _enter(self) -> None:
        if self._in >= 0:
            self._before = termios.tcgetattr(self._in)
            tty.setcbreak(self._in, termios.TCSADRAIN)
        self._write(_ENTER)
        self._shown = []

    def _leave(self) -> None:
        self._write(_LEAVE)
        if self._before is not None:
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked = number

    def _redraw(self, _number: int, _frame: FrameType | None) -> None:
        self._shown = []
        self._write("\x1b[2J")

    def _pause(self, number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop, and take it again when continued."""
        self._leave()
        handler = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, handler)
        self._enter()
