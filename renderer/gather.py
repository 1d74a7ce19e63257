"""Records to columns: which numbers a batch of records holds, under which names. Pure.

Most batches hold records of one shape, and then a column is taken in one go; whatever is not a number is looked at one by one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contract.lines import Record

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

_NOT_METRICS = frozenset({"_p", "_q", "timestamp", "step"})
_NUMBERS = frozenset({float, int, bool})
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: `grad_norm_actor` is the norm of the component "actor"; these are statistics of the whole instead.
_OF_PARTS = ("grad_norm_", "grad_zeros_ratio_", "weight_update_ratio_")
_NOT_PARTS = frozenset({"max", "mean", "min", "std"})
_DEEP = 4
#: Beyond it JavaScript counts steps no longer one by one.
_FAR = 2.0**53
_TEXT_CHARS = 200
_NAME_CHARS = 300


class Key(NamedTuple):
    """One series: a metric of a category, of a component of the model ("" for the whole), by one producer."""

    category: str
    metric: str
    component: str
    producer: str


class _Shape(NamedTuple):
    """What makes records alike: their producer, their component, the names of their fields."""

    producer: str
    component: str
    names: tuple[str, ...]


class Columns:
    """The numbers of a batch: for each key its steps, times and values, in order; and the latest texts."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.steps: list[Floats] = []
        self.times: list[Floats] = []
        self._parts: dict[Key, list[tuple[Floats, Floats, Floats]]] = {}

    @property
    def numbers(self) -> dict[Key, tuple[Floats, Floats]]:
        """Steps and values of each key."""
        return {key: (x, y) for key, (x, _, y) in self.timed().items()}

    def timed(self) -> dict[Key, tuple[Floats, Floats, Floats]]:
        """Steps, unix times and values of each key."""
        return {
            key: parts[0] if len(parts) == 1 else tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[misc]
            for key, parts in self._parts.items()
        }

    def take(self, category: str, records: Sequence[Record], seen_before: int, at: float = 0.0) -> None:
        """Add records of one category.

        Args:
            category: of all of them.
            records: in their order.
            seen_before: records of the category before these; one without a usable step takes its place in the file as step.
            at: unix time of the record before these; one without a usable time happened when the one before it did.
        """
        if not records:
            return
        steps = _steps(records, seen_before)
        times = _times(records, at)
        self.steps.append(steps)
        self.times.append(times)
        found: dict[Key, list[tuple[Places | None, Floats]]] = {}
        if not self._uniform(category, records, found):
            for shape, places in _shapes(records).items():
                self._alike(category, shape, [records[place] for place in places], np.array(places), found)
        for key, parts in found.items():
            self._parts.setdefault(key, []).append(_in_order(parts, steps, times))

    def _uniform(
        self, category: str, records: Sequence[Record], found: dict[Key, list[tuple[Places | None, Floats]]]
    ) -> bool:
        """Take records that all have the same fields, numbers alone as metrics, by one producer; False if they are not such."""
        first = records[0]
        if set(map(len, records)) != {len(first)} or not (_same(records, "_p") and _same(records, "component")):
            return False
        shape = _shape(first)
        names = [name for name in shape.names if name not in _NOT_METRICS and name != "component"]
        if len(names) < 2:
            return False
        try:
            # Of as many fields each, the same names or one is missing.
            flat: list[Any] = list(chain.from_iterable(map(itemgetter(*names), records)))
            sum(flat)  # whatever is no number refuses to be added
        except (KeyError, TypeError):
            return False
        table = np.fromiter(flat, float, len(flat)).reshape(len(records), len(names)).T.copy()
        for row, name in zip(table, names, strict=True):
            found.setdefault(_key(category, name, shape.component, shape.producer), []).append((None, row))
        return True

    def _alike(
        self,
        category: str,
        shape: _Shape,
        records: Sequence[Record],
        places: Places,
        found: dict[Key, list[tuple[Places | None, Floats]]],
    ) -> None:
        """Take records of one shape, which stand at `places`, column by column."""
        odd = _Odd(category, shape.producer, self.texts)
        for name in shape.names:
            if name in _NOT_METRICS:
                continue
            values = [record[name] for record in records]
            if set(map(type, values)) <= _NUMBERS:
                key = _key(category, name, shape.component, shape.producer)
                found.setdefault(key, []).append((places, np.array(values, float)))
                continue
            for place, value in enumerate(values):
                odd.take(name, shape.component, value, place, 0)
        for key, (inside, numbers) in odd.numbers.items():
            found.setdefault(key, []).append((places[np.array(inside)], np.array(numbers, float)))


class _Odd:
    """Values that are not all plain numbers: words for non-finite ones, texts, nested metrics."""

    def __init__(self, category: str, producer: str, texts: dict[str, str]) -> None:
        self._category, self._producer, self._texts = category, producer, texts
        self.numbers: dict[Key, tuple[list[int], list[float]]] = {}

    def take(self, name: str, component: str, value: Any, place: int, depth: int) -> None:
        if isinstance(value, str):
            if name == "component" and depth == 0:
                return
            if value not in NON_FINITE:
                self._texts[f"{self._category}.{name}"[:_NAME_CHARS]] = value[:_TEXT_CHARS]
                return
            value = NON_FINITE[value]
        if isinstance(value, (float, int)):
            places, numbers = self.numbers.setdefault(_key(self._category, name, component, self._producer), ([], []))
            places.append(place)
            numbers.append(float(value))
        elif isinstance(value, dict) and depth < _DEEP:
            for inner, deeper in value.items():
                if depth == 0 and name in ("components", "per_component") and isinstance(deeper, dict):
                    for metric, number in deeper.items():
                        self.take(metric, str(inner), number, place, depth + 2)
                else:
                    self.take(f"{name}.{inner}", component, deeper, place, depth + 1)


@lru_cache(8192)
def _key(category: str, name: str, component: str, producer: str) -> Key:
    if category == "gradients" and not component and name.startswith(_OF_PARTS):
        prefix = next(prefix for prefix in _OF_PARTS if name.startswith(prefix))
        part = name[len(prefix) :]
        if part and part not in _NOT_PARTS:
            name, component = prefix[:-1], part
    return Key(category, _bounded(name), _bounded(component), producer)


def _bounded(name: str) -> str:
    """A name as it is, or cut and told apart from others that begin alike."""
    if len(name) <= _NAME_CHARS:
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{name[: _NAME_CHARS - 10]}… {digest}"


def _shapes(records: Sequence[Record]) -> dict[_Shape, list[int]]:
    """The shapes among records, and the places of the records of each."""
    found: dict[_Shape, list[int]] = {}
    for place, record in enumerate(records):
        found.setdefault(_shape(record), []).append(place)
    return found


def _same(records: Sequence[Record], name: str) -> bool:
    """Whether a field is absent from the first record, or the same text in each."""
    if name not in records[0]:
        return True
    value = records[0][name]
    return isinstance(value, str) and all(record.get(name) == value for record in records)


def _shape(record: Record) -> _Shape:
    named = record.get("component")
    component = named if isinstance(named, str) else ""
    return _Shape(str(record.get("_p", ""))[:64], component, tuple(record))


def _steps(records: Sequence[Record], seen_before: int) -> Floats:
    found = [record.get("step") for record in records]
    if set(map(type, found)) <= {int, float}:
        steps = np.array(found, float)
        if bool((np.abs(steps) < _FAR).all()):
            return steps
    return np.array([
        float(step) if isinstance(step, (int, float)) and not isinstance(step, bool) and abs(step) < _FAR else float(place)
        for place, step in enumerate(found, seen_before)
    ])  # fmt: skip


def _times(records: Sequence[Record], at: float) -> Floats:
    found = [record.get("timestamp") for record in records]
    if set(map(type, found)) <= {int, float}:
        times = np.array(found, float)
        if bool(np.isfinite(times).all()):
            return times
    for place, time in enumerate(found):
        usable = isinstance(time, (int, float)) and not isinstance(time, bool) and math.isfinite(time)
        found[place] = at = float(time) if usable else at  # type: ignore[arg-type]
    return np.array(found, float)


def _in_order(parts: list[tuple[Places | None, Floats]], steps: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    """Steps, times and values of a key whose records may have been of several shapes."""
    if len(parts) == 1:
        places, values = parts[0]
        return (steps, times, values) if places is None else (steps[places], times[places], values)
    every = np.arange(len(steps))
    at = np.concatenate([every if places is None else places for places, _ in parts])
    order = np.argsort(at, kind="stable")
    at = at[order]
    return steps[at], times[at], np.concatenate([values for _, values in parts])[order]
