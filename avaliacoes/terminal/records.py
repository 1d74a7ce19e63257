"""One record as a line for a person. Pure."""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

from avaliacoes.terminal.plain import plain
from avaliacoes.terminal.text import number
from contract import alerts, names
from contract.lines import RESERVED, Record

_DIM: Final = "2"
_LEVELS: Final = {"ERROR": "1;31", "WARNING": "33", "INFO": "36"}
_APART: Final = (*RESERVED, "timestamp", "step")
_MAX_CHARS: Final = 300


def line(session: str, category: str, record: Record, colour: bool) -> str:
    """Time, category, step and what was logged, without anything that a terminal would obey.

    Args:
        session: its name, "" where it goes without saying.
        colour: whether levels and labels are coloured.
    """
    at = record.get("timestamp")
    clock = "--:--:--"
    if isinstance(at, (int, float)) and math.isfinite(at) and 0 <= at < 1e11:
        clock = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"
    parts = [_paint(clock, _DIM, colour)]
    if session:
        parts.append(plain(session))
    parts += [plain(category), f"step {plain(record.get('step'), 30)}"]
    if category == names.ALERTS:
        parts += _alert(record, colour)
    else:
        parts += [f"{_paint(plain(k, 100), _DIM, colour)} {_value(v)}" for k, v in record.items() if k not in _APART]
    return "  ".join(parts)


def _alert(record: Record, colour: bool) -> list[str]:
    level = alerts.LEVELS[alerts.severity(record.get("level"))]
    state = record.get("state")
    word = level if state in (None, alerts.FIRING) else f"{level} {plain(state, 20)}"
    action = record.get("action")
    found = [_paint(word, _LEVELS[level], colour), plain(record.get("rule"), 100), plain(record.get("message", ""))]
    return [*found, _paint(f"try: {plain(action)}", _DIM, colour)] if action else found


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return plain(value, 40)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return plain(value, _MAX_CHARS)
    return plain(json.dumps(value, ensure_ascii=False, separators=(",", ":")), _MAX_CHARS)


def _paint(text: str, style: str, colour: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colour else text
