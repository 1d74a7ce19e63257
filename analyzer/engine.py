"""Records in, events out: one `Engine` per session. Pure: record time and record order only, no clock, no file, no socket.

Two stages. What one stream alone proves is told at once, as its record comes (`immediate`). Everything that looks across streams is
judged in order: records become blocks per stream (`streams`), and blocks of a session are judged by (time, rank of the category,
producer, sequence), where time is the running maximum of `timestamp` in a (producer, category) lane. A block is judged when no
lane can bring an earlier one any more, or when the session's time is more than `LATENESS_S` ahead, or at the end. So it does not matter
how the categories interleave: the live analyzer, a restarted one and `avaliacoes check` come to the same events with the same ids.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analyzer.batch import Intake
from analyzer.immediate import Immediate
from analyzer.judge import Judge
from analyzer.life import Cause, Event, Row
from analyzer.streams import Block, Stream
from analyzer.tuning import Tuning
from contract import names

#: Record time that a lane may be behind the session's before the others are judged without it.
LATENESS_S: Final = 1.0
#: Where a file is still being read, its lanes may be this far behind each other.
_SKEW_S: Final = 60.0
#: Streams judged per session; the next ones are counted in `Engine.streams_refused`, not judged.
MAX_STREAMS: Final = 1_024
_RANKS: Final = {name: rank for rank, name in enumerate(names.CATEGORIES)}
_OWN: Final = len(names.CATEGORIES)


@dataclass(slots=True)
class _Lane:
    """One (producer, category): how far its records have come."""

    category: str
    producer: str
    rank: int
    time: float = -math.inf
    seq: int = 0
    step: int = 0

    @property
    def mark(self) -> tuple[float, int, str, int]:
        return (self.time, self.rank, self.producer, self.seq + 1)


@dataclass(slots=True)
class Engine:
    """The rules over one session.

    `feed` takes records of one category in their order, `advance` judges what can be judged, `finish` the rest. `update` is
    both for one record. Records whose sequence was already seen are counted in `repeated`; those that came when later
    ones had been judged in `late`, and are judged when they come.
    """

    tuning: Tuning = field(default_factory=Tuning)
    records: int = 0
    late: int = 0
    streams_refused: int = 0
    finished: bool = False
    _judge: Judge = field(init=False)
    _intake: dict[str, Intake] = field(default_factory=dict)
    _lanes: dict[tuple[str, str], _Lane] = field(default_factory=dict)
    _streams: dict[tuple[str, str, str], tuple[Stream, Immediate]] = field(default_factory=dict)
    _heap: list[Block] = field(default_factory=list)
    _limits: dict[str, Any] = field(default_factory=dict)
    _judged: tuple[float, int, str, int] = (-math.inf, -1, "", -1)
    _time: float = -math.inf

    def __post_init__(self) -> None:
        self._limits = dict(self.tuning.thresholds)
        self._judge = Judge(self.tuning)

    def take(self, tuning: Tuning) -> None:
        """Judge by these settings from the next block on; nothing learned so far is lost."""
        self.tuning = tuning
        self._limits.clear()
        self._limits.update(tuning.thresholds)
        self._judge.take(tuning)

    @property
    def repeated(self) -> int:
        return sum(intake.repeated for intake in self._intake.values())

    @property
    def failed(self) -> dict[str, str]:
        """Rules that raised, with what they raised; they are off for this session."""
        return self._judge.failed

    @property
    def firing_rows(self) -> dict[str, Row]:
        """Alerts whose condition has not ended, by the id of their row."""
        rows = [row for _, immediate in self._streams.values() for row in immediate.rows]
        return {row.id: row for row in (*rows, *self._judge.rows.values()) if row.firing}

    @property
    def firing(self) -> int:
        """How many alerts fire."""
        return len(self.firing_rows)

    def update(self, category: str, record: dict[str, Any]) -> list[Event]:
        """The events, usually none, that follow from one record of `category`."""
        return self.feed(category, (record,)) + self.advance()

    def feed(self, category: str, records: Sequence[dict[str, Any]]) -> list[Event]:
        """Take records; the events that need not wait for order."""
        if category == names.ALERTS or not records:
            return []
        intake = self._intake.get(category)
        if intake is None:
            intake = self._intake[category] = Intake()
        if category == names.LIFECYCLE:
            self._feed_lifecycle(records, intake)
            return []
        events: list[Event] = []
        for batch in intake.take(records):
            self.records += len(batch.seqs)
            found = self._stream(category, batch.producer, batch.component)
            if found is None:
                continue
            stream, immediate = found
            lane = self._lane(category, batch.producer)
            events += immediate.look(stream.take(batch, self._limits), batch)
            self._judge.saw(batch.times)
            self._reach(lane, stream.time, batch.seqs[-1], batch.steps[-1])
            while stream.blocks:
                heapq.heappush(self._heap, stream.blocks.popleft())
        return events

    def _feed_lifecycle(self, records: Iterable[dict[str, Any]], intake: Intake) -> None:
        for record in records:
            for batch in intake.take((record,)):
                lane = self._lane(names.LIFECYCLE, batch.producer)
                time = max(lane.time, batch.times[0])
                self._reach(lane, time, batch.seqs[0], lane.step)
                heapq.heappush(
                    self._heap, Block(time, lane.rank, batch.producer, batch.seqs[0], "", None, 0, 1, (), dict(record))
                )

    def _stream(self, category: str, producer: str, component: str) -> tuple[Stream, Immediate] | None:
        key = (category, producer, component)
        found = self._streams.get(key)
        if found is None:
            if len(self._streams) >= MAX_STREAMS:
                self.streams_refused += 1
                return None
            tuning = self.tuning
            stream = Stream(category, _RANKS.get(category, _OWN), producer, component, self._judge.wanted)
            immediate = Immediate(tuning.documented, self._limits, tuning.off, tuning.caps)
            found = self._streams[key] = (stream, immediate)
        return found

    def _lane(self, category: str, producer: str) -> _Lane:
        lane = self._lanes.get((category, producer))
        if lane is None:
            lane = self._lanes[category, producer] = _Lane(category, producer, _RANKS.get(category, _OWN))
        return lane

    def _reach(self, lane: _Lane, time: float, seq: int, step: int) -> None:
        lane.time = time
        if seq >= lane.seq:  # components of one batch come one after the other
            lane.seq, lane.step = seq, step
        self._time = max(self._time, time)

    def frontier(self, category: str) -> float:
        """How far a category's records have come, in record time: what is furthest behind is best read next."""
        return max((lane.time for lane in self._lanes.values() if lane.category == category), default=-math.inf)

    def advance(self, behind: Iterable[str] = ()) -> list[Event]:
        """Judge every block that no lane can overtake any more.

        Args:
            behind: categories of which more is on disk already: they are waited for, however far the others are ahead.
        """
        if not self._heap:
            return []
        waiting = frozenset(behind)
        first, second = self._marks(waiting)
        events: list[Event] = []
        while self._heap:
            block = self._heap[0]
            key = (block.time, block.rank, block.producer, block.seq)
            own = (block.rank, block.producer)
            limit = second if first[1] == own else first[0]
            if key > (limit[0] if first[1] == own else limit):
                break
            heapq.heappop(self._heap)
            events += self._settle(block, key)
        return events

    def _marks(self, waiting: frozenset[str]) -> Any:
        """The two lanes furthest behind: (mark, (rank, producer)) each, the lateness taken into account."""
        bound = (self._time - LATENESS_S, -1, "", -1)
        marks = [((math.inf, 0, "", 0), (-2, ""))] * 2
        reached = {category: self.frontier(category) for category in waiting}
        for category, time in reached.items():
            if time == -math.inf:
                marks.append(((-math.inf, 0, "", 0), (-3, category)))
        for lane in self._lanes.values():
            mark = lane.mark
            if lane.category in waiting:
                mark = max(mark, (reached[lane.category] - _SKEW_S, -1, "", -1))
            elif lane.category == names.LIFECYCLE:
                continue
            else:
                mark = max(mark, bound)
            marks.append((mark, (lane.rank, lane.producer)))
        return sorted(marks)[:2]

    def _settle(self, block: Block, key: tuple[float, int, str, int]) -> list[Event]:
        behind = key < self._judged
        if block.record is not None:
            events = self._judge.lifecycle(block)
            self.late += bool(behind and events)  # one that says nothing may come when it likes
            return events
        if behind:
            self.late += block.records
        else:
            self._judged = key
        return self._judge.block(block)

    def gone(self) -> list[Event]:
        """A clock says that the trainer is gone, since nothing is heard of it."""
        return self._judge.gone()

    def finish(self) -> list[Event]:
        """The session is over: judge what waits, and end what fires."""
        if self.finished:
            return []
        self.finished = True
        for (category, producer, _), (stream, _) in self._streams.items():
            lane = self._lanes[category, producer]
            stream.flush(lane.seq, lane.step)
            while stream.blocks:
                heapq.heappush(self._heap, stream.blocks.popleft())
        events: list[Event] = []
        while self._heap:
            block = heapq.heappop(self._heap)
            events += self._settle(block, (block.time, block.rank, block.producer, block.seq))
        events += self._judge.last_look()
        over = self._judge.over
        for (category, producer, _), (_, immediate) in sorted(self._streams.items()):
            lane = self._lanes[category, producer]
            cause = over or Cause(category, lane.seq, lane.step, lane.time)
            for row in immediate.rows:
                events += row.end(cause)
        for _, row in sorted(self._judge.rows.items()):
            lanes = [lane for lane in self._lanes.values() if lane.producer == row.producer] or list(
                self._lanes.values()
            )
            last = max(lanes, key=lambda lane: lane.mark)
            events += row.end(over or Cause(last.category, last.seq, last.step, last.time))
        return events
