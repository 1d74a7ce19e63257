"""Each limit of `contract.names` and `contract.wire`, from both sides: the client keeps to it, the collector holds it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgpack
import psutil
import pytest
from keyed import KeyedProducer, Running, start, totals
from raw_producer import payload_of, read_lines, record
from zmtp import HandMadePeer, frame, message

from collector.quarantine import MAX_BYTES
from collector.sessions import MAX_CATEGORIES_PER_SESSION
from contract import names, wire
from producer import Producer

SESSION = "run_20250101_000000"
Connect = Callable[..., KeyedProducer]
Until = Callable[..., bool]


@pytest.fixture
def open_collector(spawn: Callable[..., subprocess.Popen[bytes]], place: Path) -> Running:
    """A collector without keys."""
    return start(spawn, place)


def rejected(base: Path) -> dict[str, int]:
    return dict(totals(base)["rejected"])


def test_frames_beyond_the_limit(open_collector: Running, connect: Connect, place: Path, until: Until) -> None:
    """A payload, header or topic too big is refused; a frame beyond libzmq's bound costs its sender the connection alone."""
    client = connect(open_collector.ingest, None)
    client.wait_up()
    topic = wire.topic_of(SESSION, "training")
    header = wire.pack_header(client.producer, "training", 0, 1, 0)
    payload = payload_of([record(0)])
    client.send_raw([topic, header, bytes(wire.MAX_PAYLOAD_BYTES + 1)])
    client.send_raw([topic, header + bytes(257), payload])
    client.send_raw([topic + b"x" * 257, header, payload])
    assert until(lambda: rejected(place) == {"oversize": 3})
    process = psutil.Process(open_collector.process.pid)
    before = process.memory_info().rss
    peers = [HandMadePeer(open_collector.ingest) for _ in range(20)]
    for peer in peers:  # promises of 4 GiB, and 2 MiB of it
        try:
            peer.send(b"\x02" + (4 << 30).to_bytes(8, "big") + bytes(2 << 20))
        except OSError:
            pass
    client.numbered("training", 0, 10)
    client.wait_acked("training", 10)
    assert process.memory_info().rss - before < 64 << 20
    for peer in peers:
        peer.close()


@pytest.mark.parametrize(
    "batch", [wire.MAX_BATCH_RECORDS + 1, 0, -1, 2**63], ids=["too many records", "none", "negative", "huge"]
)
def test_records_in_a_batch(open_collector: Running, connect: Connect, place: Path, until: Until, batch: int) -> None:
    """A batch that announces too many records, or none, is refused before its payload is looked at."""
    client = connect(open_collector.ingest, None)
    client.wait_up()
    client.send_raw(
        [wire.topic_of(SESSION, "training"), msgpack.packb((client.producer, "training", 0, batch, 0)), b"\x00"]
    )
    assert until(lambda: rejected(place) == {"range": 1})


def test_records_too_big_or_too_deep(place: Path, open_collector: Running) -> None:
    """The client cuts what is beyond a limit, counts it, and loses no record; the collector stores what it is sent."""
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    given = [
        {"text": "x" * (2 * names.MAX_RECORD_BYTES)},
        {f"m{i}": float(i) for i in range(names.MAX_METRICS_PER_RECORD + 500)},
        {"nested": deep},
        {"n" * 600: 1.0, "wide": list(range(100_000))},
        {f"{i}" + "y" * 150: "z" * 190 for i in range(900)},
    ]
    producer = Producer(place, session=SESSION, autostart=False)
    for step, metrics in enumerate(given):
        producer.log("training", step, metrics)
    assert producer.close(20)
    stats = producer.stats()
    assert stats["dropped"] == 0 and stats["persisted"] == len(given) and stats["values_replaced"] >= 4
    stored = read_lines(place, "training", SESSION)
    assert [line["step"] for line in stored] == list(range(len(given)))
    assert all(len(line) <= names.MAX_METRICS_PER_RECORD + 5 for line in stored)
    assert all(len(name) <= names.MAX_METRIC_NAME_CHARS for line in stored for name in line)
    lines = (place / names.file_name("training", SESSION)).read_bytes().splitlines()
    assert all(_depth(line) <= names.MAX_NESTING + 2 for line in lines)
    assert totals(place)["rejected"] == {}


def _depth(line: bytes) -> int:
    depth = most = 0
    for character in re.sub(rb'"(\\.|[^"\\])*"', b"", line):
        depth += (character in b"[{") - (character in b"]}")
        most = max(most, depth)
    return most


def test_a_client_that_ignores_the_limits(open_collector: Running, connect: Connect, place: Path, until: Until) -> None:
    """What a raw client sends beyond the limits of a record is repaired or kept apart, counted, and its stream goes on.

    Names are looked at in lines above 512 bytes only, so a name alone in its record may reach that.
    """
    deep: object = 1
    for _ in range(names.MAX_NESTING + 200):
        deep = [deep]
    client = connect(open_collector.ingest, None)
    client.wait_up()
    for seq, metrics in enumerate(
        (
            {"n": 0, "deep": deep},
            {"n": 1, **{f"m{i}": i for i in range(names.MAX_METRICS_PER_RECORD + 1)}},
            {"n": 2, "x" * 600: 1.0},
            {"n": 3, "text": "x" * (names.MAX_RECORD_BYTES + 1000)},
        )
    ):
        client.send("training", seq, [[1.0, seq, metrics]], floor=0)
    client.numbered("training", 4, 6)
    client.wait_acked("training", 10)
    stored = read_lines(place, "training", SESSION)
    assert [line["n"] for line in stored if line["step"] >= 4] == list(range(4, 10))
    for line in stored:
        assert len(line) <= names.MAX_METRICS_PER_RECORD + 5
        assert all(len(name) <= names.MAX_METRIC_NAME_CHARS for name in line)
    assert until(lambda: totals(place).get("repaired", 0) + totals(place).get("quarantined", 0) >= 3)


def test_small_bytes_that_unpack_to_much(open_collector: Running, place: Path, connect: Connect, until: Until) -> None:
    """Thousands of empty maps, and heads that promise 4 billion items, cost no memory to speak of."""
    process = psutil.Process(open_collector.process.pid)
    peer = HandMadePeer(open_collector.ingest, answers=True)
    topic, producer = wire.topic_of(SESSION, "training"), names.new_producer()
    payloads = [
        b"\x80" * 65_000,
        b"\x90" * 65_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xdc\xff\xff" + b"\x80" * 65_000,
        b"\x91" * 65_000,
    ]
    before = process.memory_info().rss
    for turn in range(40):
        for number, payload in enumerate(payloads):
            first = 16_000 * (turn * len(payloads) + number)
            peer.send(message([topic, wire.pack_header(producer, "training", first, 16_000, first), payload]))
        # No more than libzmq keeps for a connection: with a full one it reads no heartbeats either, and cuts it off.
        sent = len(payloads) * (turn + 1)
        assert turn % 8 or until(lambda sent=sent: totals(place).get("received_batches", 0) >= sent, 60)  # type: ignore[misc]
    client = connect(open_collector.ingest, None)
    client.wait_up()
    client.numbered("rewards", 0, 10)
    client.wait_acked("rewards", 10)
    assert until(lambda: totals(place).get("received_batches", 0) > 40 * len(payloads), 60)
    assert process.memory_info().rss - before < 100 << 20
    assert (place / ".avaliacoes" / "quarantine.jsonl").stat().st_size <= MAX_BYTES
    peer.close()


BAD_NAMES = [
    "../../etc/passwd", "..", "a/../b", "a/b", "/abs", "a\0b", "\0", "\u00e9t\u00e9", "a\u202eb", "", " ", "a b", "a\n", "x" * 101, "x" * 5000,
    ".hidden", "-x", "~root", "$HOME",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=[f"{name[:20]!a}" for name in BAD_NAMES])
def test_names_are_refused_everywhere(name: str) -> None:
    """A session or category that is no plain name is refused by the one check that all share."""
    for check in (names.check_session, names.check_category, names.check_producer):
        with pytest.raises(names.NameRefused):
            check(name)


def test_no_path_is_escaped_through_a_name(open_collector: Running, place: Path, until: Until) -> None:
    """Hostile session, category and producer names reach no file: each is refused and counted, nothing appears anywhere."""
    # One valid record first, so that the folder has everything it will have.
    producer = names.new_producer()
    peer = HandMadePeer(open_collector.ingest)
    payload = payload_of([record(0)])
    peer.send(message([wire.topic_of(SESSION, "training"), wire.pack_header(producer, "training", 0, 1, 0), payload]))
    assert until(lambda: totals(place).get("stored", 0) == 1)
    before = sorted(path for path in place.parent.rglob("*") if path.suffix != ".tmp")
    sent = 0
    for name in BAD_NAMES:
        raw = name.encode()
        for topic, header in (
            (b"tm1/" + raw + b"/training", wire.pack_header(producer, "training", 0, 1, 0)),
            (b"tm1/" + SESSION.encode() + b"/" + raw, wire.pack_header(producer, name, 0, 1, 0)),
            (b"tm1/" + SESSION.encode() + b"/training", wire.pack_header(name, "training", 0, 1, 0)),
        ):
            peer.send(message([topic, header, payload]))
            sent += 1
    assert until(lambda: sum(rejected(place).values()) == sent), rejected(place)
    assert sorted(path for path in place.parent.rglob("*") if path.suffix != ".tmp") == before
    peer.close()


def test_many_sessions(open_collector: Running, place: Path, until: Until) -> None:
    """More sessions than are kept open are all stored; those in memory stay within the bound, and so does the memory."""
    process = psutil.Process(open_collector.process.pid)
    peer = HandMadePeer(open_collector.ingest)
    payload = payload_of([record(0)])
    total = names.MAX_SESSIONS_OPEN + 200
    before = process.memory_info().rss
    for number in range(total):
        header = wire.pack_header(f"{number:012x}", "training", 0, 1, 0)
        peer.send(message([wire.topic_of(f"s{number}_20250101_000000", "training"), header, payload]))
    assert until(lambda: totals(place).get("stored", 0) == total, 100), totals(place)
    assert process.memory_info().rss - before < 150 << 20
    assert len(list(place.glob("training_s*.jsonl"))) == total
    peer.close()


def test_categories_of_a_session(open_collector: Running, place: Path, until: Until) -> None:
    """A session's categories are bounded in the collector, a producer's in the client; beyond it is counted."""
    peer = HandMadePeer(open_collector.ingest)
    payload = payload_of([record(0)])
    producer = names.new_producer()
    for number in range(MAX_CATEGORIES_PER_SESSION + 10):
        header = wire.pack_header(producer, f"c{number}", 0, 1, 0)
        peer.send(message([wire.topic_of(SESSION, f"c{number}"), header, payload]))
    assert until(lambda: rejected(place) == {"limit": 10})
    peer.close()
    mine = Producer(place, session="mine_20250101_000000", autostart=False)
    for number in range(names.MAX_CATEGORIES_PER_PRODUCER + 20):
        mine.log(f"k{number}", 0, {"n": number})
    assert mine.close(20)
    assert mine.stats()["dropped"] == 0
    assert mine.stats()["categories_renamed"] >= 20


def test_no_framing_kills_it(open_collector: Running, connect: Connect) -> None:
    """Connections that speak no ZeroMQ, or break off anywhere, cost their sender the connection and nobody else anything."""
    import socket

    path = open_collector.ingest.removeprefix("ipc://")
    good = message(
        [wire.topic_of(SESSION, "training"), wire.pack_header("0" * 12, "training", 0, 1, 0), payload_of([record(0)])]
    )
    for garbage in (
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 64,
        bytes(1000),
        b"\xff" + bytes(8) + b"\x7f\x03",
    ):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(path)
            try:
                raw.sendall(garbage)
            except OSError:
                pass
    for cut in range(0, len(good), 7):
        peer = HandMadePeer(open_collector.ingest)
        peer.send(good[:cut])
        peer.close()
    peer = HandMadePeer(open_collector.ingest)
    peer.send(bytes([6, 200]) + frame(b"\x05ERROR")[2:])
    peer.close()
    client = connect(open_collector.ingest, None)
    client.wait_up()
    client.numbered("training", 0, 10)
    client.wait_acked("training", 10)
    assert open_collector.process.poll() is None
