"""What a power cut could take, as far as one machine can show it: which system calls come before an acknowledgement."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgpack
import pytest
from audit import settle
from chaos_processes import Child, Trainer, environment
from tally import Tally

from contract import service

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

_CALL = re.compile(r"^(?P<pid>\d+) +(?P<at>[\d.]+) (?:<\.\.\. )?(?P<name>\w+)(?P<rest>[( ].*)$")
_ACK = re.compile(rb"A[\x81-\x8f]")
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


@dataclass
class Trace:
    """What strace saw, in order: data lines written, synced, and acknowledged, by (producer, category)."""

    acks: int = 0
    syncs: list[float] = field(default_factory=list)
    first_write: float = 0.0
    last_write: float = 0.0
    early: list[str] = field(default_factory=list)
    _files: dict[int, str] = field(default_factory=dict)
    _pending: dict[int, dict[tuple[str, str], int]] = field(default_factory=dict)
    _safe: dict[tuple[str, str], int] = field(default_factory=dict)
    _written: dict[tuple[str, str], int] = field(default_factory=dict)
    _started: dict[str, str] = field(default_factory=dict)
    power: bool = True

    def take(self, line: str) -> None:
        found = _CALL.match(line)
        if found is None:
            return
        pid, at, name, rest = found["pid"], float(found["at"]), found["name"], found["rest"]
        resumed, unfinished = " resumed>" in rest, rest.endswith("<unfinished ...>")
        if name in ("sendto", "sendmsg") and not resumed:
            self._ack(_bytes(rest))
        if unfinished:
            self._started[pid] = rest
            return
        if resumed:
            rest = self._started.pop(pid, "") + rest
        if name == "openat" and ".jsonl" in (path := _bytes(rest).decode("utf-8", "replace")):
            self._files[int(rest.rpartition("= ")[2].split()[0])] = Path(path).name.partition("_")[0]
        elif name == "write" and (fd := _first(rest)) in self._files:
            self._wrote(fd, _bytes(rest), at)
        elif name in ("fdatasync", "fsync") and rest.rstrip().endswith("= 0"):
            self.syncs.append(at)
            self._safe.update(self._pending.pop(_first(rest), {}))

    def _wrote(self, fd: int, data: bytes, at: float) -> None:
        self.first_write = self.first_write or at
        self.last_write = at
        for line in data.splitlines():
            record = json.loads(line)
            key = (record["_p"], self._files[fd])
            self._pending.setdefault(fd, {})[key] = self._written[key] = record["_q"] + 1

    def _ack(self, data: bytes) -> None:
        for begin in _ACK.finditer(data):
            try:
                unpacker = msgpack.Unpacker()
                unpacker.feed(data[begin.start() + 1 :])
                moved = unpacker.unpack()
                for producer, by_category in moved.items():
                    for category, seq in by_category.items() if producer else ():
                        self.acks += 1
                        known = (self._safe if self.power else self._written).get((producer, category), 0)
                        if seq > known:
                            self.early.append(f"{category}: {seq} acknowledged, {known} are on disk")
            except (ValueError, AttributeError, msgpack.UnpackException):
                pass  # other bytes that look like an ack


def _first(rest: str) -> int:
    """The first argument of a call, a descriptor."""
    found = re.match(r"\((\d+)", rest)
    return int(found[1]) if found else -1


def _bytes(text: str) -> bytes:
    return b"".join(bytes.fromhex(part.replace("\\x", "")) for part in _HEX.findall(text))


@pytest.fixture
def traced(place: Path, tmp_path: Path, children: list[Child]) -> Iterator[Callable[[str], Child]]:
    """`traced(durability)`: a collector under strace, its calls in `tmp_path/trace`."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is needed")
    if subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, env=environment()).returncode:
        pytest.skip("tracing is not permitted here")

    def start(durability: str) -> Child:
        wanted = "trace=openat,write,fdatasync,fsync,sendto,sendmsg"
        # -D: the tracer steps aside, so that the process we started is the collector itself.
        tracing = [
            "-D",
            "-f",
            "-ttt",
            "-xx",
            "-s",
            "300000",
            "-e",
            wanted,
            "-e",
            "signal=none",
            "-o",
            str(tmp_path / "trace"),
        ]
        command = [strace, *tracing, sys.executable, "-m", "collector", "--base-path", str(place), "--worker"]
        command += ["--durability", durability]
        children.append(child := Child(["-c", f"import os; os.execv({strace!r}, {command!r})"]))
        assert "ready" in child.line(60)
        return child

    yield start


def _traced_run(
    traced: Callable[[str], Child],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    durability: str,
) -> Trace:
    """What a collector did for a trainer whose ring it cannot see: all acknowledgements go through the socket."""
    child = traced(durability)
    info = service.find(place, "collector")
    assert info is not None
    options = ["--records", "2000", "--rate", "700", "--endpoint", str(info["ingest"]), "--timeout", "60"]
    one = trainer(0, *options, base=tmp_path / "elsewhere")
    assert one.wait(90) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)
    child.end()
    trace = Trace(power=durability == "power")
    for line in (tmp_path / "trace").read_text().splitlines():
        trace.take(line)
    return trace


def test_power_acknowledges_after_the_sync(
    traced: Callable[[str], Child], trainer: Callable[..., Trainer], place: Path, tally: Tally, tmp_path: Path
) -> None:
    """With `--durability power` no record is acknowledged before the fdatasync of its line has returned."""
    trace = _traced_run(traced, trainer, place, tally, tmp_path, "power")
    assert trace.acks > 20 and len(trace.syncs) > 20
    assert not trace.early, trace.early[:5]


def test_written_acknowledges_after_the_write_and_syncs_each_second(
    traced: Callable[[str], Child], trainer: Callable[..., Trainer], place: Path, tally: Tally, tmp_path: Path
) -> None:
    """By default no record is acknowledged before its line is written, and what is written is synced about each second."""
    trace = _traced_run(traced, trainer, place, tally, tmp_path, "written")
    assert trace.acks > 20
    assert not trace.early, trace.early[:5]
    moments = [trace.first_write, *(at for at in trace.syncs if at > trace.first_write)]
    gaps = [after - before for before, after in pairwise(moments) if before < trace.last_write]
    assert gaps and max(gaps) < 3.0, gaps
    assert moments[-1] >= trace.last_write
