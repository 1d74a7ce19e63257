"""`avaliacoes export`: a session for other programs."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from avaliacoes import csv_files
from avaliacoes.commands import common
from avaliacoes.session_status import SessionStatus
from contract import names, places
from contract.lines import Record
from contract.tail import read_all


def configure(parser: argparse.ArgumentParser) -> None:
    common.add_session(parser, nargs="?")
    parser.add_argument("--format", choices=("csv", "jsonl", "parquet"), default="csv", help="default: csv")
    parser.add_argument(
        "--category", help="only this one; without --output its rows go to standard output (csv and jsonl)"
    )
    parser.add_argument("--output", metavar="DIR", help="folder for the files (default: the data folder)")
    common.add_base(parser)
    parser.description = (
        "Write <category>_<session>.<format> for every category of a session and print the paths. JSON lines come without the "
        "sequence numbers of the data files. Parquet needs pandas and pyarrow."
    )


def run(arguments: argparse.Namespace) -> int:
    base = places.base_path(arguments.base_path)
    session = common.session_in(base, arguments.session)
    files = SessionStatus(base, session).files()
    if arguments.category is not None:
        category = names.check_category(arguments.category)
        if category not in files:
            raise FileNotFoundError(f"session {session} has no {category}; it has {', '.join(files) or 'nothing'}")
        files = {category: files[category]}
        if arguments.output is None and arguments.format != "parquet":
            return _to_stdout(files[category], arguments.format)
    folder = Path(arguments.output) if arguments.output else base
    folder.mkdir(parents=True, exist_ok=True)
    for category, source in files.items():
        target = folder / f"{category}_{session}.{arguments.format}"
        if target.exists() and target.samefile(source):
            raise ValueError(f"{target} is the data file itself: give --output another folder")
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            _write(source, temporary, arguments.format)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        common.put(f"{target}\n".encode())
    return 0


def _to_stdout(source: Path, form: str) -> int:
    if form == "jsonl":
        for record in read_all(source):
            common.put(common.line_of(record))
        return 0
    sys.stdout.flush()
    output = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="", write_through=True)
    try:
        csv_files.write_rows(output, csv_files.columns_of(read_all(source)), read_all(source))
    finally:
        output.detach()
    return 0


def _write(source: Path, target: Path, form: str) -> None:
    if form == "csv":
        columns = csv_files.columns_of(read_all(source))
        with open(target, "w", newline="", encoding="utf-8") as file:
            csv_files.write_rows(file, columns, read_all(source))
    elif form == "jsonl":
        with open(target, "wb") as binary:
            binary.writelines(common.line_of(record) for record in read_all(source))
    else:
        _write_parquet(source, target)


def _write_parquet(source: Path, target: Path) -> None:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("parquet needs pandas and pyarrow: pip install pandas pyarrow") from error
    rows: Iterator[Record] = ({k: v for k, v in record.items() if k not in ("_p", "_q")} for record in read_all(source))
    frame = pandas.DataFrame.from_records(list(rows))
    for name in frame.columns:
        if frame[name].dtype == object:
            # A parquet column has one type; mixed and nested ones become text.
            frame[name] = frame[name].map(lambda value: None if value is None else csv_files.cell(value))
    frame.to_parquet(target)
