"""The two sockets, with every option set before binding.

Producers connect XPUB to our XSUB: the subscription tells them that somebody listens, and acknowledgements travel back on
the same connection. The feed is an XPUB that may lose: it only says that there is more in the files.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import zmq

from collector.guard import Guard, cut, receive
from collector.settings import Settings
from contract import wire
from contract.endpoints import split_tcp
from contract.keys import FEED_DOMAIN, INGEST_DOMAIN, KeysRefused
from contract.service import CannotStart

#: Messages that may wait in one producer's pipe; with the producer's window of 64 this never fills up.
INGEST_HWM = 128
#: A reader that lags further than this loses feed messages and reads the file instead.
FEED_HWM = 1_000
#: Acks to one frozen producer that are kept; later ones are dropped, and they are cumulative.
ACK_HWM = 100
CLOSE_LINGER_MS = 300


#: libzmq's event value for a client that takes somebody else for the collector. Whatever else fails before a key is
#: shown (another mechanism, a peer that hangs up) counts as no key: which of the two it is depends on who notices first.
_NOT_FOR_US: Final = 0x11000001
_WATCHED: Final = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


@dataclass(slots=True)
class Sockets:
    """The bound sockets and who is connected to them; `close` gives all of it back.

    Attributes:
        connected, followers: descriptors of the connections to ingest and feed.
        refused: handshakes with ingest that failed, for whatever reason.
        failed: handshakes that failed before a key could be looked at, by domain and reason.
        guard: asks for keys; None where there are none.
    """

    context: zmq.Context[zmq.Socket[bytes]]
    ingest: zmq.Socket[bytes]
    feed: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    feed_monitor: zmq.Socket[bytes]
    guard: Guard | None = None
    ingest_endpoint: str = ""
    feed_endpoint: str = ""
    connected: set[int] = field(default_factory=set)
    followers: set[int] = field(default_factory=set)
    refused: int = 0
    failed: dict[str, Counter[str]] = field(
        default_factory=lambda: {INGEST_DOMAIN: Counter[str](), FEED_DOMAIN: Counter[str]()}
    )

    @property
    def events(self) -> list[zmq.Socket[bytes]]:
        """What tells of connections that come and go: `watch` when one of them is readable."""
        sources = [self.monitor, self.feed_monitor]
        return sources if self.guard is None else [*sources, self.guard.handler]

    def receiver(self, refuse: Callable[[str, str], None]) -> Callable[[], list[bytes]]:
        """What gives the next message, [] for one refused for its key; raises `zmq.Again` when there is none."""
        if self.guard is None:
            return partial(receive, self.ingest)
        return partial(self.guard.receive, self.ingest, refuse)

    def watch(self) -> None:
        """Take what is told of connections, decide on those that ask, and cut them all when a key was removed."""
        self.refused += _follow(self.monitor, self.connected, self.failed[INGEST_DOMAIN])
        _follow(self.feed_monitor, self.followers, self.failed[FEED_DOMAIN])
        if self.guard is not None and self.guard.answer():
            cut(self.connected | self.followers)

    def keys_state(self) -> dict[str, Any] | None:
        """What the status file says of keys; None without keys."""
        return None if self.guard is None else self.guard.as_dict(self.failed)

    def look_for_keys(self) -> None:
        """Notice keys that came or went."""
        if self.guard is not None and self.guard.look():
            cut(self.connected | self.followers)

    def close(self) -> None:
        """Send what is queued for a moment, then close everything; the ipc files go with it."""
        for socket, monitor in ((self.ingest, self.monitor), (self.feed, self.feed_monitor)):
            with suppress(zmq.ZMQError):
                socket.disable_monitor()
            monitor.close(0)
        self.ingest.close(CLOSE_LINGER_MS)
        self.feed.close(CLOSE_LINGER_MS)
        if self.guard is not None:
            self.guard.close()
        self.context.term()
        for endpoint in (self.ingest_endpoint, self.feed_endpoint):
            if endpoint.startswith("ipc://"):
                # libzmq leaves the file; we still hold the lock, so it is ours to remove.
                Path(endpoint.removeprefix("ipc://")).unlink(missing_ok=True)


def open_sockets(settings: Settings) -> Sockets:
    """Bind both sockets. The lock on the data folder must be held: binding takes an ipc path from whoever has it.

    Raises:
        CannotStart: an endpoint cannot be bound, or the keys cannot be used, saying which and why.
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
    sockets = Sockets(context, ingest, feed, ingest.get_monitor_socket(_WATCHED), feed.get_monitor_socket(_WATCHED))
    try:
        if settings.keys is not None:
            sockets.guard = Guard(context, settings.keys, settings.base)
            sockets.guard.protect(ingest, INGEST_DOMAIN)
            sockets.guard.protect(feed, FEED_DOMAIN)
        sockets.ingest_endpoint = _bind(ingest, settings.bind)
        sockets.feed_endpoint = _bind(feed, settings.feed)
    except KeysRefused as error:
        sockets.close()
        raise CannotStart(str(error)) from error
    except BaseException:
        sockets.close()
        raise
    ingest.send(wire.SUBSCRIBED)
    return sockets


def _follow(monitor: zmq.Socket[bytes], connected: set[int], failed: Counter[str]) -> int:
    """Take what a monitor tells; returns how many handshakes failed."""
    refused = 0
    while True:
        try:
            head, _ = monitor.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return refused
        event, value = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:6], "little", signed=True)
        if event == zmq.EVENT_ACCEPTED:
            connected.add(value)
        elif event == zmq.EVENT_DISCONNECTED:
            connected.discard(value)
        else:
            refused += 1
            if event != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # those are counted by who decided
                failed["wrong key of the collector" if value == _NOT_FOR_US else "no key"] += 1


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
