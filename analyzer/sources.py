"""Finished runs on disk, whatever they are: data folders, files of lines, CSV. Reads; publishes nothing, writes nothing."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from contract import folder, names
from contract.lines import LineRefused, Record, decode_line

_CHUNK: Final = 1 << 20
_CSV_ROWS: Final = 4_096
#: Columns of a CSV that say which step a row belongs to, the first that is there.
STEP_COLUMNS: Final = ("step", "global_step", "timesteps", "total_timesteps", "time/total_timesteps", "iteration", "update",
                       "epoch", "episode", "steps")  # fmt: skip
TIME_COLUMNS: Final = ("timestamp", "time", "wall_time", "_timestamp")


class Unreadable(ValueError):
    """What was given is nothing that can be checked; the text says what was expected."""


@dataclass(slots=True)
class Lines:
    """The records of one JSONL file, a chunk at a time; a broken line is skipped and counted in `broken`."""

    path: Path
    broken: int = 0
    _position: int = 0
    _rest: bytes = b""

    def read(self) -> list[Record]:
        """The records of the next chunk; empty at the end of the file. A last line without its line feed is none yet."""
        while True:
            with open(self.path, "rb") as file:
                file.seek(self._position)
                data = file.read(_CHUNK)
            if not data:
                return []
            self._position += len(data)
            data = self._rest + data
            *lines, self._rest = data.split(b"\n")
            records = self._decode(lines, b'"NaN"' not in data and b'Infinity"' not in data)
            if records:
                return records

    def _decode(self, lines: list[bytes], plain: bool) -> list[Record]:
        if plain:
            try:
                records = list(map(orjson.loads, lines))
                if set(map(type, records)) == {dict}:
                    return records
            except orjson.JSONDecodeError:
                pass
        found = []
        for line in lines:
            if line:
                try:
                    found.append(decode_line(line))
                except LineRefused:
                    self.broken += 1
        return found


@dataclass(slots=True)
class Table:
    """The rows of a CSV with a header and a step column, as records; cells that are no numbers are left out."""

    path: Path
    broken: int = 0
    _rows: Iterator[Record] | None = None

    def read(self) -> list[Record]:
        """The records of the next rows; empty at the end.

        Raises:
            Unreadable: no column says which step a row is.
        """
        if self._rows is None:
            self._rows = self._all()
        return list(islice(self._rows, _CSV_ROWS))

    def _all(self) -> Iterator[Record]:
        with open(self.path, newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            lower = [name.lower() for name in header]
            step = next((lower.index(name) for name in STEP_COLUMNS if name in lower), None)
            if step is None:
                raise Unreadable(
                    f"{self.path}: expected a CSV with a header and a column of steps ({', '.join(STEP_COLUMNS)}), got the columns "
                    f"{', '.join(header)[:200] or 'none'}"
                )
            time = next((lower.index(name) for name in TIME_COLUMNS if name in lower), None)
            for row in rows:
                record: Record = {}
                for index, (name, cell) in enumerate(zip(header, row)):  # noqa: B905 - rows may be short
                    value = _number(cell)
                    if value is None:
                        continue
                    if index == step:
                        record["step"] = int(value) if math.isfinite(value) else 0
                    elif index == time:
                        record["timestamp"] = value
                    else:
                        record[name] = value
                if record:
                    yield record
                elif row:
                    self.broken += 1


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Found:
    """One run to check: a name to print, the folder its settings come from, and its files by category."""

    name: str
    base: Path
    files: dict[str, Path] = field(default_factory=dict)


def reader(path: Path) -> Lines | Table:
    return Table(path) if path.suffix.lower() == ".csv" else Lines(path)


def find(paths: list[Path]) -> list[Found]:
    """The runs that paths stand for: every session of a data folder (or of the folders in it), files of one session together.

    Raises:
        Unreadable: a path that is not there, or holds nothing to check.
    """
    found: dict[tuple[Path, str], Found] = {}
    for path in paths:
        if path.is_dir():
            for run in _in_folder(path):
                found[run.base, run.name] = run
        elif path.is_file():
            name, category = _named(path)
            run = found.setdefault((path.parent, name), Found(name, path.parent))
            run.files[category] = path
        else:
            raise Unreadable(f"{path}: no such file or folder")
    return list(found.values())


def _in_folder(path: Path) -> list[Found]:
    runs = _sessions(path)
    if not runs:
        runs = [run for child in sorted(path.iterdir()) if child.is_dir() for run in _sessions(child)]
    if not runs:
        raise Unreadable(
            f"{path}: expected a data folder, with files such as training_<session>.jsonl in it; there are none"
        )
    return runs


def _sessions(path: Path) -> list[Found]:
    return [
        Found(name, path, {category: file.path for category, file in sorted(files.items()) if category != names.ALERTS})
        for name, files in sorted(folder.sessions(path).items())
        if set(files) - {names.ALERTS}
    ]


def _named(path: Path) -> tuple[str, str]:
    """(session, category) of a file; a file with another name is a run of its own."""
    if path.suffix.lower() == ".csv":
        return path.stem, "training"
    split = names.split_file_name(path.name)
    if split is not None and split[0] in names.CATEGORIES:
        return split[1], split[0]
    return path.stem, "training"
