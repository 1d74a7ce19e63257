"""The real records of a window of steps, read from the data file itself: for a server, which can answer what tiles cannot hold.

The renderer notes now and then where in a file the records of which steps lie (`places_index`); what came later is read to the end.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from contract import names
from contract.tail import Tail
from renderer.gather import Columns, Floats, Key
from renderer.lines import decode_lines
from renderer.live import blocks, folder
from renderer.live.buckets import X, fold

#: Bytes of a data file read for one window: about a second's work.
MAX_BYTES: Final = 64 << 20
_BLOCK: Final = 256 << 10


class WindowRefused(ValueError):
    """A window that cannot be read: more than `MAX_BYTES` of records lie in it, or its file cannot be opened."""


class NoSuchSeries(WindowRefused, LookupError):
    """There is no such session or series."""


def read(base: Path, session: str, series_id: int, x0: float, x1: float, limit: int) -> blocks.Block:
    """The records of a series whose steps lie from `x0` to `x1`, as a block of at most `limit` buckets.

    Args:
        base: the data folder.
        session: its name.
        series_id: the series' `id` in the base.
        x0: first step.
        x1: last step, included.
        limit: buckets at most; `k` of the block is 1 while the records are no more.

    Returns:
        A block whose `from` is 0: buckets are counted from the window's first record.

    Raises:
        NoSuchSeries: there is no such session or series (a `LookupError`).
        WindowRefused: the window is too wide, or the file cannot be read (a `ValueError`).
    """
    try:
        path = folder.index_file(base, names.check_session(session))
        index = _index(path, path.stat().st_mtime_ns)
    except (names.NameRefused, OSError, orjson.JSONDecodeError) as error:
        raise NoSuchSeries(f"session {session!r:.120} has no index of its records yet: {error}") from error
    told = index["series"].get(str(series_id))
    if told is None:
        raise NoSuchSeries(f"session {session} has no series {series_id}")
    key = Key(*told)
    file = base / index["files"][key.category]
    try:
        rows = _records(file, key, _ranges(file, index["entries"].get(key.category, []), x0, x1))
    except OSError as error:
        raise WindowRefused(f"cannot read {file.name}: {error}") from error
    inside = (rows[X] >= x0) & (rows[X] <= x1)
    rows = rows[:, inside]
    k = 1
    while -(-rows.shape[1] // k) > max(1, limit):
        k *= 2
    return blocks.encode(series_id, k, 0, rows if k == 1 else fold(rows, k))


@lru_cache(16)
def _index(path: Path, _mtime: int) -> Any:
    return orjson.loads(path.read_bytes())


def _ranges(file: Path, entries: list[Any], x0: float, x1: float) -> list[tuple[int, int, int]]:
    """Byte ranges of whole lines that may hold steps from `x0` to `x1`, with the number of their first record."""
    size = file.stat().st_size
    found = [(begin, end, first) for begin, end, first, low, high, _ in entries if low <= x1 and high >= x0]
    known = entries[-1][1] if entries else 0
    if size > known:
        # Their number counts only where records have no step of their own.
        found.append((known, size, entries[-1][2] if entries else 0))
    wanted = sum(end - begin for begin, end, _ in found)
    if wanted > MAX_BYTES:
        raise WindowRefused(f"the window holds {wanted >> 20} MB of records, {MAX_BYTES >> 20} MB at most can be read")
    return found


def _records(file: Path, key: Key, ranges: list[tuple[int, int, int]]) -> Floats:
    """Steps, times and values of a series in these ranges, three rows."""
    columns = Columns()
    tail = Tail(file)
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for begin, end, first in ranges:
            rest = b""
            at = begin
            while at < end:
                data = os.pread(fd, min(_BLOCK, end - at), at)
                if not data:
                    break
                at += len(data)
                data = rest + data
                cut = data.rfind(b"\n") + 1
                rest = data[cut:]
                if cut:
                    records = decode_lines(data[:cut], tail)
                    columns.take(key.category, records, first)
                    first += len(records)
    finally:
        os.close(fd)
    found = columns.timed().get(key)
    return np.empty((3, 0)) if found is None else np.stack(found)
