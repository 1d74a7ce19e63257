"""`Producer`: the client that lives in a training process."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from contract import names, places
from contract.blocks import BLOCK_BYTES
from producer import forks
from producer.adoption import Adoption
from producer.beginning import about, checked, prepare
from producer.beginning import claim as claim_name
from producer.discovery import Discovery
from producer.endpoints import check_endpoint, securing
from producer.heap import HeapBlocks
from producer.link import Link
from producer.nap import NEWS, Nap
from producer.newest import unpacked
from producer.ring import Ring
from producer.sender import Sender
from producer.spool import Spool
from producer.stream import Log, Stream
from producer.values import Converter

_LOG = logging.getLogger("avaliacoes")

DEFAULT_BUFFER = 65_536
DEFAULT_FLUSH_S = 0.02
DEFAULT_SPOOL_BYTES = 1 << 30
#: Bytes of ring per record of buffer: about what a record with eight float metrics and their names takes.
_BYTES_PER_RECORD = 128
_MIN_BLOCKS, _MAX_BLOCKS = 32, 1024
_CLOSE_PATIENCE_S = 10.0
_CLOSE_LONGEST_S = 120.0
_EXIT_S = 1.2


class Producer:
    """Sends records of one session to the collector of a data folder; what it is given is never lost, and never waits.

    Args:
        base_path: data folder; default `AVALIACOES_DIR`, else `avaliacoes` under the working directory.
        session: name of the session; default `[<prefix>_]YYYYMMDD_HHMMSS`. A name that is taken gets a suffix.
        prefix: put before the date of a session that is not named.
        buffer_size: records that may wait in memory before the oldest go to a spool file.
        flush_interval: seconds a record waits at most before it is sent.
        endpoint: of a collector elsewhere (`tcp://host:port`); default `AVALIACOES_ENDPOINT`, else the folder's own.
        autostart: start a collector in the background when the folder has none.
        lifecycle: write the session's start, heartbeats and end.
        claim: take a session name of its own; False joins the session that is named.
        config: what was configured, kept in the session's first record (hyperparameters, say).

    Raises:
        TypeError, ValueError: an argument of a wrong type or out of range (`names.NameRefused` for a session name).
        places.PlaceRefused: the data folder cannot be used.
        keys.KeysRefused: `AVALIACOES_KEYS` names a folder without keys, or with secrets that others can read.
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str] | None = None,
        *,
        session: str | None = None,
        prefix: str | None = None,
        buffer_size: int = DEFAULT_BUFFER,
        flush_interval: float = DEFAULT_FLUSH_S,
        endpoint: str | None = None,
        autostart: bool = True,
        lifecycle: bool = True,
        claim: bool = True,
        config: dict[str, Any] | None = None,
        parent: str | None = None,
    ) -> None:
        self._buffer_size = checked("buffer_size", buffer_size, int, 1, 10**8)
        self._flush_interval = float(checked("flush_interval", flush_interval, (int, float), 0.0, 3600.0))
        self._spool_limit = int(os.environ.get("AVALIACOES_SPOOL_BYTES", DEFAULT_SPOOL_BYTES))
        self._autostart = autostart and os.environ.get("AVALIACOES_AUTOSTART", "1") != "0"
        self._lifecycle = lifecycle
        self._config = dict(config or {})
        self.base_path = places.base_path(base_path)
        self._endpoint = check_endpoint(endpoint or os.environ.get(places.ENV_ENDPOINT) or None, self.base_path)
        wanted = names.check_session(session) if session else names.session_name(prefix)
        prepare(self.base_path)
        self.session = claim_name(self.base_path, wanted) if claim else wanted
        self._streams: list[Stream] = []
        self._by_category: dict[str, Stream] = {}
        self._opening = threading.Lock()
        self._reviving = threading.Lock()
        self._noted: set[str] = set()
        self._renamed = 0
        self._graveyard: list[object] = []
        self._parent = parent
        self._teller: Callable[[], None] = lambda: None
        self._start()
        forks.manage(self)

    def _start(self) -> None:
        """Everything that belongs to this process alone; again in a fork's child that logs."""
        self.producer_id = names.new_producer(self._parent)
        self._pid = os.getpid()
        self._begun = time.monotonic()
        self.heap = HeapBlocks()
        self._closed = self._ending = False
        self._rate = (self._begun, 0, 0.0)
        self.converter = Converter()
        self.nap = Nap()
        wanted = self._buffer_size * _BYTES_PER_RECORD // BLOCK_BYTES
        self.ring = Ring(self.base_path, self.producer_id, self.session, min(max(wanted, _MIN_BLOCKS), _MAX_BLOCKS))
        self._spool = Spool(self.base_path, self.producer_id, self._spool_limit)
        self._sender = Sender(
            self.producer_id,
            self.session,
            self._streams,
            self.ring,
            self._spool,
            Link(securing(self.base_path, self._endpoint)),
            Discovery(self.base_path, self._endpoint, self._autostart),
            self._buffer_size,
            self._flush_interval,
            self._beat,
            self._loss,
            self.nap,
            self.heap,
            Adoption(self.base_path) if self._endpoint is not None else None,
        )
        self._sender.start()
        if self._lifecycle:
            self.stream(names.LIFECYCLE)(0, event="start", **about(), config=self._config)

    # Logging

    def stream(self, category: str) -> Log:
        """The log call of one category, `log(step, **metrics)`: the fastest way in.

        A category that may not be is renamed (and counted), never refused: its records are somebody's only trace.
        """
        stream = self._by_category.get(category)
        if stream is None:
            stream = self._open(category)
        return stream.log

    def log(self, category: str, step: Any, metrics: dict[str, Any]) -> None:
        """Log one record. Returns in about a microsecond, raises nothing, waits for nothing."""
        stream = self._by_category.get(category)
        if stream is None:
            stream = self._open(category)
        stream.record(step, metrics)

    def _open(self, category: str) -> Stream:
        with self._opening:
            name = category if isinstance(category, str) else str(category)
            try:
                names.check_category(name)
                if len(self._by_category) >= names.MAX_CATEGORIES_PER_PRODUCER - 2 and name not in names.CATEGORIES:
                    raise names.NameRefused(f"more than {names.MAX_CATEGORIES_PER_PRODUCER} categories")
            except names.NameRefused as error:
                plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[: names.MAX_CATEGORY_CHARS]
                usable = plain[:1].isalpha() and len(self._by_category) < names.MAX_CATEGORIES_PER_PRODUCER - 2
                name = plain if usable else "other"
                self._renamed += 1
                self.warn_once(f"category {category!r}", "%s; its records go to %r", error, name)
            stream = self._by_category.get(name)
            if stream is None:
                stream = Stream(self, name)
                self._by_category[name] = stream
                self._streams.append(stream)
            if len(self._by_category) < 4 * names.MAX_CATEGORIES_PER_PRODUCER and isinstance(category, str):
                self._by_category[category] = stream
            return stream

    def warn_once(self, key: str, message: str, *arguments: object) -> None:
        """Say something in the log, the first time it happens."""
        if key not in self._noted and len(self._noted) < 100:
            self._noted.add(key)
            _LOG.warning(message, *arguments)

    # Called by streams (`stream.Owner`)

    def may_log(self) -> bool:
        """Asked at each new block: a fork's child becomes a producer of its own here."""
        if self._pid != os.getpid():
            self._revive()
        if self._closed:
            self.warn_once("closed", "session %s: logging after close(); these records are dropped", self.session)
            return False
        return True

    def heap_block(self) -> bool:
        """Whether one more block may live in the heap, the ring being full."""
        self.nap.wake()
        if self.heap.take():
            return True
        self.warn_once("full", "session %s: memory and spool are full; the newest records are dropped", self.session)
        return False

    def crowded(self, spare_blocks: int) -> None:
        """The ring is full and so many of its spare blocks are in use: the sender is called, and given a chance."""
        self.nap.wake()
        self.heap.pace(spare_blocks)

    def tell(self) -> None:
        """Something waits to be told (`hear`); the sender's own records are no occasion for it."""
        if threading.current_thread() is not self._sender:
            self.nap.signs[NEWS] = False  # before it is told: what comes meanwhile sets it again
            self._teller()

    def hear(self, tell: Callable[[], None] | None) -> None:
        """From now on the log call after each `announce` calls `tell`, on its thread; None: nobody is told any more."""
        self.nap.signs[NEWS] = False
        self._teller = tell or (lambda: None)

    def announce(self) -> None:
        """There is something to tell. From any thread."""
        self.nap.signs[NEWS] = True

    # Called by the sender

    def _beat(self) -> None:
        if self._lifecycle and not self._closed:
            figures = self.counts()
            self.stream(names.LIFECYCLE)(0, event="heartbeat", **figures)

    def _loss(self, category: str, count: int, reason: str) -> None:
        _LOG.warning("session %s: %d records of %s dropped: %s", self.session, count, category, reason)
        self.stream(names.LIFECYCLE)(0, event="gap", category=category, dropped=count, reason=reason)

    # Forks

    def after_fork_in_child(self) -> None:
        """Drop what is the parent's without touching it; a log call will start afresh, no call costs nothing."""
        self._graveyard += [self.ring, self._sender, self._spool]
        self.ring.leave()
        self._opening = threading.Lock()
        self._reviving = threading.Lock()
        self.nap = Nap()
        for stream in self._streams:
            stream.reset()

    def _revive(self) -> None:
        with self._reviving:
            if self._closed or self._pid == os.getpid():
                return
            self._parent = self.producer_id
            self._start()
            forks.manage(self)

    # Figures

    def counts(self) -> dict[str, int]:
        """Records of the user's categories: logged, sent, persisted, waiting, spooled, dropped, resent."""
        mine = [s for s in tuple(self._streams) if s.category != names.LIFECYCLE]
        given_up = sum(s.given_up for s in mine)
        refused = sum(s.refused for s in mine)
        stored = sum(s.logged() for s in mine)
        acked = sum(s.stored() for s in mine)
        return {
            "logged": stored + refused,
            "sent": sum(max(s.sent_seq, s.stored()) for s in mine),
            "persisted": acked - given_up,
            "waiting": stored - acked,
            "spooled": self._spool.records,
            "dropped": given_up + refused,
            "resent": self._sender.resent,
        }

    def stats(self) -> dict[str, Any]:
        """Counts, and: session, producer, per_category, last_values, rate, connected, protected, values_replaced.

        `rate` is records per second since the call before (since the start on the first call).
        """
        if self._pid != os.getpid() and not self._closed:
            self._revive()
        figures: dict[str, Any] = dict(self.counts())
        at, before, rate = self._rate
        elapsed = time.monotonic() - at
        if elapsed >= 0.2:
            rate = (figures["logged"] - before) / elapsed
            self._rate = (time.monotonic(), figures["logged"], rate)
        mine = [s for s in tuple(self._streams) if s.category != names.LIFECYCLE]
        return {
            "session": self.session,
            "producer": self.producer_id,
            **figures,
            "per_category": {s.category: s.logged() + s.refused for s in mine},
            "last_values": {s.category: unpacked(last) for s in mine if (last := s.last()) is not None},
            "rate": round(rate, 3),
            "connected": self._sender.connected,
            "protected": self.ring.protected,
            "values_replaced": self.converter.replaced,
            "categories_renamed": self._renamed,
            "spool_errors": self._sender.overflow.errors,
            "unprotected_blocks": self.heap.in_use(),
        }

    # The end

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything logged so far is on disk, at most `timeout` seconds; True if it is."""
        if self._pid != os.getpid():
            return True
        deadline = time.monotonic() + timeout
        for stream in tuple(self._streams):
            stream.drain()
        wanted = [(stream, stream.logged()) for stream in tuple(self._streams)]
        self._sender.hurry()
        try:
            while not all(stream.acked >= seq and not stream.deferred for stream, seq in wanted):
                if time.monotonic() > deadline or not self._sender.is_alive():
                    return False
                time.sleep(0.001)
        finally:
            self._sender.relax()
        return True

    def close(self, timeout: float | None = None, status: str = "finished", error: str | None = None) -> bool:
        """End the session: when it returns True, everything logged is on disk. May be called again, does nothing then.

        Without a collector it gives up after `timeout` seconds and leaves everything in spool files, which the next
        collector or producer of this folder takes over; it returns False then.

        Args:
            timeout: seconds; default: as long as the collector makes progress, at most 10 s without any.
            status: "finished", "failed" or "interrupted", kept in the session's last record.
            error: one line on what went wrong, for status "failed".
        """
        if self._closed or self._ending or self._pid != os.getpid():
            self._closed = True
            return True
        self._ending = True
        for stream in tuple(self._streams):
            stream.drain()
        if self._lifecycle:
            figures = self.counts()
            self.stream(names.LIFECYCLE)(0, event="end", status=status, error=error, **figures)
        self._closed = True
        for stream in tuple(self._streams):
            if stream.category != names.LIFECYCLE:  # its block stays open: a loss may still have to be told
                stream.rotate()
        done = self._drain(timeout)
        self._sender.stop()
        self._sender.join(2.0)
        forks.forget(self)
        if self._sender.is_alive():
            return False
        self.nap.close()
        if done:
            self._spool.clear()
            self.ring.remove()
        else:
            waiting = self.counts()["waiting"]
            spooled = self._sender.overflow.spool_everything()
            self._spool.leave()
            if spooled:
                self.ring.remove()
            else:
                self.ring.leave()
            _LOG.warning(
                "session %s: %d records could not be delivered yet and wait in %s; they are stored as soon as a "
                "collector or a new producer runs on this folder",
                self.session,
                waiting,
                places.spool_dir(self.base_path) if spooled else self.ring.path,
            )
        return done

    def _drain(self, timeout: float | None) -> bool:
        begin = time.monotonic()
        self._sender.progress_at = max(self._sender.progress_at, begin)
        while not self.flush(0.25) or any(stream.acked < stream.logged() for stream in tuple(self._streams)):
            now = time.monotonic()
            if timeout is not None and now - begin > timeout:
                return False
            if timeout is None and (
                now - self._sender.progress_at > _CLOSE_PATIENCE_S or now - begin > _CLOSE_LONGEST_S
            ):
                return False
            if not self._sender.is_alive():
                return False
        return True

    def at_exit(self) -> None:
        """The process ends without `close()`: deliver within two seconds, or spool."""
        failure = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if failure is None:
            self.close(_EXIT_S)
        else:
            status = "interrupted" if isinstance(failure, KeyboardInterrupt) else "failed"
            self.close(_EXIT_S, status, f"{type(failure).__name__}: {failure}"[:200])

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if kind is None or kind is SystemExit:
            self.close()
        else:
            status = "interrupted" if issubclass(kind, KeyboardInterrupt) else "failed"
            self.close(status=status, error=f"{kind.__name__}: {error}"[:200])
