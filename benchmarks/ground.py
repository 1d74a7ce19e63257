"""A place of its own for each measurement: data folder, sockets, rings and services, all gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT


class Service:
    """A service's worker process, on a leash: it ends when this process does."""

    def __init__(self, kind: str, base: Path, *arguments: str) -> None:
        reader, self._leash = os.pipe()
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", kind, "--base-path", str(base), "--worker", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(reader,),
            env={**os.environ, "AVALIACOES_LEASH_FD": str(reader)},
            start_new_session=True,
        )
        os.close(reader)
        self.base = base
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline().decode()
        #: Seconds from the start of the process to its ready line.
        self.ready_s = time.perf_counter() - begin
        if not self.ready_line:
            self.end()
            raise RuntimeError(f"{kind} did not start on {base}: exit code {self.process.wait()}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def info(self) -> dict[str, Any]:
        """What the service says of itself (endpoints)."""
        found: dict[str, Any] = json.loads((self.base / ".avaliacoes" / "collector.json").read_text())
        return found

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped (SIGSTOP) for as long as the block lasts."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1


class Ground:
    """A data folder and a runtime folder; `collector()` and `service()` start what runs on them.

    While the block lasts the environment points everything started, here and in children, to them.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Ground:
        self.folder = Path(tempfile.mkdtemp(prefix="av-bench-"))
        runtime = Path(tempfile.mkdtemp(prefix="av-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._stack.callback(shutil.rmtree, runtime, ignore_errors=True)
        self.base = self.folder / "data"
        self.base.mkdir()
        before = {name: os.environ.get(name) for name in _VARIABLES}
        self._stack.callback(_restore, before)
        for name in _VARIABLES:
            os.environ.pop(name, None)
        os.environ["AVALIACOES_RUNTIME_DIR"] = str(runtime)
        os.environ["AVALIACOES_AUTOSTART"] = "0"
        os.environ["PYTHONPATH"] = str(ROOT)
        return self

    def service(self, kind: str, *arguments: str, base: Path | None = None) -> Service:
        started = Service(kind, base or self.base, *arguments)
        self._stack.callback(started.end)
        return started

    def collector(self, base: Path | None = None) -> Service:
        return self.service("collector", base=base)

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


_VARIABLES = (
    "AVALIACOES_RUNTIME_DIR",
    "AVALIACOES_AUTOSTART",
    "AVALIACOES_DIR",
    "AVALIACOES_ENDPOINT",
    "AVALIACOES_BIND",
    "AVALIACOES_FEED",
    "AVALIACOES_DURABILITY",
    "AVALIACOES_SPOOL_BYTES",
    "PYTHONPATH",
)


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def cpu_seconds(pid: int) -> float:
    """CPU seconds of all threads of a process, to the nanosecond where the kernel tells (Linux)."""
    with contextlib.suppress(OSError, ValueError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def switches(pid: int) -> int:
    """Context switches of all threads of a process so far; 0 where the kernel does not tell."""
    found = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            lines = (task / "status").read_text().splitlines()
            found += sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return found


def memory_mib(pid: int, peak: bool = False) -> float:
    """Resident memory of a process, shared pages included, in MiB."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(wanted):
                return int(line.split()[1]) / 1024
    import psutil

    return float(psutil.Process(pid).memory_info().rss) / 2**20


def until(condition: Callable[[], object], seconds: float = 60.0, every: float = 0.01) -> None:
    """Wait until `condition()` is true.

    Raises:
        TimeoutError: it was not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(every)
