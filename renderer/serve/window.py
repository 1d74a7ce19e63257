"""`GET /api/window`: every record of a stretch of one series, as a block of docs/decisions/0008-page-files.md."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from contract import names

#: Records of an answer: by default as many as a chart can show, at most what a browser takes without a stutter.
DEFAULT_LIMIT: Final = 5_000
MAX_LIMIT: Final = 50_000
MAX_QUERY_CHARS: Final = 1_000
_KNOWN: Final = ("session", "series", "x0", "x1", "limit")

#: `(base, session, series id, x0, x1, limit)` to a block.
Reader = Callable[[Path, str, int, float, float, int], Any]


class QueryRefused(ValueError):
    """A query that cannot be answered; the text says what was expected."""


class NotHere(LookupError):
    """No such session or series."""


def parse(query: str) -> tuple[str, int, float, float, int]:
    """`(session, series, x0, x1, limit)` of a query string.

    Raises:
        QueryRefused: a parameter is missing, unknown, given twice, no number, or out of range.

    >>> parse("session=a&series=3&x0=0&x1=10")
    ('a', 3, 0.0, 10.0, 5000)
    """
    if len(query) > MAX_QUERY_CHARS:
        raise QueryRefused(f"expected a query of at most {MAX_QUERY_CHARS} characters, got {len(query)}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=20)
    except ValueError as error:
        raise QueryRefused(f"expected session, series, x0, x1 and limit as a query: {error}") from error
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in _KNOWN:
            raise QueryRefused(f"unknown parameter {name!r:.60}; known are {', '.join(_KNOWN)}")
        if name in given:
            raise QueryRefused(f"{name} is given twice")
        given[name] = value
    for name in _KNOWN[:4]:
        if name not in given:
            raise QueryRefused(f"{name} is missing; expected {', '.join(_KNOWN[:4])} and, if wanted, limit")
    try:
        session = names.check_session(given["session"])
    except names.NameRefused as error:
        raise QueryRefused(str(error)) from error
    x0, x1 = (_number(name, given[name]) for name in ("x0", "x1"))
    if x0 > x1:
        raise QueryRefused(f"expected x0 <= x1, got {x0!r} and {x1!r}")
    series = _whole("series", given["series"], 0, 2**31)
    limit = _whole("limit", given.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT)
    return session, series, x0, x1, limit


def _number(name: str, text: str) -> float:
    try:
        value = float(text) if len(text) <= 40 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise QueryRefused(f"{name} must be a finite number, got {text!r:.60}")
    return value


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high):
        raise QueryRefused(f"{name} must be a whole number from {low} to {high}, got {text!r:.60}")
    return int(text)


def reader() -> Reader | None:
    """The renderer's own way to read a stretch of a series; None where this version has none."""
    try:
        module = importlib.import_module("renderer.live.window")
    except ModuleNotFoundError:
        return None
    found: Reader = module.read
    return found


def read(read_window: Reader, base: Path, asked: tuple[str, int, float, float, int]) -> Any:
    """The block asked for.

    Raises:
        NotHere: the session or the series is not there.
    """
    session, series, x0, x1, limit = asked
    try:
        return read_window(base, session, series, x0, x1, limit)
    except (LookupError, FileNotFoundError) as error:
        raise NotHere(f"no series {series} of session {session} is on this page's list") from error
