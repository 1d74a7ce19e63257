"""Which sessions there are, which of them to analyse, and one session under analysis. Reads files; publishes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from analyzer.check import judge_files
from analyzer.engine import Engine
from analyzer.life import Cause, Event, Row
from analyzer.tuning import Tuning
from contract import names
from contract.folder import DataFile, sessions
from contract.lifecycle import CRASHED, CRASHED_AFTER_S, FINISHED, SessionLife
from contract.tail import Tail, last_records, read_all

#: Lifecycle records looked at to see whether a session has ended.
_LAST: Final = 200
#: Times that a running session is judged anew because of late records; after that once more, at its end.
_ANEW: Final = 3


def data_files(base: Path) -> dict[str, dict[str, Path]]:
    """`{session: {category: path}}` of the files that rules may judge: all but alerts and lifecycle."""
    silent = (names.ALERTS, names.LIFECYCLE)
    return {
        session: {category: file.path for category, file in files.items() if category not in silent}
        for session, files in sessions(base).items()
    }


def sizes_of(files: dict[str, DataFile]) -> dict[str, int]:
    """What is remembered of a session that was analysed to its end: the size of each file but its alerts."""
    return {category: file.size for category, file in files.items() if category != names.ALERTS}


def is_wanted(files: dict[str, DataFile], recent_s: float, now: float) -> bool:
    """Whether a session that nothing is remembered of is to be analysed, at unix time `now`.

    Yes when it changed lately, when its data is newer than its alerts (an analyzer was at work and did not get to the
    end), or when its lifecycle has no end. An old session that ended unwatched is left to `check_session`.
    """
    changed = max((file.mtime for category, file in files.items() if category != names.ALERTS), default=0.0)
    if now - changed < recent_s:
        return True
    alerts = files.get(names.ALERTS)
    if alerts is not None and changed > alerts.mtime:
        return True
    lifecycle = files.get(names.LIFECYCLE)
    return lifecycle is not None and not _has_ended(lifecycle.path)


def _has_ended(lifecycle: Path) -> bool:
    """Whether the trainer (a producer without a fork's suffix) wrote its end record."""
    for record in last_records(lifecycle, _LAST):
        if record.get("event") == "end" and "-" not in str(record.get("_p", "")):
            return True
    return False


@dataclass(slots=True)
class Session:
    """One session under analysis: its engine, a tail per file, and the alerts that are already on disk or on their way."""

    name: str
    base: Path
    tuning: Tuning
    engine: Engine = field(init=False)
    life: SessionLife = field(default_factory=SessionLife)
    #: Files that have, or may have, more to read.
    pending: set[str] = field(default_factory=set)
    grew: float = field(default_factory=time.monotonic)
    _tails: dict[str, Tail] = field(default_factory=dict)
    _inodes: dict[str, int] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    #: Sizes at which nothing was left to read but half a line, which may stay half for ever.
    _exhausted: dict[str, int] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)
    #: What fired when other settings came into force.
    _left: dict[str, Row] = field(default_factory=dict)
    #: How often it was begun again because records came too late for their order.
    _anew: int = 0
    odd_lifecycle: int = 0

    def __post_init__(self) -> None:
        self.engine = Engine(self.tuning)
        for record in read_all(self.base / names.file_name(names.ALERTS, self.name)):
            self._known.add(str(record.get("id")))

    @property
    def broken_lines(self) -> int:
        return sum(tail.broken for tail in self._tails.values())

    def hint(self, category: str, size: int | None = None) -> None:
        """A file of this session may have grown (to `size` bytes)."""
        if category == names.ALERTS:
            return
        tail = self._tails.get(category)
        read = () if tail is None else (tail.position, self._exhausted.get(category))
        if size is None or size not in read:
            self.pending.add(category)

    def take(self, tuning: Tuning) -> list[Event]:
        """Judge by other settings: limits from now on, another set of rules from the first record on."""
        before, self.tuning = self.tuning, tuning
        if (before.profile, before.off, before.own) != (tuning.profile, tuning.off, tuning.own):
            self._left.update(self.engine.firing_rows)
            return self._start_again()
        self.engine.take(tuning)
        return []

    def read(self, category: str, chunk: int) -> list[Event]:
        """The new alerts from up to `chunk` more bytes of one file; the file leaves `pending` when it is at its end."""
        tail = self._tails.get(category)
        if tail is None:
            tail = self._tails[category] = Tail(self.base / names.file_name(category, self.name))
        if self._was_replaced(category, tail):
            return self._start_again()
        before = tail.position
        records = tail.read_new(limit=chunk)
        if not records and tail.position == before:
            self.pending.discard(category)
            self._exhausted[category] = self._sizes.get(category, 0)
            return self._new(self.engine.advance(self.pending)) + self._let_go()
        self.grew = time.monotonic()
        if tail.position >= self._sizes.get(category, tail.position + 1):
            self.pending.discard(category)  # all that was there: a look that finds nothing can be spared
        if self.engine.finished:
            return self._start_again()  # it goes on after its end: a spool came in, or it was resumed
        alerts = self._judge(category, records) + self._let_go()
        if self.engine.late and self._anew < _ANEW:
            self._anew += 1
            self._start_again()
        return alerts

    def _was_replaced(self, category: str, tail: Tail) -> bool:
        """Whether the file is another one, or shorter, than what was read of it."""
        try:
            info = tail.path.stat()
        except OSError:
            return False
        before = self._inodes.setdefault(category, info.st_ino)
        self._sizes[category] = info.st_size
        return before != info.st_ino or info.st_size < tail.position

    def _judge(self, category: str, records: list[dict[str, Any]]) -> list[Event]:
        if category == names.LIFECYCLE:
            for record in records:
                try:
                    self.life.update(record)
                except (TypeError, ValueError):  # a field of the wrong type, written by hand
                    self.odd_lifecycle += 1
        elif records:
            timestamp = records[-1].get("timestamp")
            if isinstance(timestamp, (int, float)):
                self.life.saw_record(float(timestamp))
        events = self.engine.feed(category, records)
        return self._new(events + self.engine.advance(self.pending))

    def _new(self, events: list[Event]) -> list[Event]:
        """The events that are not on disk, nor on their way."""
        fresh = []
        for event in events:
            if event["id"] not in self._known:
                self._known.add(event["id"])
                fresh.append(event)
        return fresh

    def _let_go(self) -> list[Event]:
        """What fired under other settings and does not under these is over, once the session is judged up to now."""
        if self.pending or not self._left:
            return []
        left, self._left = self._left, {}
        firing = self.engine.firing_rows
        events: list[Event] = []
        for name, row in left.items():
            if name not in firing:
                cause = Cause("settings", row.episodes, *row.last)
                events += row.end(cause, "other settings are in force now, under which this does not fire")
        return self._new(events)

    def silent(self, now: float, clock: float) -> list[Event]:
        """What the clock alone can tell: heartbeats that stay away, at unix time `now`, monotonic `clock`.

        Nothing of this session must have come for as long on the analyzer's own clock too: after a suspended machine wakes up, everybody's
        last sign is old.
        """
        if clock - self.grew < CRASHED_AFTER_S or self.life.state(now) != CRASHED:
            return []
        return self._new(self.engine.gone())

    def finish(self) -> list[Event]:
        """The session is over: what follows from that. If records came too late for their order, it is judged anew first."""
        if self.engine.finished:
            return []
        if self.engine.late:
            files = {category: tail.path for category, tail in self._tails.items()}
            self.engine = Engine(self.tuning)
            return self._new(judge_files(files, self.engine))
        return self._new(self.engine.finish())

    def _start_again(self) -> list[Event]:
        """A file was replaced or cut: judge the session anew from all its files; what was published stays known."""
        self.engine = Engine(self.tuning)
        self.life = SessionLife()
        self.pending.update(self._tails)
        self._tails.clear()
        self._inodes.clear()
        self._exhausted.clear()
        self.grew = time.monotonic()
        return []

    def has_ended(self, still_s: float, clock: float) -> bool:
        """Whether the trainer wrote its end, and its files are read and have been still for so long: what fires may be ended."""
        ended = self.life.ended is not None and not self.engine.finished
        return ended and not self.pending and clock - self.grew >= still_s

    def is_over(self, quiet_s: float, now: float, clock: float) -> bool:
        """Whether the session has ended (unix time `now`) and its files are read and still (monotonic `clock`)."""
        if self.pending or clock - self.grew < quiet_s:
            return False
        return self.life.state(now) in (FINISHED, CRASHED)
