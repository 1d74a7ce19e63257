"""Services that monitors start on demand: started once per data folder, brought back when they die, ended by the last monitor.

Monitors of one folder share the services. Each holds a shared lock on `.avaliacoes/monitors.lock` while it monitors, and what one
of them started is noted in `.avaliacoes/<kind>.by_monitor` (a process id): the last monitor to leave ends exactly those.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

from contract import places, service

#: In the order in which they end: the page should show the analyzer's last alerts.
KINDS: Final = ("analyzer", "renderer")
_LOOK_EVERY_S: Final = 1.0
_BACKOFF_MAX_S: Final = 30.0
#: Together, with the time to become ready, below the 5 seconds that stopping may take.
_PATIENCE_S: Final = {"analyzer": 1.6, "renderer": 1.4}
_READY_WITHIN_S: Final = 0.9


class BackgroundServices:
    """Keeps analyzer and renderer of one data folder running between `start()` and `stop()`."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._next_try = dict.fromkeys(KINDS, 0.0)
        self._failures = dict.fromkeys(KINDS, 0)
        self._lock = threading.RLock()
        self._membership: int | None = None
        self._watcher: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Start what does not run and watch over it. Returns at once."""
        with self._lock:
            if self._membership is None:
                path = places.own_dir(self._base) / "monitors.lock"
                self._membership = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._membership, fcntl.LOCK_SH)
            self.revive()
            self._ended = threading.Event()
            self._watcher = threading.Thread(
                target=self._watch, args=(self._ended,), name="avaliacoes-monitor", daemon=True
            )
            self._watcher.start()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(_LOOK_EVERY_S):
            try:
                self.revive()
            except OSError:
                continue  # a full disk or a missing folder: looked at again in a moment

    def revive(self) -> None:
        """Start each service that does not run, with growing pauses for one that keeps dying."""
        with self._lock:
            if self._membership is None:
                return
            for kind in KINDS:
                child = self._children.get(kind)
                if child is not None and child.poll() is None:
                    self._failures[kind] = 0 if service.find(self._base, kind) else self._failures[kind]
                    continue
                if service.is_running(self._base, kind) or time.monotonic() < self._next_try[kind]:
                    continue
                self._start(kind)

    def _start(self, kind: str) -> None:
        self._failures[kind] += 1
        pause = min(_BACKOFF_MAX_S, 0.5 * 2 ** self._failures[kind])
        self._next_try[kind] = time.monotonic() + pause
        log = places.own_dir(self._base) / f"{kind}.log"
        if self._failures[kind] == 5:
            logging.getLogger("avaliacoes").warning("the %s keeps dying; see %s", kind, log)
        child = service.start_detached(self._base, kind, "--auto", log=log)
        self._children[kind] = child
        self._note(kind).write_text(str(child.pid))

    def _note(self, kind: str) -> Path:
        return places.own_dir(self._base) / f"{kind}.by_monitor"

    def stop(self) -> None:
        """End what monitors of this folder started, unless another monitor is still there. Takes less than 5 s.

        A service gets SIGTERM and finishes what it has: the analyzer reads the files to their ends, the renderer
        writes the last page.
        """
        with self._lock:
            if self._membership is None:
                return
            self._ended.set()
            try:
                # The others hold shared locks: an exclusive one says that nobody else is left.
                fcntl.flock(self._membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for kind in KINDS:
                    self._end(kind)
            except BlockingIOError:
                pass
            finally:
                os.close(self._membership)
                self._membership = None
                self._children = {}

    def _end(self, kind: str) -> None:
        pids = set()
        child = self._children.get(kind)
        if child is not None and child.poll() is None:
            pids.add(child.pid)
            # Asked to end before it can listen, it would end without having read anything.
            deadline = time.monotonic() + _READY_WITHIN_S
            while child.poll() is None and not service.find(self._base, kind) and time.monotonic() < deadline:
                time.sleep(0.01)
        with contextlib.suppress(OSError, ValueError):
            noted = int(self._note(kind).read_text())
            info = service.find(self._base, kind)
            if info and info["pid"] == noted:
                pids.add(noted)
        for number, patience in ((signal.SIGTERM, _PATIENCE_S[kind]), (signal.SIGKILL, 0.2)):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + patience
            while pids and time.monotonic() < deadline:
                pids = {pid for pid in pids if self._lives(kind, pid)}
                if pids:
                    time.sleep(0.01)
            if not pids:
                break
        self._note(kind).unlink(missing_ok=True)

    def _lives(self, kind: str, pid: int) -> bool:
        child = self._children.get(kind)
        if child is not None and child.pid == pid:
            return child.poll() is None
        info = service.find(self._base, kind)
        return bool(info and info["pid"] == pid)


def finish_pages(base: Path, session: str) -> None:
    """A session has ended: where it has a page and nobody renders the folder, have page and report completed.

    A monitor that was stopped before the session's end would otherwise leave a page that says "running" for ever. Never
    raises, waits for nothing.
    """
    try:
        if (base / f"dashboard_{session}.html").exists() and not service.is_running(base, "renderer"):
            service.start_detached(base, "renderer", "--once", log=places.own_dir(base) / "renderer.log")
    except OSError as error:
        logging.getLogger("avaliacoes").warning("the page of %s is not completed: %s", session, error)
