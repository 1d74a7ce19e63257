"""The collector's feed, taken only as a hint which files have grown: what it loses, the next look at the folder finds."""

from __future__ import annotations

from pathlib import Path

import msgpack
import zmq

from contract import feed, names, wire

#: Messages taken in one go, so that a flood of hints cannot keep the loop from reading.
_MOST = 2_000


class Feed:
    """A subscription to the feed of whichever collector runs on `base`.

    `find` connects, or connects anew after a collector was restarted (its pid or endpoint changed); `drain` never
    waits. Hints are `{(session, category): size}`, the size being the one to read up to.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._peer: feed.Peer | None = None
        self.socket: zmq.Socket[bytes] | None = None
        self.messages = 0
        self.refused = 0

    def find(self) -> bool:
        """Look for the collector; True when the socket is another one than before (or is gone)."""
        found = feed.find(self._base)
        peer = found[0] if found is not None else None
        if peer == self._peer:
            return False
        self._disconnect()
        self._peer = peer
        if found is not None:
            try:
                self.socket = feed.join(self._context, self._base, found[0][1], found[1], [wire.PREFIX])
            except (zmq.ZMQError, OSError):
                # Nobody can connect to it, or not with our keys; the folder is read all the same.
                self.refused += 1
        return True

    def drain(self) -> dict[tuple[str, str], int]:
        """What has come since the last call."""
        hints: dict[tuple[str, str], int] = {}
        for _ in range(_MOST if self.socket is not None else 0):
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)  # type: ignore[union-attr]
            except zmq.Again:
                break
            self.messages += 1
            try:
                self._take(parts, hints)
            except (wire.FrameRefused, names.NameRefused, ValueError):
                self.refused += 1
        return hints

    @staticmethod
    def _take(parts: list[bytes], hints: dict[tuple[str, str], int]) -> None:
        if parts[0] == wire.OFFSETS_TOPIC:
            try:
                sizes = msgpack.unpackb(parts[1])
                pairs = [(names.split_file_name(file), int(size)) for file, size in sizes.items()]
            except Exception as error:  # msgpack raises many kinds
                raise wire.FrameRefused("feed", f"broken offsets: {error}") from error
            hints.update(
                {(found[1], found[0]): size for found, size in pairs if found and found[0] in names.CATEGORIES}
            )
            return
        if len(parts) < 2:
            raise wire.FrameRefused("parts", f"expected at least 2 frames, got {len(parts)}")
        _, session, category = parts[0].decode("ascii").split("/")
        _, _, end = wire.unpack_feed(parts[1])
        hints[(names.check_session(session), names.check_category(category))] = end

    def _disconnect(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def close(self) -> None:
        self._disconnect()
        self._context.term()
