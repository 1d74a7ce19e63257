"""Many records at once, as columns: what makes a finished run cheap to check, and is the same for one live record. Pure.

Records of one shape (producer, component, names of metrics) are turned into columns by `itemgetter` and `zip`, which cost a
tenth of a loop in Python. How records are cut into batches changes nothing in what follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from contract import names

Record = dict[str, Any]
_NOT_METRICS: Final = frozenset({"_p", "_q", "timestamp", "step", "component"})
#: Larger integers are no numbers that a trainer would log, and no float holds them.
_MOST: Final = 1 << 63
_FLOATS: Final = {float}
_INTEGERS: Final = {int}


class Batch(NamedTuple):
    """Records of one producer and component, in their order.

    seqs, steps, times: one per record; times never fall, they are the highest of the producer so far.  columns: logged name -> values, each a number, possibly not finite, or None where
    the record had something else.
    """

    producer: str
    component: str
    seqs: Sequence[int]
    steps: Sequence[int]
    times: Sequence[float]
    columns: dict[str, Sequence[float | None]]


class Intake:
    """Takes the records of one category in their order, drops what was seen, and cuts the rest into batches.

    `repeated` counts records whose sequence was already seen; a file may be read twice.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._next: dict[str, int] = {}
        self._time: dict[str, float] = {}

    def take(self, records: Sequence[Record]) -> Iterator[Batch]:
        """The batches of new records. Batches of one producer and component come in their order."""
        if not records:
            return
        first = records[0]
        keys = tuple(first)
        try:
            rows = list(map(itemgetter(*keys), records)) if len(keys) > 1 else []
        except KeyError:
            rows = []
        if not rows or set(map(len, records)) != {len(keys)}:
            yield from self._mixed(records)
            return
        columns = dict(zip(keys, zip(*rows, strict=True), strict=True))
        if len(records) > 1 and any(
            name in columns and columns[name].count(first[name]) != len(records) for name in ("_p", "component")
        ):
            yield from self._mixed(records)
            return
        batch = self._batch(columns, len(records))
        if batch is not None:
            yield batch

    def _mixed(self, records: Sequence[Record]) -> Iterator[Batch]:
        """Records of several producers, components or shapes: apart, each in its order."""
        origins: dict[tuple[str, str], list[Record]] = {}
        placed: dict[str, int] = {}
        for record in records:
            producer = _text(record.get("_p"))
            # Place and time are those in the file, which must be noted before the records are put apart.
            place = placed.get(producer, self._next.get(producer, 0))
            seq = record.get("_q")
            seq = seq if type(seq) is int else place
            placed[producer] = max(place, seq + 1)
            record = {**record, "_q": seq, "timestamp": self._reach(producer, record)}
            origins.setdefault((producer, _text(record.get("component"))), []).append(record)
        ahead = dict(self._next)
        for group in origins.values():
            for _, same in groupby(group, key=tuple):
                part = list(same)
                keys = tuple(part[0])
                columns = {key: tuple([record[key] for record in part]) for key in keys}
                batch = self._batch(columns, len(part), ahead)
                if batch is not None:
                    yield batch

    def _reach(self, producer: str, record: Record) -> float:
        """The producer's time with this record, the highest so far."""
        time = _times((record.get("timestamp", record.get("step")),), 1)[0]
        time = self._time[producer] = max(self._time.get(producer, -math.inf), time)
        return time

    def _batch(
        self, columns: Mapping[str, Sequence[Any]], count: int, ahead: dict[str, int] | None = None
    ) -> Batch | None:
        producer = _text(columns["_p"][0]) if "_p" in columns else ""
        expected = (self._next if ahead is None else ahead).get(producer, 0)
        seqs: Sequence[Any] = columns.get("_q", ())
        if not seqs or any(type(seq) is not int for seq in (seqs if len(seqs) < 3 else (seqs[0], seqs[-1]))):
            seqs = range(expected, expected + count)
        elif (
            seqs[0] < expected or seqs[-1] - seqs[0] != count - 1 or list(seqs) != list(range(seqs[0], seqs[0] + count))
        ):
            keep, at = [], expected
            for index, seq in enumerate(seqs):
                number = seq if type(seq) is int else at
                if number >= at:
                    keep.append((index, number))
                    at = number + 1
            self.repeated += count - len(keep)
            if not keep:
                return None
            columns = {key: tuple([column[index] for index, _ in keep]) for key, column in columns.items()}
            seqs = [number for _, number in keep]
            count = len(keep)
        self._next[producer] = max(self._next.get(producer, 0), seqs[-1] + 1)
        steps = _integers(columns.get("step"), count)
        times = _times(columns.get("timestamp", steps), count)
        if ahead is None:
            times = running_maximum(times, self._time.get(producer, -math.inf))
            self._time[producer] = times[-1]
        component = columns["component"][0] if "component" in columns else ""
        return Batch(
            producer,
            _text(component)[: names.MAX_METRIC_NAME_CHARS],
            seqs,
            steps,
            times,
            {key: column for key, column in columns.items() if key not in _NOT_METRICS},
        )


def numbers(column: Sequence[Any]) -> tuple[Sequence[float | None], bool]:
    """The column as floats, None for what is no number, and whether all are finite numbers.

    >>> numbers((1.0, 2)), numbers((1.0, "high", True)), numbers((float("inf"),))
    (([1.0, 2.0], True), ([1.0, None, None], False), ((inf,), False))
    """
    kinds = set(map(type, column))
    values: Sequence[float | None] = column
    if kinds != _FLOATS:
        values = [_float(x) for x in column]
        if None in values:
            return values, False
    total = sum(values)  # type: ignore[arg-type]
    # Neither NaN nor infinite in it, nor a sum that overflows: that one is looked at value by value, and no harm done.
    return values, total - total == 0


def _float(value: Any) -> float | None:
    if type(value) is float:
        return value
    return float(value) if type(value) is int and -_MOST < value < _MOST else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _integers(column: Sequence[Any] | None, count: int) -> Sequence[int]:
    if column is None:
        return [0] * count
    if set(map(type, column)) == _INTEGERS and min(column) > -_MOST and max(column) < _MOST:
        return column
    values = [_float(x) for x in column]
    return [int(x) if x is not None and abs(x) < _MOST else 0 for x in values]


def _times(column: Sequence[Any] | None, count: int) -> Sequence[float]:
    """Unix seconds, 0.0 where the record says none that could be one."""
    if column is None:
        return [0.0] * count
    if set(map(type, column)) == _FLOATS and not (total := sum(column)) - total:
        return column
    values = [_float(x) for x in column]
    return [x if x is not None and math.isfinite(x) else 0.0 for x in values]


def running_maximum(values: Sequence[float], least: float) -> Sequence[float]:
    """Each value or the highest before it, at least `least`.

    >>> list(running_maximum([3.0, 2.0, 5.0], 2.5))
    [3.0, 3.0, 5.0]
    """
    if values[0] >= least and (len(values) == 1 or sorted(values) == list(values)):
        return values
    return list(accumulate(values, max, initial=least))[1:]
