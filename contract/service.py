"""How a service (collector, analyzer, renderer) starts, is found, gives way and ends.

One service of a kind per data folder: it holds an exclusive flock on `.avaliacoes/<kind>.lock` and then writes
`.avaliacoes/<kind>.json` (pid, endpoints, version, whether it was started on demand). A service that somebody starts by
hand takes the place of one that a client started on demand (`auto`): it sends that one SIGTERM and waits for the lock.

`python -m <kind>` is a small supervisor that runs the worker as its child, starts it again when it dies, passes
signals on, and ends with it; the worker ends when its supervisor's end of a pipe closes, so neither outlives the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import site
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import orjson

from contract import __version__
from contract.places import own_dir, socket_dir

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_ALREADY_RUNNING: Final = 3
#: The worker could not open what it needs (folder, port); starting it again would not help.
EXIT_CANNOT_START: Final = 4

_ENV_LEASH: Final = "AVALIACOES_LEASH_FD"
_LOCK_WAIT_S: Final = 3.0
_TAKEOVER_WAIT_S: Final = 8.0
_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class AlreadyRunning(RuntimeError):
    """Another instance of this service holds the data folder."""


class CannotStart(RuntimeError):
    """The service cannot open what it needs; the text says what to do."""


def lock_file(base: Path, kind: str) -> Path:
    return own_dir(base) / f"{kind}.lock"


def info_file(base: Path, kind: str) -> Path:
    return own_dir(base) / f"{kind}.json"


def is_running(base: Path, kind: str) -> bool:
    """Whether a live process holds this service of this data folder."""
    try:
        fd = os.open(lock_file(base, kind), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def find(base: Path, kind: str) -> dict[str, Any] | None:
    """What a running service says of itself (pid, endpoints, ...), or None if none runs or it is not ready yet."""
    try:
        info = orjson.loads(info_file(base, kind).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return info if isinstance(info, dict) and is_running(base, kind) else None


@dataclass(slots=True)
class Held:
    """The lock of one service, held by this process; `announce` makes it findable, `release` lets go."""

    base: Path
    kind: str
    auto: bool
    fd: int

    def announce(self, **endpoints: Any) -> None:
        info = {
            "pid": os.getpid(),
            "auto": self.auto,
            "version": __version__,
            "started": time.time(),
            **endpoints,
        }
        path = info_file(self.base, self.kind)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(orjson.dumps(info))
        os.replace(temporary, path)

    def release(self) -> None:
        """Withdraw the announcement, then the lock."""
        with contextlib.suppress(OSError):
            info_file(self.base, self.kind).unlink()
        with contextlib.suppress(OSError):
            os.close(self.fd)


def hold(base: Path, kind: str, auto: bool = False) -> Held:
    """Take the lock of a service.

    Raises:
        AlreadyRunning: an instance that nobody may displace holds it (for `auto`, any instance).
    """
    fd = os.open(lock_file(base, kind), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    begin = time.monotonic()
    asked: int | None = None
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Held(base, kind, auto, fd)
        except BlockingIOError:
            pass
        info = find(base, kind)
        displace = bool(info and info.get("auto")) and not auto
        if displace and info and info["pid"] != asked:
            asked = int(info["pid"])
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(asked, signal.SIGTERM)
        waited = time.monotonic() - begin
        if waited > (_TAKEOVER_WAIT_S if asked else 0.0 if auto else _LOCK_WAIT_S):
            os.close(fd)
            who = f"process {info['pid']}" if info else "another process"
            raise AlreadyRunning(
                f"a {kind} already runs on {base} ({who}). One per data folder: stop that one, "
                "or give this one another folder with --base-path"
            )
        time.sleep(0.02)


class Stop:
    """Asks a service to end: set by SIGTERM, SIGINT, by the end of its supervisor, or by a test."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def set(self) -> None:
        """Ask to end. Safe from signal handlers and other threads; wakes a poller that watches `reader`."""
        self._event.set()
        with contextlib.suppress(OSError):
            os.write(self._writer, b"x")

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until asked to end or `seconds` have passed; True if asked."""
        return self._event.wait(seconds)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """A `Stop` that SIGTERM, SIGINT and the supervisor's death set; the old handlers come back at the end."""
    stop = Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    leash = os.environ.pop(_ENV_LEASH, None)
    if leash is not None:
        threading.Thread(target=_watch_leash, args=(int(leash), stop), name="leash", daemon=True).start()
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_leash(fd: int, stop: Stop) -> None:
    with contextlib.suppress(OSError):
        while os.read(fd, 1):
            pass
    stop.set()


def command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command line and environment that run one of our modules in a new process.

    The module search path is made to hold the folder that this very package came from, so a checkout that was put on
    `sys.path` by hand works too; the caller should start the process in a folder of ours, never in the user's, where
    a folder named like one of our packages would come first.
    """
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parent.parent)
    known = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if root not in known:
        rest = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = root + (os.pathsep + rest if rest else "")
    return [sys.executable, "-m", module, *arguments], environment


def start_detached(base: Path, module: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start one of our services in a session of its own, its output appended to `log`; returns at once."""
    argv, environment = command(module, "--base-path", str(base), *arguments)
    with open(log, "ab") as output:
        return subprocess.Popen(
            argv,
            env=environment,
            cwd=socket_dir(base),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def supervise(module: str, arguments: Sequence[str]) -> int:
    """Run `python -m module arguments --worker` until it ends by itself or a signal asks; start it again when it dies.

    Returns the exit code: 0 after a clean end, the worker's own when starting it again cannot help.
    """
    asked: list[int] = []
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    child: subprocess.Popen[bytes] | None = None

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            os.write(writer, b"x")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    leash_reader, leash_writer = os.pipe()
    argv = [sys.executable, "-m", module, *arguments, "--worker"]
    deaths = 0
    while not asked:
        begin = time.monotonic()
        environment = {**os.environ, _ENV_LEASH: str(leash_reader)}
        child = subprocess.Popen(argv, env=environment, pass_fds=(leash_reader,), start_new_session=True)
        if asked:
            child.send_signal(signal.SIGTERM)
        code = child.wait()
        if asked or code in (EXIT_OK, EXIT_USAGE, EXIT_ALREADY_RUNNING, EXIT_CANNOT_START):
            return EXIT_OK if asked and code in (EXIT_OK, -signal.SIGTERM) else code
        deaths = 0 if time.monotonic() - begin > 30 else deaths + 1
        pause = _BACKOFF_S[min(deaths, len(_BACKOFF_S) - 1)]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        sys.stderr.write(f"{module}: the worker ended with {how}; starting it again in {pause:g} s\n")
        select.select([reader], [], [], pause)
    os.close(leash_writer)
    return EXIT_OK
