"""The records of a batch as lines: the hot path, and the repairs beside it.

A record is `[timestamp, step, {metric: value}]`. Nearly every record is well formed, so the fast path only looks at
types; names and nesting are looked at only when a batch as a whole looks suspicious, because looking at each record
would cost as much as writing it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

import msgpack
from orjson import dumps

from contract import names
from contract.lines import LineRefused, encode_line, text_of
from contract.wire import Batch, FrameRefused, unpack_records

#: A line shorter than this cannot hold enough to be worth a look at its metric names.
_LOOK_TWICE_BYTES: Final = 512
_RAW_KEPT_BYTES: Final = 4096


@dataclass(slots=True)
class Encoded:
    """The `count` lines of a batch in one piece; `refused` are `(sequence, count, why, raw text)` for the quarantine."""

    data: bytes
    count: int
    last_step: int
    repaired: int = 0
    refused: list[tuple[int, int, str, str]] = field(default_factory=list)


def unpack(batch: Batch, payload: bytes) -> tuple[Sequence[Any], list[tuple[int, int, str, str]]]:
    """The records of a payload, and what could not even be unpacked (its sequences are spent all the same).

    A payload that breaks a limit, or holds fewer or more records than announced, is read leniently, record by record:
    it was refused by nobody on its way here, and asking for it again would block its stream for ever.
    """
    try:
        return unpack_records(payload, batch.count), []
    except FrameRefused as error:
        why = str(error)
    unpacker = msgpack.Unpacker(
        use_list=False,
        strict_map_key=False,
        unicode_errors="backslashreplace",
        object_pairs_hook=_lenient_map,
        max_buffer_size=len(payload) + 1,
    )
    unpacker.feed(payload)
    records: list[Any] = []
    try:
        while len(records) < batch.count:
            records.append(unpacker.unpack())
        rest = payload[unpacker.tell() :]
    except Exception:  # msgpack raises many kinds on hostile bytes
        rest = payload
    if len(records) == batch.count and not rest:
        return records, []
    missing = batch.count - len(records)
    return records, [(batch.first_seq + len(records), missing, why[:300], _raw(rest))]


def _lenient_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    return {key if isinstance(key, (str, int, float)) else text_of(key): value for key, value in pairs}


def _raw(data: bytes) -> str:
    return base64.b64encode(data[:_RAW_KEPT_BYTES]).decode()


def encode(producer: str, first: int, records: Sequence[Any], now: float, last_step: int = 0) -> Encoded:
    """Lines for `records`, sequences `first` onwards.

    Args:
        now: unix time for a record that has none.
        last_step: step for a record that has none.
    """
    lines: list[bytes] = []
    append = lines.append
    seq = first
    step = last_step
    plain = True
    try:
        for timestamp, step, metrics in records:
            if (
                type(step) is not int
                or type(timestamp) is not float
                or type(metrics) is not dict
                or not -1e15 < timestamp < 1e15
            ):
                return _encode_slowly(producer, first, records, now, last_step)
            record = {"_p": producer, "_q": seq, "timestamp": timestamp, "step": step, **metrics}
            if len(record) != len(metrics) + 4:  # a metric is called like a key of ours
                return _encode_slowly(producer, first, records, now, last_step)
            # Finite numbers alone, as nearly always, need none of the care of `encode_line`.
            try:
                simple = isfinite(sum(metrics.values()))
            except (TypeError, OverflowError):
                simple = False
            if simple:
                append(dumps(record))
            else:
                plain = False
                append(encode_line(producer, seq, timestamp, step, metrics))
            seq += 1
    except (TypeError, ValueError):  # LineRefused and orjson's error are ValueErrors
        return _encode_slowly(producer, first, records, now, last_step)
    count = len(lines)
    longest = max(map(len, lines)) if lines else 0
    data = _joined(lines)
    nested = not plain and data.count(b"[") + data.count(b"{") - count > names.MAX_NESTING
    if (nested or longest > _LOOK_TWICE_BYTES) and any(
        _within_limits(record[2]) is not record[2] for record in records
    ):
        return _encode_slowly(producer, first, records, now, last_step)
    return Encoded(data, count, step if count else last_step)


def _joined(lines: list[bytes]) -> bytes:
    lines.append(b"")
    return b"\n".join(lines)


def _encode_slowly(producer: str, first: int, records: Sequence[Any], now: float, last_step: int) -> Encoded:
    encoded = Encoded(b"", 0, last_step)
    lines: list[bytes] = []
    for seq, record in enumerate(records, first):
        if not isinstance(record, (list, tuple)) or len(record) != 3 or not isinstance(record[2], dict):
            encoded.refused.append((seq, 1, "expected [timestamp, step, {metric: value}]", text_of(record)))
            continue
        timestamp, step, metrics, repaired = _repair(record, now, encoded.last_step)
        try:
            line = encode_line(producer, seq, timestamp, step, metrics)
        except (LineRefused, TypeError, ValueError, RecursionError) as error:
            encoded.refused.append((seq, 1, str(error)[:300], text_of(record)))
            continue
        encoded.last_step = step
        encoded.repaired += repaired
        lines.append(line)
    encoded.count = len(lines)
    encoded.data = _joined(lines)
    return encoded


def _repair(record: Any, now: float, last_step: int) -> tuple[float, int, dict[Any, Any], bool]:
    """A record with a number as its time, an integer as its step, names and nesting within the limits."""
    timestamp, step, given = record
    metrics = dict(given)
    repaired = False
    if "timestamp" in metrics and not _is_time(metrics["timestamp"]):
        metrics["timestamp_given"] = text_of(metrics.pop("timestamp"))
        repaired = True
    if "timestamp" in metrics:
        metrics["timestamp"] = float(metrics["timestamp"])
    elif _is_time(timestamp):
        timestamp = float(timestamp)
    else:
        timestamp, repaired = now, True
    if "step" in metrics:
        metrics["metric_step"] = metrics.pop("step")
    if type(step) is not int:
        if isinstance(step, float) and step.is_integer() and abs(step) < 2**63:
            step = int(step)
        else:
            metrics["step_given"] = text_of(step)
            step = last_step
        repaired = True
    kept = _within_limits(metrics)
    return timestamp, step, kept, repaired or kept is not metrics


def _is_time(value: object) -> bool:
    return type(value) in (float, int) and math.isfinite(value) and abs(value) < 1e15  # type: ignore[arg-type]


def _within_limits(metrics: dict[Any, Any]) -> dict[Any, Any]:
    """`metrics` itself when within the limits of `contract.names`, else a copy that is."""
    if (
        len(metrics) <= names.MAX_METRICS_PER_RECORD
        and all(type(name) is str and len(name) <= names.MAX_METRIC_NAME_CHARS for name in metrics)
        and not any(
            _deeper(value, names.MAX_NESTING) for value in metrics.values() if type(value) in (dict, list, tuple)
        )
    ):
        return metrics
    kept: dict[str, Any] = {}
    for name, value in metrics.items():
        if len(kept) >= names.MAX_METRICS_PER_RECORD:
            kept["metrics_left_out"] = len(metrics) - len(kept)
            break
        short = (name if isinstance(name, str) else text_of(name))[: names.MAX_METRIC_NAME_CHARS]
        number = 2
        while short in kept:
            ending = f"~{number}"
            short, number = short[: names.MAX_METRIC_NAME_CHARS - len(ending)] + ending, number + 1
        kept[short] = _cut(value, names.MAX_NESTING)
    return kept


def _deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels <= 0 or any(_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, (list, tuple)):
        return levels <= 0 or any(_deeper(item, levels - 1) for item in value)
    return False


def _cut(value: Any, levels: int) -> Any:
    if isinstance(value, dict):
        return text_of(value) if levels <= 0 else {key: _cut(item, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return text_of(value) if levels <= 0 else [_cut(item, levels - 1) for item in value]
    return value
