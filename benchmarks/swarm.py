"""Many trainers in one process: raw sockets that speak the wire protocol, with the client's own rules for resending.

Payloads are packed beforehand, so that a swarm costs little and the collector is what is measured.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import sys
import time
from typing import Any

import msgpack
import zmq

from benchmarks.harness import serve
from benchmarks.workload import steps
from contract import names, wire

WINDOW, FIRST_WINDOW = 64, 4
#: As the producer's sender waits: two seconds, and three times the usual delay of an acknowledgement; twice as long each time.
RESEND_S, ACK_DELAYS, RESEND_MAX_S = 2.0, 3.0, 8.0


class Trainer:
    """One producer of one session."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, session: str) -> None:
        self.session, self.producer = session, names.new_producer()
        self.topic = wire.topic_of(session, "training")
        self.acked = self.cursor = self.total = self.resent = 0
        self.moved = self.ack_delay = self.patience = 0.0
        self.up = False
        self.window = FIRST_WINDOW
        self.socket = context.socket(zmq.XPUB)
        for option, value in (
            (zmq.IMMEDIATE, 1),
            (zmq.XPUB_NODROP, 1),
            (zmq.SNDHWM, 4 * WINDOW),
            (zmq.LINGER, 0),
            (zmq.RECONNECT_IVL, 20),
            (zmq.RECONNECT_IVL_MAX, 200),
        ):
            self.socket.setsockopt(option, value)
        self.socket.connect(endpoint)

    def receive(self, now: float) -> None:
        while True:
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if frame == wire.SUBSCRIBED:
                self.up, self.cursor, self.moved, self.window = True, self.acked, now, FIRST_WINDOW
            elif frame == wire.UNSUBSCRIBED:
                self.up = False
            else:
                self.ack_delay = max(self.ack_delay, wire.ack_interval(frame) or 0.0)
                acked = wire.unpack_ack(frame, self.producer).get("training", 0)
                if acked > self.acked:
                    self.patience, self.window = 0.0, WINDOW
                    self.ack_delay += 0.3 * (now - self.moved - self.ack_delay)
                    self.acked, self.moved = acked, now

    def send(self, payload: bytes, batch: int, now: float) -> None:
        """Whatever may be sent of the records up to `total`, `batch` at a time (the payload repeats)."""
        if not self.up:
            return
        patience = self.patience or RESEND_S + ACK_DELAYS * self.ack_delay
        if self.cursor > self.acked and now - self.moved > patience:
            self.patience = min(2 * patience, RESEND_MAX_S)
            self.resent += self.cursor - self.acked
            self.cursor, self.moved = self.acked, now
        while self.cursor + batch <= self.total and self.cursor - self.acked < self.window * batch:
            header = wire.pack_header(self.producer, "training", self.cursor, batch, self.acked)
            try:
                self.socket.send_multipart([self.topic, header, payload], zmq.NOBLOCK)
            except zmq.Again:
                return
            if self.cursor == self.acked:
                self.moved = now
            self.cursor += batch


def payload_of(batch: int) -> bytes:
    """`batch` packed records of eight float metrics."""
    sets = itertools.islice(itertools.cycle(steps()), batch)
    return b"".join(msgpack.packb((1.7e9 + n / 1000, n, metrics)) for n, metrics in enumerate(sets))


class Swarm:
    """`count` trainers, driven by `full_speed` and `paced`."""

    def __init__(self, endpoint: str, count: int, name: str) -> None:
        with contextlib.suppress(ValueError, OSError):
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, max(1023, 2 * count))
        self.trainers = [Trainer(self._context, endpoint, f"{name}{n}_20250101_000000") for n in range(count)]
        self._by_socket = {trainer.socket: trainer for trainer in self.trainers}
        self._poller = zmq.Poller()
        for trainer in self.trainers:
            self._poller.register(trainer.socket, zmq.POLLIN)

    def wait_up(self, seconds: float = 60.0) -> int:
        deadline = time.monotonic() + seconds
        while not all(t.up for t in self.trainers):
            self._listen(20)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sum(t.up for t in self.trainers)} of {len(self.trainers)} trainers connected")
        return len(self.trainers)

    def wait_down(self, seconds: float = 30.0) -> int:
        deadline = time.monotonic() + seconds
        while any(t.up for t in self.trainers) and time.monotonic() < deadline:
            self._listen(20)
        return sum(not t.up for t in self.trainers)

    def _listen(self, milliseconds: int) -> None:
        now = time.monotonic()
        for socket, _ in self._poller.poll(milliseconds):
            self._by_socket[socket].receive(now)

    def _drain(self, payload: bytes, batch: int, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while any(t.acked < t.total for t in self.trainers):
            self._listen(2)
            now = time.monotonic()
            for trainer in self.trainers:
                trainer.send(payload, batch, now)
            if now > deadline:
                left = sum(t.total - t.acked for t in self.trainers)
                raise TimeoutError(f"{left} records not acknowledged within {seconds:g} s")

    def full_speed(self, records: int, batch: int) -> dict[str, float]:
        """Deliver `records` by each trainer, in batches of `batch`; seconds from first send to last acknowledgement."""
        payload = payload_of(batch)
        for trainer in self.trainers:
            trainer.total += records // batch * batch
        begin = time.perf_counter()
        self._drain(payload, batch)
        return {"seconds": time.perf_counter() - begin}

    def paced(self, rate: float, seconds: float, flush_s: float = 0.005) -> dict[str, float]:
        """Each trainer logs `rate` records a second and sends what it has each `flush_s`, as the client does."""
        batch = max(1, round(rate * flush_s))
        payload = payload_of(batch)
        period = batch / rate
        begin = time.monotonic()
        due = [begin + period * n / len(self.trainers) for n in range(len(self.trainers))]
        while (now := time.monotonic()) < begin + seconds:
            for number, trainer in enumerate(self.trainers):
                while due[number] <= now:
                    trainer.total += batch
                    due[number] += period
                trainer.send(payload, batch, now)
            self._listen(round(1000 * min(flush_s, max(0.0, min(due) - time.monotonic()))))
        self._drain(payload, batch)
        return {"records": sum(t.total for t in self.trainers)}

    def totals(self) -> dict[str, Any]:
        return {
            "acked": sum(t.acked for t in self.trainers),
            "resent": sum(t.resent for t in self.trainers),
            "sessions": [t.session for t in self.trainers],
        }

    def close(self) -> None:
        for trainer in self.trainers:
            trainer.socket.close(0)
        self._context.term()


def main(endpoint: str, count: str, name: str) -> None:
    swarm = Swarm(endpoint, int(count), name)
    serve(
        {
            "wait_up": swarm.wait_up,
            "wait_down": swarm.wait_down,
            "full_speed": swarm.full_speed,
            "paced": swarm.paced,
            "totals": swarm.totals,
        }
    )
    swarm.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
