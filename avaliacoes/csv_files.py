"""CSV files beside the JSONL: the same rows, for tools that read nothing else.

A cell is empty for a metric that a row does not have, `nan`, `inf` or `-inf` for what is not finite, `True` or `False` for
a boolean, JSON text for nested values. Columns are `timestamp`, `step`, then metrics in the order they first appeared. A column
that appears late is added by writing the file anew beside the old one and putting it in its place: no reader ever sees a row
without its header, and no value is left out.

Rows are copied from the JSONL files, never from the training: what is in a CSV file was on disk before, and a file that a
crash left incomplete is completed by `avaliacoes export`. Reading old CSV files is in `avaliacoes.csv_import`.
"""

from __future__ import annotations

import csv
import math
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from contract.folder import files_of
from contract.lines import RESERVED, Record, text_of
from contract.names import LIFECYCLE
from contract.tail import Tail

_FIRST_COLUMNS: Final = ("timestamp", "step")
_CHUNK: Final = 1 << 20
#: Seconds between two looks at the JSONL files.
_PAUSE_S: Final = 0.5


def cell(value: Any) -> str:
    """One value as the text of a cell.

    >>> [cell(x) for x in (None, 1.5, float("inf"), True, {"a": [1]}, "x")]
    ['', '1.5', 'inf', 'True', '{"a":[1]}', 'x']
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        try:
            return orjson.dumps(_plain(value), option=orjson.OPT_NON_STR_KEYS).decode()
        except (TypeError, ValueError):
            return text_of(value)
    return str(value)


def _plain(value: Any) -> Any:
    """Nested values with non-finite numbers as the strings that the JSONL files use."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    return value


def columns_of(records: Iterable[Record]) -> list[str]:
    """`timestamp`, `step` and every metric of the records, in the order of appearance."""
    found = dict.fromkeys(_FIRST_COLUMNS)
    for record in records:
        found.update(dict.fromkeys(record))
    return [name for name in found if name not in RESERVED]


def write_rows(output: TextIO, columns: list[str], records: Iterable[Record], header: bool = True) -> int:
    """Write records as CSV rows; returns how many."""
    writer = csv.writer(output, lineterminator="\n")
    if header:
        writer.writerow(columns)
    count = 0
    for record in records:
        writer.writerow([cell(record.get(name)) for name in columns])
        count += 1
    return count


class CsvFile:
    """One CSV file that grows, in rows and in columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self.rows = 0
        self._file: TextIO | None = None

    def append(self, records: list[Record]) -> None:
        """Add rows, widening the file first if they bring new columns."""
        if not records:
            return
        known = set(self.columns)
        new = [name for name in columns_of(records) if name not in known]
        if new:
            self._widen(new)
        if self._file is None:
            self._file = open(self.path, "a", newline="", encoding="utf-8")
        self.rows += write_rows(self._file, self.columns, records, header=False)
        self._file.flush()

    def _widen(self, new: list[str]) -> None:
        self.close()
        columns = self.columns + new
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        with open(temporary, "w", newline="", encoding="utf-8") as wider:
            csv.writer(wider, lineterminator="\n").writerow(columns)
            if self.rows:
                with open(self.path, newline="", encoding="utf-8") as old:
                    rows = csv.reader(old)
                    next(rows)
                    writer = csv.writer(wider, lineterminator="\n")
                    blanks = [""] * len(new)
                    for row in rows:
                        writer.writerow(row + blanks)
        os.replace(temporary, self.path)
        self.columns = columns

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class CsvFollower:
    """Copies the rows of one session's JSONL files into CSV files, in a thread of its own, while they grow.

    Args:
        base: data folder.
        session: the session; its lifecycle records are not copied.
    """

    def __init__(self, base: Path, session: str) -> None:
        self._base = base
        self._session = session
        self._tails: dict[str, tuple[Tail, CsvFile]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="avaliacoes-csv", daemon=True)
        self._busy = threading.Lock()
        self.errors = 0

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            try:
                self._copy()
            except OSError:
                self.errors += 1  # a full disk, say: the position stands, and `finish` raises if it still is so

    def _copy(self) -> None:
        with self._busy:
            for category, path in files_of(self._base, self._session).items():
                if path.name not in self._tails and category != LIFECYCLE:
                    self._tails[path.name] = Tail(path), CsvFile(path.with_suffix(".csv"))
            for tail, file in self._tails.values():
                while True:
                    before = tail.position
                    records = tail.read_new(limit=_CHUNK)
                    if tail.position == before:
                        break
                    try:
                        file.append(records)
                    except OSError:
                        # Which rows were written is unknown: begin this file again from its source.
                        file.close()
                        file.columns, file.rows, tail.position = [], 0, 0
                        raise

    def finish(self) -> int:
        """Copy what is left, close the files and return the number of rows in all of them.

        Raises:
            OSError: the files cannot be written.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30.0)
        self._copy()
        for _, file in self._tails.values():
            file.close()
        return sum(file.rows for _, file in self._tails.values())
