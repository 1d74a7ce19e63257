"""Which sessions there are, which of them to analyse, and one session under analysis. Reads files; publishes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from analyzer.engine import Alert, Engine
from analyzer.rules import Thresholds
from contract import names
from contract.folder import DataFile, sessions
from contract.lifecycle import CRASHED, FINISHED, SessionLife
from contract.tail import Tail, last_records, read_all

#: Lifecycle records looked at to see whether a session has ended.
_LAST: Final = 200


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
    thresholds: Thresholds
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
    odd_lifecycle: int = 0

    def __post_init__(self) -> None:
        self.engine = Engine(self.thresholds)
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

    def take(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self.engine.take(thresholds)

    def read(self, category: str, chunk: int) -> list[Alert]:
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
            return []
        self.grew = time.monotonic()
        return self._judge(category, records)

    def _was_replaced(self, category: str, tail: Tail) -> bool:
        """Whether the file is another one, or shorter, than what was read of it."""
        try:
            info = tail.path.stat()
        except OSError:
            return False
        before = self._inodes.setdefault(category, info.st_ino)
        self._sizes[category] = info.st_size
        return before != info.st_ino or info.st_size < tail.position

    def _judge(self, category: str, records: list[dict[str, Any]]) -> list[Alert]:
        if category == names.LIFECYCLE:
            for record in records:
                try:
                    self.life.update(record)
                except (TypeError, ValueError):  # a field of the wrong type, written by hand
                    self.odd_lifecycle += 1
            return []
        if records:
            timestamp = records[-1].get("timestamp")
            if isinstance(timestamp, (int, float)):
                self.life.saw_record(float(timestamp))
        alerts = []
        for record in records:
            for alert in self.engine.update(category, record):
                if alert["id"] not in self._known:
                    self._known.add(alert["id"])
                    alerts.append(alert)
        return alerts

    def _start_again(self) -> list[Alert]:
        """A file was replaced or cut: judge the session anew from all its files; what was published stays known."""
        self.engine = Engine(self.thresholds)
        self.life = SessionLife()
        self.pending.update(self._tails)
        self._tails.clear()
        self._inodes.clear()
        self._exhausted.clear()
        self.grew = time.monotonic()
        return []

    def is_over(self, quiet_s: float, now: float, clock: float) -> bool:
        """Whether the session has ended (unix time `now`) and its files are read and still (monotonic `clock`)."""
        if self.pending or clock - self.grew < quiet_s:
            return False
        return self.life.state(now) in (FINISHED, CRASHED)
