"""A terminal that knows the few sequences that `top` may send, and refuses every other control character."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from rich.cells import cell_len

_KNOWN = re.compile(
    r"\x1b\[(?:(?P<row>\d+);1H|(?P<erase>[02]?)J|(?P<line>)K|(?P<style>[0-9;]*)m|\?(?P<mode>1049|25)(?P<on>[hl]))"
)


class StrictTerminal:
    """A pseudo terminal with a program in it. `screen` is what a person would see."""

    def __init__(self, base: Path, width: int, height: int, *arguments: str, **environment: str) -> None:
        self.width, self.height = width, height
        self.rows = [""] * height
        self.row = 0
        self.other_screen = self.cursor_hidden = False
        self.styles: set[str] = set()
        self.main, side = os.openpty()
        self.resize(width, height)
        self.before = termios.tcgetattr(side)
        self.side = side
        variables = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
        for name in ("LC_ALL", "LC_CTYPE", "NO_COLOR", "COLUMNS", "LINES"):
            if name not in environment:
                variables.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "avaliacoes", "top", "--base-path", str(base), *arguments],
            stdin=side, stdout=side, stderr=subprocess.PIPE, env=variables, start_new_session=True,
        )  # fmt: skip
        self._left = ""
        self._bytes = b""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.width, self.height = width, height
        self.rows = [""] * height

    def type(self, keys: str) -> None:
        os.write(self.main, keys.encode())

    @property
    def screen(self) -> str:
        return "\n".join(self.rows)

    def shows(self, condition: Callable[[str], object], seconds: float = 30.0) -> bool:
        """Whether the screen comes to satisfy `condition`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.main], [], [], 0.1)
            if ready:
                try:
                    self._feed(os.read(self.main, 65536))
                except OSError:
                    break
            if condition(self.screen):
                return True
        return bool(condition(self.screen))

    def _feed(self, data: bytes) -> None:
        self._bytes += data
        text = self._bytes.decode("utf-8", "ignore")
        kept = text.encode()
        if len(kept) < len(self._bytes) - 3:
            raise AssertionError(f"not UTF-8: {self._bytes!r}")
        self._bytes = self._bytes[len(kept) :]
        text = self._left + text
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                found = _KNOWN.match(text, at)
                if found is None:
                    if len(text) - at < 12:
                        break
                    raise AssertionError(f"a sequence that top does not send: {text[at : at + 20]!r}")
                self._obey(found)
                at = found.end()
                continue
            if not char.isprintable():
                raise AssertionError(f"a control character: {text[at : at + 20]!r}")
            self.rows[self.row] += char
            if cell_len(self.rows[self.row]) > self.width:
                raise AssertionError(f"wider than {self.width}: {self.rows[self.row]!r}")
            at += 1
        self._left = text[at:]

    def _obey(self, found: re.Match[str]) -> None:
        if found["row"]:
            self.row = int(found["row"]) - 1
            assert 0 <= self.row < self.height, f"row {self.row} of {self.height}"
        elif found["erase"] is not None:
            begin = 0 if found["erase"] == "2" else self.row
            self.rows[begin:] = [""] * (self.height - begin)
        elif found["line"] is not None:
            self.rows[self.row] = ""
        elif found["mode"] == "1049":
            self.other_screen = found["on"] == "h"
        elif found["mode"] == "25":
            self.cursor_hidden = found["on"] == "l"
        elif found["style"]:
            self.styles.add(found["style"])

    def restored(self) -> bool:
        """Whether the terminal is as it was before."""
        self.shows(lambda _: not self.other_screen, 5)
        return not self.other_screen and not self.cursor_hidden and termios.tcgetattr(self.side) == self.before

    def end(self) -> bytes:
        """End the program if it still runs; what it said on standard error."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        self.process.stderr.close()
        for fd in (self.main, self.side):
            os.close(fd)
        return said
