"""The one loop of the analyzer: hints and files in, alerts out, until asked to stop."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import zmq

from analyzer import memory, tuning
from analyzer.feed import Feed
from analyzer.life import Event
from analyzer.settings import Settings
from analyzer.tuning import Tuning
from analyzer.watch import Session, is_wanted, sizes_of
from contract import config as toml
from contract import folder
from contract.places import monitor_file
from contract.service import Stop

#: Alerts that could not be published and wait for the next try; past it the oldest are dropped, and said to be.
_MOST_UNSENT: Final = 10_000
#: A look at the folder may take this share of the loop's time at most; a huge folder is looked at less often.
_SCAN_SHARE: Final = 0.1
#: Seconds between two looks at the folder that hints of unknown sessions bring about.
_SOON: Final = 0.05
#: Seconds of reading until hints, alerts and a wish to stop are looked at again.
_TURN_S: Final = 0.2
#: Seconds for what was written but not yet read when asked to end.
_LAST_READ_S: Final = 1.5
#: Seconds without growth after a trainer's end record before what fires is ended: other categories may be a batch behind.
_STILL_S: Final = 1.0

Publish = Callable[[str, int, dict[str, Any]], None]


class Done(Protocol):
    """Told that nothing more will come for a session for now, so that its publisher may go."""

    def __call__(self, session: str) -> None: ...


def _mark(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        info = path.stat()
    except OSError:
        return (0, 0)
    return (info.st_mtime_ns, info.st_ino)


def _say(text: str) -> None:
    sys.stderr.write(f"analyzer: {text}\n")
    sys.stderr.flush()


class Loop:
    """State of the loop; `turn` is one round of it. Owns everything, shares nothing, needs no lock."""

    def __init__(
        self,
        settings: Settings,
        publish: Publish,
        done: Done | None = None,
        each_look: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._done = done
        self._each_look = each_look
        self._sessions: dict[str, Session] = {}
        self._settled = memory.load(settings.base)
        self._feed = Feed(settings.base)
        self._unsent: deque[tuple[str, Event]] = deque()
        self._complained: set[tuple[str, str]] = set()
        self._tuning = Tuning()
        self._config_seen: tuple[tuple[int, int], ...] | None = None
        self._next_scan = self._looked = 0.0
        self._busy = time.monotonic()
        self._take_config()

    @property
    def idle_s(self) -> float:
        """Seconds since a session was last active."""
        return time.monotonic() - self._busy

    def run(self, stop: Stop) -> None:
        """Turn until `stop` is set or, with `auto`, nothing has been active for `idle_s`."""
        poller = zmq.Poller()
        poller.register(stop.reader, zmq.POLLIN)
        socket = None
        while not stop.is_set():
            if self._feed.socket is not socket:
                if socket is not None:
                    poller.unregister(socket)
                socket = self._feed.socket
                if socket is not None:
                    poller.register(socket, zmq.POLLIN)
            more = any(session.pending for session in self._sessions.values())
            poller.poll(0 if more else max(1, round(1000 * (self._next_scan - time.monotonic()))))
            self.turn()
            if self._settings.auto and self.idle_s > self._settings.idle_s:
                _say(f"no session for {self._settings.idle_s:g} s: ending")
                return
        self._finish()

    def _finish(self) -> None:
        """Asked to end: read what is on disk by now and publish what it says, for `_LAST_READ_S` at most."""
        deadline = time.monotonic() + _LAST_READ_S
        self._look()
        self.turn()
        while any(session.pending for session in self._sessions.values()) and time.monotonic() < deadline:
            self.turn()
        for session in self._sessions.values():
            if session.has_ended(0.0, time.monotonic()):
                self._finish_session(session)

    def turn(self) -> None:
        """Take hints, look at the folder if it is time, read a chunk of every file that has more, publish."""
        for (name, category), size in self._feed.drain().items():
            self._hint(name, category, size)
        if time.monotonic() >= self._next_scan:
            self._look()
        self._read_pending()
        self._send()

    def _read_pending(self) -> None:
        """Read a chunk of every file that has more, for `_TURN_S` at most; who had no turn is the first the next time."""
        end = time.monotonic() + _TURN_S
        waiting = [session for session in self._sessions.values() if session.pending]
        for number, session in enumerate(waiting, 1):
            for category in tuple(session.pending):
                self._read(session, category)
            if time.monotonic() > end:
                for served in waiting[:number]:
                    self._sessions[served.name] = self._sessions.pop(served.name)
                return

    def _hint(self, name: str, category: str, size: int) -> None:
        session = self._sessions.get(name)
        if session is None:
            settled = self._settled.get(name)
            if settled is not None and size <= settled.get(category, 0):
                return
            if category == "alerts":
                return
            # The offsets that the collector repeats name old sessions too: the folder decides about those.
            self._next_scan = min(self._next_scan, self._looked + _SOON)
            return
        session.hint(category, size)

    def _look(self) -> None:
        """Look at the folder: new and grown files, settings, the collector, sessions that are over."""
        begin = self._looked = time.monotonic()
        work = time.thread_time()
        self._feed.find()
        self._take_config()
        found = folder.sessions(self._settings.base)
        now = time.time()
        for name, files in found.items():
            session = self._sessions.get(name)
            if session is None and self._wants(name, files, now):
                session = self._open(name)
            if session is not None:
                for category, file in files.items():
                    session.hint(category, file.size)
        self._put_away(found, now)
        others = self._each_look()
        if self._sessions or others:
            self._busy = begin
        took = time.thread_time() - work  # work, not time: a frozen look must not put off the next one
        self._next_scan = begin + max(self._settings.scan_s, took / _SCAN_SHARE)

    def _wants(self, name: str, files: dict[str, folder.DataFile], now: float) -> bool:
        sizes = sizes_of(files)
        if not sizes:
            return False
        settled = self._settled.get(name)
        if settled is not None:
            return settled != sizes
        if is_wanted(files, self._settings.recent_s, now):
            return True
        self._settled[name] = sizes  # not again at each look; if it grows, it is wanted
        return False

    def _open(self, name: str) -> Session | None:
        try:
            session = Session(name, self._settings.base, self._tuning)
        except OSError as error:
            self._complain(name, "open", f"cannot read the alerts of session {name}: {error}")
            return None
        self._settled.pop(name, None)
        self._sessions[name] = session
        return session

    def _read(self, session: Session, category: str) -> None:
        try:
            alerts = session.read(category, self._settings.chunk)
        except OSError as error:
            session.pending.discard(category)
            self._complain(session.name, category, f"cannot read {category} of session {session.name}: {error}")
            return
        self._unsent.extend((session.name, alert) for alert in alerts)
        for rule, why in session.engine.failed.items():
            self._complain(session.name, rule, f"rule {rule} is off for session {session.name}, it failed with {why}")

    def _send(self) -> None:
        while self._unsent:
            name, alert = self._unsent[0]
            metrics = {key: value for key, value in alert.items() if key != "step"}
            try:
                self._publish(name, alert["step"], metrics)
            except (OSError, RuntimeError, ValueError) as error:
                self._complain(name, "publish", f"cannot publish an alert of session {name}, trying again: {error}")
                while len(self._unsent) > _MOST_UNSENT:
                    lost = self._unsent.popleft()
                    _say(f"gave up alert {lost[1]['id']} of session {lost[0]}: {lost[1]['message']}")
                return
            self._unsent.popleft()

    def _finish_session(self, session: Session) -> None:
        try:
            self._unsent.extend((session.name, alert) for alert in session.finish())
        except OSError as error:
            self._complain(session.name, "end", f"cannot read session {session.name} again: {error}")
        self._send()

    def _put_away(self, found: dict[str, dict[str, folder.DataFile]], now: float) -> None:
        clock = time.monotonic()
        for session in self._sessions.values():
            self._unsent.extend((session.name, alert) for alert in session.silent(now, clock))
            if session.has_ended(_STILL_S, clock):
                self._finish_session(session)
        gone = [
            session
            for session in self._sessions.values()
            if session.name not in found or session.is_over(self._settings.quiet_s, now, clock)
        ]
        for session in gone:
            if session.name in found:
                self._finish_session(session)
        for session in gone:
            if any(name == session.name for name, _ in self._unsent):
                continue
            del self._sessions[session.name]
            if session.name in found:
                self._settled[session.name] = sizes_of(found[session.name])
            self._complained = {key for key in self._complained if key[0] != session.name}
            if self._done is not None:
                self._done(session.name)
        if gone:
            self._settled = {name: sizes for name, sizes in self._settled.items() if name in found}
            self._save()

    def _save(self) -> None:
        try:
            memory.save(self._settings.base, self._settled)
        except OSError as error:
            self._complain("", "state", f"cannot write {memory.state_file(self._settings.base)}: {error}")

    def _take_config(self) -> None:
        """Follow `plot_config` and `avaliacoes.toml`; while the file is wrong, the last good settings stay in force."""
        base = self._settings.base
        files = (monitor_file(base), toml.config_file(base, self._settings.config))
        seen = tuple([_mark(path) for path in files])
        if seen == self._config_seen:
            return
        first = self._config_seen is None
        self._config_seen = seen
        try:
            self._tuning = tuning.load(base, self._settings.config)
        except toml.ConfigRefused as error:
            _say(
                f"{error}; {'the defaults are' if first else 'what was set before is'} in force until that is put right"
            )
            return
        for session in self._sessions.values():
            self._unsent.extend((session.name, alert) for alert in session.take(self._tuning))

    def _complain(self, session: str, what: str, text: str) -> None:
        """Say it once per session and kind."""
        if (session, what) not in self._complained:
            self._complained.add((session, what))
            _say(text)

    def close(self) -> None:
        """Let go of the sockets. What was not published is found again by the next analyzer: it is in the files."""
        self._feed.close()
        for name, alert in self._unsent:
            _say(f"not published before the end: {alert['rule']} of session {name}")


def run(
    settings: Settings,
    stop: Stop,
    publish: Publish,
    done: Done | None = None,
    each_look: Callable[[], bool] = lambda: False,
) -> None:
    """Watch `settings.base` until `stop` is set (or, with `auto`, until idle).

    Args:
        publish: called with session, step and the alert's fields; `OSError`, `RuntimeError`, `ValueError` from it are
            reported and tried again.
        done: called with a session's name when it has ended and been read to its end.
        each_look: called at every look at the folder; says, for `auto`, whether somebody else of this process has work
            left, so that it should not end yet.
    """
    loop = Loop(settings, publish, done, each_look)
    try:
        loop.run(stop)
    finally:
        loop.close()
