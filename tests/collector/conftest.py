"""A running collector for the tests of this folder: a real process, found by its ready line, ended by its id."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from raw_producer import RawProducer


@dataclass
class Running:
    """A collector process; `ingest` and `feed` are where it says it is."""

    process: subprocess.Popen[bytes]
    base: Path
    ingest: str = ""
    feed: str = ""
    ready: str = ""
    errors: list[str] = field(default_factory=list)

    def terminate(self, seconds: float = 10.0) -> int:
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


StartCollector = Callable[..., Running]


@pytest.fixture
def collector(place: Path, spawn: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> StartCollector:
    """`collector(*options)`: start a worker on `place` and wait until it is ready."""

    def start(*options: str, base: Path = place, worker: bool = True) -> Running:
        process = spawn(
            "-m",
            "collector",
            "--base-path",
            str(base),
            *options,
            *(["--worker"] if worker else []),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running = Running(process, base)
        assert process.stdout is not None and process.stderr is not None
        threading.Thread(target=_collect, args=(process.stderr, running.errors), daemon=True).start()
        line = process.stdout.readline().decode()
        assert line.startswith("collector: ready on "), (line, running.errors, process.wait(10))
        running.ready = line
        running.ingest, rest = line.removeprefix("collector: ready on ").split(", feed ", 1)
        running.feed = rest.split(", data in ")[0]
        return running

    return start


def _collect(pipe: IO[bytes], into: list[str]) -> None:
    into.extend(line.decode("utf-8", "replace") for line in pipe)


@pytest.fixture
def raw() -> Iterator[Callable[..., RawProducer]]:
    """`raw(endpoint, session, producer)`: a connected raw producer, closed at the end of the test."""
    made: list[RawProducer] = []

    def connect(endpoint: str, session: str = "run_20250101_000000", producer: str | None = None) -> RawProducer:
        one = RawProducer(endpoint, session, producer)
        made.append(one)
        one.wait_up()
        return one

    yield connect
    for one in made:
        one.close()
