"""The history of one metric in bounded memory: pure, no clocks, no files.

Records fall into buckets of `2**level` records each, counted from the first record on. When the buckets run out,
neighbours are merged and the level rises. So a long history is shown whole, at a resolution that halves from time to
time; between two such moments only the last bucket changes, and curves do not shimmer. Each bucket keeps its extremes
and where they were: an outlier of a single record stays visible after a million others.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_X0, _X1, _XLO, _LO, _XHI, _HI, _ILO, _IHI, _SUM, _FINITE, _BAD, _AVG = range(12)
#: Multiplications in a moving average by windows; above it running sums in extended precision are cheaper.
_WINDOW_BUDGET: Final = 2_000_000


class Series:
    """One metric over the steps of a run.

    Args:
        points: points to draw at most, about; memory is some 100 bytes for each.
        windows: lengths in finite records of the moving averages to follow.

    Attributes:
        count: records seen, `finite` and `bad` (NaN or infinite) among them.
        first, last: first and last value, non-finite ones included.
        low, high, low_x, high_x: smallest and largest finite value and their steps.
    """

    def __init__(self, points: int = 1000, windows: tuple[int, ...] = (20,)) -> None:
        self.windows = windows
        self._capacity = max(8, points // 2)
        self._columns = _AVG + len(windows)
        self._rows: Floats = np.empty((min(64, self._capacity), self._columns))
        self._used = 0
        self._size = 1
        self._recent = [np.empty(0) for _ in windows]
        self._average = [np.nan for _ in windows]
        self.count = self.finite = self.bad = 0
        self.first = self.last = self.last_x = np.nan
        self.low, self.high, self.low_x, self.high_x = np.inf, -np.inf, np.nan, np.nan
        self.total = 0.0

    @property
    def mean(self) -> float:
        """Mean of the finite values, NaN if there are none."""
        return self.total / self.finite if self.finite else float("nan")

    def extend(self, x: Floats, y: Floats) -> None:
        """Take records in order: steps `x` and values `y`, two arrays of one length."""
        n = len(y)
        if not n:
            return
        good = np.isfinite(y)
        with np.errstate(over="ignore", invalid="ignore"):
            averages = [self._averaged(i, y, good) for i in range(len(self.windows))]
            rows = self._folded(x, y, good, averages)
            self._total(x, y, good)
        if self.count % self._size and self._used:
            self._rows[self._used - 1] = _merged(self._rows[self._used - 1][None], rows[:1])[0]
            rows = rows[1:]
        self.count += n
        self._append(rows)

    def _total(self, x: Floats, y: Floats, good: npt.NDArray[np.bool_]) -> None:
        if not self.count:
            self.first = float(y[0])
        self.last, self.last_x = float(y[-1]), float(x[-1])
        kept = y[good]
        self.finite += len(kept)
        self.bad += len(y) - len(kept)
        if len(kept):
            at = x[good]
            low, high = int(np.argmin(kept)), int(np.argmax(kept))
            if kept[low] < self.low:
                self.low, self.low_x = float(kept[low]), float(at[low])
            if kept[high] > self.high:
                self.high, self.high_x = float(kept[high]), float(at[high])
            self.total += float(kept.sum())

    def _averaged(self, which: int, y: Floats, good: npt.NDArray[np.bool_]) -> Floats:
        """Moving average at each record over the last `window` finite values; non-finite records repeat the last."""
        window = self.windows[which]
        fresh = y[good]
        if not len(fresh):
            return np.full(len(y), self._average[which])
        before = self._recent[which]
        values = np.concatenate([before, fresh])
        padded = np.concatenate([np.zeros(window - 1), values])
        if len(values) * window <= _WINDOW_BUDGET:
            sums = np.lib.stride_tricks.sliding_window_view(padded, window).sum(axis=1)
        else:
            running = np.concatenate([[0], np.cumsum(padded, dtype=np.longdouble)])
            sums = (running[window:] - running[:-window]).astype(float)
        averages = sums / np.minimum(np.arange(1, len(values) + 1), window)
        self._recent[which] = values[max(0, len(values) - window + 1) :].copy()
        averages = averages[len(before) :]
        at = np.cumsum(good) - 1
        spread = np.where(at >= 0, averages[np.maximum(at, 0)], self._average[which])
        self._average[which] = float(averages[-1])
        return spread

    def _folded(self, x: Floats, y: Floats, good: npt.NDArray[np.bool_], averages: list[Floats]) -> Floats:
        """The buckets that these records fall into."""
        n = len(y)
        index = np.arange(self.count, self.count + n)
        group = index // self._size
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        ends = np.append(starts[1:], n) - 1
        low_in, high_in = np.where(good, y, np.inf), np.where(good, y, -np.inf)
        low, high = np.minimum.reduceat(low_in, starts), np.maximum.reduceat(high_in, starts)
        lengths = ends - starts + 1
        place = np.arange(n)
        at_low = np.minimum.reduceat(np.where(low_in == np.repeat(low, lengths), place, n - 1), starts)
        at_high = np.minimum.reduceat(np.where(high_in == np.repeat(high, lengths), place, n - 1), starts)
        finite = np.add.reduceat(good.astype(float), starts)
        rows = np.empty((len(starts), self._columns))
        rows[:, _X0], rows[:, _X1] = x[starts], x[ends]
        rows[:, _XLO], rows[:, _LO], rows[:, _ILO] = x[at_low], low, index[at_low]
        rows[:, _XHI], rows[:, _HI], rows[:, _IHI] = x[at_high], high, index[at_high]
        rows[:, _SUM] = np.add.reduceat(np.where(good, y, 0.0), starts)
        rows[:, _FINITE], rows[:, _BAD] = finite, lengths - finite
        for i, average in enumerate(averages):
            rows[:, _AVG + i] = average[ends]
        return rows

    def _append(self, rows: Floats) -> None:
        used = self._used + len(rows)
        if used > len(self._rows):
            grown = np.empty((max(used, min(2 * len(self._rows), self._capacity)), self._columns))
            grown[: self._used] = self._rows[: self._used]
            self._rows = grown
        self._rows[self._used : used] = rows
        while used > self._capacity:
            pairs = used // 2
            merged = _merged(self._rows[0 : 2 * pairs : 2], self._rows[1 : 2 * pairs : 2])
            self._rows[:pairs] = merged
            if used % 2:
                self._rows[pairs] = self._rows[used - 1]
            used = pairs + used % 2
            self._size *= 2
        if len(self._rows) > 2 * self._capacity:
            self._rows = self._rows[: self._capacity].copy()
        self._used = used

    def points(self) -> tuple[Floats, Floats]:
        """Steps and values to draw: every record, or of each bucket its extremes in their order.

        A NaN value is a gap in the line: a non-finite record, or a place where the steps began again.
        """
        rows = self._rows[: self._used]
        if not len(rows):
            return np.empty(0), np.empty(0)
        swap = rows[:, _IHI] < rows[:, _ILO]
        x = np.stack([np.where(swap, rows[:, _XHI], rows[:, _XLO]), np.where(swap, rows[:, _XLO], rows[:, _XHI])], 1)
        y = np.stack([np.where(swap, rows[:, _HI], rows[:, _LO]), np.where(swap, rows[:, _LO], rows[:, _HI])], 1)
        single = (rows[:, _FINITE] == 0) | (rows[:, _ILO] == rows[:, _IHI])
        keep = np.stack([np.ones(len(rows), bool), ~single], 1)
        xs, ys = x[keep], y[keep]
        if self._size > 1 and np.isfinite(self.last):
            xs, ys = np.append(xs, self.last_x), np.append(ys, self.last)
        return _broken(xs, np.where(np.isfinite(ys), ys, np.nan))

    def average(self, which: int = 0) -> tuple[Floats, Floats]:
        """Steps and moving average number `which`, one point per bucket."""
        rows = self._rows[: self._used]
        return _broken(rows[:, _X1].copy(), rows[:, _AVG + which].copy())

    def bad_steps(self) -> list[float]:
        """Steps (of buckets) at which values were NaN or infinite."""
        rows = self._rows[: self._used]
        found: list[float] = rows[rows[:, _BAD] > 0, _X1].tolist()
        return found

    def means(self) -> tuple[Floats, Floats, Floats]:
        """Middle step, mean and number of finite records of each bucket that has any: what trends are fitted to."""
        rows = self._rows[: self._used]
        rows = rows[rows[:, _FINITE] > 0]
        return (rows[:, _X0] + rows[:, _X1]) / 2, rows[:, _SUM] / rows[:, _FINITE], rows[:, _FINITE].copy()

    def trend(self, records: int) -> tuple[float, float, float, float] | None:
        """Least-squares line over about the last `records` records: `(x0, y0, x1, y1)`, None if there are too few."""
        x, y, n = self.means()
        if len(x) < 3:
            return None
        behind = np.cumsum(n[::-1])[::-1]
        begin = min(int(np.searchsorted(-behind, -records)), len(x) - 3)
        x, y, n = x[begin:], y[begin:], n[begin:]
        again = np.flatnonzero(np.diff(x) < 0)
        if len(again):
            x, y, n = x[again[-1] + 1 :], y[again[-1] + 1 :], n[again[-1] + 1 :]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            middle, level = np.average(x, weights=n) if len(x) else np.nan, np.average(y, weights=n) if len(x) else 0.0
            spread = float((n * (x - middle) ** 2).sum())
            slope = float((n * (x - middle) * (y - level)).sum()) / spread if spread > 0 else np.nan
            line = (
                (
                    float(x[0]),
                    float(level + slope * (x[0] - middle)),
                    float(x[-1]),
                    float(level + slope * (x[-1] - middle)),
                )
                if len(x) > 2
                else None
            )
        return line if line and all(np.isfinite(line)) else None


def _merged(left: Floats, right: Floats) -> Floats:
    """Buckets of `left` and their right-hand neighbours, one by one, as buckets of twice the size."""
    rows = left.copy()
    rows[:, _X1] = right[:, _X1]
    for value, step, index, better in (
        (_LO, _XLO, _ILO, right[:, _LO] < left[:, _LO]),
        (_HI, _XHI, _IHI, right[:, _HI] > left[:, _HI]),
    ):
        for column in (value, step, index):
            rows[:, column] = np.where(better, right[:, column], left[:, column])
    with np.errstate(over="ignore", invalid="ignore"):
        rows[:, (_SUM, _FINITE, _BAD)] = left[:, (_SUM, _FINITE, _BAD)] + right[:, (_SUM, _FINITE, _BAD)]
    rows[:, _AVG:] = right[:, _AVG:]
    joined: Floats = rows
    return joined


def _broken(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The same points with a gap wherever the steps fall back."""
    falls = np.flatnonzero(np.diff(x) < 0) + 1
    if not len(falls):
        return x, y
    return np.insert(x, falls, x[falls]), np.insert(y, falls, np.nan)


def plain(x: Floats, y: Floats) -> dict[str, Any]:
    """A line as arrays that JSON writers keep short: whole steps as integers, values with seven digits."""
    whole = len(x) == 0 or bool(np.all((np.abs(x) < 2**53) & (x == np.floor(x))))
    inside = y[np.isfinite(y)]
    small = not len(inside) or float(np.abs(inside).max()) < 3e38
    return {"x": x.astype(np.int64) if whole else x, "y": y.astype(np.float32) if small else y}
