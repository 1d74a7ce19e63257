"""A producer made of nothing but a socket: the tests decide what it sends, when, and how often."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgpack
import zmq

from contract import blocks, names, places, wire

T0 = 1_700_000_000.0


def payload_of(records: list[Any]) -> bytes:
    return b"".join(msgpack.packb(record) for record in records)


def record(seq: int, **metrics: Any) -> list[Any]:
    """The record that carries its own sequence number, so that a test can tell it again."""
    return [T0 + seq, seq, {"n": seq, "loss": 1.0 / (seq + 1), **metrics}]


class RawProducer:
    """One XPUB socket with its own id; every method says how long it may take."""

    def __init__(self, endpoint: str, session: str = "run_20250101_000000", producer: str | None = None) -> None:
        self.session = session
        self.producer = producer or names.new_producer()
        self.acked: dict[str, int] = {}
        self.acks = 0
        self.up = False
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.XPUB)
        self.socket.set(zmq.IMMEDIATE, 1)
        self.socket.set(zmq.XPUB_NODROP, 1)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.SNDHWM, 1000)
        self.socket.set(zmq.RECONNECT_IVL, 20)
        self.socket.set(zmq.RECONNECT_IVL_MAX, 100)
        self.socket.connect(endpoint)

    def __enter__(self) -> RawProducer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close(0)
        self._context.term()

    def poll(self, seconds: float = 0.0) -> None:
        """Take in subscriptions and acks for up to `seconds` (until the first of them)."""
        if not self.socket.poll(int(seconds * 1000)):
            return
        while self.socket.poll(0):
            frame = self.socket.recv()
            if frame == wire.SUBSCRIBED:
                self.up = True
            elif frame == wire.UNSUBSCRIBED:
                self.up = False
            else:
                found = wire.unpack_ack(frame, self.producer)
                self.acks += bool(found)
                self.acked.update(found)

    def wait_up(self, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.up:
            assert time.monotonic() < deadline, "no subscription came"
            self.poll(0.1)

    def wait_acked(self, category: str, seq: int, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while self.acked.get(category, 0) < seq:
            assert time.monotonic() < deadline, f"asked for {seq} of {category}, acked {self.acked}"
            self.poll(0.1)

    def send(
        self, category: str, first: int, records: list[Any], floor: int | None = None, topic: bytes | None = None
    ) -> None:
        """One batch, as it is given."""
        header = wire.pack_header(self.producer, category, first, len(records), first if floor is None else floor)
        self.send_raw([topic or wire.topic_of(self.session, category), header, payload_of(records)])

    def send_raw(self, parts: list[bytes]) -> None:
        self.socket.send_multipart(parts)

    def numbered(self, category: str, first: int, count: int, floor: int = 0) -> None:
        """Records `first` to `first + count - 1`, each carrying its number."""
        self.send(category, first, [record(seq) for seq in range(first, first + count)], floor)

    def resend(self, category: str, first: int, count: int, seconds: float = 20.0) -> None:
        """Send the same batch until it is acknowledged: after a restart nothing else tells reliably that we are connected.

        libzmq may swap an old connection for the new one without telling of an unsubscription in between.
        """
        deadline = time.monotonic() + seconds
        self.acked.pop(category, None)
        while self.acked.get(category, 0) < first + count:
            assert time.monotonic() < deadline, f"asked for {first + count} of {category}, acked {self.acked}"
            self.numbered(category, first, count)
            self.poll(0.3)

    def deliver(self, category: str, total: int, batch: int = 50, seconds: float = 60.0) -> None:
        """Go-back-N until `total` records are acknowledged, through whatever happens to the collector."""
        deadline = time.monotonic() + seconds
        cursor, moved_at, base = 0, time.monotonic(), 0
        while self.acked.get(category, 0) < total:
            assert time.monotonic() < deadline, f"acked {self.acked} of {total}"
            was_up = self.up
            self.poll(0.02)
            now = time.monotonic()
            if self.acked.get(category, 0) > base:
                base, moved_at = self.acked[category], now
            if (self.up and not was_up) or now - moved_at > 1.0:
                cursor, moved_at = base, now
            sent = 0
            while self.up and cursor < min(total, base + 64 * batch) and sent < 8:
                count = min(batch, total - cursor)
                try:
                    header = wire.pack_header(self.producer, category, cursor, count, base)
                    records = [record(seq) for seq in range(cursor, cursor + count)]
                    parts = [wire.topic_of(self.session, category), header, payload_of(records)]
                    self.socket.send_multipart(parts, zmq.NOBLOCK)
                except zmq.Again:
                    break
                cursor += count
                sent += 1


def read_lines(base: Path, category: str, session: str) -> list[dict[str, Any]]:
    """Every line of a data file; fails on one that is not JSON."""
    path = base / names.file_name(category, session)
    if not path.exists():
        return []
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def numbers(base: Path, category: str, session: str) -> list[int]:
    return [line["n"] for line in read_lines(base, category, session)]


def status(base: Path) -> dict[str, Any]:
    """The status file's content, {} while there is none."""
    try:
        found: dict[str, Any] = json.loads(places.status_file(base).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def write_ring(base: Path, producer: str, session: str, parts: list[tuple[str, int, list[Any]]]) -> Path:
    """A ring file as a dead producer leaves it: one block for each `(category, first_seq, records)`."""
    folder = places.make_ring_dir(places.ring_dirs(base)[0])
    path = blocks.ring_file(folder, producer)
    n_blocks = max(4, len(parts))
    image = bytearray(blocks.ring_bytes(n_blocks))
    head = blocks.pack_ring_head(n_blocks, 999_999, T0, producer, session)
    image[: len(head)] = head
    categories: list[str] = []
    for index, (category, first, records) in enumerate(parts):
        if category not in categories:
            categories.append(category)
            at = blocks.category_offset(len(categories) - 1)
            entry = blocks.pack_category(category)
            image[at : at + len(entry)] = entry
        payload = payload_of(records)
        words = [len(records) << 32 | len(payload), first, categories.index(category) + 1]
        at = blocks.heads_offset() + index * blocks.HEAD_WORDS * 8
        image[at : at + 24] = b"".join(word.to_bytes(8, "little") for word in words)
        at = blocks.blocks_offset(n_blocks) + index * blocks.BLOCK_BYTES
        image[at : at + len(payload)] = payload
    path.write_bytes(image)
    return path
