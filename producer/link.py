"""The socket to the collector: an XPUB that knows whether somebody listens.

Only the sender's thread touches it. With IMMEDIATE the subscription comes and goes with the collector, so "up" means that
a collector has subscribed on this very connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import zmq

from contract import wire

_LOG = logging.getLogger("avaliacoes")
#: libzmq never reconnects after some handshake errors; a socket without a sign of life for this long is replaced.
WATCHDOG_S = 6.0
WINDOW_BATCHES = 64


class Link:
    """A connection that heals itself.

    Args:
        secure: called with each new socket before it connects, to put keys on it.
    """

    def __init__(self, secure: Callable[[zmq.Socket[bytes], str], None] | None = None) -> None:
        self._context = zmq.Context()
        self._secure = secure
        self._socket: zmq.Socket[bytes] | None = None
        self.endpoint: str | None = None
        self.up = False
        self._sign_of_life = 0.0
        self._trouble = ""

    def connect(self, endpoint: str | None) -> None:
        """Be connected to `endpoint` (None: leave things as they are); replaces a socket that gave no sign of life."""
        now = time.monotonic()
        stale = not self.up and now - self._sign_of_life > WATCHDOG_S
        if endpoint is None or (endpoint == self.endpoint and not stale):
            return
        self.disconnect()
        socket: zmq.Socket[bytes] = self._context.socket(zmq.XPUB)
        for option, value in (
            (zmq.IMMEDIATE, 1),
            (zmq.XPUB_NODROP, 1),
            (zmq.SNDHWM, 4 * WINDOW_BATCHES),
            (zmq.RCVHWM, 0),  # acks are small and few; at a limit libzmq may abort the trainer, see `contract.feed`
            (zmq.LINGER, 0),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 1000),
            (zmq.HEARTBEAT_IVL, 1000),
            (zmq.HEARTBEAT_TIMEOUT, 3000),
            (zmq.HANDSHAKE_IVL, 3000),
            (zmq.MAXMSGSIZE, wire.MAX_MESSAGE_BYTES),
        ):
            socket.setsockopt(option, value)
        try:
            if self._secure is not None:
                self._secure(socket, endpoint)
            socket.connect(endpoint)
        except (zmq.ZMQError, OSError) as error:
            socket.close(0)
            if str(error) != self._trouble:  # said once, tried again and again
                self._trouble = str(error)
                _LOG.warning("cannot connect to the collector at %s: %s", endpoint, error)
            return
        self._trouble = ""
        self._socket, self.endpoint, self._sign_of_life = socket, endpoint, now

    def disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close(0)
        self._socket, self.endpoint, self.up = None, None, False

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        return self._socket

    def receive(self) -> Iterable[bytes]:
        """The acks that have come; subscriptions are taken in on the way. Never blocks."""
        socket = self._socket
        if socket is None:
            return
        while int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except zmq.ZMQError as error:
                _LOG.warning("connection to the collector failed: %s", error)
                self.disconnect()
                return
            self._sign_of_life = time.monotonic()
            frame = parts[0]
            if frame == wire.SUBSCRIBED:
                self.up = True
            elif frame == wire.UNSUBSCRIBED:
                self.up = False
            elif frame[:1] == b"A" and len(parts) == 1:
                yield frame

    def send(self, parts: list[bytes | memoryview]) -> bool:
        """Hand one message over; False at the high-water mark or without a connection."""
        if self._socket is None:
            return False
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            _LOG.warning("sending to the collector failed: %s", error)
            self.disconnect()
            return False
        return True

    def close(self) -> None:
        self.disconnect()
        self._context.term()
