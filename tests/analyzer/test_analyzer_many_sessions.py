"""Many sessions in one analyzer: none is forgotten, none holds up the others or the end, and a death repeats nothing."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from analyzer.loop import Loop
from analyzer.settings import Settings
from contract import service
from contract.tail import read_all

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]
SESSIONS = 60


def line(number: int, **metrics: float) -> bytes:
    row = {"_p": "aaaaaaaaaaaa", "_q": number, "timestamp": time.time(), "step": number, **metrics}
    return orjson.dumps({name: "NaN" if value != value else value for name, value in row.items()}) + b"\n"


def write(base: Path, session: str, begin: int, count: int, broken: bool = False) -> None:
    with open(base / f"gradients_{session}.jsonl", "ab") as file:
        file.write(b"".join(line(n, grad_norm=math.nan if broken else 1.0) for n in range(begin, begin + count)))


def names(kind: str) -> list[str]:
    return [f"{kind}{number}_20250101_000000" for number in range(SESSIONS)]


def ids(base: Path, session: str) -> list[str]:
    return [str(alert["id"]) for alert in read_all(base / f"alerts_{session}.jsonl")]


def fired(base: Path, session: str) -> bool:
    return any(alert["rule"] == "non_finite" for alert in read_all(base / f"alerts_{session}.jsonl"))


def test_sixty_sessions_and_a_death_in_their_midst(place: Path, spawn: Spawn, until: Until) -> None:
    """Sixty runs break down one after the other while the analyzer is killed twice: each has its alerts, each of them once,
    the same that `check_session` finds, and the healthy runs beside them have none."""
    from analyzer import check_session

    place.mkdir()
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    spawn("-m", "analyzer", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: service.find(place, "analyzer") and service.find(place, "collector"))
    sick, healthy = names("sick"), names("well")
    for session in (*sick, *healthy):
        write(place, session, 0, 30)
    for number, session in enumerate(sick):
        write(place, session, 30, 5, broken=True)
        if number in (20, 40):
            assert until(lambda number=number: fired(place, sick[number // 2]), 60)
            assert until(lambda: service.find(place, "analyzer"))
            os.kill((service.find(place, "analyzer") or {})["pid"], signal.SIGKILL)
    assert until(lambda: all(fired(place, session) for session in sick), 90)
    for session in sick:
        found = ids(place, session)
        assert len(found) == len(set(found))
        assert set(found) <= {str(alert["id"]) for alert in check_session(place, session)}
    assert not any(ids(place, session) for session in healthy)


def test_a_backlog_holds_up_neither_news_nor_the_end(place: Path, spawn: Spawn, until: Until) -> None:
    """With millions of bytes of old records to catch up with, a run that breaks down now is told before all are read, and the
    analyzer ends within 5 s of being asked."""
    place.mkdir()
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: service.find(place, "collector"))
    for session in names("long"):
        write(place, session, 0, 4_000)
    write(place, "now_20250101_000000", 0, 30)
    write(place, "now_20250101_000000", 30, 5, broken=True)
    analyzer = spawn(
        *("-m", "analyzer", "--base-path", str(place), "--worker"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert analyzer.stdout is not None and b"ready" in analyzer.stdout.readline()
    assert until(lambda: fired(place, "now_20250101_000000"), 60)
    begin = time.monotonic()
    analyzer.terminate()
    assert analyzer.wait(20) == service.EXIT_OK
    assert time.monotonic() - begin < 5


def test_a_turn_is_short_and_fair(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to read, a turn ends, and who had none is the first in the next: all are read in turn."""
    monkeypatch.setattr("analyzer.loop._TURN_S", 0.0)
    (place / ".avaliacoes").mkdir(parents=True)
    for session in names("run")[:10]:
        write(place, session, 0, 50)
    loop = Loop(Settings(place, chunk=1_000), lambda session, step, metrics: None)
    read: list[str] = []
    original = loop._read
    monkeypatch.setattr(
        loop, "_read", lambda session, category: (read.append(session.name), original(session, category))
    )
    try:
        for _ in range(20):
            loop.turn()
    finally:
        loop.close()
    assert len(read) == 20 and len(set(read[:10])) == 10 and read[:10] == read[10:]


def test_memory_does_not_grow_with_the_records(place: Path) -> None:
    """What a session holds after 20,000 records is no more than a few times what it held after 2,000."""
    import gc
    import tracemalloc

    from analyzer.tuning import Tuning
    from analyzer.watch import Session

    place.mkdir()
    session = Session("run_20250101_000000", place, Tuning())
    held = []
    tracemalloc.start()
    try:
        for upto in (2_000, 20_000):
            begin = held[-1][0] if held else 0
            write(place, session.name, begin, upto - begin)
            session.hint("gradients")
            while session.pending:
                session.read("gradients", 1 << 16)
            gc.collect()
            held.append((upto, tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    assert held[1][1] < 4 * held[0][1] and held[1][1] < 4_000_000


def test_the_producers_of_quiet_sessions_are_let_go(place: Path, spawn: Spawn, until: Until) -> None:
    """Alerts of thirty sessions go out by thirty producers, which leave when they are idle; a later alert finds its way, and
    what a missing collector has not taken is not let go."""
    from analyzer.__main__ import Publisher

    collector = spawn(
        "-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert until(lambda: service.find(place, "collector"))
    publisher = Publisher(str(place))
    sessions = names("run")[:30]
    try:
        for number, session in enumerate(sessions):
            publisher(session, 1, {"id": f"{number:016x}", "rule": "non_finite", "state": "firing"})
        assert publisher.producers == 30

        def tidied() -> bool:
            publisher.tidy(0.0)
            return publisher.producers == 0

        assert until(tidied, 60)
        publisher(sessions[0], 2, {"id": "f" * 16, "rule": "crashed", "state": "firing"})
        assert until(lambda: len(ids(place, sessions[0])) == 2) and all(len(ids(place, s)) == 1 for s in sessions[1:])
        assert until(tidied, 60)
        collector.kill()
        collector.wait()
        publisher(sessions[1], 2, {"id": "e" * 16, "rule": "crashed", "state": "firing"})
        publisher.tidy(0.0)
        assert publisher.producers == 1
    finally:
        publisher.close()
