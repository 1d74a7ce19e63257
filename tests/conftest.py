"""What every test may use: a private place for data, sockets and rings, and processes that never outlive their test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytest_plugins = ["browsers"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh data folder, with sockets and rings in a private short-named folder; services left there are ended."""
    runtime = Path(tempfile.mkdtemp(prefix="av-"))
    monkeypatch.setenv("AVALIACOES_RUNTIME_DIR", str(runtime))
    monkeypatch.delenv("AVALIACOES_DIR", raising=False)
    monkeypatch.delenv("AVALIACOES_ENDPOINT", raising=False)
    rest = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(ROOT) + (os.pathsep + rest if rest else ""))
    base = tmp_path / "data"
    yield base
    end_services(base)
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(params=["compiled", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with both ways of the log call: compiled, where it was built, and in Python."""
    from producer.quick import ENV_PURE, compiled

    monkeypatch.setenv(ENV_PURE, "1" if request.param == "python" else "0")
    if request.param == "compiled" and compiled() is None:
        pytest.skip("the log call was not compiled: there was no C compiler when this package was installed")
    return str(request.param)


def end_services(base: Path) -> None:
    """End, by process id, the services that hold the locks of a data folder."""
    from contract import service

    for kind in ("renderer", "analyzer", "collector"):
        info = service.find(base, kind)
        if not info:
            continue
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(int(info["pid"]), number)
                os.kill(int(info["pid"]), signal.SIGCONT)
            except ProcessLookupError:
                break
            if until(lambda kind=kind: not service.is_running(base, kind), 6.0):  # type: ignore[misc]
                break


def until(condition: Callable[[], object], seconds: float = 20.0, every: float = 0.02) -> bool:
    """Wait until `condition()` is true; False when the deadline has passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return bool(condition())


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., bool]:
    """`until(condition, seconds)`: wait for something with a deadline."""
    return until


Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """`spawn(*args, **popen)`: start `python args...`; whatever still runs at the end of the test is killed by its id."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, *arguments], **options)  # type: ignore[call-overload]
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        try:
            process.wait(6)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(6)
