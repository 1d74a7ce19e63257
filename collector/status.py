"""The status file: what came, what is stored, what went wrong, about once a second and only when something changed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any, Final

import orjson

from collector import recovery
from collector.ingest import Ingest
from collector.settings import Settings
from contract import __version__, places

_SESSIONS_SHOWN: Final = 500


class Status:
    """Writes `.avaliacoes/status.json`.

    Args:
        endpoints: what to say about where this collector is reached.
    """

    def __init__(self, settings: Settings, ingest: Ingest, endpoints: dict[str, str]) -> None:
        self._ingest = ingest
        self._path = places.status_file(settings.base)
        self._fixed: dict[str, Any] = {
            "pid": os.getpid(),
            "version": __version__,
            "started": time.time(),
            "base": str(settings.base),
            "durability": settings.durability,
            "auto": settings.auto,
            **{name: endpoint for name, endpoint in endpoints.items() if name != "keys"},
        }
        self._last: bytes = b""

    def collect(self, now: float, connections: int, refused: int, keys: dict[str, Any] | None = None) -> dict[str, Any]:
        """The content of the status file, as plain data; `now` is monotonic."""
        ingest = self._ingest
        return {
            **self._fixed,
            "connections": connections,
            "connections_refused": refused,
            "keys": keys,
            "totals": {**ingest.counts.as_dict(), "quarantine_left_out": ingest.quarantine.left_out},
            "failing": {name: file.error for name, file in ingest.store.failing.items()},
            "notes": [{"timestamp": at, "text": text} for at, text in ingest.counts.notes],
            "sessions": self._sessions(),
            "producers": ingest.people.table(now),
        }

    def _sessions(self) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for session in reversed(list(self._ingest.sessions)):
            note = session.note
            rows[session.name] = {
                "stored": {category: count for category, count in note.stored.items() if count},
                "last_record": note.last_record,
                "producers": session.producers,
                "dropped": note.dropped,
                "skipped": note.skipped,
                "rejected": dict(session.rejected),
                "root": note.owner,
                "kept_as": note.aliases,
            }
            if len(rows) == _SESSIONS_SHOWN:
                break
        return rows

    def write(
        self, now: float, connections: int, refused: int, keys: dict[str, Any] | None = None, final: bool = False
    ) -> None:
        """Write the file if anything but the passing of time has changed. A full disk leaves the old one."""
        content = self.collect(now, connections, refused, keys)
        ages = [row.pop("heard_s_ago") for row in content["producers"].values()]
        same = orjson.dumps(content)
        if same == self._last and not final:
            return
        wall = time.time()
        for row, age in zip(content["producers"].values(), ages, strict=True):
            row["heard"] = wall - age
        content |= {"updated": wall, "running": not final}
        with suppress(OSError):
            recovery.write_atomically(self._path, orjson.dumps(content))
            self._last = same
