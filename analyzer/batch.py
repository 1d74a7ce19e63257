"""Many records at once, as columns: what makes a finished run cheap to check, and is the same for one live record. Pure.

Records of one shape (producer, component, names of metrics) are turned into columns by `itemgetter` and `zip`, which cost a
tenth of a loop in Python. How records are cut into batches changes nothing in what follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from contract import names

Record = dict[str, Any]
_NOT_METRICS: Final = frozenset({"_p", "_q", "timestamp", "step", "component"})
_NUMBERS: Final = ({float}, {int}, {int, float})


class Batch(NamedTuple):
    """Records of one producer and component, in their order.

    seqs, steps, times: one per record.  columns: logged name -> values, each a number, possibly not finite, or None where
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
        origins: dict[tuple[Any, Any], list[Record]] = {}
        for record in records:
            producer = record.get("_p")
            if "_q" not in record:
                # A line without sequence has its place in the file, which must be noted before lines are put apart.
                record = {**record, "_q": self._next.get(_text(producer), 0) + record_count(origins, producer)}
            origins.setdefault((_text(producer), _text(record.get("component"))), []).append(record)
        ahead = dict(self._next)
        for group in origins.values():
            for _, same in groupby(group, key=tuple):
                part = list(same)
                keys = tuple(part[0])
                columns = {key: tuple([record[key] for record in part]) for key in keys}
                batch = self._batch(columns, len(part), ahead)
                if batch is not None:
                    yield batch

    def _batch(self, columns: dict[str, Sequence[Any]], count: int, ahead: dict[str, int] | None = None) -> Batch | None:
        producer = _text(columns["_p"][0]) if "_p" in columns else ""
        expected = (self._next if ahead is None else ahead).get(producer, 0)
        seqs: Sequence[Any] = columns.get("_q", ())
        if not seqs or any(type(seq) is not int for seq in (seqs if len(seqs) < 3 else (seqs[0], seqs[-1]))):
            seqs = range(expected, expected + count)
        elif seqs[0] < expected or seqs[-1] - seqs[0] != count - 1 or list(seqs) != list(range(seqs[0], seqs[0] + count)):
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
        return Batch(
            producer,
            _text(columns["component"][0])[: names.MAX_METRIC_NAME_CHARS] if "component" in columns else "",
            seqs,
            _integers(columns.get("step"), count),
            _times(columns.get("timestamp"), count),
            {key: column for key, column in columns.items() if key not in _NOT_METRICS},
        )


def record_count(origins: dict[tuple[Any, Any], list[Record]], producer: Any) -> int:
    """Records of a producer so far in this call, whatever their component."""
    name = _text(producer)
    return sum(len(group) for (origin, _), group in origins.items() if origin == name)


def numbers(column: Sequence[Any]) -> Sequence[float | None] | None:
    """The column as numbers, None for what is no number; None for the whole when nothing in it is one."""
    kinds = set(map(type, column))
    if kinds in _NUMBERS:
        return column
    if not kinds & {float, int}:
        return None
    return [x if type(x) is float or type(x) is int else None for x in column]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _integers(column: Sequence[Any] | None, count: int) -> Sequence[int]:
    if column is None:
        return [0] * count
    if set(map(type, column)) == {int}:
        return column
    return [x if type(x) is int else int(x) if type(x) is float and math.isfinite(x) else 0 for x in column]


def _times(column: Sequence[Any] | None, count: int) -> Sequence[float]:
    """Unix seconds, 0.0 where the record says none that could be one."""
    if column is None:
        return [0.0] * count
    if set(map(type, column)) == {float} and not (total := sum(column)) - total:
        return column
    return [float(x) if isinstance(x, (int, float)) and math.isfinite(x) else 0.0 for x in column]


def running_maximum(values: Sequence[float], least: float) -> Sequence[float]:
    """Each value or the highest before it, at least `least`.

    >>> list(running_maximum([3.0, 2.0, 5.0], 2.5))
    [3.0, 3.0, 5.0]
    """
    if values[0] >= least and (len(values) == 1 or sorted(values) == list(values)):
        return values
    return list(accumulate(values, max, initial=least))[1:]
