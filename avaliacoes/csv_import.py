"""Old CSV files as a session: what a training wrote before, beside what it writes now.

Understood are comma, semicolon and tab, a decimal comma, a byte-order mark, comment lines before the header, and the
`monitor.csv` of Stable-Baselines3. No row is given up without being counted: see `ImportReport`.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from contract import names
from producer import Producer

ALIASES: Final = {
    "lr": "learning_rate",
    "reward": "episode_reward",
    "ep_reward": "episode_reward",
    "length": "episode_length",
    "ep_length": "episode_length",
    "policy_gradient_loss": "policy_loss",
    "clip_fraction": "clipfrac",
    "gradient_norm": "grad_norm",
}
_STEPS: Final = (
    "step",
    "global_step",
    "timesteps",
    "timestep",
    "total_timesteps",
    "num_timesteps",
    "iteration",
    "n_iter",
    "epoch",
)
_TIMES: Final = ("timestamp", "wall_time", "datetime", "date", "time")
_FLUSH_EVERY: Final = 20_000
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?\Z")
_WORDS: Final[dict[str, Any]] = {
    "nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf,
    "infinity": math.inf, "-infinity": -math.inf, "true": True, "false": False,
}  # fmt: skip


class ImportRefused(ValueError):
    """A file that is no CSV with a header, or has no usable row."""


@dataclass(slots=True)
class ImportReport:
    """What became of the files' rows.

    `rows` were stored. `refused` counts rows left out, `repaired` rows stored with a change, both by reason.
    """

    session: str = ""
    rows: int = 0
    files: dict[str, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    delivered: bool = True

    def describe(self) -> str:
        parts = [f"{self.rows} rows"]
        parts += [f"{count} refused ({reason})" for reason, count in self.refused.items()]
        parts += [f"{count} repaired ({reason})" for reason, count in self.repaired.items()]
        return ", ".join(parts)


def import_csv(
    path: str | os.PathLike[str],
    base_path: str | os.PathLike[str] | None = None,
    category: str | None = None,
    prefix: str | None = None,
) -> str:
    """Store one CSV file as a new session and return the session's name; rows that had to be left out are a warning.

    Args:
        path: the file. Its first row must name the columns.
        base_path: data folder, as everywhere.
        category: of the records; by default told from the file's name and columns.
        prefix: of the session's name.

    Raises:
        OSError: the file cannot be read, or the data folder not written.
        ImportRefused: it is no CSV file with a header, or has no usable row.
    """
    report = import_files([Path(path)], base_path, category, prefix)
    if report.refused:
        warnings.warn(f"{path}: {report.describe()}", RuntimeWarning, stacklevel=2)
    return report.session


def import_files(
    paths: list[Path],
    base_path: str | os.PathLike[str] | None = None,
    category: str | None = None,
    prefix: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Store several CSV files as one new session. Arguments and errors are those of `import_csv`.

    Args:
        progress: called with the number of rows stored, now and then.
    """
    if category is not None:
        names.check_category(category)
    tables = [_Table(path, category) for path in paths]
    report = ImportReport()
    with_rows = [table for table in tables if table.count]
    if not with_rows:
        raise ImportRefused(f"{', '.join(map(str, paths))}: no row below a header")
    producer = Producer(base_path, prefix=prefix, lifecycle=False)
    try:
        for table in with_rows:
            report.files[str(table.path)] = table.category
            for step, metrics in table.records(report):
                producer.log(table.category, step, metrics)
                report.rows += 1
                if report.rows % _FLUSH_EVERY == 0:
                    producer.flush(60.0)
                    if progress:
                        progress(report.rows)
    finally:
        report.delivered = producer.close()
    report.session = producer.session
    return report


class _Table:
    """One CSV file: its header understood, its rows as records."""

    def __init__(self, path: Path, category: str | None) -> None:
        self.path = path
        data = path.read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        lines = text.replace("\0", "").splitlines(keepends=True)
        comments = 0
        while comments < len(lines) and (lines[comments].startswith("#") or not lines[comments].strip()):
            comments += 1
        self._begin = _t_start(lines[:comments])
        self._text = "".join(lines[comments:])
        if comments >= len(lines):
            raise ImportRefused(f"{path}: empty, expected a first row with the names of the columns")
        head = lines[comments]
        self._delimiter = max(",;\t", key=head.count)
        header = next(csv.reader([head], delimiter=self._delimiter))
        if all(_NUMBER.match(name.strip()) for name in header):
            raise ImportRefused(
                f"{path}: expected a first row with the names of the columns, got {head.strip()[:80]!r}"
            )
        self._columns = self._named(header)
        self.count = sum(1 for _ in self._rows())
        self.category = category or self._category()

    def _named(self, header: list[str]) -> list[str]:
        raw = [name.strip() or f"column_{position + 1}" for position, name in enumerate(header)]
        if {"r", "l", "t"} <= set(raw):
            raw = [{"r": "episode_reward", "l": "episode_length", "t": "elapsed"}.get(name, name) for name in raw]
        known: dict[str, int] = {}
        columns = []
        for name in raw:
            short = name.rsplit("/", 1)[-1].lower() if name.startswith(("train/", "time/")) else name
            name = ALIASES.get(short.lower(), short)
            if name.lower() in _STEPS + _TIMES:
                name = name.lower()
            known[name] = known.get(name, 0) + 1
            columns.append(name if known[name] == 1 else f"{name}_{known[name]}")
        self._step = next((name for name in _STEPS if name in columns), None)
        self._time = next((name for name in _TIMES if name in columns), None)
        return columns

    def _category(self) -> str:
        for category in names.USER_CATEGORIES:
            if self.path.name.lower().startswith((category, category.rstrip("s"))):
                return category
        if any(name.startswith("episode_") for name in self._columns):
            return "rewards"
        if any(name.startswith("grad") for name in self._columns):
            return "gradients"
        return "training"

    def _rows(self) -> Iterator[list[str]]:
        reader = csv.reader(io.StringIO(self._text, newline=""), delimiter=self._delimiter)
        next(reader, None)
        return (row for row in reader if row)

    def records(self, report: ImportReport) -> Iterator[tuple[int, dict[str, Any]]]:
        """`(step, metrics)` of every row that can be one; metrics hold the row's time as `timestamp`."""
        # Rows without a time of their own get one second each, the last at the file's own time.
        last = self.path.stat().st_mtime
        for position, row in enumerate(self._rows()):
            if not any(value.strip() for value in row):
                _count(report.refused, "empty")
                continue
            if len(row) < len(self._columns):
                _count(report.repaired, "fewer cells than columns")
            if len(row) > len(self._columns):
                _count(report.repaired, "more cells than columns")
            columns = self._columns + [f"column_{i + 1}" for i in range(len(self._columns), len(row))]
            metrics = {
                name: _value(text, self._delimiter) for name, text in zip(columns, row, strict=False) if text.strip()
            }
            step = metrics.pop(self._step, None) if self._step else position
            if self._step and not _is_integer(step):
                _count(report.refused, f"{self._step} is no integer")
                continue
            given = metrics.pop(self._time, None) if self._time else None
            time = _unix(given)
            if time is None and given is not None:
                metrics[f"{self._time}_given"] = given
                _count(report.repaired, f"{self._time} not understood")
            if time is None and self._begin is not None and isinstance(metrics.get("elapsed"), (int, float)):
                time = self._begin + float(metrics["elapsed"])
            metrics["timestamp"] = time if time is not None else last - (self.count - 1 - position)
            yield int(step), metrics


def _count(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value == int(value) and abs(value) < 2**53


def _value(text: str, delimiter: str) -> Any:
    """A cell's value: number, boolean, nested JSON, or the text itself."""
    text = text.strip()
    if delimiter == ";" and _DECIMAL_COMMA.match(text):
        text = text.replace(",", ".")
    if _NUMBER.match(text):
        try:
            return int(text)
        except ValueError:
            return float(text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _unix(value: Any) -> float | None:
    """Unix seconds of a time in seconds, in milliseconds or as ISO text; None for what is none of these."""
    if isinstance(value, str):
        try:
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    number = float(value)
    if 1e11 < number < 1e14:
        number /= 1000.0
    return number if 1e8 < number < 1e11 else None


def _t_start(comments: list[str]) -> float | None:
    """When a `monitor.csv` began: its first line is a comment with JSON."""
    for line in comments:
        try:
            found = json.loads(line.lstrip("#"))
        except ValueError:
            continue
        if isinstance(found, dict):
            return _unix(found.get("t_start"))
    return None
