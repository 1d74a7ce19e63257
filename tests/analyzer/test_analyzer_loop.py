"""The loop on real files that grow: found, judged, published once, put away, taken up again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest
import zmq

from analyzer import check_session, memory
from analyzer.loop import Loop, run
from analyzer.settings import Settings, SettingsRefused, from_environment
from contract import lines, places, service, settings, wire
from contract.folder import sessions
from contract.service import Stop

Until = Callable[..., bool]
P = "aaaaaaaaaaaa"


class Writer:
    """Appends to one session's files as the collector would."""

    def __init__(self, base: Path, session: str, producer: str = P) -> None:
        self.base, self.session, self.producer = places.prepare_base(base), session, producer
        self.seq: dict[str, int] = {}

    def write(self, category: str, *rows: dict[str, Any], at: float | None = None, end: bytes = b"\n") -> Path:
        path = self.base / f"{category}_{self.session}.jsonl"
        with open(path, "ab") as file:
            for row in rows:
                seq = self.seq[category] = self.seq.get(category, -1) + 1
                stamp = time.time() if at is None else at + seq
                file.write(lines.encode_line(self.producer, seq, stamp, seq, row) + end)
        return path

    def norms(self, *values: float) -> None:
        self.write("gradients", *({"grad_norm": x} for x in values))

    def start(self) -> None:
        self.write("lifecycle", {"event": "start", "pid": 1})

    def end(self) -> None:
        self.write("lifecycle", {"event": "end", "status": "finished"})


class Running:
    """A loop in a thread, and what it published."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, int, dict[str, Any]]] = []
        self.done: list[str] = []
        self.fail = 0
        self.ended = threading.Event()

    def publish(self, session: str, step: int, metrics: dict[str, Any]) -> None:
        if self.fail:
            self.fail -= 1
            raise OSError("no space")
        self.alerts.append((session, step, metrics))

    def rules(self, session: str) -> list[tuple[str, str]]:
        return [(m["rule"], m["level"]) for name, _, m in list(self.alerts) if name == session]


@contextmanager
def looping(base: Path, running: Running | None = None, **options: Any) -> Iterator[Running]:
    running = running or Running()
    stop = Stop()
    chosen = Settings(**{"base": base, "scan_s": 0.05, "quiet_s": 0.3, **options})

    def body() -> None:
        try:
            run(chosen, stop, running.publish, running.done.append)
        finally:
            running.ended.set()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield running
    finally:
        stop.set()
        thread.join(10)
        stop.close()
    assert not thread.is_alive()


#: What the documented profile says of a norm above 10, and of a loss that is no number.
EXPLODED = [("gradient_explosion", "ERROR")]


@pytest.fixture(autouse=True)
def documented(place: Path) -> None:
    """These tests are about files and the loop: the documented thresholds say plainly what is to come out."""
    places.prepare_base(place)
    (place / "avaliacoes.toml").write_text('profile = "documented"\n')


def test_files_that_grow_give_alerts_as_they_grow(place: Path, until: Until) -> None:
    """A session that begins later is found, and its alerts carry the step and time of their records."""
    with looping(place) as running:
        writer = Writer(place, "s1")
        writer.norms(1.0, 1.0)
        assert not running.alerts
        writer.norms(50.0)
        assert until(lambda: running.rules("s1") == EXPLODED)
    session, step, metrics = running.alerts[-1]
    assert (session, step) == ("s1", 2) and abs(metrics["timestamp"] - time.time()) < 60 and "step" not in metrics


def test_a_half_written_line_is_waited_for(place: Path, until: Until) -> None:
    """Half a line is no record yet; the whole one is, and a broken one does no harm."""
    writer = Writer(place, "s1")
    with looping(place) as running:
        writer.norms(1.0, 1.0)
        with open(writer.base / "gradients_s1.jsonl", "ab") as file:
            file.write(b'{"broken\n')
        path = writer.write("gradients", {"grad_norm": 50.0}, end=b"")
        other = Writer(place, "s2")
        other.norms(50.0)
        assert until(lambda: running.rules("s2") == EXPLODED)
        assert running.rules("s1") == []
        with open(path, "ab") as file:
            file.write(b"\n")
        assert until(lambda: running.rules("s1") == EXPLODED)


def test_many_sessions_at_once(place: Path, until: Until) -> None:
    """Sessions are judged apart, each in its own name; a backlog of thousands of records is worked off."""
    sick, well = Writer(place, "sick"), Writer(place, "well")
    sick.norms(*([1.0] * 20_000), 50.0, 50.0, 50.0)
    well.norms(*([1.0] * 20_000))
    with looping(place, chunk=1 << 14) as running:
        assert until(lambda: running.rules("sick") == EXPLODED)
    assert running.rules("well") == []


def test_a_restarted_analyzer_repeats_nothing(place: Path, until: Until) -> None:
    """What is in the alerts' file already is not published again, and the episode goes on as if nothing had been."""
    writer = Writer(place, "s1")
    writer.norms(50.0, 50.0)
    with looping(place) as first:
        assert until(lambda: len(first.alerts) == 1)
    told = Writer(place, "s1", "bbbbbbbbbbbb")
    told.write("alerts", *(metrics for _, _, metrics in first.alerts))
    writer.norms(50.0, 50.0, 1e-12)
    with looping(place) as second:
        assert until(lambda: second.rules("s1") == [("vanishing_gradient", "WARNING")])
        time_for_more = Writer(place, "s2")
        time_for_more.norms(1e9)
        assert until(lambda: second.rules("s2") != [])
    assert len(second.rules("s1")) == 1


def test_settings_change_while_running(place: Path, until: Until) -> None:
    """A lower limit in monitor.json holds for the records that come after it."""
    writer = Writer(place, "s1")
    with looping(place) as running:
        writer.norms(9.0, 9.0)
        settings.save(place, {"gradient_threshold_high": 8.0})

        def poke() -> bool:
            writer.norms(9.0)
            return running.rules("s1") == EXPLODED

        assert until(poke, every=0.1)
    assert running.alerts[0][2]["threshold"] == 8.0


def test_an_ended_session_is_put_away_and_remembered(place: Path, until: Until) -> None:
    """After its end what fires is ended and the publisher goes; a new analyzer leaves it alone until it grows again."""
    writer = Writer(place, "s1")
    writer.start()
    writer.norms(50.0, 50.0)
    with looping(place) as running:
        assert until(lambda: running.rules("s1") == EXPLODED)
        assert not running.done
        writer.end()
        assert until(lambda: running.done == ["s1"])
        assert "s1" in memory.load(place)
    assert [metrics["state"] for _, _, metrics in running.alerts] == ["firing", "ended"]
    assert {m["id"] for _, _, m in running.alerts} == {a["id"] for a in check_session(place, "s1")}
    told = Writer(place, "s1", "bbbbbbbbbbbb")
    told.write("alerts", *(metrics for _, _, metrics in running.alerts))
    with looping(place) as again:
        other = Writer(place, "s2")
        other.norms(1e9)
        assert until(lambda: again.rules("s2") != [])
        assert again.rules("s1") == []
        writer.norms(1e-12)
        assert until(lambda: ("vanishing_gradient", "WARNING") in again.rules("s1"))


def test_a_torn_last_line_does_not_keep_a_session_open(place: Path, until: Until) -> None:
    """A line that stays half for ever does not count as growth."""
    writer = Writer(place, "s1")
    writer.start()
    writer.write("gradients", {"grad_norm": 1.0}, end=b"")
    writer.end()
    with looping(place) as running:
        assert until(lambda: running.done == ["s1"])


def old(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_old_sessions_that_ended_are_left_alone(place: Path, until: Until) -> None:
    """At start only what is alive, recent, or newer than its alerts is analysed; the rest is for `check_session`."""
    for name, ended in (("gone", True), ("alive", False)):
        writer = Writer(place, name)
        writer.start()
        writer.norms(50.0, 50.0, 50.0)
        if ended:
            writer.end()
        for path in place.glob(f"*_{name}.jsonl"):
            old(path, 86_400)
    with looping(place) as running:
        assert until(lambda: running.rules("alive") == EXPLODED)
        assert running.rules("gone") == []
    assert [a["level"] for a in check_session(place, "gone") if a["state"] == "firing"] == ["ERROR"]


def test_imported_sessions_without_lifecycle(place: Path, until: Until) -> None:
    """Lines without producer, sequence and lifecycle are judged when they appear, then put away."""
    places.prepare_base(place)
    (place / "gradients_import.jsonl").write_bytes(
        b"".join(orjson.dumps({"timestamp": 5.0 + i, "step": i, "grad_norm": 50.0}) + b"\n" for i in range(3))
    )
    with looping(place) as running:
        assert until(lambda: running.rules("import") == EXPLODED)
        assert until(lambda: running.done == ["import"])


def test_a_replaced_file_is_judged_anew(place: Path, until: Until) -> None:
    """When a file is cut and written again the session starts over, and old alerts are not told twice."""
    writer = Writer(place, "s1")
    with looping(place) as running:
        writer.norms(*([50.0] * 10))
        assert until(lambda: running.rules("s1") == EXPLODED)
        fresh = Writer(place, "s1")
        (place / "gradients_s1.jsonl").unlink()
        fresh.norms(*([50.0] * 10))
        fresh.write("training", {"loss": float("nan")})
        assert until(lambda: len(running.alerts) == 2)
    assert running.rules("s1")[1:] == [("non_finite", "ERROR")]


def test_what_cannot_be_published_is_tried_again(place: Path, until: Until, capfd: pytest.CaptureFixture[str]) -> None:
    """A publisher that fails is reported once, and the alert goes out later, in order."""
    running = Running()
    running.fail = 5
    with looping(place, running):
        Writer(place, "s1").norms(50.0, 50.0, 50.0)
        assert until(lambda: running.rules("s1") == EXPLODED)
    assert capfd.readouterr().err.count("cannot publish") == 1


def test_custom_categories_find_their_session(place: Path) -> None:
    """A category with an underscore is cut where a known session begins."""
    writer = Writer(place, "run_20260101_000000")
    writer.norms(1.0)
    writer.write("my_own_metrics", {"loss": 1.0})
    found = sessions(place)
    assert set(found) == {"run_20260101_000000"}
    assert set(found["run_20260101_000000"]) == {"gradients", "my_own_metrics"}


def test_auto_ends_when_nothing_is_active(place: Path, until: Until) -> None:
    """Started on demand, the loop outlives its last session by the idle time and then ends."""
    writer = Writer(place, "s1")
    writer.start()
    writer.norms(1.0)
    with looping(place, auto=True, idle_s=0.5) as running:
        assert not until(running.ended.is_set, 1.5)
        writer.end()
        assert until(running.ended.is_set)


def test_the_feed_is_a_hint_and_the_collector_may_be_another_one(place: Path, until: Until) -> None:
    """With no look at the folder for an hour the feed alone brings alerts; a new collector's feed is found again."""
    places.prepare_base(place)
    writer = Writer(place, "s1")
    writer.norms(1.0)
    context = zmq.Context()
    running = Running()
    loop = Loop(Settings(base=place, scan_s=0.05, quiet_s=3600), running.publish)
    held = service.hold(place, "collector")
    try:
        for number in range(2):
            socket = context.socket(zmq.XPUB)
            socket.linger = 0
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            held.announce(feed=f"tcp://127.0.0.1:{port}", number=number)

            def subscribed(socket: zmq.Socket[bytes] = socket) -> bool:
                loop.turn()
                return bool(socket.poll(0))

            assert until(subscribed)
            assert socket.recv() == wire.SUBSCRIBED
            loop._next_scan = time.monotonic() + 3600  # from here on only the feed
            before = len(running.alerts)
            path = writer.write("gradients", {"grad_norm": 1e9, "component": f"c{number}"})
            for parts in ([b"tm1/x"], [b"tm1/a/b/c", b"\xc1"], [b"tm1/!offsets", b"\xc1"]):
                socket.send_multipart(parts)
            header = wire.pack_feed(path.name, 0, path.stat().st_size)
            socket.send_multipart([wire.topic_of("s1", "gradients"), header, b""])

            def told(before: int = before) -> bool:
                loop.turn()
                return len(running.alerts) > before

            assert until(told)
            writer.norms(float("nan"))
            sizes = {path.name: path.stat().st_size}
            socket.send_multipart([wire.OFFSETS_TOPIC, msgpack.packb(sizes)])
            # The second NaN belongs to the alert that the first one raised.
            assert until(lambda wanted=before + (number == 0): told(wanted))
            socket.close()
            loop._next_scan = 0.0
    finally:
        loop.close()
        held.release()
        context.term()
    assert loop._feed.refused == 6


def test_settings_are_checked_before_anything_opens() -> None:
    """A time that is no number, or cannot be, is refused by its name."""
    with pytest.raises(SettingsRefused, match="AVALIACOES_ANALYZER_SCAN_S"):
        from_environment("x", environment={"AVALIACOES_ANALYZER_SCAN_S": "soon"})
    with pytest.raises(SettingsRefused, match="scan_s"):
        from_environment("x", environment={}, scan_s=0.0)
    chosen = from_environment("x", environment={"AVALIACOES_ANALYZER_IDLE_S": "7"}, quiet_s=2.0)
    assert (chosen.idle_s, chosen.quiet_s, chosen.scan_s) == (7.0, 2.0, 0.5)
