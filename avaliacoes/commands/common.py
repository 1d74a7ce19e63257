"""What several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import orjson

from avaliacoes.log_reader import LogReader
from avaliacoes.terminal.plain import plain
from contract import names, places
from contract.lines import RESERVED, Record, encode_line

MAX_SAID: Final = 10_000


def add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-path",
        metavar="DIR",
        help=f"data folder (default: ${places.ENV_BASE}, else ./{places.DEFAULT_BASE})",
    )


def add_session(parser: argparse.ArgumentParser, **options: Any) -> None:
    parser.add_argument("session", metavar="SESSION", help="session (default: the newest)", **options)


def session_in(base: Path, wanted: str | None) -> str:
    """The session asked for, else the newest.

    Raises:
        FileNotFoundError: there is none, or none of that name.
    """
    known = LogReader(base).sessions()
    if wanted is not None:
        names.check_session(wanted)
        if wanted not in known:
            listed = ", ".join(known[-5:]) or "none"
            raise FileNotFoundError(f"no session {wanted} in {base}; there are (newest last): {listed}")
        return wanted
    if not known:
        raise FileNotFoundError(f"no session in {base}")
    return known[-1]


def put(data: bytes) -> None:
    """Write to standard output, byte by byte as given."""
    sys.stdout.buffer.write(data)


def put_json(value: Any) -> None:
    put(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n")


def line_of(record: Record) -> bytes:
    """A record as a line of JSON without our own two keys; what is not finite as the strings the files use."""
    rest = {name: value for name, value in record.items() if name not in (*RESERVED, "timestamp", "step")}
    line = encode_line("", 0, record.get("timestamp", 0.0), record.get("step", 0), rest)
    return b"{" + line[line.index(b'"timestamp"') :] + b"\n"


def say(text: str) -> None:
    """Tell the person at the terminal. What came from outside can do nothing to it."""
    sys.stderr.write("".join(f"{plain(line, MAX_SAID)}\n" for line in text.split("\n")))
    sys.stderr.flush()
