"""The records of one producer, category and component, gathered into blocks. Pure.

A block ends when it holds a thirty-second of the stream so far, `LARGEST` records at most: a young stream is judged record by
record. Where a block ends depends on the stream's own records alone, so it is the same live and on a second reading.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

from analyzer.batch import Batch, numbers
from analyzer.metrics import ROBUST, key_of
from analyzer.series import Series

LARGEST: Final = 256
_PART: Final = 32
#: Metrics followed per stream; the rest is counted in `refused`.
MAX_METRICS: Final = 64

#: Where a documented threshold is crossed upwards (1) or downwards (-1): the block ends there, so that it is told at once.
_WATCHED: Final = {"grad_norm": "gradient_threshold_high", "zeros": "zeros_ratio_threshold"}


#: A metric's values of a batch, and whether they are all finite numbers.
Column = tuple[Series, Sequence[Any], bool]


class Block(NamedTuple):
    """A closed block, in the order in which blocks of a session are judged: time, rank of the category, producer, sequence."""

    time: float
    rank: int
    producer: str
    seq: int
    component: str
    stream: Any
    step: int
    records: int
    #: (series, finite values, their steps, how many were not finite)
    values: tuple[tuple[Series, Sequence[float], Sequence[int], int], ...]
    #: A record of category lifecycle, which is a block of its own.
    record: dict[str, Any] | None = None


class Stream:
    """Gathers batches into blocks; `blocks` holds those that wait to be judged."""

    def __init__(self, category: str, rank: int, producer: str, component: str, wanted: frozenset[str] | None) -> None:
        self.category, self.rank, self.producer, self.component = category, rank, producer, component
        self.blocks: deque[Block] = deque()
        self.n = 0
        self.time = -math.inf
        self.refused = 0
        self.fresh: list[Series] = []
        self._wanted = wanted
        self._open = 0
        self._series: dict[str, Series | None] = {}
        self._taken: dict[str, tuple[list[float], list[int]]] = {}
        self._bad: dict[str, int] = {}
        self._above: set[str] = set()
        self._quiet = 0

    def series_for(self, name: str) -> Series | None:
        """The series of a logged name; None for what no rule wants."""
        if name in self._series:
            return self._series[name]
        key = key_of(name)
        series = None
        if self._wanted is None or key in self._wanted or name in self._wanted:
            if self._wanted is not None and key not in self._wanted:
                key = name
            if len(self._taken) >= MAX_METRICS:
                self.refused += 1
            elif all(known is None or known.key != key for known in self._series.values()):
                series = Series(key, name, self.category, self.producer, self.component, key in ROBUST)
                self._taken[name] = ([], [])
                self.fresh.append(series)
        if len(self._series) < 16 * MAX_METRICS:
            self._series[name] = series
        return series

    def take(self, batch: Batch, limits: Mapping[str, float]) -> list[Column]:
        """Gather a batch; returns its wanted columns, for those who look at records at once."""
        columns: list[Column] = []
        for name, column in batch.columns.items():
            series = self.series_for(name)
            if series is None:
                continue
            values, whole = numbers(column)
            if not whole and all(x is None for x in values):
                continue
            columns.append((series, values, whole))
        self.time = batch.times[-1]
        self._gather(batch, columns, limits)
        return columns

    def _gather(self, batch: Batch, columns: list[Column], limits: Mapping[str, float]) -> None:
        at, count = 0, len(batch.seqs)
        steps = batch.steps
        while at < count:
            size = max(1, min(LARGEST, self.n // _PART))
            end = min(count, at + size - self._open)
            cut = self._crossing(columns, at, end, limits) if size > 1 else 0
            end = cut or end
            for series, values, whole in columns:
                kept, their_steps = self._taken[series.name]
                piece = values[at:end]
                if whole:
                    kept += piece
                    their_steps += steps[at:end]
                    continue
                good = [x is not None and -math.inf < x < math.inf for x in piece]
                kept += compress(piece, good)
                their_steps += compress(steps[at:end], good)
                self._bad[series.name] = self._bad.get(series.name, 0) + sum(
                    not fine and x is not None for x, fine in zip(piece, good, strict=True)
                )
            self._open += end - at
            if cut or self._open >= size:
                self._close(batch.times[end - 1], batch.seqs[end - 1], steps[end - 1])
            at = end

    def _crossing(self, columns: list[Column], at: int, end: int, limits: Mapping[str, float]) -> int:
        """Index after the first record that crosses a documented threshold which the one before had not crossed, else 0.

        Not again within a block's length of the last time: a value that flickers about the limit must not make blocks of one.
        """
        first = end
        watched = []
        for series, values, whole in columns:
            limit_name = _WATCHED.get(series.key)
            if limit_name is None:
                continue
            limit = limits[limit_name]
            piece = values[at:end] if whole else [math.nan if x is None else x for x in values[at:end]]
            watched.append((series.name, piece, limit))
            if whole and (max(piece) <= limit or (min(piece) > limit and series.name in self._above)):
                continue
            above = series.name in self._above
            for index, x in enumerate(piece, at):
                if (x > limit or x != x) and not above and self.n + self._open + index - at >= self._quiet:
                    first = min(first, index)
                    break
                above = x > limit or x != x
        cut = first + 1 if first < end else 0
        for name, piece, limit in watched:
            if not piece[(cut or end) - at - 1] <= limit:
                self._above.add(name)
            else:
                self._above.discard(name)
        if cut:
            records = self.n + self._open + cut - at
            self._quiet = records + max(1, min(LARGEST, records // _PART))
        return cut

    def _close(self, time: float, seq: int, step: int) -> None:
        values = []
        for name, (kept, steps) in self._taken.items():
            bad = self._bad.get(name, 0)
            if kept or bad:
                series = self._series[name]
                values.append((series, kept, steps, bad))
        self.n += self._open
        block = Block(time, self.rank, self.producer, seq, self.component, self, step, self._open, tuple(values))  # type: ignore[arg-type]
        self._taken = {name: ([], []) for name in self._taken}
        self._bad.clear()
        self._open = 0
        self.blocks.append(block)

    def flush(self, seq: int, step: int) -> None:
        """The stream is over: what is gathered is a block."""
        if self._open:
            self._close(self.time, seq, step)
