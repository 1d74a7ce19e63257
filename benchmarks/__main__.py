"""`python -m benchmarks`: every measurement, one table, and `benchmarks/RESULTS.md`."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Plan, Row

#: Module -> the question it answers; in the order of the table.
MEASUREMENTS = {
    "log_call": "what one log call costs the caller",
    "client_cpu": "all CPU time the client adds to the trainer",
    "training_loop": "how much slower a training gets",
    "throughput": "what one collector stores, and its memory",
    "many_trainers": "a thousand light trainers",
    "latency": "log call to disk, log call to alert",
    "feedback": "alert published to trainer told, and what asking costs",
    "many_sessions": "one analyzer, 200 sessions at once",
    "reading": "the last records of a gigabyte",
    "restart": "a collector started again on a gigabyte",
    "footprint": "the trainer's memory, and the import",
}
RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
_VERSIONS = ("pyzmq", "msgpack", "orjson", "numpy", "trackio", "wandb", "tensorboard", "tensorboardX", "pandas")
_HEAD = ("measured", "here", "beside", "ratio", "target", "reached")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("--quick", action="store_true", help="about a minute and a half, coarse figures")
    made.add_argument("--long", action="store_true", help="ten million records; a quarter of an hour more")
    made.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    made.add_argument(
        "--peers-python",
        default=sys.executable,
        metavar="PATH",
        help="interpreter that has trackio, wandb, tensorboardX",
    )
    made.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where the table goes as Markdown (default, full runs: {RESULTS.name})",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; exit code 1 when a target is missed, 2 when a measurement failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    plan = Plan("quick" if options.quick else "long" if options.long else "normal", options.peers_python)
    begin = time.monotonic()
    load = os.getloadavg()[0]
    rows: list[Row] = []
    failed = []
    for name in options.only or MEASUREMENTS:
        started = time.monotonic()
        print(f"{name}: {MEASUREMENTS[name]} ...", file=sys.stderr, flush=True)
        try:
            found = importlib.import_module(f"benchmarks.{name}").measure(plan)
        except (RuntimeError, TimeoutError) as error:
            found = [Row(name, "failed", str(error)[:200], target="to run", reached=False)]
            failed.append(name)
        rows += found
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    output = options.output or (None if options.only or options.quick else RESULTS)
    if output is not None:
        facts = [
            ("command", "`" + shlex.join(["python", "-m", "benchmarks", *_anonymous(given)]) + "`"),
            ("took", f"{(time.monotonic() - begin) / 60:.1f} minutes"),
            ("load average before", f"{load:.1f}"),
            *about(),
        ]
        output.write_text(markdown(rows, facts))
        print(f"written to {output}", file=sys.stderr)
    missed = [row for row in rows if row.reached is False]
    return 2 if failed else 1 if missed else 0


def _anonymous(given: Sequence[str]) -> list[str]:
    """The arguments without the folders of this machine."""
    return [Path(word).name if os.sep in word else word for word in given]


def about() -> list[tuple[str, str]]:
    """What the figures were measured on and with."""
    versions = []
    for name in _VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return [
        ("machine", f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"),
        ("python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("with", ", ".join(versions)),
    ]


def _cells(row: Row) -> tuple[str, ...]:
    reached = "" if row.reached is None else "yes" if row.reached else "NO"
    return (row.what, row.figure, row.beside, row.ratio, row.target, reached)


def table(rows: Sequence[Row]) -> str:
    """Plain text, columns aligned."""
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(rows: Sequence[Row], facts: Sequence[tuple[str, str]]) -> str:
    """The same as Markdown, with what it was measured on."""
    cells = [[cell.replace("|", "\\|") for cell in _cells(row)] for row in rows]
    return "\n".join(
        [
            "# Speed and memory, measured",
            "",
            "What is compared ran in turn, round by round; figures are medians, a ratio is the median of the rounds' own",
            "ratios with its median absolute deviation. How each is measured stands at the top of its file here.",
            "",
            *(f"- {name}: {text}" for name, text in facts),
            "",
            "| " + " | ".join(_HEAD) + " |",
            "|" + "---|" * len(_HEAD),
            *("| " + " | ".join(line) + " |" for line in cells),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
