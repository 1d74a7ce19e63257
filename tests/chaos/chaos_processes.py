"""The processes that the chaos tests and the soak start, kill, freeze and end; nothing here needs a test runner."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LONG = os.environ.get("AVALIACOES_LONG", "0") not in ("", "0")


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: it finds the packages of this checkout and the modules of this folder."""
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), **more}


class Child:
    """A process whose output lines can be waited for. `end` must be called for each; it is safe to call twice."""

    def __init__(self, arguments: list[str], **more: str) -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.said, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors, None), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe: object, into: list[str], lines: queue.Queue[str] | None) -> None:
        for line in pipe:  # type: ignore[attr-defined]
            into.append(line.rstrip("\n"))
            if lines is not None:
                lines.put(into[-1])

    def line(self, seconds: float = 30.0) -> str:
        """The next line of standard output; fails when none comes in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.lines.get(timeout=0.1)
            except queue.Empty:
                code = self.process.poll()
                if time.monotonic() > deadline or (code is not None and self.lines.empty()):
                    raise AssertionError(f"no line; exit code {code}; {self.said} {self.errors[-20:]}") from None

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float = 60.0) -> int:
        """The exit code; fails when it does not come in time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s; {self.said} {self.errors[-20:]}") from None
        for reader in self._readers:
            reader.join(2)
        return code

    def end(self) -> None:
        """Whatever it does: thaw it, ask it, then kill it."""
        if self.alive():
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(6)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for pipe in (self.process.stdout, self.process.stderr):
            for reader in self._readers:
                reader.join(2)
            # A grandchild may hold the other end; closing would then wait for it.
            if pipe is not None and not any(reader.is_alive() for reader in self._readers):
                pipe.close()


class Service(Child):
    """A worker of one of the three services."""

    def __init__(self, kind: str, base: Path, *options: str, wait: bool = True, **more: str) -> None:
        super().__init__(["-m", kind, "--base-path", str(base), "--worker", *options], **more)
        self.kind = kind
        self.base = base
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = 30.0) -> None:
        line = self.line(seconds)
        assert "ready" in line, line


class Wrapped(Child):
    """A collector run by `chaos_collector.py`, which breaks it in a chosen way."""

    def __init__(self, base: Path, how: str, *options: str, wait: bool = True) -> None:
        script = str(HERE / "chaos_collector.py")
        super().__init__([script, how, "--base-path", str(base), "--worker", *options])
        if wait:
            assert "ready" in self.line()


class Trainer(Child):
    """`chaos_trainer.py`; `session` and `producer` are known once it is ready to be killed."""

    def __init__(self, base: Path, tally: Path, slot: int, *options: str, wait: bool = True, **more: str) -> None:
        script = str(HERE / "chaos_trainer.py")
        super().__init__([script, str(base), str(tally), str(slot), *options], **more)
        self.slot = slot
        self.session = self.producer = ""
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds: float = 60.0) -> None:
        self.session, self.producer = self.line(seconds).split()
