"""From whatever a training loop logs to what msgpack and JSON can hold: fast for numbers, never raising for the rest."""

from __future__ import annotations

from typing import Any, Final

import msgpack

from contract import wire
from contract.lines import text_of
from contract.names import MAX_METRIC_NAME_CHARS, MAX_METRICS_PER_RECORD, MAX_NESTING, MAX_RECORD_BYTES

#: A packed record above this size may break a limit of the collector, so it is looked at before it is stored.
SUSPECT_BYTES: Final = 2_000
_MAX_ITEMS: Final = 4_096


class Converter:
    """Turns values into plain ones and counts in `replaced` those of which only the `repr` could be kept."""

    def __init__(self) -> None:
        self.replaced = 0

    def default(self, value: Any) -> Any:
        """For `msgpack.Packer(default=...)`: called for what msgpack does not know. Never raises."""
        try:
            if isinstance(value, int):  # beyond 64 bits
                self.replaced += 1
                return str(value)[:200]
            size = getattr(value, "size", None)
            if callable(size):  # torch: size() is a method, numel() the number of elements
                size = value.numel()
            if size is not None and size != 1 and hasattr(value, "tolist"):
                return value.tolist() if int(size) <= _MAX_ITEMS else self._text(value)
            if hasattr(value, "item"):
                item = value.item()
                if isinstance(item, (int, float, bool, str)):
                    return item
            elif isinstance(value, (set, frozenset)):
                return list(value)
            elif hasattr(value, "__float__"):
                return float(value)
        except Exception:  # noqa: S110 - a user's object may raise anything; its repr is kept instead
            pass
        return self._text(value)

    def _text(self, value: object) -> str:
        self.replaced += 1
        return text_of(value)

    def clean(self, value: Any, depth: int = 0) -> Any:
        """A copy of `value` that surely packs: depth, lengths and text made to fit."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int):
            return int(value) if -(2**63) <= value < 2**64 else self.default(int(value))
        if isinstance(value, str):
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        if isinstance(value, (bytes, bytearray, memoryview)) or depth >= MAX_NESTING:
            return self._text(value)
        if isinstance(value, dict):
            if len(value) > MAX_METRICS_PER_RECORD and depth:
                return self._text(value)
            return {self._name(k): self.clean(v, depth + 1) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(v, depth + 1) for v in value] if len(value) <= _MAX_ITEMS else self._text(value)
        plain = self.default(value)
        return plain if isinstance(plain, (str, float, int, bool)) else self.clean(plain, depth + 1)

    def named(self, metrics: dict[Any, Any]) -> dict[str, Any]:
        """The same metrics under names that a call can take: text, and none of them `step`."""
        names = {key: self._name(key) for key in metrics}
        return {"metric_step" if name == "step" else name: metrics[key] for key, name in names.items()}

    def _name(self, key: object) -> str:
        text = key if isinstance(key, str) else text_of(key)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")[:MAX_METRIC_NAME_CHARS]

    def pack_slowly(self, timestamp: float, step: int, metrics: dict[str, Any]) -> bytes:
        """A packed record for metrics that the fast way refused, cut down until it fits every limit. Never raises."""
        if not -(2**63) <= step < 2**63:
            metrics, step = {**metrics, "step_given": str(step)[:200]}, 0
        try:
            plain = self.clean(metrics)
            packed = msgpack.packb((timestamp, step, plain))
            if fits(packed):
                return bytes(packed)
            short: dict[str, Any] = {}
            for name, value in plain.items():
                if isinstance(value, (dict, list)) or (isinstance(value, str) and len(value) > 200):
                    short[name] = self._text(value)
                elif len(short) < MAX_METRICS_PER_RECORD - 1:
                    short[name] = value
                else:
                    self.replaced += 1
            packed = msgpack.packb((timestamp, step, short))
            while not fits(packed):  # hundreds of long texts: keep the first half until it fits
                self.replaced += len(short) - len(short) // 2
                short = dict(list(short.items())[: len(short) // 2])
                packed = msgpack.packb((timestamp, step, short))
            return bytes(packed)
        except Exception as error:
            self.replaced += 1
            return bytes(msgpack.packb((timestamp, step, {"unreadable": text_of(error)})))

    def step_of(self, step: Any, metrics: dict[str, Any], last: int) -> tuple[int, dict[str, Any]]:
        """An integer for whatever was given as step; what was no integer is kept as metric `step_given`."""
        try:
            number = step.item() if hasattr(step, "item") else step
            if not isinstance(number, bool) and isinstance(number, (int, float)) and int(number) == number:
                return int(number), metrics
        except Exception:  # noqa: S110 - nan, inf, or a user's object
            pass
        self.replaced += 1
        return last, {**metrics, "step_given": text_of(step) if not isinstance(step, float) else step}


def fits(packed: bytes) -> bool:
    """Whether the collector will take this packed record."""
    if len(packed) > MAX_RECORD_BYTES:
        return False
    if len(packed) > SUSPECT_BYTES:
        try:
            wire.unpack_records(packed, 1)
        except wire.FrameRefused:
            return False
    return True
