"""One record as one line of JSON, written and read.

    {"_p":"<producer>","_q":<seq>,"timestamp":<unix seconds>,"step":<int>, ...metrics}\\n

`_p` and `_q` come first so that recovery reads them cheaply. Not-a-number and infinities are the strings "NaN",
"Infinity", "-Infinity": JSON has no word for them, and orjson would write null without a word.
"""

from __future__ import annotations

import math
from typing import Any, Final

import orjson

from contract.names import MAX_REPR_CHARS

Record = dict[str, Any]

_NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: Keys of a line that a metric may not take; such a metric is stored as `metric_<key>`.
RESERVED: Final = ("_p", "_q")


class LineRefused(ValueError):
    """A record that cannot become a line, or a line that is no record."""


def text_of(value: object) -> str:
    """What is kept of a value that JSON cannot hold: its `repr`, cut; never raises."""
    try:
        text = repr(value)
    except Exception:  # a user's __repr__ may raise anything
        text = f"<{type(value).__name__} whose repr failed>"
    return text[:MAX_REPR_CHARS].encode("utf-8", "backslashreplace").decode("utf-8")


def encode_line(producer: str, seq: int, timestamp: float, step: int, metrics: dict[str, Any]) -> bytes:
    """One line without its line feed.

    Raises:
        LineRefused: what remains after every repair is still no JSON.
    """
    if "_p" in metrics or "_q" in metrics:
        metrics = {f"metric_{k}" if k in RESERVED else k: v for k, v in metrics.items()}
    record = {"_p": producer, "_q": seq, "timestamp": timestamp, "step": step, **metrics}
    try:
        line = orjson.dumps(record)
    except (TypeError, ValueError, RecursionError):
        return _encode_repaired(record)
    if b"null" in line:
        return _encode_repaired(record)
    return line


def _encode_repaired(record: Record) -> bytes:
    try:
        return orjson.dumps(_repaired(record, 0))
    except (TypeError, ValueError, RecursionError) as error:
        raise LineRefused(f"record cannot be written as JSON: {error}") from error


def _repaired(value: Any, depth: int) -> Any:
    """`value` with all that orjson refuses, or would silently lose, replaced by text."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)[:MAX_REPR_CHARS]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if depth > 100:
        return text_of(type(value))
    if isinstance(value, dict):
        return {k if isinstance(k, str) else text_of(k): _repaired(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_repaired(v, depth + 1) for v in value]
    return text_of(value)


def decode_line(line: bytes) -> Record:
    """The record of one line, non-finite numbers as floats again; lines without `_p`, `_q` are accepted.

    Raises:
        LineRefused: the line is not a JSON object.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineRefused(f"not JSON: {error}: {line[:80]!r}") from error
    if type(record) is not dict:
        raise LineRefused(f"expected a JSON object, got {type(record).__name__}: {line[:80]!r}")
    if b'"NaN"' in line or b'Infinity"' in line:
        record = {k: _finite_back(v) for k, v in record.items()}
    return record


def _finite_back(value: Any) -> Any:
    if isinstance(value, str):
        return _NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {k: _finite_back(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite_back(v) for v in value]
    return value
