"""Clients with right, wrong or no keys, and a collector to try them on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import zmq
from raw_producer import RawProducer, status

from avaliacoes import key_folders
from contract import keys, names, wire


@dataclass
class Running:
    """A collector process with keys (or without); `ingest` and `feed` are where it says it is."""

    process: subprocess.Popen[bytes]
    base: Path
    ingest: str
    feed: str
    errors: list[str] = field(default_factory=list)


def start(spawn: Callable[..., subprocess.Popen[bytes]], base: Path, *options: str) -> Running:
    """Start a worker and wait for its ready line."""
    process = spawn(
        "-m",
        "collector",
        "--base-path",
        str(base),
        *options,
        "--worker",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    errors: list[str] = []
    threading.Thread(target=_collect, args=(process.stderr, errors), daemon=True).start()
    line = process.stdout.readline().decode()
    assert line.startswith("collector: ready on "), (line, errors, process.wait(10))
    ingest, rest = line.removeprefix("collector: ready on ").split(", feed ", 1)
    return Running(process, base, ingest, rest.split(", data in ")[0], errors)


def _collect(pipe: IO[bytes], into: list[str]) -> None:
    into.extend(line.decode("utf-8", "replace") for line in pipe)


def put_on(socket: zmq.Socket[bytes], found: keys.ClientKeys | None) -> None:
    if found is not None:
        socket.set(zmq.CURVE_PUBLICKEY, found.own.public.encode())
        socket.set(zmq.CURVE_SECRETKEY, found.own.secret.encode())
        socket.set(zmq.CURVE_SERVERKEY, found.server.encode())


class KeyedProducer(RawProducer):
    """A raw producer with a key of its own, a stranger's, or none."""

    def __init__(
        self,
        endpoint: str,
        found: keys.ClientKeys | None,
        session: str = "run_20250101_000000",
        producer: str | None = None,
    ) -> None:
        self.session = session
        self.producer = producer or names.new_producer()
        self.acked = {}
        self.acks = 0
        self.up = False
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.XPUB)
        for option, value in (
            (zmq.IMMEDIATE, 1),
            (zmq.XPUB_NODROP, 1),
            (zmq.LINGER, 0),
            (zmq.SNDHWM, 1000),
            (zmq.RECONNECT_IVL, 20),
            (zmq.RECONNECT_IVL_MAX, 100),
            (zmq.HANDSHAKE_IVL, 1000),
        ):
            self.socket.set(option, value)
        put_on(self.socket, found)
        self.socket.connect(endpoint)

    def gets_in(self, seconds: float) -> bool:
        """Whether the collector's subscription comes within `seconds`."""
        for _ in range(int(seconds / 0.1)):
            if self.up:
                return True
            self.poll(0.1)
        return self.up


class Follower:
    """A SUB on the feed."""

    def __init__(self, endpoint: str, found: keys.ClientKeys | None) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.SUB)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RECONNECT_IVL, 20)
        self.socket.subscribe(wire.PREFIX)
        put_on(self.socket, found)
        self.socket.connect(endpoint)

    def hears(self, seconds: float) -> bool:
        """Whether anything (the offsets come each half second) arrives within `seconds`."""
        if not self.socket.poll(int(seconds * 1000)):
            return False
        self.socket.recv_multipart()
        return True

    def drain(self) -> None:
        while self.socket.poll(0):
            self.socket.recv_multipart()

    def close(self) -> None:
        self.socket.close(0)
        self._context.term()


def stranger(server: str) -> keys.ClientKeys:
    """A well-formed key that nobody was told of."""
    return keys.ClientKeys(key_folders.make_pair(), server)


#: A real training in a few lines, for another process: `logged` is printed before what close() said.
TRAINER = """
import sys
from producer import Producer
producer = Producer(sys.argv[1], prefix="far", autostart=False)
for step in range(int(sys.argv[2])):
    producer.log("training", step, {"loss": 1.0 / (step + 1)})
done = producer.close(20)
print("all stored" if done else "not stored", producer.session)
"""


def trainer_command(base: Path, count: int) -> list[str]:
    return [sys.executable, "-c", TRAINER, str(base), str(count)]


def denied(found: dict[str, Any], domain: str) -> dict[str, int]:
    """Handshakes refused on a socket, by reason, from the status file's content."""
    return dict(((found.get("keys") or {}).get("denied") or {}).get(domain) or {})


def totals(base: Path) -> dict[str, Any]:
    """The collector's counters; what is not there yet is nothing."""
    return {"rejected": {}, **(status(base).get("totals") or {})}
