"""`avaliacoes tail`: the last records of a category."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from avaliacoes.commands import common
from avaliacoes.log_reader import LogReader
from contract import lifecycle, names, places
from contract.tail import Tail

_CHUNK: Final = 1 << 18
_PAUSE_S: Final = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("category", metavar="CATEGORY", help=f"one of {', '.join(names.CATEGORIES)}, or your own")
    parser.add_argument("-n", type=_count, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with new records until the session ends, or Ctrl-C"
    )
    parser.add_argument("--session", help="session (default: the newest; with --follow, also one that begins later)")
    common.add_base(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("expected 0 or more")
    return number


def run(arguments: argparse.Namespace) -> int:
    base = places.base_path(arguments.base_path)
    category = names.check_category(arguments.category)
    session = names.check_session(arguments.session) if arguments.session else LogReader(base).session
    if not arguments.follow:
        session = common.session_in(base, session)
    while session is None:
        time.sleep(_PAUSE_S)
        session = LogReader(base).session
    path = base / names.file_name(category, session)
    if not arguments.follow and not path.exists():
        raise FileNotFoundError(f"session {session} has no records of category {category}")
    tail = Tail(path, start_of_last(path, arguments.n))
    life, events = lifecycle.SessionLife(), Tail(base / names.file_name(names.LIFECYCLE, session))
    while True:
        # Looked at before the records: what was logged before the end is on disk when the end is.
        for event in events.read_new():
            life.update(event)
        over = not arguments.follow or life.ended is not None or life.adopted is not None
        shown = 0
        while records := tail.read_new(limit=_CHUNK):
            shown += len(records)
            for record in records:
                common.put(common.line_of(record))
            sys.stdout.flush()
        if over and not (shown and arguments.follow):
            return 0
        time.sleep(_PAUSE_S)


def start_of_last(path: Path, lines: int) -> int:
    """Offset at which the last `lines` complete lines of a file begin, found from its end backwards."""
    try:
        file = open(path, "rb")
    except FileNotFoundError:
        return 0
    with file:
        begin = file.seek(0, 2)
        left = lines + 1
        while begin > 0:
            size = min(_CHUNK, begin)
            begin -= size
            file.seek(begin)
            chunk = file.read(size)
            feeds = chunk.count(b"\n")
            if feeds < left:
                left -= feeds
                continue
            at = len(chunk)
            for _ in range(left):
                at = chunk.rindex(b"\n", 0, at)
            return begin + at + 1
    return 0
