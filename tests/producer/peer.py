"""A collector's side of the wire in the test's own hands: takes batches, acknowledges what the test says."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import zmq

from contract import wire


class Peer:
    """An XSUB bound to an endpoint that collects records per (producer, category) and acks when told to."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XSUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(endpoint)
        self.socket.send(b"\x01" + wire.PREFIX)
        self.records: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.sessions: dict[str, str] = {}
        self.duplicates = 0
        self.gaps = 0
        self.batches: list[wire.Batch] = []

    def take(self, seconds: float, ack: bool = True, until: Any = None) -> None:
        """Receive for `seconds`, or until `until()` holds; acknowledge in order what continues each stream."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until is not None and until():
                return
            if not self.socket.poll(20):
                continue
            batch, payload = wire.unpack_batch(self.socket.recv_multipart())
            self.batches.append(batch)
            self.sessions[batch.producer] = batch.session
            known = self.records[batch.producer, batch.category]
            expected = len(known)
            if batch.first_seq > expected and batch.floor > expected:
                known.extend([None] * (batch.floor - expected))
                expected = len(known)
            if batch.first_seq > expected:
                self.gaps += 1
            elif batch.first_seq + batch.count <= expected:
                self.duplicates += batch.count
            else:
                found = wire.unpack_records(payload, batch.count)
                self.duplicates += expected - batch.first_seq
                known.extend(found[expected - batch.first_seq :])
            if ack:
                self.socket.send(wire.pack_ack({batch.producer: {batch.category: len(known)}}))

    def steps(self, category: str, producer: str | None = None) -> list[int]:
        return [
            record[1]
            for (who, what), records in self.records.items()
            if what == category and (producer is None or who == producer)
            for record in records
            if record is not None
        ]

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()
