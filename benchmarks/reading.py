"""`LogReader.tail("training", 1000)` of a gigabyte, beside ten megabytes, and pandas reading the same records from CSV."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import orjson

from avaliacoes.real_time_logger import LogReader
from benchmarks.ground import Ground
from benchmarks.harness import Plan, Row, interleaved
from benchmarks.workload import NAMES, steps

_LAST = 1000
_BLOCK = 2_000


def measure(plan: Plan) -> list[Row]:
    big, small = plan.pick(200, 1000), 10
    csv_mb = plan.pick(20, 100, 500)
    with Ground() as ground:
        lines = {mb: _write(ground.base, mb) for mb in (big, small)}

        def tail(mb: int) -> dict[str, float]:
            reader = LogReader(ground.base, _session(mb))
            begin = time.perf_counter()
            records = reader.tail("training", _LAST)
            took = time.perf_counter() - begin
            if len(records) != _LAST or records[-1]["step"] != lines[mb] - 1:
                raise RuntimeError(f"tail gave {len(records)} records, the last of step {records[-1]['step']}")
            return {f"{mb}": 1000 * took}

        samples = interleaved({"big": lambda: tail(big), "small": lambda: tail(small)}, plan.pick(10, 40))
        told, pandas_ms = _pandas(ground.folder, csv_mb)
    ratio = samples.ratio(f"{big}", f"{small}")
    middle = samples.median(f"{big}")
    return [
        Row(
            f"LogReader.tail 1,000 of {big:,} MB",
            f"{middle:.2f} ms",
            f"of {small} MB {samples.median(f'{small}'):.2f} ms",
            str(ratio),
            "< 10 ms, same",
            middle < 10 and ratio.value < 1.5,
        ),
        Row(
            f"LogReader.tail of {big:,} MB beside pandas",
            f"{middle:.2f} ms",
            told,
            "" if pandas_ms is None else f"1/{pandas_ms / middle:,.0f}",
        ),
    ]


def _session(megabytes: int) -> str:
    return f"size{megabytes}_20250101_000000"


def _write(base: Path, megabytes: int) -> int:
    """A data file of about that size, as the collector writes it; returns its number of lines."""
    sets = steps(_BLOCK)
    count = 0
    with open(base / f"training_{_session(megabytes)}.jsonl", "wb", buffering=1 << 20) as file:
        while file.tell() < megabytes * 1_000_000:
            for metrics in sets:
                head = {"_p": "0123456789ab", "_q": count, "timestamp": 1.7e9 + count / 1000, "step": count}
                file.write(orjson.dumps({**head, **metrics}, None, orjson.OPT_APPEND_NEWLINE))
                count += 1
    return count


def _pandas(folder: Path, megabytes: int) -> tuple[str, float | None]:
    """Milliseconds of pandas reading a CSV file of that size to its last 1,000 rows."""
    try:
        import pandas
    except ImportError:
        return "pandas is not installed", None
    path = folder / "steps.csv"
    sets = steps(_BLOCK)
    count = 0
    with open(path, "w", newline="", buffering=1 << 20) as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "step", *NAMES])
        rows = [list(metrics.values()) for metrics in sets]
        while file.tell() < megabytes * 1_000_000:
            writer.writerows([1.7e9 + count + n, count + n, *row] for n, row in enumerate(rows))
            count += len(rows)
    begin = time.perf_counter()
    last = pandas.read_csv(path).tail(_LAST)
    took = 1000 * (time.perf_counter() - begin)
    return f"read_csv of {megabytes} MB, {len(last)} rows kept: {took:,.0f} ms", took
