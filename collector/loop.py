"""The collector's one loop: it owns the sockets, the files and all state, so nothing needs a lock.

receive   drain what the producers sent, up to a bound, and what is new in the rings of trainers on this machine
commit    one write per file, then advance
tell      acknowledge, publish
tick      checkpoints, sync, offsets, status, orphans, whether to leave
stop      take what is queued, write, acknowledge, checkpoint, sync, in under 5 s
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import zmq

from collector import recovery
from collector.adoption import Adopter
from collector.counts import Counts, to_stderr
from collector.ingest import Ingest
from collector.memory import Trimmer
from collector.people import GRACE_S, People
from collector.pull import Puller
from collector.settings import Settings
from collector.sockets import Sockets, open_sockets
from collector.status import Status
from collector.talk import Acks, Feed
from contract import places, service
from contract.keys import ANNOUNCED

KIND: Final = "collector"
#: A round ends after this much, so that acks and stop never wait long for a flood.
ROUND_MESSAGES: Final = 256
ROUND_BYTES: Final = 2 << 20
#: Also after this long: on a slow disk a new session alone can take ten milliseconds.
ROUND_S: Final = 0.1
OFFSETS_S: Final = 0.5
OFFSETS_RECENT_S: Final = 60.0
SECOND: Final = 1.0
#: Of each second, for checkpoints: with a thousand sessions each has its turn every ten seconds or so.
CHECKPOINTS_S: Final = 0.02
#: With more producers than this each message would wake the loop; it lets them gather for a moment instead, the longer
#: the more there are.
CROWD: Final = 32
GATHER_S_PER_PRODUCER: Final = 0.00001
GATHER_MOST_S: Final = 0.01
DRAIN_S: Final = 1.0
SYNC_S: Final = 1.5
_IDLE_POLL_S: Final = 0.25


class LockLost(RuntimeError):
    """The folder's lock file was removed or replaced: another collector may start on it, so this one must not go on."""


class Every:
    """True at most once in each stretch of `seconds`, by a clock that never jumps."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def __call__(self, now: float) -> bool:
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def run(
    settings: Settings,
    stop: service.Stop,
    ready: Callable[[str, str], None] = lambda _ingest, _feed: None,
    say: Callable[[str], None] = to_stderr,
) -> None:
    """Collect until `stop` is set, or until idle for `settings.idle_exit`.

    Args:
        ready: called with the ingest and feed endpoints once producers can connect.
        say: where announcements go.

    Raises:
        contract.service.AlreadyRunning: another collector has this data folder.
        contract.service.CannotStart: the folder or an endpoint cannot be used, with the reason.
        LockLost: somebody removed the lock file while we ran.
    """
    try:
        places.prepare_base(settings.base)
        held = service.hold(settings.base, KIND, settings.auto)
    except OSError as error:
        text = error.strerror or str(error)
        raise service.CannotStart(text if str(settings.base) in text else f"{settings.base}: {text}") from error
    try:
        sockets = open_sockets(settings)
        try:
            loop = Loop(settings, stop, sockets, held, say)
            loop.start()
            ready(sockets.ingest_endpoint, sockets.feed_endpoint)
            try:
                loop.run()
            finally:
                loop.finish()
        finally:
            sockets.close()
    finally:
        held.release()


class Loop:
    """The state of a running collector."""

    def __init__(
        self, settings: Settings, stop: service.Stop, sockets: Sockets, held: service.Held, say: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.counts = Counts(say=say)
        self.people = People()
        self.ingest = Ingest(settings.base, self.counts, self.people, settings.durability == "power")
        self._stop = stop
        self._sockets = sockets
        self._held = held
        self._acks = Acks(self.ingest, sockets.ingest)
        self._feed = Feed(sockets.feed)
        self._adopter = Adopter(settings.base, self.ingest)
        self._puller = Puller(settings.base, self.ingest, allowed=sockets.guard is None)
        self._endpoints = {"ingest": sockets.ingest_endpoint, "feed": sockets.feed_endpoint}
        if sockets.guard is not None:
            self._endpoints |= {ANNOUNCED: sockets.guard.public, "keys": str(sockets.guard.folder)}
        self._next_message = sockets.receiver(self.ingest.refuse)
        self._status = Status(settings, self.ingest, self._endpoints)
        self._memory = Trimmer()
        self._announced = False
        self._offsets_due = Every(OFFSETS_S)
        self._second = Every(SECOND)
        self._near = self._counted = self._met = 0
        self._began = time.monotonic()
        self._quiet_since: float | None = None

    def start(self) -> None:
        """Repair what a crash tore, then let clients find us."""
        recovery.cut_torn_tails(self.settings.base, self.ingest.quarantine_tail)
        self._announce()

    def _announce(self) -> None:
        try:
            self._held.announce(**self._endpoints)
            self._announced = True
        except OSError as error:
            self.counts.note(
                f"cannot write {service.info_file(self.settings.base, KIND)}: {error.strerror}", "announce"
            )

    def run(self) -> None:
        """Until asked to stop, or nobody is left."""
        sockets = self._sockets
        poller = zmq.Poller()
        for source in (sockets.ingest, sockets.feed, *sockets.events, self._stop.reader):
            poller.register(source, zmq.POLLIN)
        more = False
        while not self._stop.is_set():
            if self._near > CROWD and not more:
                time.sleep(min(GATHER_MOST_S, self._near * GATHER_S_PER_PRODUCER))
            events = dict(poller.poll(0 if more else self._wait_ms()))
            more = self._receive() if more or sockets.ingest in events else False
            now = time.monotonic()
            self._puller.look(now)
            # A crowd that arrives at once counts from its first message: acknowledgements go to all of it.
            self._near = self._counted + self.people.met - self._met
            self._publish(now)
            if sockets.feed in events and self._feed.drain():
                self._feed.offsets(self.ingest.store.recent(now, OFFSETS_RECENT_S))
            if any(source in events for source in sockets.events):
                sockets.watch()
            written = self._adopter.step(now)
            if written:
                self._feed.publish(written)
            self._tick(now)
            if not more and self._may_leave(now):
                self.counts.note("nobody is left; ending")
                return

    def _wait_ms(self) -> int:
        now = time.monotonic()
        if self._adopter.busy(now):
            return 0
        dues = [d for d in (self._acks.due_in(now, self._near), self._puller.due_in(now)) if d is not None]
        return int(1000 * min((*dues, _IDLE_POLL_S))) + bool(dues)

    def _receive(self) -> bool:
        """Plan what is queued, up to a round's bound; True when there may be more."""
        receive, take = self._next_message, self.ingest.take
        size = 0
        end = time.monotonic() + ROUND_S
        for number in range(ROUND_MESSAGES):
            try:
                parts = receive()
            except zmq.Again:
                return False
            if not parts:
                continue
            take(parts)
            size += len(parts[-1])
            if size > ROUND_BYTES or (not number % 16 and time.monotonic() > end):
                break
        return True

    def _publish(self, now: float) -> None:
        """Write what was planned, then say so."""
        written = self.ingest.commit()
        self._puller.settle()
        if self.ingest.urgent:
            self._acks.send_urgent(now)
        due = self._acks.due_in(now, self._near)
        if due is not None and due <= 0:
            self._acks.send(now, self._near)
        if written:
            self._feed.publish(written)

    def _tick(self, now: float) -> None:
        if self._offsets_due(now):
            self._feed.offsets(self.ingest.store.recent(now, OFFSETS_RECENT_S))
        if not self._second(now):
            return
        self._counted, self._met = self.people.count(now, 10.0), self.people.met
        self.ingest.sessions.save_changed(CHECKPOINTS_S)
        if self.settings.durability != "power":
            self.ingest.store.sync()
        if not self._announced:
            self._announce()
        self._memory.look(now)
        self._sockets.look_for_keys()
        self._check_lock()
        self._status.write(now, len(self._sockets.connected), self._sockets.refused, self._sockets.keys_state())

    def _check_lock(self) -> None:
        path = service.lock_file(self.settings.base, KIND)
        try:
            same = path.stat().st_ino == os.fstat(self._held.fd).st_ino
        except FileNotFoundError:
            same = False
        except OSError:
            return  # a disk that does not answer says nothing about the lock
        if not same:
            raise LockLost(f"{path} was removed or replaced while the collector ran; ending so that one can start anew")

    def _may_leave(self, now: float) -> bool:
        """Whether idle long enough: nobody alive, nothing to adopt, all written."""
        if self.settings.idle_exit is None:
            return False
        alone = (
            not self.people.alive(now)
            and (self.people.anybody() or now - self._began > GRACE_S)
            and self._adopter.clear
            and not self.ingest.store.failing
        )
        if not alone:
            self._quiet_since = None
            return False
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= self.settings.idle_exit

    def finish(self) -> None:
        """The end, in order: what is queued is stored and acknowledged, then checkpoints, then the disk."""
        self._puller.close()
        deadline = time.monotonic() + DRAIN_S
        while self._receive() and time.monotonic() < deadline:
            self._publish(time.monotonic())
        written = self.ingest.commit()
        self._acks.send(time.monotonic(), self._near, everything=True)
        self._feed.publish(written)
        self._adopter.close()
        self.ingest.close(SYNC_S)
        self._status.write(time.monotonic(), 0, self._sockets.refused, self._sockets.keys_state(), final=True)
