"""What the files of one session say about it now: state, last records, rates, alerts. Reads only what is new."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from contract import alerts, folder, lifecycle, names, service
from contract.lines import RESERVED, Record
from contract.tail import Tail, last_records

#: Rates are over the records of the last so many seconds, as far back as the last records of each file reach.
RATE_SPAN_S: Final = 10.0
_RATE_RECORDS: Final = 500
_KINDS: Final = ("collector", "analyzer", "renderer")


class SessionStatus:
    """Follows the files of one session of a data folder; `read()` may be called at any pace."""

    def __init__(self, base: Path, session: str) -> None:
        self.base = base
        self.session = session
        self.life = lifecycle.SessionLife()
        self._rows = alerts.Rows()
        self._lifecycle = Tail(base / names.file_name(names.LIFECYCLE, session))
        self._alerts = Tail(base / names.file_name(names.ALERTS, session))
        self._counts: dict[str, tuple[int, int]] = {}
        self._newest: dict[str, float] = {}

    def files(self) -> dict[str, Path]:
        """The data files of the session by category, lifecycle left out."""
        found = folder.files_of(self.base, self.session)
        return {category: path for category, path in sorted(found.items()) if category != names.LIFECYCLE}

    def count(self, category: str, path: Path) -> int:
        """Lines of a file; only what was appended since the last call is read."""
        position, lines = self._counts.get(category, (0, 0))
        try:
            with open(path, "rb") as file:
                if file.seek(0, 2) < position:
                    position = lines = 0
                file.seek(position)
                while chunk := file.read(1 << 20):
                    position += len(chunk)
                    lines += chunk.count(b"\n")
        except FileNotFoundError:
            position = lines = 0
        self._counts[category] = (position, lines)
        return lines

    def read(self, retention_s: float, now: float | None = None) -> dict[str, Any]:
        """The status as a dict; see `RealTimeMonitor.get_current_status`."""
        now = time.time() if now is None else now
        for record in self._lifecycle.read_new():
            self.life.update(record)
        for event in self._alerts.read_new():
            self._rows.update(event)
        last: dict[str, Record] = {}
        rates: dict[str, float] = {}
        records: dict[str, int] = {}
        for category, path in self.files().items():
            records[category] = self.count(category, path)
            if category == names.ALERTS:
                continue
            recent = last_records(path, _RATE_RECORDS)
            if not recent:
                continue
            times = [float(record.get("timestamp") or 0.0) for record in recent]
            self._see(category, times)
            last[category] = {name: value for name, value in recent[-1].items() if name not in RESERVED}
            rates[category] = _rate(times, now)
        by_level: dict[str, list[Record]] = {level: [] for level in alerts.LEVELS}
        for alert in self._rows.shown(now, retention_s):
            by_level.setdefault(str(alert.get("level")), []).append(
                {name: value for name, value in alert.items() if name not in RESERVED}
            )
        return {
            "session": self.session,
            "state": self.life.state(now),
            "last": last,
            "rates": rates,
            "records": records,
            "alerts": by_level,
            "dashboard": str(self.base / f"dashboard_{self.session}.html"),
        }

    def _see(self, category: str, times: list[float]) -> None:
        seen = self._newest.get(category, 0.0)
        for at in times:
            if at > seen:
                self.life.saw_record(at)
        self._newest[category] = max(seen, *times)


def _rate(times: list[float], now: float) -> float:
    """Records per second over the last `RATE_SPAN_S`, or over the shorter time that the given records span."""
    recent = [at for at in times if now - at <= RATE_SPAN_S]
    if not recent:
        return 0.0
    span = RATE_SPAN_S if len(recent) < len(times) else max(now - recent[0], 1e-3)
    return round(len(recent) / min(span, RATE_SPAN_S), 3)


def nothing() -> dict[str, Any]:
    """The status of a folder without a session."""
    return {
        "session": None,
        "state": lifecycle.UNKNOWN,
        "last": {},
        "rates": {},
        "records": {},
        "alerts": {level: [] for level in alerts.LEVELS},
        "dashboard": None,
    }


def services(base: Path) -> dict[str, bool]:
    """Which of the three services run on a data folder."""
    return {kind: service.is_running(base, kind) for kind in _KINDS}
