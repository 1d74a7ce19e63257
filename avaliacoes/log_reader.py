"""Reading sessions: records as dicts, lazily, from the end, or as they come."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

from contract import folder, names, places
from contract.lifecycle import SessionLife
from contract.lines import Record
from contract.tail import Tail, last_records

_LOG = logging.getLogger("avaliacoes")
_CHUNK = 1 << 20


class LogReader:
    """Reads one session of a data folder.

    Records are dicts with `timestamp` (unix seconds), `step` and the metrics; NaN and infinities are floats again.
    Lines that are no records are skipped, counted in `broken_lines` and reported in the log once.

    Args:
        base_path: data folder; default as for the logger.
        session: which session; default the latest.

    Raises:
        names.NameRefused: the session's name cannot be one.
    """

    def __init__(self, base_path: str | os.PathLike[str] | None = None, session: str | None = None) -> None:
        self.base_path = places.base_path(base_path)
        self._session = names.check_session(session) if session is not None else None
        self.broken_lines = 0

    @property
    def session(self) -> str | None:
        """The session that is read: the one asked for, else the latest there is now; None if there is none."""
        if self._session is None:
            found = self.sessions()
            return found[-1] if found else None
        return self._session

    def sessions(self) -> list[str]:
        """Names of all sessions of the folder, the one whose data is newest last."""
        newest = {
            session: max(file.mtime for category, file in files.items() if category != names.ALERTS)
            for session, files in folder.sessions(self.base_path).items()
            if set(files) != {names.ALERTS}
        }
        return sorted(newest, key=lambda session: (newest[session], session))

    def categories(self) -> list[str]:
        """Categories of this session that have a file."""
        session = self.session
        return sorted(folder.files_of(self.base_path, session)) if session else []

    def read_stream(self, category: str) -> Iterator[Record]:
        """The records of a category, oldest first, lazily and in constant memory."""
        tail = self._tail(category)
        while tail is not None:
            records = tail.read_new(limit=_CHUNK)
            self._note_broken(tail, category)
            if not records:
                return
            yield from map(_plain, records)

    def tail(self, category: str, n: int = 100) -> list[Record]:
        """The last `n` records, oldest first, without reading the whole file."""
        tail = self._tail(category)
        return [] if tail is None else [_plain(record) for record in last_records(tail.path, n)]

    def follow(
        self, category: str, *, poll_interval: float = 0.1, idle_timeout: float | None = None
    ) -> Iterator[Record]:
        """The records of a category from its first on, then new ones as they come.

        Ends when the session has ended and everything is read, or after `idle_timeout` seconds without a record.
        """
        tail = self._tail(category)
        session = self.session
        quiet_since = time.monotonic()
        life, lifecycle = SessionLife(), self._tail(names.LIFECYCLE)
        while tail is None or session is None:
            if idle_timeout is not None and time.monotonic() - quiet_since > idle_timeout:
                return
            time.sleep(poll_interval)
            tail, session, lifecycle = self._tail(category), self.session, self._tail(names.LIFECYCLE)
        while True:
            for record in lifecycle.read_new() if lifecycle else ():
                life.update(record)
            ended = life.ended is not None or life.adopted is not None
            records = tail.read_new(limit=_CHUNK)
            self._note_broken(tail, category)
            if records:
                quiet_since = time.monotonic()
                yield from map(_plain, records)
            elif ended or (idle_timeout is not None and time.monotonic() - quiet_since > idle_timeout):
                return
            else:
                time.sleep(poll_interval)

    def to_dataframe(self, category: str) -> Any:
        """The category as a pandas DataFrame, or a polars one where only polars is installed.

        Raises:
            ImportError: neither is installed.
        """
        records = list(self.read_stream(category))
        try:
            import pandas
        except ImportError:
            try:
                import polars
            except ImportError:
                raise ImportError("to_dataframe needs pandas or polars: pip install pandas") from None
            return polars.DataFrame(records, infer_schema_length=None)
        return pandas.DataFrame.from_records(records)

    def _tail(self, category: str) -> Tail | None:
        names.check_category(category)
        session = self.session
        return None if session is None else Tail(self.base_path / names.file_name(category, session))

    def _note_broken(self, tail: Tail, category: str) -> None:
        if tail.broken:
            if not self.broken_lines:
                _LOG.warning("%s of session %s has lines that are no records; they are skipped", category, self.session)
            self.broken_lines += tail.broken
            tail.broken = 0


def _plain(record: Record) -> Record:
    record.pop("_p", None)
    record.pop("_q", None)
    return record
