"""What is known of one session, kept up to date by reading what its files have gained. Memory is bounded."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from contract import alerts as alert_records
from contract.lifecycle import CRASHED, FINISHED, RUNNING, STALLED, SessionLife
from contract.lines import Record
from contract.names import ALERTS, LIFECYCLE, root_of
from contract.tail import Tail
from renderer.gather import Columns, Key
from renderer.series import Series

#: What one call of `Session.poll` reads at most, so that a long history never holds up the other pages or the end.
POLL_BYTES: Final = 4 << 20
MAX_SERIES: Final = 240
MAX_TEXTS: Final = 40
#: Alerts kept word for word; all of them are counted.
MAX_ALERTS: Final = 1000
_GAPS_FED: Final = 1000
_RATE_OVER_S: Final = 10.0

#: Metrics of the four panels get a series even when `MAX_SERIES` others came first.
CORE: Final = frozenset(
    [
        "loss",
        "learning_rate",
        "grad_norm",
        "grad_zeros_ratio",
        "episode_reward",
        "episode_length",
        "entropy",
        "entropy_loss",
        "value_loss",
        "policy_loss",
        "policy_gradient_loss",
        "explained_variance",
    ]
)


@dataclass(slots=True)
class RuleCount:
    """How often one rule fired at one level, first and last: alerts summed up for good."""

    fired: int = 0
    resolved: int = 0
    first_step: int = 0
    last_step: int = 0
    first_time: float = 0.0
    last_time: float = 0.0
    message: str = ""


@dataclass(slots=True)
class _Source:
    """One file of the session."""

    tail: Tail
    records: int = 0
    last_seq: dict[str, int] = field(default_factory=dict)
    step: int | None = None
    at: float = 0.0


class Session:
    """One session of a data folder.

    Args:
        base: the data folder.
        name: the session.
        points: points to draw per series, about.
        window: records in the moving averages; a second average runs over five times as many.
    """

    def __init__(self, base: Path, name: str, points: int = 1000, window: int = 20) -> None:
        self.base, self.name, self.points, self.window = base, name, points, window
        self.windows = (window, 5 * window)
        self.life = SessionLife()
        self.series: dict[Key, Series] = {}
        self.refused: set[Key] = set()
        self.texts: dict[str, str] = {}
        self.alerts: deque[Record] = deque(maxlen=MAX_ALERTS)
        self.rules: dict[tuple[str, str], RuleCount] = {}
        self.first_time: float | None = None
        self.last_time: float | None = None
        self.restarted_files = 0
        self._sources: dict[str, _Source] = {}
        self._producers: tuple[tuple[int, str | None], list[str]] = ((-1, None), [])
        self._recent: deque[float] = deque(maxlen=4096)

    def add_file(self, category: str, path: Path) -> None:
        """Follow one more file; files already followed are left alone."""
        if category not in self._sources:
            self._sources[category] = _Source(Tail(path))

    @property
    def records(self) -> Counter[str]:
        """Records per category, the system's own ones included."""
        return Counter({category: source.records for category, source in self._sources.items()})

    @property
    def data_records(self) -> int:
        """Records that the trainer logged."""
        return sum(n for category, n in self.records.items() if category not in (ALERTS, LIFECYCLE))

    @property
    def last_step(self) -> int | None:
        """The step of the newest data record, over all categories; None before the first."""
        seen = [(source.at, source.step) for source in self._sources.values() if source.step is not None]
        return max(seen)[1] if seen else None

    @property
    def broken_lines(self) -> int:
        """Lines that were no records and were skipped."""
        return sum(source.tail.broken for source in self._sources.values())

    def poll(self, limit: int = POLL_BYTES) -> tuple[bool, bool]:
        """Read what the files have gained: `(anything new, more is waiting)`."""
        changed = more = False
        for category, source in self._sources.items():
            position, inode, broken = source.tail.position, source.tail._inode, source.tail.broken
            found = source.tail.read_new(limit=limit)
            if inode and (source.tail._inode != inode or source.tail.position < position):
                self._restart(category, source, found, replaced=source.tail._inode != inode)
                changed = True
            changed = changed or bool(found) or source.tail.broken != broken
            # Reads end at a line's end, so a full one advances by a little less than its limit.
            more = more or source.tail.position - position >= limit // 2
            if found:
                self._take(category, source, found)
        return changed, more

    def _restart(self, category: str, source: _Source, found: list[Record], replaced: bool) -> None:
        """The file was cut short or replaced: what it holds now is the truth, unless it goes on where the old one ended."""
        self.restarted_files += 1
        last = source.last_seq.get(str(found[0].get("_p", ""))) if replaced and found else None
        next_seq = found[0].get("_q") if found else None
        if last is not None and isinstance(next_seq, int) and next_seq > last:
            return
        source.records = 0
        source.last_seq.clear()
        for key in [key for key in self.series if key.category == category]:
            del self.series[key]
        self._producers = ((-1, None), [])
        if category == ALERTS:
            self.alerts.clear()
            self.rules.clear()
        if category == LIFECYCLE:
            last_record, self.life = self.life.last_record, SessionLife()
            self.life.last_record = last_record

    def _take(self, category: str, source: _Source, found: list[Record]) -> None:
        if category == LIFECYCLE:
            for record in found:
                self._lifecycle(record)
        elif category == ALERTS:
            for record in found:
                self._alert(record)
        else:
            self._data(category, found, source.records)
        source.records += len(found)
        for record in found[-64:]:
            if isinstance(record.get("_q"), int):
                source.last_seq[str(record.get("_p", ""))] = record["_q"]
                if len(source.last_seq) > 256:
                    del source.last_seq[next(iter(source.last_seq))]

    def _lifecycle(self, record: Record) -> None:
        try:
            self.life.update(record)
        except (TypeError, ValueError, OverflowError):
            self._sources[LIFECYCLE].tail.broken += 1

    def _data(self, category: str, found: list[Record], seen_before: int) -> None:
        columns = Columns()
        columns.take(category, found, seen_before)
        source = self._sources[category]
        source.step, source.at = columns.last_step, columns.times[-1] if columns.times else source.at
        if columns.times:
            self._recent.extend(columns.times[-4096:])
            self.first_time = min(columns.times[0], self.first_time or math.inf)
            self.last_time = max(columns.times[-1], self.last_time or -math.inf)
            for at in columns.times[-_GAPS_FED:]:
                self.life.saw_record(at)
        self.texts.update(columns.texts)
        while len(self.texts) > MAX_TEXTS:
            del self.texts[next(iter(self.texts))]
        for key, (steps, values) in columns.numbers.items():
            series = self.series.get(key) or self._new_series(key)
            if series is not None:
                series.extend(np.array(steps, float), np.array(values, float))

    def _new_series(self, key: Key) -> Series | None:
        limit = MAX_SERIES * (2 if key.metric in CORE and not key.component else 1)
        if len(self.series) >= limit:
            if len(self.refused) < 10_000:
                self.refused.add(key)
            return None
        series = self.series[key] = Series(self.points, self.windows)
        return series

    def _alert(self, record: Record) -> None:
        self.alerts.append(record)
        level = str(record.get("level"))
        level = level if level in alert_records.LEVELS else "INFO"
        rule = str(record.get("rule"))[:100]
        if (level, rule) not in self.rules and len(self.rules) >= 200:
            rule = "others"
        count = self.rules.setdefault((level, rule), RuleCount())
        if record.get("state") == alert_records.RESOLVED:
            count.resolved += 1
            return
        step, at = record.get("step"), record.get("timestamp")
        step = step if isinstance(step, int) else 0
        at = float(at) if isinstance(at, (int, float)) else 0.0
        if not count.fired:
            count.first_step, count.first_time = step, at
        count.fired += 1
        count.last_step, count.last_time, count.message = step, at, str(record.get("message", ""))[:500]

    def state(self, now: float) -> str:
        return self.life.state(now)

    def is_active(self, now: float) -> bool:
        """Whether its process lives, as far as the records tell."""
        return self.state(now) in (RUNNING, STALLED)

    def ended_at(self, now: float) -> float:
        """When its story ends: its end record, else its last sign of life; `now` for one that is active."""
        if self.is_active(now):
            return now
        return self.life.ended or self.life.last_heartbeat or self.last_time or now

    def shown_alerts(self, now: float, retention_s: float) -> list[Record]:
        """Alerts to show. Those of an ended session are seen from its end: they do not fade afterwards."""
        sound = []
        for alert in self.alerts:
            at = alert.get("timestamp")
            sound.append(alert if isinstance(at, (int, float)) else {**alert, "timestamp": 0.0})
        return alert_records.active(sound, min(now, self.ended_at(now)), retention_s)

    def rate(self, now: float) -> float:
        """Records per second: over the last ten seconds, or over the whole run when it has ended."""
        if not self.is_active(now):
            span = (self.last_time or 0.0) - (self.first_time or 0.0)
            return self.data_records / span if span > 0 else 0.0
        recent = [at for at in self._recent if now - _RATE_OVER_S <= at <= now + 1]
        if len(recent) == self._recent.maxlen:
            return (len(recent) - 1) / max(1e-6, max(recent) - min(recent))
        begin = max(now - _RATE_OVER_S, min(self.life.started or math.inf, self.first_time or math.inf))
        return len(recent) / max(1.0, now - begin)

    def producers(self) -> list[str]:
        """Ids of the producers that have series, the trainer's own first."""
        mark = (len(self.series), self.life.root)
        if self._producers[0] != mark:
            found = dict.fromkeys(key.producer for key in self.series)
            root = self.life.root
            self._producers = (mark, sorted(found, key=lambda p: (p != root, root_of(p) != root)))
        return self._producers[1]

    def reason(self, now: float) -> str:
        """One sentence that says how the state is known."""
        life, state = self.life, self.state(now)
        if state == CRASHED:
            if life.ended is not None:
                return f"ended with an error: {life.error}" if life.error else "ended with an error"
            if life.adopted is not None:
                return "the process died without an end record; what it left behind was recovered"
            return "no sign of life since its last heartbeat, and no end record: the process is gone"
        if state == FINISHED:
            if life.ended is not None:
                word = {"finished": "ended normally", "interrupted": "interrupted before its end"}
                return word.get(life.end_status or "", f"ended with status {life.end_status}")
            return "no producer is attached: written by hand, imported, or from before lifecycle records"
        if state == STALLED:
            return "the process is alive but has logged nothing for a while"
        return "records are coming in" if self.last_time is not None else "the trainer has started; waiting for records"


def stamp(at: float | None) -> str:
    """Local date and time, or a dash."""
    if at is None or not math.isfinite(at):
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return "-"


def number(value: Any) -> float | None:
    """A finite float for JSON, else None."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
