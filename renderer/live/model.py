"""One session as the page knows it: a pyramid per series, rows of alerts, where its records lie. Memory is bounded.

Two bounds: all levels that are kept may take `budget` bytes on disk, and what is kept in memory is about as much again; when that is
passed the longest series gives up its finest level. The base shares `BUCKETS` among all series, however many.
"""

from __future__ import annotations

import secrets
from collections import Counter
from pathlib import Path
from typing import Any, Final

from contract import alerts as alert_records
from contract.lines import Record
from contract.names import ALERTS
from renderer.gather import Floats, Key
from renderer.lines import Block
from renderer.live.blocks import LARGEST_F32, SMALLEST_F32
from renderer.live.places_index import PlacesIndex
from renderer.live.pyramid import RECENT, Pyramid
from renderer.reading import Reading

#: Series followed: a record may hold a thousand metrics.
MAX_SERIES: Final = 2_000
#: Buckets of all series of a base together; a series gets its share, up to `history_window`.
BUCKETS: Final = 60_000
LEAST_SHARE: Final = 32
#: Rows of alerts kept; events of further rows are counted.
MAX_ROWS: Final = 2_000
#: Bytes of one bucket on the wire, for the budget: a level of single records, and coarser ones; more for a column of steps that are unevenly
#: spaced, for counts where some records are not finite, for a column of values that need eight bytes.
_ONE, _MANY, _UNEVEN, _COUNTED, _WIDE = 11.0, 33.0, 11.0, 11.0, 5.5
#: And of what surrounds a block, names included.
_AROUND: Final = 500.0


class Model(Reading[Pyramid]):
    """One session of a data folder, for its live page.

    Args:
        base: the data folder.
        name: the session.
        window: buckets per series in the base at most (`history_window`).
    """

    def __init__(self, base: Path, name: str, window: int = 1000) -> None:
        super().__init__(base, name, MAX_SERIES)
        self.window = window
        self.generation = ""
        self.renew()
        self.ids: dict[Key, int] = {}
        self.rows = alert_records.Rows()
        self.fired: Counter[str] = Counter()
        self.alert_events = 0
        self.rows_refused = 0
        self.index = PlacesIndex()
        self._rows_known: set[str] = set()
        self._next_id = 1

    @property
    def share(self) -> int:
        """Buckets per series in the base, at most."""
        return max(LEAST_SHARE, min(self.window, BUCKETS // max(1, len(self.series))))

    @property
    def recent_share(self) -> int:
        """Records per series that are shown one by one at its end."""
        return max(LEAST_SHARE, min(RECENT, BUCKETS // max(1, len(self.series))))

    def make_series(self, key: Key) -> Pyramid:
        self.ids[key] = self._next_id
        self._next_id += 1
        return Pyramid()

    def feed(self, series: Pyramid, x: Floats, t: Floats, y: Floats) -> None:
        series.keep = self.recent_share
        series.extend(x, t, y)

    def took_block(self, category: str, block: Block, first: int, steps: Floats, times: Floats) -> None:
        self.index.add(category, block.at, len(block.data), first, steps, times)

    def renew(self) -> None:
        """Begin another generation: what pages know of this one holds no more."""
        self.generation = secrets.token_hex(6)

    def moved(self, category: str) -> None:
        self.index.forget(category)

    def forget(self, category: str) -> None:
        self.renew()
        if category == ALERTS:
            self.rows = alert_records.Rows()
            self._rows_known.clear()
            self.fired.clear()
            self.rows_refused = 0
            self.alert_events += 1

    def take_alert(self, record: Record) -> None:
        self.alert_events += 1
        level = record.get("level")
        level = level if level in alert_records.LEVELS else alert_records.LEVELS[-1]
        if record.get("state") not in (alert_records.RESOLVED, alert_records.ENDED):
            self.fired[level] += 1
        event = {**record, "level": level}
        own = str(event.get("row") or "") or alert_records.row_id(
            *(str(event.get(name) or "") for name in ("rule", "producer", "component"))
        )
        if own not in self._rows_known:
            if len(self._rows_known) >= MAX_ROWS:
                self.rows_refused += 1
                return
            self._rows_known.add(own)
        self.rows.update({**event, "row": own})

    def base_bytes(self) -> float:
        """What the base will take on disk, about, and the latest records beside it."""
        share, recent = self.share, self.recent_share
        total = 0.0
        for one in self.series.values():
            rows = min(one.count, share)
            total += rows * (_each(one, 1 if one.count <= share else 2)) + 1.5 * _AROUND
            if one.count > share:
                total += min(one.count, recent) * _each(one, 1) / 3
        return total

    def fit(self, budget: float) -> bool:
        """Give up finest levels, of the longest series first, until all levels that tiles are made of take at most `budget` bytes.

        True when a level was given up.
        """
        share = self.share
        costs = {key: cost(series, share) for key, series in self.series.items() if series.count > share}
        total = sum(costs.values())
        gave = False
        while total > budget:
            key = max(costs, key=lambda known: self.series[known].used if costs[known] else 0)
            if not costs[key]:
                break
            series = self.series[key]
            series.coarsen()
            gave = True
            total -= costs[key]
            costs[key] = cost(series, share)
            total += costs[key]
        return gave


def levels(series: Pyramid, share: int) -> list[int]:
    """The levels of a series that are finer than its base's, finest first: those that tiles are made of."""
    found = []
    k, base = series.k, series.level_for(share)
    while k < base:
        found.append(k)
        k *= 2
    return found


def cost(series: Pyramid, share: int) -> float:
    """Bytes that the tiles of a series take, about."""
    return sum(_each(series, k) * series.count / k + _AROUND for k in levels(series, share))


def _each(series: Pyramid, k: int) -> float:
    many = k > 1
    size = _MANY if many else _ONE
    if not series.even:
        size += _UNEVEN
    if many and not series.whole:
        size += 2 * _UNEVEN
    if many and series.bad:
        size += _COUNTED
    greatest = max(abs(series.low), abs(series.high)) if series.finite else 0.0
    if greatest > LARGEST_F32 or 0 < greatest < SMALLEST_F32:
        size += (3 if many else 1) * _WIDE
    return size


def row_number(value: Any) -> Any:
    """A number for JSON: non-finite ones by their words, anything else is null."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value
