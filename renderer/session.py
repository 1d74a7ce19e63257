"""One session as the report looks at it: averaged series, alerts word for word, rules summed up."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract import alerts as alert_records
from contract.lines import Record
from contract.names import ALERTS
from renderer.gather import Floats, Key
from renderer.reading import Reading
from renderer.series import Series

MAX_SERIES: Final = 240
#: Alerts kept word for word; all of them are counted.
MAX_ALERTS: Final = 1000


@dataclass(slots=True)
class RuleCount:
    """How often one rule fired at one level, first and last: alerts summed up for good."""

    fired: int = 0
    resolved: int = 0
    first_step: int = 0
    last_step: int = 0
    first_time: float = 0.0
    last_time: float = 0.0
    message: str = ""


class Session(Reading[Series]):
    """One session of a data folder.

    Args:
        base: the data folder.
        name: the session.
        points: points to draw per series, about.
        window: records in the moving averages; a second average runs over five times as many.
    """

    def __init__(self, base: Path, name: str, points: int = 1000, window: int = 20) -> None:
        super().__init__(base, name, MAX_SERIES)
        self.points, self.window = points, window
        self.windows = (window, 5 * window)
        self.alerts: deque[Record] = deque(maxlen=MAX_ALERTS)
        self.rules: dict[tuple[str, str], RuleCount] = {}

    def make_series(self, key: Key) -> Series:
        return Series(self.points, self.windows)

    def feed(self, series: Series, x: Floats, t: Floats, y: Floats) -> None:
        series.extend(x, y)

    def forget(self, category: str) -> None:
        if category == ALERTS:
            self.alerts.clear()
            self.rules.clear()

    def take_alert(self, record: Record) -> None:
        self.alerts.append(record)
        level = str(record.get("level"))
        level = level if level in alert_records.LEVELS else "INFO"
        rule = str(record.get("rule"))[:100]
        if (level, rule) not in self.rules and len(self.rules) >= 200:
            rule = "others"
        count = self.rules.setdefault((level, rule), RuleCount())
        if record.get("state") == alert_records.RESOLVED:
            count.resolved += 1
            return
        step, at = record.get("step"), record.get("timestamp")
        step = step if isinstance(step, int) else 0
        at = float(at) if isinstance(at, (int, float)) else 0.0
        if not count.fired:
            count.first_step, count.first_time = step, at
        count.fired += 1
        count.last_step, count.last_time, count.message = step, at, str(record.get("message", ""))[:500]

    def shown_alerts(self, now: float, retention_s: float) -> list[Record]:
        """Alerts to show. Those of an ended session are seen from its end: they do not fade afterwards."""
        sound = []
        for alert in self.alerts:
            at = alert.get("timestamp")
            sound.append(alert if isinstance(at, (int, float)) else {**alert, "timestamp": 0.0})
        return alert_records.active(sound, min(now, self.ended_at(now)), retention_s)


def stamp(at: float | None) -> str:
    """Local date and time, or a dash."""
    if at is None or not math.isfinite(at):
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return "-"


def number(value: Any) -> float | None:
    """A finite float for JSON, else None."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
