"""Records taken straight out of the rings of trainers on this machine."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_producer import numbers, payload_of, read_lines, record, status, write_ring

from collector import store
from collector.counts import Counts
from collector.ingest import Ingest
from collector.people import People
from collector.pull import Puller
from contract import blocks, places, wire
from contract.live import ORDERED, PAGE, RELIED, WELCOME, LiveWords, Mark
from producer import Producer

pytestmark = pytest.mark.skipif(not ORDERED, reason="this processor may reorder stores: rings are not read live")
S = "run_20250101_000000"


class Trainer:
    """A real producer that logs numbered records at about 500 a second."""

    def __init__(self, place: Path, **options: Any) -> None:
        self.producer = Producer(place, session=S, autostart=False, **options)
        self.logged = 0

    def log(self, until: Any, seconds: float = 30.0, category: str = "training") -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.producer.log(category, self.logged, {"n": self.logged})
            self.logged += 1
            if until():
                return True
            time.sleep(0.002)
        return False

    def relied(self) -> bool:
        return bool(self.producer.ring.live.wish == RELIED)


def test_a_steady_trainer_is_taken_from_its_ring_without_a_record_twice(collector, place: Path) -> None:
    """A thousand records taken from the ring, another category beginning meanwhile: each once, in order, none resent."""
    collector()
    one = Trainer(place)
    assert one.log(one.relied)
    enough = one.logged + 500
    assert one.log(lambda: one.logged >= enough)
    for step in range(50):
        one.producer.log("rewards", step, {"n": step})
    assert one.log(lambda: one.logged >= enough + 300)
    assert one.producer.close()
    assert numbers(place, "training", S) == list(range(one.logged))
    assert numbers(place, "rewards", S) == list(range(50))
    assert one.producer.stats()["persisted"] == one.logged + 50
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and status(place)["totals"]["stored"] < one.logged:
        time.sleep(0.05)
    totals = status(place)["totals"]
    assert totals["pulled"] > 500 and totals["gaps"] == 0


def test_every_record_crosses_the_socket_where_that_is_asked_for(collector, place: Path, monkeypatch) -> None:
    """`AVALIACOES_RING=0`: as steady as it may be, nothing is taken from the ring."""
    monkeypatch.setenv("AVALIACOES_RING", "0")
    collector()
    one = Trainer(place)
    begun = time.monotonic()
    assert one.log(lambda: one.relied() or time.monotonic() > begun + 2.0)
    assert not one.relied()
    assert one.producer.close()
    assert numbers(place, "training", S) == list(range(one.logged))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and status(place)["totals"]["stored"] < one.logged:
        time.sleep(0.05)
    assert status(place)["totals"]["pulled"] == 0


def test_a_killed_collector_is_noticed_by_a_sleeping_sender(collector, place: Path) -> None:
    """The collector is killed and started again while trainers rely on it: every record is stored once, in order."""
    one = Trainer(place)
    for _ in range(4):
        running = collector()
        assert one.log(one.relied)
        more = one.logged + 60
        assert one.log(lambda more=more: one.logged >= more)
        running.kill()
    collector()
    assert one.log(one.relied)
    assert one.producer.close()
    assert numbers(place, "training", S) == list(range(one.logged))


def test_a_frozen_collector_and_a_full_disk_end_the_sleep(collector, place: Path) -> None:
    """A collector that stands still is sent to through the socket; one whose file cannot be written acknowledges nothing."""
    running = collector()
    one = Trainer(place)
    assert one.log(one.relied)
    os.kill(running.process.pid, signal.SIGSTOP)
    try:
        assert one.log(lambda: not one.relied())
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    assert one.log(one.relied)
    data = place / f"training_{S}.jsonl"
    data.rename(place / "kept")
    data.mkdir()  # no file can be written there
    assert one.log(lambda: bool(status(place).get("failing")))
    assert one.log(lambda: one.producer.stats()["waiting"] > 200)
    data.rmdir()
    (place / "kept").rename(data)
    assert one.producer.close()
    assert numbers(place, "training", S) == list(range(one.logged))


def test_a_trainer_that_logs_seldom_waits_no_longer_than_it_asked_for(collector, place: Path) -> None:
    """When a steady stream thins out, its records still reach the disk soon: nobody sleeps relying on someone who does not look."""
    collector()
    one = Trainer(place)
    assert one.log(one.relied)
    assert one.producer.flush(20)
    for _ in range(8):
        time.sleep(0.37)
        before = time.monotonic()
        one.log(lambda: True)
        while len(numbers(place, "training", S)) < one.logged:
            assert time.monotonic() - before < 20
            time.sleep(0.001)
    assert one.producer.close()


def test_with_keys_every_record_comes_through_the_socket(place: Path) -> None:
    """Where records must come under a key, no ring is looked at."""
    places.prepare_base(place)
    ring = write_ring(place, "a" * 12, S, [("training", 0, [record(n) for n in range(5)])])
    puller, ingest = make(place, allowed=False)
    with ring.open("r+b") as file:
        file.seek(1024)
        file.write(RELIED.to_bytes(8, "little"))
    heard(ingest)
    puller.look(time.monotonic())
    assert puller.due_in(0.0) is None and ingest.counts.pulled == 0


def make(place: Path, allowed: bool = True) -> tuple[Puller, Ingest]:
    ingest = Ingest(place, Counts(say=lambda _text: None), People())
    return Puller(place, ingest, allowed), ingest


def heard(ingest: Ingest) -> None:
    """The producer's first record comes through the socket."""
    header = wire.pack_header("a" * 12, "training", 0, 1, 0)
    ingest.take([wire.topic_of(S, "training"), header, payload_of([record(0)])])
    ingest.commit()


def page_of(ring: Path) -> tuple[bytearray, LiveWords]:
    page = bytearray(ring.read_bytes()[:PAGE])
    return page, LiveWords(memoryview(page))


def look(puller: Puller, ingest: Ingest, at: float) -> None:
    puller.look(at)
    ingest.commit()
    puller.settle()


def test_what_is_taken_begins_where_the_socket_ended(place: Path) -> None:
    """Five records of a block, the first of which came through the socket: the other four are taken, acknowledged, and beaten for."""
    places.prepare_base(place)
    records = [record(n) for n in range(5)]
    ring = write_ring(place, "a" * 12, S, [("training", 0, records)])
    page, live = page_of(ring)
    live.wish = RELIED
    live.note_current(1, 0)
    live.note_sent(1, Mark(1, len(payload_of(records[:1]))))
    with ring.open("r+b") as file:
        file.write(page)
    puller, ingest = make(place)
    heard(ingest)
    look(puller, ingest, 1000.0)
    assert numbers(place, "training", S) == [0, 1, 2, 3, 4]
    assert (ingest.counts.pulled, ingest.counts.duplicates) == (4, 0)
    _, after = page_of(ring)
    assert after.stored(1) == Mark(5, len(payload_of(records))) and after.beat > 0
    ring.unlink()
    look(puller, ingest, 1002.0)
    assert puller.due_in(1002.0) is None
    puller.close()


def test_under_power_durability_the_ring_is_told_after_the_sync(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk syncs what was taken out of a ring, nothing of it is acknowledged there; afterwards all of it is."""
    places.prepare_base(place)
    records = [record(n) for n in range(8)]
    ring = write_ring(place, "a" * 12, S, [("training", 0, records[:5])])
    page, live = page_of(ring)
    live.wish = RELIED
    live.note_current(1, 0)
    with ring.open("r+b") as file:
        file.write(page)
    ingest = Ingest(place, Counts(say=lambda _text: None), People(), power=True)
    puller = Puller(place, ingest)
    heard(ingest)
    seen: list[int] = []
    monkeypatch.setattr(store, "sync_data", lambda fd: seen.append(page_of(ring)[1].stored(1).next_seq))
    look(puller, ingest, 1000.0)
    assert seen == [0] and page_of(ring)[1].stored(1).next_seq == 5

    def broken(_fd: int) -> None:
        raise OSError(5, "the disk is broken")

    monkeypatch.setattr(store, "sync_data", broken)
    size, more = len(payload_of(records[:5])), payload_of(records[5:])
    with ring.open("r+b") as file:
        file.seek(blocks.blocks_offset(4) + size)
        file.write(more)
        file.seek(blocks.heads_offset())
        file.write((8 << 32 | size + len(more)).to_bytes(8, "little"))
    look(puller, ingest, 1000.1)
    _, after = page_of(ring)
    assert (after.stored(1).next_seq, after.beat) == (5, 0)
    puller.close()


WORDS = (
    st.integers(0, 2**64 - 1)
    | st.integers(0, 2**20)
    | st.builds(lambda n, b: n << 32 | b, st.integers(0, 99), st.integers(0, 70_000))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.tuples(st.integers(0, blocks.blocks_offset(4) // 8 - 1), WORDS), max_size=12),
    spots=st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=40)), max_size=4),
    wish=st.sampled_from((WELCOME, RELIED)),
)
def test_whatever_a_ring_holds_only_whole_lines_are_stored(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    words: list[tuple[int, int]],
    spots: list[tuple[int, bytes]],
    wish: int,
) -> None:
    """A ring with arbitrary words in its pages and bytes in its records: nothing is raised, every line is JSON, in order, once."""
    place = tmp_path_factory.mktemp("ring") / "data"
    monkeypatch.setenv(places.ENV_RUNTIME, str(place.parent))
    places.prepare_base(place)
    records = [record(n) for n in range(6)]
    ring = write_ring(place, "a" * 12, S, [("training", 0, records[:3]), ("training", 3, records[3:])])
    image = bytearray(ring.read_bytes())
    live = LiveWords(memoryview(image))
    live.note_current(1, 1)
    for at, word in words:
        image[8 * at : 8 * at + 8] = word.to_bytes(8, "little")
    for at, data in spots:
        begin = blocks.blocks_offset(4) + at
        image[begin : begin + len(data)] = data
    live.wish = wish
    del live
    ring.write_bytes(image)
    puller, ingest = make(place)
    heard(ingest)
    for turn in range(4):
        look(puller, ingest, 1000.0 + turn)
        if turn == 1:
            with ring.open("r+b") as file:
                file.seek(1024)
                file.write(RELIED.to_bytes(8, "little"))
    puller.close()
    ingest.close(5.0)
    for path in place.glob("*.jsonl"):
        assert path.name.count("_") >= 2
        for line in path.read_bytes().splitlines():
            json.loads(line)
    sequences = [line["_q"] for line in read_lines(place, "training", S)]
    assert sequences == sorted(set(sequences)) and sequences[0] == 0
    assert ingest.counts.stored + ingest.counts.quarantined >= 1
