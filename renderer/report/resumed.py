"""A session that was resumed: several processes wrote to it, one after the other. The report tells it as one run.

Each process is a producer of its own and has series of its own; here those of one metric become one, with a gap where the
next process took over, and the state is that of the last.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from contract.lifecycle import SessionLife
from contract.lines import Record
from contract.names import root_of
from renderer.gather import Key
from renderer.report.stats import Floats
from renderer.series import Series
from renderer.session import Session

_MOST_ATTEMPTS = 100


@dataclass(slots=True)
class Attempt:
    """One process of the trainer: its producer, what it said of itself, and its life."""

    producer: str
    life: SessionLife = field(default_factory=SessionLife)
    seen: float = 0.0


def attempts(records: Iterable[Record]) -> list[Attempt]:
    """The processes that began as a trainer of the session, in their order, from its lifecycle records."""
    found: dict[str, Attempt] = {}
    for record in records:
        root = root_of(str(record.get("_p", "")))
        if record.get("event") == "adopted":
            root = root_of(str(record.get("producer", "")))
        one = found.get(root)
        if one is None and record.get("event") == "start" and record.get("_p") == root and len(found) < _MOST_ATTEMPTS:
            one = found[root] = Attempt(root)
        if one is not None:
            try:
                one.life.update(record)
            except (TypeError, ValueError, OverflowError):
                continue
            at = record.get("timestamp")
            if isinstance(at, (int, float)) and record.get("event") != "adopted":
                one.seen = max(one.seen, at)
    return list(found.values())


def join(session: Session, found: Sequence[Attempt]) -> bool:
    """Make one run of a session whose processes came one after the other; False where there is one, or they overlap."""
    if len(found) < 2 or any(
        after.life.started is None or after.life.started < before.seen for before, after in itertools.pairwise(found)
    ):
        return False
    order = {attempt.producer: place for place, attempt in enumerate(found)}
    parts: dict[Key, list[tuple[int, Series]]] = {}
    for key in [key for key in session.series if key.producer in order]:
        joined = key._replace(producer=found[0].producer)
        parts.setdefault(joined, []).append((order[key.producer], session.series.pop(key)))
    for key, several in parts.items():
        several.sort(key=lambda item: item[0])
        session.series[key] = Joined([one for _, one in several]) if len(several) > 1 else several[0][1]
    life = found[-1].life
    life.started, life.root = found[0].life.started, found[0].producer
    life.dropped = sum(attempt.life.dropped for attempt in found)
    life.last_record = session.life.last_record
    session.life = life
    return True


class Joined(Series):
    """Several series, one after the other, as one to read; nothing can be added to it."""

    def __init__(self, parts: Sequence[Series]) -> None:
        self._parts = list(parts)
        finite = [part for part in parts if part.finite] or self._parts[:1]
        self.windows = parts[0].windows
        self.count = sum(part.count for part in parts)
        self.finite = sum(part.finite for part in parts)
        self.bad = sum(part.bad for part in parts)
        self.first, self.last, self.last_x = parts[0].first, parts[-1].last, parts[-1].last_x
        low, high = min(finite, key=lambda part: part.low), max(finite, key=lambda part: part.high)
        self.low, self.low_x, self.high, self.high_x = low.low, low.low_x, high.high, high.high_x
        self.total = float(np.sum([part.total for part in parts]))

    def extend(self, x: Floats, y: Floats) -> None:
        raise TypeError("a joined series is only read")

    def points(self) -> tuple[Floats, Floats]:
        return self._with_gaps(lambda part: part.points())

    def average(self, which: int = 0) -> tuple[Floats, Floats]:
        return self._with_gaps(lambda part: part.average(which))

    def bad_steps(self) -> list[float]:
        return [step for part in self._parts for step in part.bad_steps()]

    def means(self) -> tuple[Floats, Floats, Floats]:
        x, y, n = zip(*(part.means() for part in self._parts), strict=True)
        return np.concatenate(x), np.concatenate(y), np.concatenate(n)

    def trend(self, records: int) -> tuple[float, float, float, float] | None:
        return self._parts[-1].trend(records)

    def _with_gaps(self, read: Callable[[Series], tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
        xs: list[Floats] = []
        ys: list[Floats] = []
        for part in self._parts:
            x, y = read(part)
            if len(x):
                # The gap stands where the next part begins.
                xs += [x[:1], x] if xs else [x]
                ys += [np.array([np.nan]), y] if ys else [y]
        return (np.concatenate(xs), np.concatenate(ys)) if xs else (np.empty(0), np.empty(0))
