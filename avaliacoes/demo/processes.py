"""Child processes that are ended for certain, with all that they started."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ENV_MARK: Final = "AVALIACOES_DEMO_MARK"


@dataclass(frozen=True, slots=True)
class Seen:
    """A process that cannot be mistaken for a later one with the same number: its id and when it began."""

    pid: int
    began: str


def _table() -> dict[int, tuple[int, str, str]]:
    """Every process: id -> (parent, when it began, state)."""
    found = {}
    proc = Path("/proc")
    if (proc / "self" / "stat").exists():
        for entry in proc.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    # The name in parentheses may itself hold spaces and parentheses.
                    fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    found[int(entry.name)] = (int(fields[1]), fields[19], fields[0])
        return found
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat=,lstart="], capture_output=True, text=True, check=False
    )
    for line in listing.stdout.splitlines():
        pid, parent, state, began = line.split(None, 3)
        found[int(pid)] = (int(parent), began, state[0])
    return found


def family(roots: set[int]) -> set[Seen]:
    """The processes `roots` and all that descend from them, zombies apart."""
    table = _table()
    members = set(roots)
    grown = True
    while grown:
        more = {pid for pid, (parent, _, _) in table.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return {Seen(pid, table[pid][1]) for pid in members if pid in table and table[pid][2] != "Z"}


def alive(seen: set[Seen]) -> set[Seen]:
    """Those of `seen` that still run."""
    table = _table()
    now = {Seen(pid, began) for pid, (_, began, state) in table.items() if state != "Z"}
    return seen & now


def marked(mark: str) -> set[Seen]:
    """The processes that inherited `mark` in their environment; none where the system does not tell (macOS)."""
    wanted = f"{ENV_MARK}={mark}".encode()
    found = set()
    for pid, (_, began, state) in _table().items():
        with contextlib.suppress(OSError):
            if state != "Z" and wanted in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0"):
                found.add(Seen(pid, began))
    return found


@dataclass(slots=True)
class Child:
    """A process of ours, in a session of its own, its output in a log file.

    `relatives` are all descendants ever seen: services put their workers into sessions of their own, so a process
    group would not reach them. `mark`, in their environment, finds those whose parents died before they were seen.
    """

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    mark: str
    relatives: set[Seen] = field(default_factory=set)

    @classmethod
    def start(cls, name: str, argv: list[str], environment: dict[str, str], cwd: Path, log: Path) -> Child:
        mark = secrets.token_hex(8)
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                env={**environment, ENV_MARK: mark},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(name, log, process, mark)

    def look(self) -> None:
        """Remember the descendants that it has now."""
        if self.process.poll() is None:
            self.relatives |= family({self.process.pid})

    def ask(self, number: int) -> None:
        """Send a signal to the process itself, which passes it on; to its descendants if it is gone."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            return
        for one in alive(self.relatives):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, number)

    def last_words(self, lines: int = 12) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return str(error)


def end(children: list[Child], first: int, patience: float) -> list[str]:
    """End children and all they started: `first`, after `patience` seconds SIGTERM, then SIGKILL.

    Returns what had to be killed, in words: empty if all went by themselves.
    """
    for child in children:
        child.look()
        child.relatives |= marked(child.mark)
        child.ask(first)
    _wait(children, patience)
    if first != signal.SIGTERM:
        for child in children:
            child.ask(signal.SIGTERM)
        _wait(children, patience / 2)
    killed = []
    for child in children:
        for one in alive(child.relatives | marked(child.mark)):
            killed.append(f"{child.name} (process {one.pid})")
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(5)
    return killed


def _wait(children: list[Child], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        running = [child for child in children if child.process.poll() is None]
        if not running and not any(alive(child.relatives) for child in children):
            return
        for child in running:
            child.look()
        time.sleep(0.05)
