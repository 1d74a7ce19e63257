"""Following the files of one session: what they have gained, as columns, lives and alerts. Memory is bounded.

`Reading` keeps what page and report both need to know of a session; what a series remembers of its records is left to
the one who makes it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np

from contract.lifecycle import CRASHED, FINISHED, RUNNING, STALLED, SessionLife
from contract.lines import Record
from contract.names import ALERTS, LIFECYCLE, root_of
from contract.tail import Tail
from renderer.gather import Columns, Floats, Key
from renderer.lines import Block, decode_lines, floats_back, read_blocks

#: What one call of `poll` reads at most, so that a long history never holds up the other pages or the end.
POLL_BYTES: Final = 4 << 20
MAX_TEXTS: Final = 40
_GAPS_FED: Final = 1000
_RATE_OVER_S: Final = 10.0

#: Metrics of the four panels get a series even when the limit of others came first.
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


S = TypeVar("S")


@dataclass(slots=True)
class Source:
    """One file of the session."""

    tail: Tail
    records: int = 0
    last_seq: dict[str, int] = field(default_factory=dict)
    step: int | None = None
    at: float = 0.0


class Reading(Generic[S]):
    """One session of a data folder, kept up to date by `poll`. Subclasses say what a series is, and take the alerts.

    Args:
        base: the data folder.
        name: the session.
        most: series followed at most; further ones are counted in `refused`.
    """

    def __init__(self, base: Path, name: str, most: int) -> None:
        self.base, self.name, self.most = base, name, most
        self.life = SessionLife()
        self.series: dict[Key, S] = {}
        self.refused: set[Key] = set()
        self.texts: dict[str, str] = {}
        self.first_time: float | None = None
        self.last_time: float | None = None
        self.restarted_files = 0
        self.sources: dict[str, Source] = {}
        self._producers: tuple[tuple[int, str | None], list[str]] = ((-1, None), [])
        #: Records of each of the last seconds.
        self._lately: dict[int, int] = {}

    def make_series(self, key: Key) -> S:
        raise NotImplementedError

    def take_alert(self, record: Record) -> None:
        raise NotImplementedError

    def forget(self, category: str) -> None:
        """A file of this category began anew: nothing that was read from it holds any more."""

    def moved(self, category: str) -> None:
        """The file of this category is another one now, whether it goes on where the old one ended or not."""

    def feed(self, series: S, x: Floats, t: Floats, y: Floats) -> None:
        """Give a series the records it has gained: steps, unix times, values."""
        raise NotImplementedError

    def took_block(self, category: str, block: Block, first: int, steps: Floats, times: Floats) -> None:
        """The records of a block of lines have been read: the number of the first in its file, all their steps and times."""

    def add_file(self, category: str, path: Path) -> None:
        """Follow one more file; files already followed are left alone."""
        if category not in self.sources:
            self.sources[category] = Source(Tail(path))

    @property
    def records(self) -> Counter[str]:
        """Records per category, the system's own ones included."""
        return Counter({category: source.records for category, source in self.sources.items()})

    @property
    def data_records(self) -> int:
        """Records that the trainer logged."""
        return sum(n for category, n in self.records.items() if category not in (ALERTS, LIFECYCLE))

    @property
    def last_step(self) -> int | None:
        """The step of the newest data record, over all categories; None before the first."""
        seen = [(source.at, source.step) for source in self.sources.values() if source.step is not None]
        return max(seen)[1] if seen else None

    @property
    def broken_lines(self) -> int:
        """Lines that were no records and were skipped."""
        return sum(source.tail.broken for source in self.sources.values())

    @property
    def dropped(self) -> int:
        """Records that producers had to give up, by their gap records or their last heartbeat."""
        return max(self.life.dropped, self.counter("dropped"))

    def counter(self, name: str) -> int:
        """A counter of the last heartbeat, 0 where there is none."""
        value = self.life.counters.get(name)
        return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0

    def poll(self, limit: int = POLL_BYTES) -> tuple[bool, bool]:
        """Read what the files have gained: `(anything new, more is waiting)`."""
        changed = more = False
        for category, source in self.sources.items():
            tail = source.tail
            position, inode, broken = tail.position, tail._inode, tail.broken
            blocks, ahead = read_blocks(tail, limit)
            if inode and (tail._inode != inode or tail.position < position):
                self._restart(category, source, blocks, replaced=tail._inode != inode)
                changed = True
            self._take(category, source, blocks)
            changed = changed or bool(blocks) or tail.broken != broken
            more = more or ahead
        return changed, more

    def _restart(self, category: str, source: Source, blocks: list[Block], replaced: bool) -> None:
        """The file was cut short or replaced: what it holds now is the truth, unless it goes on where the old one ended."""
        self.restarted_files += 1
        first = decode_lines(blocks[0].data, Tail(source.tail.path))[:1] if blocks else []
        last = source.last_seq.get(str(first[0].get("_p", ""))) if replaced and first else None
        next_seq = first[0].get("_q") if first else None
        self.moved(category)
        if last is not None and isinstance(next_seq, int) and next_seq > last:
            return
        self.forget(category)
        source.records = 0
        source.last_seq.clear()
        for key in [key for key in self.series if key.category == category]:
            del self.series[key]
        self._producers = ((-1, None), [])
        if category == LIFECYCLE:
            last_record, self.life = self.life.last_record, SessionLife()
            self.life.last_record = last_record

    def _take(self, category: str, source: Source, blocks: list[Block]) -> None:
        columns = Columns()
        records: list[Record] = []
        for block in blocks:
            records = decode_lines(block.data, source.tail)
            if category in (LIFECYCLE, ALERTS):
                take = self._lifecycle if category == LIFECYCLE else self.take_alert
                for record in records:
                    take(floats_back(record))
            elif records:
                columns.take(category, records, source.records, source.at)
                steps, times = columns.steps[-1], columns.times[-1]
                source.at, source.step = float(times[-1]), int(steps[-1])
                self.took_block(category, block, source.records, steps, times)
            source.records += len(records)
            for record in records[-64:]:
                if isinstance(record.get("_q"), int):
                    source.last_seq[str(record.get("_p", ""))] = record["_q"]
                    if len(source.last_seq) > 256:
                        del source.last_seq[next(iter(source.last_seq))]
        if columns.times:
            self._data(category, columns)

    def _lifecycle(self, record: Record) -> None:
        try:
            self.life.update(record)
        except (TypeError, ValueError, OverflowError):
            self.sources[LIFECYCLE].tail.broken += 1

    def _data(self, category: str, columns: Columns) -> None:
        times = np.concatenate(columns.times)
        self._count_lately(times)
        self.first_time = min(float(times[0]), self.first_time or math.inf)
        self.last_time = max(float(times[-1]), self.last_time or -math.inf)
        for at in times[-_GAPS_FED:].tolist():
            self.life.saw_record(at)
        self.texts.update(columns.texts)
        while len(self.texts) > MAX_TEXTS:
            del self.texts[next(iter(self.texts))]
        for key, (x, t, y) in columns.timed().items():
            series = self.series.get(key) or self._new_series(key)
            if series is not None:
                self.feed(series, x, t, y)

    def _new_series(self, key: Key) -> S | None:
        limit = self.most * (2 if key.metric in CORE and not key.component else 1)
        if len(self.series) >= limit:
            if len(self.refused) < 10_000:
                self.refused.add(key)
            return None
        series = self.series[key] = self.make_series(key)
        return series

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

    def rate(self, now: float) -> float:
        """Records per second: over the last ten seconds, or over the whole run when it has ended."""
        if not self.is_active(now):
            span = (self.last_time or 0.0) - (self.first_time or 0.0)
            return self.data_records / span if span > 0 else 0.0
        start = min(self.life.started or math.inf, self.first_time or math.inf)
        begin = start if now - _RATE_OVER_S < start <= now else math.floor(now - _RATE_OVER_S) + 1
        count = sum(n for second, n in self._lately.items() if math.floor(begin) <= second <= now + 1)
        return count / max(1.0, now - begin)

    def _count_lately(self, times: Floats) -> None:
        newest = float(times.max())
        if not abs(newest) < 1e12:
            return
        times = times[times > newest - 2 * _RATE_OVER_S]
        seconds, counts = np.unique(np.floor(times).astype(np.int64), return_counts=True)
        for second, count in zip(seconds.tolist(), counts.tolist(), strict=True):
            self._lately[second] = self._lately.get(second, 0) + count
        if len(self._lately) > 100:
            end = max(self._lately) - 2 * _RATE_OVER_S
            self._lately = {second: n for second, n in self._lately.items() if second > end}

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
