"""`avaliacoes tail`: the last records of one or more categories, and those that come."""

from __future__ import annotations

import argparse
import heapq
import math
import os
import re
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from avaliacoes.commands import common
from avaliacoes.log_reader import LogReader
from avaliacoes.terminal import records
from contract import folder, lifecycle, names, places
from contract.lines import Record
from contract.tail import Tail

_CHUNK: Final = 1 << 18
_PAUSE_S: Final = 0.1
#: Looking for sessions and files that are new takes at most a fiftieth of the time.
_LIST_EVERY_S: Final = 0.5
_LIST_SHARE: Final = 50.0
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]*)?")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
#: Control characters that JSON lets stand and a terminal may obey.
_CONTROLS: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "categories", metavar="CATEGORY", nargs="*", help=f"one or more of {', '.join(names.CATEGORIES)}, or your own"
    )
    parser.add_argument("--all", action="store_true", help=f"every category of the session, {names.LIFECYCLE} left out")
    parser.add_argument("-n", type=_count, metavar="N", help="how many (default: 10; with --since, all)")
    parser.add_argument(
        "--since", type=_moment, metavar="WHEN",
        help="only records from then on: 90s, 10m, 2h, 1d ago; unix seconds; or a date and time like 2025-01-31T14:00",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--follow", action="store_true",
        help="go on with new records: of a --session until it ends, else of the newest and of every one that begins, until Ctrl-C",
    )  # fmt: skip
    parser.add_argument("--session", help="session (default: the newest)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="JSON lines (the default when standard output is no terminal)"
    )
    form.add_argument("--text", action="store_true", help="lines for people (the default on a terminal)")
    common.add_base(parser)
    parser.description = (
        "The last records, oldest first, on a terminal as text, elsewhere as JSON lines. JSON lines say `_category` when several were "
        "asked for, and `_session` when every session is followed."
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("expected 0 or more")
    return number


def _moment(text: str) -> float:
    """Unix seconds of a `--since`."""
    try:
        if text[-1:] in _UNITS:
            found = time.time() - float(text[:-1]) * _UNITS[text[-1]]
        else:
            found = float(text) if _NUMBER.fullmatch(text) else datetime.fromisoformat(text).astimezone().timestamp()
        if math.isfinite(found):
            return found
    except (ValueError, OverflowError, OSError):
        pass
    raise argparse.ArgumentTypeError(
        f"expected 90s, 10m, 2h, 1d, unix seconds, or a date and time like 2025-01-31T14:00, got {text[:60]!r}"
    )


@dataclass(slots=True)
class _Writer:
    """Records to standard output, as JSON lines or as text."""

    json: bool
    with_category: bool
    with_session: bool
    terminal: bool = False
    colour: bool = False

    def put(self, session: str, category: str, record: Record) -> None:
        if not self.json:
            text = records.line(session if self.with_session else "", category, record, self.colour)
            common.put(text.encode("utf-8", "backslashreplace") + b"\n")
            return
        line = common.line_of(record)
        more = {"_session": session} if self.with_session else {}
        if self.with_category:
            more["_category"] = category
        if more:
            line = orjson.dumps(more)[:-1] + b"," + line[1:]
        if self.terminal:
            line = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()
        common.put(line)


@dataclass(slots=True)
class _Following:
    """One session: its files as they grow, and whether it has ended."""

    base: Path
    session: str
    wanted: tuple[str, ...]
    tails: dict[str, Tail] = field(default_factory=dict)
    _life: lifecycle.SessionLife = field(default_factory=lifecycle.SessionLife)
    _events: Tail | None = None

    def open(self, category: str, offset: int = 0) -> Tail:
        return self.tails.setdefault(category, Tail(self.base / names.file_name(category, self.session), offset))

    def open_new(self, found: dict[str, folder.DataFile]) -> None:
        """Take up categories that have a file by now."""
        for category in self.wanted or [name for name in found if name != names.LIFECYCLE]:
            self.open(category)

    def over(self) -> bool:
        """Whether the session has ended. Ask before reading: what was logged before the end is on disk when the end is."""
        if self._events is None:
            self._events = Tail(self.base / names.file_name(names.LIFECYCLE, self.session))
        for event in self._events.read_new():
            self._life.update(event)
        return self._life.ended is not None or self._life.adopted is not None

    def read_new(self) -> list[tuple[str, Record]]:
        """What came since the last call, by time across categories; some 256 KiB of each file at most."""
        found = [(category, r) for category, tail in self.tails.items() for r in tail.read_new(limit=_CHUNK)]
        return found if len(self.tails) == 1 else sorted(found, key=lambda item: _time(item[1]))


def run(arguments: argparse.Namespace) -> int:
    if bool(arguments.categories) == arguments.all:
        common.say("avaliacoes tail: expected one or more categories, or --all")
        return 2
    base = places.base_path(arguments.base_path)
    wanted = tuple(dict.fromkeys(names.check_category(name) for name in arguments.categories))
    session = names.check_session(arguments.session) if arguments.session else LogReader(base).session
    if not arguments.follow:
        session = common.session_in(base, session)
    terminal = sys.stdout.isatty()
    every = arguments.follow and not arguments.session
    as_json = arguments.json or not (terminal or arguments.text)
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    writer = _Writer(as_json, arguments.all or len(wanted) > 1, every, terminal, colour)
    known = set(folder.sessions(base)) if every else set()
    first = _Following(base, session, wanted) if session else None
    if first is not None:
        _open_at_end(first, arguments)
        for category, record in _last(first, arguments.n, arguments.since):
            writer.put(first.session, category, record)
        sys.stdout.flush()
    if not arguments.follow:
        return 0
    if first is None:
        common.say(f"waiting for a session in {base}")
    return _follow(base, first, wanted, known, every, writer)


def _open_at_end(one: _Following, arguments: argparse.Namespace) -> None:
    """Open the files that are there, each where the last records begin that may be wanted.

    Raises:
        FileNotFoundError: none is there, and nobody follows.
    """
    found = folder.sessions(one.base).get(one.session, {})
    count = arguments.n if arguments.n is not None else None if arguments.since is not None else 10
    for category in one.wanted or [name for name in found if name != names.LIFECYCLE]:
        path = one.base / names.file_name(category, one.session)
        if path.exists():
            one.open(category, 0 if count is None or arguments.since is not None else start_of_last(path, count))
        elif arguments.follow:
            one.open(category)
    if not one.tails and not arguments.follow:
        raise FileNotFoundError(f"session {one.session} has no records of category {' or '.join(one.wanted) or 'any'}")


def _last(one: _Following, count: int | None, since: float | None) -> Iterator[tuple[str, Record]]:
    streams = [_stream(category, tail) for category, tail in one.tails.items()]
    merged = heapq.merge(*streams, key=lambda item: _time(item[1])) if len(streams) > 1 else iter(*streams)
    if since is not None:
        merged = (item for item in merged if _time(item[1]) >= since)
        return iter(deque(merged, maxlen=count)) if count is not None else merged
    return iter(deque(merged, maxlen=10 if count is None else count))


def _stream(category: str, tail: Tail) -> Iterator[tuple[str, Record]]:
    while found := tail.read_new(limit=_CHUNK):
        for record in found:
            yield category, record


def _time(record: Record) -> float:
    at = record.get("timestamp")
    return float(at) if isinstance(at, (int, float)) and at == at else 0.0


def _follow(
    base: Path, first: _Following | None, wanted: tuple[str, ...], known: set[str], every: bool, writer: _Writer
) -> int:
    followed = {first.session: first} if first else {}
    gone = _hangup()
    due, pause = 0.0, _LIST_EVERY_S
    while True:
        clock = time.monotonic()
        if clock >= due:
            found = folder.sessions(base)
            for session in found if every else ():
                if session not in known and session not in followed and set(found[session]) != {names.ALERTS}:
                    followed[session] = _Following(base, session, wanted)
                    common.say(f"following {session}")
            for session, one in followed.items():
                one.open_new(found.get(session, {}))
            pause = max(_LIST_EVERY_S, _LIST_SHARE * (time.monotonic() - clock))
            due = clock + pause
        shown = 0
        for session, one in list(followed.items()):
            over = one.over()
            if over:  # a category may have begun since files were last listed
                one.open_new(folder.sessions(base).get(session, {}))
            new = one.read_new()
            shown += len(new)
            for category, record in new:
                writer.put(session, category, record)
            if over and not new:
                if not every:
                    return 0
                known.add(session)
                del followed[session]
        sys.stdout.flush()
        if not shown and gone.poll(int(1000 * _PAUSE_S)):
            raise BrokenPipeError("nobody reads any more")


def _hangup() -> select.poll:
    """Waits, and tells when whoever read our output has gone: without it a quiet follower would stay for ever."""
    poller = select.poll()
    poller.register(sys.stdout.fileno(), 0)
    return poller


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
