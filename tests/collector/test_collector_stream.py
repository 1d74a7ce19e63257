"""Batches in, lines out, acks back: what a single stream can go through while nothing breaks."""

from __future__ import annotations

from pathlib import Path

import msgpack
import pytest
import zmq
from raw_producer import T0, numbers, read_lines, record, status

from collector import store
from collector.counts import Counts
from collector.talk import Acks
from contract import wire

S = "run_20250101_000000"


def test_records_are_stored_in_order_and_acknowledged(collector, raw, place: Path) -> None:
    """What is acknowledged is on disk, in order, with producer and sequence first."""
    one = raw(collector().ingest)
    for first in range(0, 1000, 100):
        one.numbered("training", first, 100)
    one.wait_acked("training", 1000)
    assert numbers(place, "training", S) == list(range(1000))
    line = (place / f"training_{S}.jsonl").read_bytes().splitlines()[7]
    assert line.startswith(
        b'{"_p":"%s","_q":7,"timestamp":%s,"step":7,' % (one.producer.encode(), str(T0 + 7).encode())
    )


def test_duplicates_are_acknowledged_again_and_stored_once(collector, raw, place: Path) -> None:
    """A batch that comes twice is on disk once, and its producer hears so again."""
    one = raw(collector().ingest)
    one.numbered("training", 0, 50)
    one.wait_acked("training", 50)
    one.acked.clear()
    one.numbered("training", 0, 50)
    one.wait_acked("training", 50)
    assert numbers(place, "training", S) == list(range(50))


def test_overlap_is_trimmed(collector, raw, place: Path) -> None:
    """Of a batch that begins with known records only the new ones are stored."""
    one = raw(collector().ingest)
    one.numbered("training", 0, 50)
    one.numbered("training", 30, 50)
    one.wait_acked("training", 80)
    assert numbers(place, "training", S) == list(range(80))


def test_a_gap_is_asked_for(collector, raw, place: Path) -> None:
    """A batch that comes too early is dropped, and the ack names the sequence that is missing."""
    one = raw(collector().ingest)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    one.acked.clear()
    one.numbered("training", 20, 10)
    one.wait_acked("training", 10)
    assert one.acked["training"] == 10
    one.numbered("training", 10, 20)
    one.wait_acked("training", 30)
    assert numbers(place, "training", S) == list(range(30))


def test_a_raised_floor_is_a_counted_loss(collector, raw, place: Path, until) -> None:
    """Sequences below the producer's floor are given up, counted, and told in a lifecycle record."""
    one = raw(collector().ingest)
    one.numbered("training", 0, 10)
    one.numbered("training", 25, 5, floor=25)
    one.wait_acked("training", 30)
    assert numbers(place, "training", S) == [*range(10), *range(25, 30)]
    assert until(lambda: status(place).get("totals", {}).get("skipped") == 15)
    told = [line for line in read_lines(place, "lifecycle", S) if line["event"] == "skipped"]
    assert [(t["producer"], t["category"], t["first"], t["count"]) for t in told] == [
        (one.producer, "training", 10, 15)
    ]


def test_categories_and_producers_count_apart(collector, raw, place: Path) -> None:
    """Each (producer, category) has its own sequence; a forked child writes to its parent's session."""
    ingest = collector().ingest
    parent = raw(ingest)
    child = raw(ingest, S, f"{parent.producer}-1234")
    for one in (parent, child):
        for category in ("training", "rewards", "custom_thing"):
            one.numbered(category, 0, 20)
    for one in (parent, child):
        for category in ("training", "rewards", "custom_thing"):
            one.wait_acked(category, 20)
    lines = read_lines(place, "custom_thing", S)
    for one in (parent, child):
        assert [line["_q"] for line in lines if line["_p"] == one.producer] == list(range(20))


def test_odd_records_are_repaired_or_kept_apart(collector, raw, place: Path, until) -> None:
    """No step, no time, not-a-number, too deep, too long a name: stored after a repair; no record at all: quarantined."""
    one = raw(collector().ingest)
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    batch = [
        [T0, 5, {"loss": float("nan"), "best": float("inf"), "none": None}],
        [T0, "six", {"loss": 1.0}],
        [float("nan"), 7, {"loss": 1.0}],
        [None, 8, {"loss": 1.0}],
        [T0, 9, {"timestamp": T0 + 9.5}],
        [T0, 10, {"timestamp": "yesterday"}],
        [T0, 11, {"x" * 900: 1.0, "deep": deep}],
        "no record",
        [T0, 12, {"step": 3, "_p": "me"}],
        [T0, 13.0, {"big": 2**64 - 1, "bytes": b"\xff\x00", 5: "five"}],
    ]
    one.send("training", 0, batch)
    one.wait_acked("training", 10)
    lines = {line["_q"]: line for line in read_lines(place, "training", S)}
    assert sorted(lines) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert (lines[0]["loss"], lines[0]["best"], lines[0]["none"]) == ("NaN", "Infinity", None)
    assert lines[1]["step"] == 5 and lines[1]["step_given"] == "'six'"
    assert lines[2]["timestamp"] > T0 and lines[3]["timestamp"] > T0
    assert lines[4]["timestamp"] == T0 + 9.5
    assert lines[5]["timestamp"] == T0 and lines[5]["timestamp_given"] == "'yesterday'"
    assert max(map(len, lines[6])) == 200
    assert lines[8]["step"] == 12 and lines[8]["metric_step"] == 3 and lines[8]["metric__p"] == "me"
    assert lines[9]["step"] == 13 and lines[9]["big"] == 2**64 - 1 and lines[9]["5"] == "five"
    assert until(lambda: status(place).get("totals", {}).get("quarantined") == 1)
    assert "no record" in (place / ".avaliacoes" / "quarantine.jsonl").read_text()


def test_a_payload_that_cannot_be_read_does_not_block_its_stream(collector, raw, place: Path) -> None:
    """Garbage under a good header is kept apart, its sequences are spent, and what follows is stored."""
    one = raw(collector().ingest)
    one.numbered("training", 0, 5)
    header = wire.pack_header(one.producer, "training", 5, 3, 0)
    payload = msgpack.packb(record(5)) + b"\xc1\xc1\xc1"
    one.send_raw([wire.topic_of(S, "training"), header, payload])
    one.numbered("training", 8, 5)
    one.wait_acked("training", 13)
    assert numbers(place, "training", S) == [*range(6), *range(8, 13)]


def test_an_alert_is_stored_once_by_its_id(collector, raw, place: Path, until) -> None:
    """The same alert from an analyzer that starts again is not stored twice, also after the collector's restart."""
    running = collector()
    trainer = raw(running.ingest)
    trainer.numbered("training", 0, 1)
    trainer.wait_acked("training", 1)
    alerts = [[T0, n, {"id": f"{n:016x}", "rule": "stagnation"}] for n in range(4)]
    first = raw(running.ingest)
    first.send("alerts", 0, alerts[:2])
    first.wait_acked("alerts", 2)
    second = raw(running.ingest)
    second.send("alerts", 0, alerts[:3])
    second.wait_acked("alerts", 3)
    running.terminate()
    third = raw(collector().ingest)
    third.send("alerts", 0, alerts)
    third.wait_acked("alerts", 4)
    assert [line["id"] for line in read_lines(place, "alerts", S)] == [f"{n:016x}" for n in range(4)]
    assert not (place / f"alerts_{S}_2.jsonl").exists()
    assert until(lambda: status(place).get("totals", {}).get("duplicate_alerts") == 3)


def test_the_feed_carries_lines_and_trustworthy_offsets(collector, raw, place: Path) -> None:
    """A reader gets each chunk with its place in the file, and the committed size of every recent file on subscribing."""
    running = collector()
    one = raw(running.ingest)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.set(zmq.LINGER, 0)
        reader.set(zmq.RCVTIMEO, 20_000)
        reader.connect(running.feed)
        reader.subscribe(b"tm1/")
        topic, sizes = reader.recv_multipart()[:2]
        name = f"training_{S}.jsonl"
        size = (place / name).stat().st_size
        assert topic == wire.OFFSETS_TOPIC and msgpack.unpackb(sizes) == {name: size}
        one.numbered("training", 10, 5)
        while topic == wire.OFFSETS_TOPIC:
            topic, header, *lines = [*reader.recv_multipart(), b""]
        assert topic == wire.topic_of(S, "training")
        file, begin, end = wire.unpack_feed(header)
        assert (file, begin) == (name, size)
        assert (place / name).read_bytes()[begin:end] == lines[0] and lines[0].count(b"\n") == 5


def test_a_new_producer_hears_soon_and_one_that_sends_much_before_its_window_is_full() -> None:
    """Among a thousand producers acks come each two seconds; whoever never heard one, or has much on its way, does not wait so long."""
    sent: list[bytes] = []

    class Socket:
        def send(self, frame: bytes, _flags: int) -> None:
            sent.append(frame)

    class Heart:
        def __init__(self) -> None:
            self.to_ack: dict[str, None] = {}
            self.hungry: dict[str, None] = {}
            self.urgent: dict[str, None] = {}

        def acks(self, streams: list[str]) -> dict[str, dict[str, int]]:
            return {name: {"training": 1} for name in streams}

    heart = Heart()
    acks = Acks(heart, Socket())  # type: ignore[arg-type]
    heart.to_ack = {"a" * 12: None}
    acks.send(100.0, 1000)
    heart.to_ack = {"a" * 12: None, "b" * 12: None}
    assert acks.due_in(100.1, 1000) == pytest.approx(1.9)
    heart.hungry = {"b" * 12: None}
    assert acks.due_in(100.1, 1000) == pytest.approx(0.15)
    acks.send(100.25, 1000)
    assert [wire.ack_interval(frame) for frame in sent] == [2.0, 2.0]
    assert wire.unpack_ack(sent[1], "b" * 12) and not wire.unpack_ack(sent[1], "a" * 12)
    assert list(heart.to_ack) == ["a" * 12] and not heart.hungry
    assert acks.due_in(100.3, 1000) == pytest.approx(1.7)
    acks.send(102.0, 1000)
    assert wire.unpack_ack(sent[2], "a" * 12) and not heart.to_ack


def test_many_files_are_synced_by_one_call(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two hundred files written in one second none is forgotten: their file system is synced, a few are synced one by one."""
    synced: list[str] = []
    monkeypatch.setattr(store, "sync_file_system", lambda fd: synced.append("whole"))
    monkeypatch.setattr(store, "sync_data", lambda fd: synced.append("file"))
    place.mkdir()
    files = store.Store(place, Counts(say=lambda _text: None))
    for number in range(200):
        assert files.append(files.file(f"training_s{number}.jsonl"), b"{}\n") == 3
    files.sync()
    for number in range(3):
        files.append(files.file(f"training_s{number}.jsonl"), b"{}\n")
    files.sync()
    files.close()
    assert synced == ["whole", *["file"] * 3]
