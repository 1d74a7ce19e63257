"""Who may connect, when the collector has keys: the ZAP handler, and whose producer ids are whose.

libzmq asks here, before a connection exists, whether a client's key may use a socket: `ingest` is for the keys in
`writers/`, `feed` for those in `readers/`. Nothing answers for another domain, and ZAP_ENFORCE_DOMAIN makes a socket without a
handler refuse instead of admit. The loop owns the handler's socket like every other, so nothing needs a lock.

A message carries the name of the key it came under (its `User-Id`). The name that first used a producer id keeps it, across
restarts of the collector: a batch under another name is refused as forged.
"""

from __future__ import annotations

import os
import re
import socket as plain_sockets
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgpack
import zmq
from zmq.utils import z85

from contract import keys, names
from contract.places import own_dir

_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_ZAP_HWM: Final = 1_000
_ZAP_PER_ROUND: Final = 64
_ROLE_OF: Final = {keys.INGEST_DOMAIN.encode(): keys.WRITERS, keys.FEED_DOMAIN.encode(): keys.READERS}
#: Producer ids whose key is remembered, the oldest forgotten first: one per training process ever seen.
MAX_OWNERS: Final = 200_000
_OWNER_LINE: Final = re.compile(r"([0-9a-f]{12}) (\S{1,63})\Z")

Refuse = Callable[[str, str], None]


def owners_file(base: Path) -> Path:
    """Which key's name each producer id belongs to: lines of `root name`, only ever appended to."""
    return own_dir(base) / "producer_keys"


class Allowed:
    """The keys that are let in, by role, read again when their folders change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self.trouble: str | None = None
        self.names: dict[str, dict[str, str]] = {role: {} for role in keys.ROLES}
        self.writers: frozenset[str] = frozenset()

    def look(self) -> bool:
        """Read the folders if they changed; True if a key that was allowed no longer is. Fails closed."""
        try:
            seen = [_signature(self._folder / role) for role in keys.ROLES]
            if seen == self._seen:
                return False
            keys.check_folder(self._folder)
            found = {role: keys.read_role(self._folder, role) for role in keys.ROLES}
            self._seen, self.trouble = seen, None
        except OSError as error:
            found = {role: {} for role in keys.ROLES}
            self._seen, self.trouble = None, str(error)
        before, self.names = self.names, found
        self.writers = frozenset(found[keys.WRITERS].values())
        return any(found[role].get(key) != name for role in keys.ROLES for key, name in before[role].items())


def _signature(folder: Path) -> list[tuple[str, int, int, int]]:
    info = folder.stat()
    rows = [(".", info.st_mode, info.st_uid, info.st_ino)]
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = entry.stat()
                rows.append((entry.name, status.st_mtime_ns, status.st_size, status.st_ino))
    return sorted(rows)


class Guard:
    """Decides on every handshake and every batch, when there are keys.

    Args:
        folder: the keys folder.
        base: the data folder.

    Attributes:
        public: this collector's public key, to be announced.
        denied: handshakes refused by the handler, by domain and reason ("unknown key", "no key").

    Raises:
        contract.keys.KeysRefused: there are no keys there, or they cannot be used safely.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path, base: Path) -> None:
        keys.check_folder(folder)
        self._pair = keys.read_pair(folder / f"{keys.COLLECTOR}.key_secret")
        self.public = self._pair.public
        self.folder = folder
        self.denied: dict[str, Counter[str]] = {domain.decode(): Counter() for domain in _ROLE_OF}
        self._allowed = Allowed(folder)
        self._allowed.look()
        if self._allowed.trouble is not None:
            raise keys.KeysRefused(self._allowed.trouble)
        self._owners = _load_owners(base)
        self._owners_path = owners_file(base)
        self.handler: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.handler.set(zmq.LINGER, 0)
        self.handler.set(zmq.RCVHWM, _ZAP_HWM)
        self.handler.bind(_ZAP_ENDPOINT)

    def protect(self, socket: zmq.Socket[bytes], domain: str) -> None:
        """Ask for keys on a socket, before it is bound."""
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._pair.secret.encode())
        socket.set(zmq.ZAP_DOMAIN, domain.encode())
        with suppress(AttributeError, zmq.ZMQError):  # a libzmq without it still asks the handler, which is bound
            socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def answer(self) -> bool:
        """Decide on the handshakes that wait; True when live connections must be cut because a key was removed."""
        requests = []
        for _ in range(_ZAP_PER_ROUND):
            try:
                requests.append(self.handler.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
        # After the requests are here: a client refused wrongly would not ask again for seconds.
        removed = bool(requests) and self._allowed.look()
        for request in requests:
            with suppress(zmq.ZMQError, ValueError, IndexError):
                self._answer(request)
        return removed

    def _answer(self, request: list[bytes]) -> None:
        peer, _, version, number, domain, _, _, mechanism, *credentials = request
        role = _ROLE_OF.get(domain)
        name = None
        if role is not None and mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            name = self._allowed.names[role].get(z85.encode(credentials[0]).decode())
        if name is None:
            self.denied.get(domain.decode("ascii", "replace"), Counter[str]())["unknown key"] += 1
            verdict = [b"400", b"this key is not allowed here", b"", b""]
        else:
            verdict = [b"200", b"OK", name.encode(), b""]
        self.handler.send_multipart([peer, b"", version, number, *verdict], zmq.NOBLOCK)

    def look(self) -> bool:
        """Notice keys that came or went; True when live connections must be cut because one was removed."""
        return self._allowed.look()

    def receive(self, socket: zmq.Socket[bytes], refuse: Refuse) -> list[bytes]:
        """The next message on `socket`, or [] for one that was refused (and counted by `refuse`).

        Raises:
            zmq.Again: there is none.
        """
        first = socket.recv(zmq.NOBLOCK, copy=False)
        parts = [first.bytes, *rest_of(socket, first)]
        try:
            name = first.get("User-Id")
        except zmq.ZMQError:
            name = None
        if not isinstance(name, str) or name not in self._allowed.writers:
            refuse("revoked", f"a message under the key {name!r:.80}, which is no longer allowed to write")
            return []
        root = _root_in(parts)
        if root is None:
            return parts  # broken in a way that the decoder will say
        owner = self._owners.get(root)
        if owner is None:
            self._own(root, name)
        elif owner != name:
            refuse("forged", f"a batch of producer {root}, which belongs to the key {owner}, came under the key {name}")
            return []
        return parts

    def _own(self, root: str, name: str) -> None:
        self._owners[root] = name
        if len(self._owners) > MAX_OWNERS:
            del self._owners[next(iter(self._owners))]
        with suppress(OSError):  # a full disk: the record itself waits too, and is bound again when it comes
            fd = os.open(self._owners_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, f"{root} {name}\n".encode())
            finally:
                os.close(fd)

    def as_dict(self, failed: dict[str, Counter[str]]) -> dict[str, Any]:
        """For the status file: how many keys there are, and the handshakes that failed, by domain and reason."""
        return {
            "writers": len(self._allowed.names[keys.WRITERS]),
            "readers": len(self._allowed.names[keys.READERS]),
            "trouble": self._allowed.trouble,
            "denied": {domain: dict(self.denied[domain] + failed[domain]) for domain in self.denied},
        }

    def close(self) -> None:
        self.handler.close(0)


def receive(socket: zmq.Socket[bytes]) -> list[bytes]:
    """The next message. By frames, which know whether more follow: asking the socket costs more than all the rest.

    Raises:
        zmq.Again: there is none.
    """
    first = socket.recv(zmq.NOBLOCK, copy=False)
    return [first.bytes, *rest_of(socket, first)]


def rest_of(socket: zmq.Socket[bytes], frame: zmq.Frame) -> list[bytes]:
    """The parts of a message that follow `frame`."""
    parts: list[bytes] = []
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        parts.append(frame.bytes)
    return parts


def _root_in(parts: list[bytes]) -> str | None:
    """The root of the producer id that a message's header names, or None if it names none."""
    try:
        producer = msgpack.unpackb(parts[1], max_array_len=8, max_map_len=0)[0]
        return names.root_of(names.check_producer(producer))
    except Exception:  # msgpack raises many kinds on hostile bytes; the decoder counts them
        return None


def _load_owners(base: Path) -> dict[str, str]:
    path = owners_file(base)
    owners: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return owners
    for line in lines:
        found = _OWNER_LINE.match(line)
        if found:
            owners.setdefault(found[1], found[2])
    kept = dict(list(owners.items())[-MAX_OWNERS:])
    if len(lines) > 2 * MAX_OWNERS:
        temporary = path.with_name(f"{path.name}.tmp")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.writelines(f"{root} {name}\n" for root, name in kept.items())
        os.replace(temporary, path)
    return kept


def cut(connections: Iterable[int]) -> None:
    """End live connections by their descriptors: clients with a key that is still allowed are back at once.

    libzmq offers no way to disconnect one peer. Shutting its socket down looks to libzmq like a client that left; the
    producer sends again what was not acknowledged, so nothing is lost.
    """
    for fd in connections:
        with suppress(OSError):
            copy = os.dup(fd)
            try:
                connection = plain_sockets.socket(fileno=copy)
            except OSError:  # already closed, and the number belongs to something else now
                os.close(copy)
                continue
            with connection:
                connection.shutdown(plain_sockets.SHUT_RDWR)
