"""`avaliacoes import`: old CSV files as a session."""

from __future__ import annotations

import argparse
from pathlib import Path

from avaliacoes.commands import common
from contract import names


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="CSV files; together they become one session"
    )
    parser.add_argument(
        "--category",
        help=f"of all rows (default: told from names of file and columns; one of {', '.join(names.USER_CATEGORIES)}, or your own)",
    )
    parser.add_argument("--prefix", default="import", help="of the session's name (default: import)")
    parser.add_argument("--json", action="store_true", help="the report as JSON instead of the session's name")
    common.add_base(parser)
    parser.description = (
        "Store old CSV files as a new session and print its name; rows that could not be used are counted."
    )


def run(arguments: argparse.Namespace) -> int:
    from avaliacoes.csv_import import import_files

    report = import_files(
        arguments.files,
        arguments.base_path,
        arguments.category,
        arguments.prefix,
        progress=lambda rows: common.say(f"{rows} rows"),
    )
    if arguments.json:
        common.put_json(
            {name: getattr(report, name) for name in ("session", "rows", "files", "refused", "repaired", "delivered")}
        )
    else:
        common.put(f"{report.session}\n".encode())
    for name, category in report.files.items():
        common.say(f"{name}: {category}")
    common.say(report.describe())
    if not report.delivered:
        common.say("no collector took the records; they wait in the data folder and are stored when one runs")
    return 0 if report.rows and report.delivered else 1
