"""Sessions: whose each one is, where its records go, and how far each producer has come.

A session belongs to the first trainer (root producer id) that writes to it. Another trainer that uses the same name gets
`<name>_2` (the first that is free), decided once and noted before anything is stored, so that a resend or a restart
maps the same way. Alerts may come from any root: they belong to the session they speak of.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from collector import recovery
from collector.counts import Counts
from collector.people import MAX_TOLD
from collector.recovery import Checkpoint
from collector.store import DataFile, Store
from contract import names, places
from contract.wire import FrameRefused

#: A producer may have 64 batches on their way; with this many it should hear soon.
HUNGRY_BATCHES: Final = 24
#: Every forked child is a producer, so a session may see many; beyond this it is no training but an attack.
MAX_PRODUCERS_PER_SESSION: Final = 100_000
MAX_CATEGORIES_PER_SESSION: Final = 256
#: For all checkpoints at the end, out of the five seconds that stopping may take; a missing one only costs reading.
_SAVE_ALL_S: Final = 1.5
_ROOT: Final = re.compile(r"[0-9a-f]{12}")
_STRANGER: Final = "-"


class Stream:
    """One producer's records of one category. `next` is stored, `planned` counts what this round will write too."""

    __slots__ = ("category", "file", "last_step", "next", "planned", "producer", "session", "unheard")

    def __init__(self, session: Session, category: str, producer: str, file: DataFile, next_seq: int) -> None:
        self.session = session
        self.category = category
        self.producer = producer
        self.file = file
        self.next = self.planned = next_seq
        self.last_step = 0
        #: Batches since the last acknowledgement; one that never had one waits for it.
        self.unheard = HUNGRY_BATCHES


class Session:
    """What is known of one session while it is in use: its checkpoint, kept current, and its files."""

    __slots__ = (
        "alert_ids",
        "changed",
        "files",
        "must_save",
        "name",
        "note",
        "producers",
        "rejected",
        "routes",
        "streams",
    )

    def __init__(self, name: str, checkpoint: Checkpoint) -> None:
        self.name = name
        self.note = checkpoint
        self.files: dict[str, DataFile] = {}
        self.streams: dict[tuple[str, str], Stream] = {}
        self.routes: list[tuple[str, str, str]] = []
        self.alert_ids: set[str] | None = None
        #: Messages refused that named it, by reason, since this collector opened it.
        self.rejected: Counter[str] = Counter()
        self.producers = len({p for by in checkpoint.next.values() for p in by})
        self.changed = False
        self.must_save = False

    def checkpoint(self) -> Checkpoint:
        """The checkpoint as of now."""
        for category, file in self.files.items():
            if file.inode:
                self.note.files[category] = (file.size, file.inode)
        for stream in self.streams.values():
            self.note.next[stream.category][stream.producer] = stream.next
        return self.note


class Sessions:
    """All sessions in use, least recently used first; the others rest in their checkpoints."""

    def __init__(
        self, base: Path, store: Store, counts: Counts, power: bool, limit: int = names.MAX_SESSIONS_OPEN
    ) -> None:
        self._base = base
        self._store = store
        self._counts = counts
        self._power = power
        self._limit = limit
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._changed: OrderedDict[str, Session] = OrderedDict()
        self._routes: dict[tuple[str, str, str], Stream] = {}

    def __iter__(self) -> Any:
        return iter(self._open.values())

    def stream(self, name: str, category: str, producer: str, foreign: bool = False) -> Stream:
        """The stream of a producer's category in the session called `name` (or where that trainer's is kept).

        Args:
            foreign: the record is about the session, not from its trainer (an adoption): it claims nothing.

        Raises:
            FrameRefused: reason "limit", too many producers or categories in one session.
            OSError: what is on disk of the session cannot be read.
        """
        found = self._routes.get((name, category, producer))
        if found is not None:
            return found
        session = self.get(name) if foreign or category == names.ALERTS else self._home(name, names.root_of(producer))
        stream = session.streams.get((category, producer)) or self._new_stream(session, category, producer)
        self._routes[name, category, producer] = stream
        session.routes.append((name, category, producer))
        return stream

    def resolve(self, name: str, producer: str) -> str:
        """Where a producer's records of session `name` are kept, without claiming anything."""
        return self.get(name).note.aliases.get(names.root_of(producer), name)

    def known(self, name: str) -> bool:
        """Whether anything was ever stored of a session."""
        return name in self._open or places.checkpoint_file(self._base, name).exists()

    def note_rejected(self, name: str, reason: str) -> None:
        """A message for a session in use was refused; one that nobody uses is not opened for it."""
        session = self._open.get(name)
        if session is not None:
            session.rejected[reason] += 1

    def get(self, name: str) -> Session:
        """A session by its own name, read from its checkpoint when it was not in use."""
        session = self._open.get(name)
        if session is None:
            known = recovery.load_checkpoint(self._base, name)
            session = self._open[name] = Session(name, known or Checkpoint(owner=self._owner_on_disk(name)))
            if known is not None:
                # Counts must be right for all of a session, even if only one category is written to from now on.
                for category in tuple(known.files):
                    with suppress(OSError):  # said when somebody writes to it
                        self._recover(session, category)
            self._make_room()
        return session

    def touch(self, session: Session) -> None:
        """Something of this session was stored: it is in use, and its checkpoint is due."""
        self._open.move_to_end(session.name)
        if not session.changed:
            session.changed = True
            self._changed[session.name] = session

    def _home(self, name: str, root: str) -> Session:
        session = self.get(name)
        if not session.note.owner:
            claimed = self._claim(name, root)
            session.note.owner = claimed or root
            self._save(session)
        if session.note.owner == root:
            return session
        alias = session.note.aliases.get(root)
        if alias is None:
            alias = self._free_name(name, root)
            session.note.aliases[root] = alias
            self._save(session)
            self._counts.note(f"session {name} belongs to another trainer; storing producer {root} under {alias}")
        home = self.get(alias)
        if not home.note.owner:
            home.note.owner = root
            self._save(home)
        return home

    def _free_name(self, name: str, root: str) -> str:
        number = 2
        while True:
            ending = f"_{number}"
            candidate = name[: names.MAX_SESSION_CHARS - len(ending)] + ending
            owner = self.get(candidate).note.owner
            if owner == root or (not owner and self._claim(candidate, root) in (None, root)):
                return candidate
            number += 1

    def _claim(self, name: str, root: str) -> str | None:
        """Claim a session's name; the other root that holds it, or None when it is ours (or nobody's we know)."""
        path = places.claim_file(self._base, name)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            try:
                holder = _ROOT.match(path.read_text(encoding="ascii", errors="replace").strip())
            except OSError:
                return None
            return holder[0] if holder else None
        try:
            os.write(fd, root.encode())
        finally:
            os.close(fd)
        return None

    def _owner_on_disk(self, name: str) -> str:
        """Whose a session without a checkpoint is, by the first line of its files."""
        known = [names.file_name(c, name) for c in (names.LIFECYCLE, *names.USER_CATEGORIES)]
        for file in known:
            first = recovery.first_producer(self._base / file)
            if first != "":
                return names.root_of(first) if first else _STRANGER
        return ""

    def _new_stream(self, session: Session, category: str, producer: str) -> Stream:
        by_producer = session.note.next.get(category)
        file = session.files.get(category)
        if file is None or by_producer is None:
            if len(session.files) >= MAX_CATEGORIES_PER_SESSION:
                raise FrameRefused(
                    "limit", f"session {session.name}: more than {MAX_CATEGORIES_PER_SESSION} categories"
                )
            file = self._recover(session, category)
            by_producer = session.note.next[category]
        if producer not in by_producer:
            if len(by_producer) >= MAX_PRODUCERS_PER_SESSION:
                raise FrameRefused("limit", f"session {session.name}: more than {MAX_PRODUCERS_PER_SESSION} producers")
            by_producer[producer] = 0
            session.producers = max(session.producers, len(by_producer))
        stream = Stream(session, category, producer, file, by_producer[producer])
        session.streams[category, producer] = stream
        return stream

    def _recover(self, session: Session, category: str) -> DataFile:
        """Bring one category up to date with its file: read the lines that came after the checkpoint."""
        note = session.note
        file_name = names.file_name(category, session.name)
        known = note.files.get(category)
        seen = Checkpoint()
        look = (lambda line: _see_gap(seen, line)) if category == names.LIFECYCLE else None
        found, whole = recovery.scan(self._base / file_name, known, look)
        if whole and known is not None and known[1] == found.inode:
            # The lines counted before are counted again; in a file that took the place of another they are not.
            note.stored[category] = 0
            if category == names.LIFECYCLE:
                note.dropped = note.skipped = 0
            self._counts.note(f"{file_name} is shorter than it was: {found.end} bytes, {known[0]} known")
        by_producer = note.next.setdefault(category, {})
        for producer, seq in found.next.items():
            by_producer[producer] = max(seq, by_producer.get(producer, 0))
        note.stored[category] = note.stored.get(category, 0) + found.lines
        note.dropped = min(note.dropped + seen.dropped, MAX_TOLD)
        note.skipped = min(note.skipped + seen.skipped, MAX_TOLD)
        file = session.files[category] = self._store.file(file_name)
        if found.inode and not file.inode:
            file.size, file.inode = found.end, found.inode
        return file

    def alert_ids(self, session: Session) -> set[str]:
        """The ids of the alerts stored in a session, read from its file the first time."""
        if session.alert_ids is None:
            ids: set[str] = set()

            def look(line: bytes) -> None:
                with suppress(orjson.JSONDecodeError, AttributeError, TypeError):
                    ids.add(orjson.loads(line).get("id"))

            recovery.scan(self._base / names.file_name(names.ALERTS, session.name), None, look)
            session.alert_ids = ids
        return session.alert_ids

    def save_changed(self, seconds: float) -> None:
        """Write the checkpoints of the sessions that changed longest ago, for about `seconds`."""
        deadline = time.monotonic() + seconds
        while self._changed and time.monotonic() < deadline:
            _, session = self._changed.popitem(last=False)
            session.changed = False
            with suppress(OSError):  # a checkpoint only saves reading; the files hold the truth
                self._save(session)

    def _save(self, session: Session) -> None:
        session.must_save = False
        recovery.save_checkpoint(self._base, session.name, session.checkpoint(), self._power)

    def save_now(self, session: Session) -> bool:
        """Write one checkpoint now: a sequence was spent without a line. False if the disk refused."""
        try:
            self._save(session)
        except OSError:
            session.must_save = True
            return False
        return True

    def _make_room(self) -> None:
        while len(self._open) > self._limit:
            oldest = next(iter(self._open.values()))
            if any(stream.planned != stream.next for stream in oldest.streams.values()):
                self._open.move_to_end(oldest.name)
                return
            self.save_now(oldest)
            del self._open[oldest.name]
            self._changed.pop(oldest.name, None)
            for key in oldest.routes:
                self._routes.pop(key, None)
            for file in oldest.files.values():
                self._store.forget(file.name)

    def close(self) -> None:
        """Write every checkpoint that is due."""
        self.save_changed(_SAVE_ALL_S)


def _see_gap(note: Checkpoint, line: bytes) -> None:
    with suppress(orjson.JSONDecodeError, TypeError, ValueError, OverflowError, AttributeError):
        record = orjson.loads(line)
        if record.get("event") == "gap":
            note.dropped = min(note.dropped + max(0, int(record.get("dropped") or 0)), MAX_TOLD)
        elif record.get("event") == "skipped":
            note.skipped = min(note.skipped + max(0, int(record.get("count") or 0)), MAX_TOLD)
