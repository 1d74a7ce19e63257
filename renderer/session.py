"""One session as the report looks at it: averaged series, alerts word for word."""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from contract.lines import Record
from contract.names import ALERTS
from renderer.gather import Floats, Key
from renderer.reading import Reading
from renderer.series import Series

MAX_SERIES: Final = 240
#: Alerts kept word for word, the latest.
MAX_ALERTS: Final = 1000


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

    def make_series(self, key: Key) -> Series:
        return Series(self.points, self.windows)

    def feed(self, series: Series, x: Floats, t: Floats, y: Floats) -> None:
        series.extend(x, y)

    def forget(self, category: str) -> None:
        if category == ALERTS:
            self.alerts.clear()

    def take_alert(self, record: Record) -> None:
        self.alerts.append(record)


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
