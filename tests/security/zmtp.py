"""A hostile client: ZMTP spoken by hand on a plain socket, so that it can send what libzmq's own client would filter."""

from __future__ import annotations

import contextlib
import socket
import threading

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)


def frame(body: bytes, more: bool = False) -> bytes:
    """One message frame as it goes over the wire."""
    if len(body) > 255:
        return bytes([2 | more]) + len(body).to_bytes(8, "big") + body
    return bytes([int(more), len(body)]) + body


def message(parts: list[bytes]) -> bytes:
    last = len(parts) - 1
    return b"".join([frame(part, number < last) for number, part in enumerate(parts)])


class HandMadePeer:
    """Connected to an ipc or tcp endpoint as an XPUB; everything it is sent is read and thrown away.

    Args:
        answers: whether it answers heartbeats; who does not is cut off after 6 s. Only for a peer that sends whole frames.
    """

    def __init__(self, endpoint: str, kind: bytes = b"XPUB", answers: bool = False) -> None:
        self._answers = answers
        self._sending = threading.Lock()
        if endpoint.startswith("ipc://"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(endpoint.removeprefix("ipc://"))
        else:
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(60)
        self.socket.sendall(_GREETING)
        received = b""
        while len(received) < 64:
            received += self._some()
        body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        self.socket.sendall(bytes([4, len(body)]) + body)
        self._drain = threading.Thread(target=self._throw_away, daemon=True)
        self._drain.start()

    def _some(self) -> bytes:
        found = self.socket.recv(65536)
        if not found:
            raise ConnectionError("the collector hung up")
        return found

    def _throw_away(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.socket.recv(1 << 20):
                if self._answers and b"\x04PING" in data:
                    self.send(bytes([4, 5]) + b"\x04PONG")

    def send(self, data: bytes) -> None:
        """Bytes as they are (frames made by `message`, or worse)."""
        with self._sending:
            self.socket.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._drain.join(5)
