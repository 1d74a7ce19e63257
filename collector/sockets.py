"""The two sockets, with every option set before binding.

Producers connect XPUB to our XSUB: the subscription tells them that somebody listens, and acknowledgements travel back on
the same connection. The feed is an XPUB that may lose: it only says that there is more in the files.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from collector.settings import Settings
from contract import wire
from contract.endpoints import split_tcp
from contract.service import CannotStart

#: Messages that may wait in one producer's pipe; with the producer's window of 64 this never fills up.
INGEST_HWM = 128
#: A reader that lags further than this loses feed messages and reads the file instead.
FEED_HWM = 1_000
#: Acks to one frozen producer that are kept; later ones are dropped, and they are cumulative.
ACK_HWM = 100
CLOSE_LINGER_MS = 300


@dataclass(slots=True)
class Sockets:
    """The bound sockets and a count of the producers connected; `close` gives all of it back."""

    context: zmq.Context[zmq.Socket[bytes]]
    ingest: zmq.Socket[bytes]
    feed: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    ingest_endpoint: str
    feed_endpoint: str
    connected: set[int] = field(default_factory=set)
    refused: int = 0

    def watch(self) -> None:
        """Take what the monitor tells about connections."""
        while True:
            try:
                head, _ = self.monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            event, value = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:6], "little", signed=True)
            if event == zmq.EVENT_ACCEPTED:
                self.connected.add(value)
            elif event == zmq.EVENT_DISCONNECTED:
                self.connected.discard(value)
            else:
                self.refused += 1

    def close(self) -> None:
        """Send what is queued for a moment, then close everything; the ipc files go with it."""
        with suppress(zmq.ZMQError):
            self.ingest.disable_monitor()
        self.monitor.close(0)
        self.ingest.close(CLOSE_LINGER_MS)
        self.feed.close(CLOSE_LINGER_MS)
        self.context.term()
        for endpoint in (self.ingest_endpoint, self.feed_endpoint):
            if endpoint.startswith("ipc://"):
                # libzmq leaves the file; we still hold the lock, so it is ours to remove.
                Path(endpoint.removeprefix("ipc://")).unlink(missing_ok=True)


def open_sockets(settings: Settings) -> Sockets:
    """Bind both sockets. The lock on the data folder must be held: binding takes an ipc path from whoever has it.

    Raises:
        CannotStart: an endpoint cannot be bound, saying which and why.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    ingest: zmq.Socket[bytes] = context.socket(zmq.XSUB)
    feed: zmq.Socket[bytes] = context.socket(zmq.XPUB)
    for name, value in (
        (zmq.RCVHWM, INGEST_HWM),
        (zmq.SNDHWM, ACK_HWM),
        (zmq.LINGER, 0),
        (zmq.HEARTBEAT_IVL, 2_000),
        (zmq.HEARTBEAT_TIMEOUT, 6_000),
        (zmq.HANDSHAKE_IVL, 3_000),
        (zmq.MAXMSGSIZE, 2 * wire.MAX_MESSAGE_BYTES),
    ):
        ingest.set(name, value)
    for name, value in (
        (zmq.XPUB_NODROP, 0),
        (zmq.SNDHWM, FEED_HWM),
        (zmq.LINGER, 0),
        (zmq.HEARTBEAT_IVL, 1_000),
        (zmq.HEARTBEAT_TIMEOUT, 3_000),
        (zmq.HANDSHAKE_IVL, 3_000),
        (zmq.MAXMSGSIZE, 4_096),
    ):
        feed.set(name, value)
    for socket in (ingest, feed):
        secure(socket, settings)
    monitor = ingest.get_monitor_socket(
        zmq.EVENT_ACCEPTED
        | zmq.EVENT_DISCONNECTED
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    )
    sockets = Sockets(context, ingest, feed, monitor, "", "")
    try:
        sockets.ingest_endpoint = _bind(ingest, settings.bind)
        sockets.feed_endpoint = _bind(feed, settings.feed)
    except BaseException:
        sockets.close()
        raise
    ingest.send(wire.SUBSCRIBED)
    return sockets


def secure(socket: zmq.Socket[bytes], settings: Settings) -> None:
    """Where keys are put on a socket, before it is bound. Without keys `Settings` only lets private endpoints through."""


def _bind(socket: zmq.Socket[bytes], endpoint: str) -> str:
    """Bind, private to this user; returns the endpoint with the port that was chosen."""
    where = endpoint
    if endpoint.startswith("ipc://"):
        _clear_way(endpoint.removeprefix("ipc://"))
    else:
        host, port = split_tcp(endpoint)
        host = "127.0.0.1" if host == "localhost" else host
        if ":" in host:
            socket.set(zmq.IPV6, 1)
            host = f"[{host}]"
        where = f"tcp://{host}:{port}"
    before = os.umask(0o077)
    try:
        socket.bind(where)
    except zmq.ZMQError as error:
        hint = "another process uses it; stop that one or give another endpoint with --bind / --feed"
        why = hint if error.errno == errno.EADDRINUSE else f"{error.strerror}; give another with --bind / --feed"
        raise CannotStart(f"cannot bind {endpoint}: {why}") from error
    finally:
        os.umask(before)
    bound = socket.get(zmq.LAST_ENDPOINT)
    return (bound.decode() if isinstance(bound, bytes) else str(bound)).rstrip("\0")


def _clear_way(path: str) -> None:
    """Remove the socket file that a killed collector left behind, and nothing else."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise CannotStart(f"cannot bind ipc://{path}: a file that is no socket is there; move it away")
        Path(path).unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise CannotStart(f"cannot bind ipc://{path}: {error.strerror}") from error
