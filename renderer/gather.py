"""Records to columns: which numbers a batch of records holds, under which names. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from contract.lines import Record

_NOT_METRICS = frozenset({"_p", "_q", "timestamp", "step"})
#: `grad_norm_actor` is the norm of the component "actor"; these are statistics of the whole instead.
_OF_PARTS = ("grad_norm_", "grad_zeros_ratio_", "weight_update_ratio_")
_NOT_PARTS = frozenset({"max", "mean", "min", "std"})
_DEEP = 4
#: Beyond it JavaScript counts steps no longer one by one.
_FAR = 2**53
_TEXT_CHARS = 200


class Key(NamedTuple):
    """One series: a metric of a category, of a component of the model ("" for the whole), by one producer."""

    category: str
    metric: str
    component: str
    producer: str


class Columns:
    """The numbers of a batch: for each key its steps and values, in order; and the latest texts."""

    def __init__(self) -> None:
        self.numbers: dict[Key, tuple[list[float], list[float]]] = {}
        self.texts: dict[str, str] = {}
        self.times: list[float] = []
        self.last_step: int | None = None

    def take(self, category: str, records: Iterable[Record], seen_before: int) -> None:
        """Add records of one category; a record without a usable step takes its place in the file as step."""
        for place, record in enumerate(records, seen_before):
            producer = str(record.get("_p", ""))
            step = record.get("step")
            if isinstance(step, bool) or not isinstance(step, (int, float)) or not abs(step) < _FAR:
                step = place
            self.last_step = int(step)
            time = record.get("timestamp")
            if isinstance(time, (int, float)) and math.isfinite(time):
                self.times.append(float(time))
            named = record.get("component")
            component = named if isinstance(named, str) else ""
            for name, value in record.items():
                if name not in _NOT_METRICS:
                    self._value(category, name, component, producer, float(step), value, 0)

    def _value(
        self, category: str, name: str, component: str, producer: str, step: float, value: Any, depth: int
    ) -> None:
        if isinstance(value, (float, int)):
            if category == "gradients" and not component and name.startswith(_OF_PARTS):
                prefix = next(prefix for prefix in _OF_PARTS if name.startswith(prefix))
                part = name[len(prefix) :]
                if part and part not in _NOT_PARTS:
                    name, component = prefix[:-1], part
            key = Key(category, name, component, producer)
            column = self.numbers.get(key)
            if column is None:
                column = self.numbers[key] = ([], [])
            column[0].append(step)
            column[1].append(float(value))
        elif isinstance(value, str):
            if not (name == "component" and depth == 0):
                self.texts[f"{category}.{name}"] = value[:_TEXT_CHARS]
        elif isinstance(value, dict) and depth < _DEEP:
            for inner, deeper in value.items():
                if depth == 0 and name in ("components", "per_component") and isinstance(deeper, dict):
                    for metric, number in deeper.items():
                        self._value(category, metric, str(inner), producer, step, number, depth + 2)
                else:
                    self._value(category, f"{name}.{inner}", component, producer, step, deeper, depth + 1)
