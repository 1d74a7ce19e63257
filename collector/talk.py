"""What the collector says: acknowledgements to producers, and the feed to readers. Paced, bounded, never waiting."""

from __future__ import annotations

from typing import Final

import msgpack
import zmq

from collector.ingest import Ingest
from collector.plan import Written
from contract import wire

#: Acks at least this far apart (seconds): one reaches every producer, so they are gathered.
ACK_S: Final = 0.02
#: And this much further apart for each producer there is: the traffic grows as their number squared.
ACK_S_PER_PRODUCER: Final = 0.002
#: Earlier, in a small frame of their own, to those that have sent much since the last, or never heard one.
EARLY_S_PER_PRODUCER: Final = 0.00025
_PRODUCERS_PER_FRAME: Final = 500
#: With the feed's high-water mark this bounds what a reader that stands still can cost: 64 MiB.
_FEED_BYTES: Final = 64 * 1024
_FILES_PER_OFFSETS: Final = 4_000


class Acks:
    """Sends acknowledgements for `ingest.to_ack`: gathered, but at once to a producer that ran ahead."""

    def __init__(self, ingest: Ingest, socket: zmq.Socket[bytes]) -> None:
        self._ingest = ingest
        self._socket = socket
        self._last = self._last_early = -1e9
        self._answered: dict[str, float] = {}

    def due_in(self, now: float, producers: int) -> float | None:
        """Seconds until acks should go out; None when nobody waits for one."""
        if not self._ingest.to_ack:
            return None
        due = self._last + self.every(producers)
        if self._ingest.hungry:
            due = min(due, max(self._last, self._last_early) + max(ACK_S, producers * EARLY_S_PER_PRODUCER))
        return max(0.0, due - now)

    @staticmethod
    def every(producers: int) -> float:
        """Seconds between two acks for everybody."""
        return max(ACK_S, producers * ACK_S_PER_PRODUCER)

    def send(self, now: float, producers: int, everything: bool = False) -> None:
        """Acknowledge what is due: for everybody, or for those that cannot wait so long."""
        ingest = self._ingest
        every = self.every(producers)
        if everything or now - self._last >= every:
            self._last = now
            streams = list(ingest.to_ack)
            ingest.to_ack.clear()
            ingest.urgent.clear()
            self._answered.clear()
        else:
            self._last_early = now
            streams = list(ingest.hungry)
            for stream in streams:
                ingest.to_ack.pop(stream, None)
        ingest.hungry.clear()
        moved = list(ingest.acks(streams).items())
        for begin in range(0, len(moved), _PRODUCERS_PER_FRAME):
            self._send(dict(moved[begin : begin + _PRODUCERS_PER_FRAME]), every)

    def send_urgent(self, now: float) -> None:
        """Tell those who ran ahead where to go on, each at most every `ACK_S`."""
        answered = self._answered
        streams = [s for s in self._ingest.urgent if now - answered.get(s.producer, -1e9) >= ACK_S]
        self._ingest.urgent.clear()
        if streams:
            for stream in streams:
                answered[stream.producer] = now
            self._send(self._ingest.acks(streams), 0.0)

    def _send(self, moved: dict[str, dict[str, int]], every: float) -> None:
        if moved:
            try:
                self._socket.send(wire.pack_ack(moved, every), zmq.NOBLOCK)
            except zmq.Again:
                pass  # cumulative: the next one says it too


class Feed:
    """Publishes new lines and committed offsets to whoever subscribed."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self.readers = 0

    def drain(self) -> bool:
        """Take subscriptions; True when somebody new is there and should hear the offsets."""
        new = False
        while True:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return new
            if frame[:1] == b"\x01":
                new = True
                self.readers += 1
            elif frame[:1] == b"\x00":
                self.readers = max(0, self.readers - 1)

    def publish(self, written: list[Written]) -> None:
        """Lines as they are on disk, neighbours of a file together. A batch too big is left to the offsets."""
        if not self.readers:
            return
        at = 0
        while at < len(written):
            stream, begin, lines = written[at]
            at += 1
            if len(lines) > _FEED_BYTES:
                continue
            pieces, end = [lines], begin + len(lines)
            while (
                at < len(written)
                and written[at].stream.file is stream.file
                and written[at].begin == end
                and end - begin + len(written[at].lines) <= _FEED_BYTES
            ):
                pieces.append(written[at].lines)
                end += len(written[at].lines)
                at += 1
            topic = wire.topic_of(stream.session.name, stream.category)
            self._send([topic, wire.pack_feed(stream.file.name, begin, end), b"".join(pieces)])

    def offsets(self, sizes: dict[str, int]) -> None:
        """What may be read of each file: whole lines, all stored."""
        if not self.readers:
            return
        items = list(sizes.items())
        for begin in range(0, len(items), _FILES_PER_OFFSETS):
            part = dict(items[begin : begin + _FILES_PER_OFFSETS])
            self._send([wire.OFFSETS_TOPIC, msgpack.packb(part)])

    def _send(self, frames: list[bytes]) -> None:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            pass  # lossy by design
