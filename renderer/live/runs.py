"""`runs.js`: one line per session of the folder, for the page of all."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any, Final

import orjson

from renderer.live import blocks, folder

Plain = dict[str, Any]

#: Numbers alone are told this often; a new session, another state or alert at once.
EVERY_S: Final = 2.0
#: Sessions told of; the latest.
MAX_RUNS: Final = 1_000
#: Metrics of all of them together, about: many runs tell fewer each.
_METRICS: Final = 3_000
_LEAST_METRICS: Final = 3


class Runs:
    """The lines of a folder's sessions. Lines of ended ones are kept beside their files, for the next renderer."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._lines: dict[str, Plain] = {}
        self._marks: dict[str, tuple[Any, ...]] = {}
        self._begun: dict[str, float] = {}
        self._urgent = True
        self._changed = False
        self._written = 0.0

    def put(self, line: Plain) -> None:
        """Take a session's line as it is now."""
        name = line["session"]
        if self._lines.get(name) == line:
            return
        self._changed = True
        self._lines[name] = line
        self._begun[name] = line["started"] if isinstance(line["started"], (int, float)) else 0.0
        mark = (line["state"]["name"], line["alerts"], line["live"])
        self._urgent = self._urgent or self._marks.get(name) != mark
        self._marks[name] = mark

    def keep(self, line: Plain) -> None:
        """Take the last line of a session that has ended, and keep it. May raise `OSError`."""
        self.put(line)
        folder.write_atomic(self.base, folder.summary_file(self.base, line["session"]), orjson.dumps(line))

    def recall(self, session: str) -> bool:
        """Take the line that an earlier renderer kept; False if there is none."""
        try:
            line = orjson.loads(folder.summary_file(self.base, session).read_bytes())
            self.put(line)
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return False
        return True

    def know(self, session: str) -> bool:
        return session in self._lines

    def only(self, sessions: Container[str]) -> None:
        """Forget the sessions that are not among `sessions`."""
        for gone in [name for name in self._lines if name not in sessions]:
            del self._lines[gone], self._marks[gone], self._begun[gone]
            self._urgent = True

    def write(self, now: float, refresh: float, sign_of_life_s: float) -> None:
        """Write `runs.js` if its time has come. May raise `OSError`."""
        since = now - self._written
        due = self._changed and since >= max(EVERY_S, refresh)
        if not (self._urgent or due or since >= sign_of_life_s or since < 0):
            return
        latest = sorted(self._lines, key=lambda name: (-self._begun[name], name))[:MAX_RUNS]
        most = max(_LEAST_METRICS, _METRICS // max(1, len(latest)))
        told = [{**self._lines[name], "metrics": self._lines[name]["metrics"][:most]} for name in latest]
        content = blocks.script({"kind": "runs", "v": 1, "written": now, "refresh": refresh, "runs": told})
        folder.write_atomic(self.base, folder.runs_file(self.base), content)
        self._urgent = self._changed = False
        self._written = now
