"""The one thread of a training process that hears of alerts: asleep in a poll, started when somebody first asks.

What is told lies in `alerts_<session>.jsonl`, and a `Tail` reads each event of it once, in order; the collector's feed only
says when to look, so nothing it loses is lost, and nothing comes twice while a collector is started again. Without a feed
the file's size is looked at 20 times a second. The analyzer, without which no alert comes, is started in the background
where none runs, and ends by itself when there is nothing left to watch.

A trainer on another machine than its collector has no such file: the events are taken from the feed alone, if
`AVALIACOES_FEED_ENDPOINT` says where it is; what was published while the connection was down is then not told.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import subprocess
import threading
import time
import weakref
from pathlib import Path
from typing import Final

import zmq

from avaliacoes.alert_callbacks import AlertDesk
from contract import endpoints, feed, keys, names, places, service, wire
from contract.lines import RESERVED, LineRefused, Record, decode_line
from contract.tail import Tail

_LOG = logging.getLogger("avaliacoes")

#: Seconds between two looks at the file and for the collector: with a feed, and without.
_LOOK_S: Final = 0.25
_LOOK_WITHOUT_FEED_S: Final = 0.05
#: Seconds between two looks whether an analyzer runs, and the longest pause before one that keeps dying is started again.
_ANALYZER_S: Final = 1.0
_BACKOFF_MAX_S: Final = 30.0
#: So often started: something keeps it from running, and somebody should look.
_MANY_STARTS: Final = 4
_JOIN_S: Final = 1.0
#: Ids remembered of a session that is heard of through the feed alone.
_MOST_IDS: Final = 4_096


class _Watch:
    """One session that somebody wants to hear of."""

    def __init__(self, base: Path, session: str, desk: AlertDesk, autostart: bool, endpoint: str | None) -> None:
        self.endpoint = endpoint
        self.base = base
        self.session = session
        self.desk = weakref.ref(desk)
        self.autostart = autostart
        self.topic = wire.topic_of(session, names.ALERTS)
        self._tail = Tail(base / names.file_name(names.ALERTS, session))
        self._ids: dict[str, None] = {}

    def look(self) -> None:
        """Put what the file has more onto the desk."""
        try:
            if self._tail.path.stat().st_size == self._tail.position:
                return
            found = self._tail.read_new_at()
        except OSError:
            return
        for record, at in found:
            self._put(at, record)

    def take(self, lines: bytes) -> None:
        """Put the lines of a feed message onto the desk: there is no file here."""
        for line in lines.splitlines():
            with contextlib.suppress(LineRefused):
                self._put(1 << 62, decode_line(line))

    def _put(self, at: int, record: Record) -> None:
        desk, own = self.desk(), str(record.get("id"))
        if desk is None or own in self._ids:
            return
        self._ids[own] = None
        if len(self._ids) > _MOST_IDS:
            del self._ids[next(iter(self._ids))]
        desk.put(at, {name: value for name, value in record.items() if name not in RESERVED})


class _Place:
    """A data folder, its collector's feed, and its analyzer. Belongs to the listener's thread."""

    def __init__(self, base: Path, endpoint: str | None) -> None:
        self.base = base
        #: Whether the collector is on another machine, or works on another folder: no files here, and no analyzer.
        self.elsewhere = endpoint is not None and feed.find(base) is None
        self.remote = _feed_elsewhere() if self.elsewhere else None
        self.socket: zmq.Socket[bytes] | None = None
        self._peer: feed.Peer | None = None
        self._topics: frozenset[bytes] = frozenset()
        self._analyzer: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._next_start = 0.0
        self._complained = False

    def find(self, context: zmq.Context[zmq.Socket[bytes]], topics: frozenset[bytes]) -> bool:
        """Join the feed, or the one that has taken its place; True when the socket is another one."""
        announced = None
        if self.remote is not None:
            peer: feed.Peer | None = (None, self.remote)
        else:
            found = feed.find(self.base)
            peer, announced = found if found is not None else (None, None)
        if peer == self._peer:
            if self.socket is not None:
                for topic in topics - self._topics:
                    self.socket.subscribe(topic)
                for topic in self._topics - topics:
                    self.socket.unsubscribe(topic)
                self._topics = topics
            return False
        self.close()
        self._peer, self._topics = peer, topics
        if peer is not None:
            try:
                if self.remote is not None:
                    endpoints.check_client_endpoint(self.remote, keys.keys_for(self.base, None) is not None)
                self.socket = feed.join(context, self.base, peer[1], announced, topics)
            except (zmq.ZMQError, OSError, ValueError) as error:
                self._complain(f"no feed of alerts from {peer[1]}: {error}")
        return True

    def keep_analyzer(self) -> None:
        """Start an analyzer if none runs, with growing pauses for one that keeps dying."""
        if self._analyzer is not None and self._analyzer.poll() is not None:
            self._analyzer = None
        now = time.monotonic()
        if self._analyzer is not None and service.find(self.base, "analyzer"):
            self._starts = 0
        if self._analyzer is not None or now < self._next_start or service.is_running(self.base, "analyzer"):
            return
        self._next_start = now + min(_BACKOFF_MAX_S, 2.0 * 2**self._starts)
        self._starts += 1
        log = places.own_dir(self.base) / "analyzer.log"
        if self._starts == _MANY_STARTS:
            self._complain(f"the analyzer keeps dying, so no alert comes; see {log}")
        try:
            self._analyzer = service.start_detached(self.base, "analyzer", "--auto", log=log)
        except OSError as error:
            self._complain(f"no analyzer could be started for {self.base}, so no alert comes: {error}")

    def _complain(self, text: str) -> None:
        if not self._complained:
            self._complained = True
            _LOG.warning("%s", text)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Listener:
    """Hears of the sessions it is told to `watch`, until it is told to `forget`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: list[_Watch] = []
        self._ending = False
        #: Attributes, not variables of the thread: a fork's child must not collect what is the parent's.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._places: dict[Path, _Place] = {}
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._thread = threading.Thread(target=self._run, name="avaliacoes-alerts", daemon=True)
        self._thread.start()

    def watch(
        self, base: Path, session: str, desk: AlertDesk, autostart: bool = True, endpoint: str | None = None
    ) -> None:
        """Put onto `desk` whatever the session's file of alerts has and gets, for as long as the desk lives, or until `forget`.

        Args:
            autostart: start an analyzer where none runs.
            endpoint: of the session's collector, if one was named.
        """
        with self._lock:
            self._watches = [*self._watches, _Watch(base, session, desk, autostart, endpoint)]
        self._wake()

    def forget(self, desk: AlertDesk) -> None:
        """Put nothing more onto `desk`."""
        with self._lock:
            self._watches = [one for one in self._watches if one.desk() not in (None, desk)]
        self._wake()

    def close(self) -> None:
        self._ending = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, b"x")

    # The thread

    def _run(self) -> None:
        try:
            while not self._ending:
                watches = [one for one in self._watches if one.desk() is not None]
                try:
                    self._turn(watches)
                except OSError as error:  # a folder that went away, say: looked at again in a moment
                    _LOG.debug("listening for alerts: %s", error)
                self._sleep(watches)
        finally:
            for place in self._places.values():
                place.close()
            self._context.term()

    def _turn(self, watches: list[_Watch]) -> None:
        found = self._places
        for one in watches:
            if one.base not in found:
                found[one.base] = _Place(one.base, one.endpoint)
        for base in found.keys() - {one.base for one in watches}:
            found.pop(base).close()
        for base, place in found.items():
            here = [one for one in watches if one.base == base]
            place.find(self._context, frozenset(one.topic for one in here))
            if not place.elsewhere and any(one.autostart for one in here):
                place.keep_analyzer()
        for one in watches:
            one.look()

    def _sleep(self, watches: list[_Watch]) -> None:
        """Until it is time to look again: hints from the feed are followed at once."""
        poller = zmq.Poller()
        poller.register(self._reader, zmq.POLLIN)
        sockets = {place.socket: place for place in self._places.values() if place.socket is not None}
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        without = any(place.socket is None for place in self._places.values())
        end = time.monotonic() + (_LOOK_WITHOUT_FEED_S if without else _LOOK_S)
        while not self._ending:
            left = None if not watches else max(0, round(1000 * (end - time.monotonic())))
            ready = dict(poller.poll(left))
            if self._reader in ready:
                with contextlib.suppress(OSError):
                    os.read(self._reader, 4096)
                return
            if not ready:
                return
            for socket, place in sockets.items():
                if socket in ready:
                    _hear(socket, place, watches)
            if time.monotonic() >= end:
                return


def _hear(socket: zmq.Socket[bytes], place: _Place, watches: list[_Watch]) -> None:
    while True:
        try:
            parts = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        for one in watches:
            if one.base == place.base and one.topic == parts[0]:
                if place.remote is None:
                    one.look()
                elif len(parts) > 2:
                    one.take(parts[2])


def _feed_elsewhere() -> str | None:
    """Where to listen for alerts that are not written into this folder; None, and a warning, where nobody says."""
    given = os.environ.get(feed.ENV_FEED_ENDPOINT)
    if not given:
        _LOG.warning(
            "alerts come back from a collector elsewhere only where %s names its feed (tcp://host:port); the key must be one "
            "that may read: `avaliacoes keys add NAME --reader` there",
            feed.ENV_FEED_ENDPOINT,
        )
    return given or None


_listener: Listener | None = None
_graveyard: list[object] = []
_making = threading.Lock()


def listener() -> Listener:
    """The listener of this process, started now if there is none."""
    global _listener
    with _making:
        if _listener is None:
            _listener = Listener()
        return _listener


def forget(desk: AlertDesk) -> None:
    """Put nothing more onto `desk`, if anything ever was."""
    if _listener is not None:
        _listener.forget(desk)


def _at_exit() -> None:
    if _listener is not None:
        _listener.close()


def _in_child() -> None:
    """The thread is the parent's; its sockets must not be touched here, so they are kept from the garbage collector."""
    global _listener, _making
    if _listener is not None:
        _graveyard.append(_listener)
    _listener = None
    _making = threading.Lock()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_child)
