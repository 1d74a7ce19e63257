"""A series as buckets of `k` records, `k` a power of two, counted from its first record: pure, no clocks, no files.

Only the finest level that is kept lies in memory; coarser ones are folded from it when asked for. Adding records costs what they are, not
what came before. While `k` is 1 a bucket is a record and is kept as it was logged. `coarsen` halves the buckets; each keeps its
extremes and where they were, so an outlier of a single record is found at every level.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Rows of a level, one column per bucket: step and time of its last record, mean of its finite records, then least and greatest value with
#: their steps, number of finite and of non-finite records. A level of single records has the first three alone.
X, T, MEAN, LO, XLO, HI, XHI, N, BAD = range(9)
#: Records kept one by one at the end of a series, however coarse the rest is.
RECENT: Final = 1024


class Pyramid:
    """One metric over a run.

    Attributes:
        k: records per bucket of the finest level in memory.
        count: records seen, `finite` and `bad` (NaN or infinite) among them.
        first, last, last_x: first and last value, non-finite ones included; the last step.
        low, high, low_x, high_x: least and greatest finite value and their steps.
        mean: of the finite values, NaN if there are none.
        even: whether the steps were evenly spaced so far.
    """

    def __init__(self) -> None:
        self.k = 1
        self.count = self.finite = self.bad = 0
        self.first = self.last = self.last_x = self.mean = np.nan
        self.low, self.high, self.low_x, self.high_x = np.inf, -np.inf, np.nan, np.nan
        self.even = True
        self._spacing: float | None = None
        self._rows: Floats = np.empty((3, 16))
        self._used = 0
        self._recent: Floats = np.empty((3, 0))

    @property
    def used(self) -> int:
        """Buckets of the finest level."""
        return self._used

    def extend(self, x: Floats, t: Floats, y: Floats) -> None:
        """Take records in their order: steps `x`, unix times `t`, values `y`, three arrays of one length."""
        if not len(y):
            return
        self._spaced(x)
        self._total(x, y)
        raw = np.stack((x, t, y))
        if self.k == 1:
            self._append(raw)
        else:
            self._recent = np.concatenate((self._recent, raw), 1)
            if self._recent.shape[1] > 2 * RECENT:
                self._recent = self._recent[:, -RECENT:].copy()
            rows = full(raw)
            begun = self.count % self.k
            if begun:
                rows = np.concatenate((self._rows[:, self._used - 1 : self._used], rows), 1)
                self._used -= 1
                places = np.concatenate(([0], np.arange(begun, begun + len(y))))
            else:
                places = np.arange(len(y))
            self._append(fold(rows, places // self.k))
        self.count += len(y)

    def _spaced(self, x: Floats) -> None:
        if not self.even:
            return
        gaps = np.diff(x) if self.count == 0 else np.diff(x, prepend=self.last_x)
        if len(gaps):
            spacing = self._spacing if self._spacing is not None else float(gaps[0])
            self._spacing = spacing
            self.even = bool((gaps == spacing).all())

    def _total(self, x: Floats, y: Floats) -> None:
        if not self.count:
            self.first = float(y[0])
        self.last, self.last_x = float(y[-1]), float(x[-1])
        good = np.isfinite(y)
        if not good.all():
            self.bad += len(y) - int(np.count_nonzero(good))
            x, y = x[good], y[good]
            if not len(y):
                return
        low, high = int(y.argmin()), int(y.argmax())
        if y[low] < self.low:
            self.low, self.low_x = float(y[low]), float(x[low])
        if y[high] > self.high:
            self.high, self.high_x = float(y[high]), float(x[high])
        before, self.finite = self.finite, self.finite + len(y)
        fresh = _safe_mean(y)
        self.mean = fresh if not before else self.mean * (before / self.finite) + fresh * (len(y) / self.finite)

    def _append(self, rows: Floats) -> None:
        used = self._used + rows.shape[1]
        if used > self._rows.shape[1]:
            grown = np.empty((len(self._rows), max(used, self._rows.shape[1] * 3 // 2)))
            grown[:, : self._used] = self._rows[:, : self._used]
            self._rows = grown
        self._rows[:, self._used : used] = rows
        self._used = used

    def coarsen(self) -> None:
        """Give up the finest level: `k` doubles, memory halves."""
        if self.k == 1:
            self._recent = self._rows[:, max(0, self._used - RECENT) : self._used].copy()
        rows = self.level(2 * self.k)
        self.k *= 2
        self._rows, self._used = np.ascontiguousarray(rows), rows.shape[1]

    def level(self, k: int, begin: int = 0, end: int | None = None) -> Floats:
        """Buckets `begin` to `end` (exclusive; None: all) of the level of `k` records, `k` not below `self.k`.

        Three rows where `k` is 1, else nine; the last bucket may be unfinished.
        """
        ratio = k // self.k
        stop = self._used if end is None else min(self._used, end * ratio)
        rows = self._rows[:, begin * ratio : stop]
        if ratio == 1:
            return rows
        return fold(full(rows) if self.k == 1 else rows, np.arange(rows.shape[1]) // ratio)

    def level_for(self, most: int) -> int:
        """The smallest `k` with at most `most` buckets, not below `self.k`."""
        k = self.k
        while -(-self.count // k) > most:
            k *= 2
        return k

    def recent(self, most: int = RECENT) -> Floats:
        """The last records one by one, three rows."""
        rows = self._rows[:, : self._used] if self.k == 1 else self._recent
        return rows[:, -min(most, RECENT) :]

    def tail_mean(self, share: float = 0.1) -> float:
        """Mean of the finite records in the last `share` of the series (in whole buckets), NaN if there are none."""
        begin = (self.count - max(1, int(self.count * share))) // self.k
        rows = self._rows[:, begin : self._used]
        if self.k == 1:
            values = rows[MEAN]
            good = np.isfinite(values)
            values = values if good.all() else values[good]
            return _safe_mean(values) if len(values) else float("nan")
        n = rows[N]
        finite = float(n.sum())
        if not finite:
            return float("nan")
        held = n > 0
        return float((rows[MEAN, held] * (n[held] / finite)).sum())


def full(raw: Floats) -> Floats:
    """Single records (three rows) as buckets (nine rows)."""
    rows = np.empty((9, raw.shape[1]))
    rows[:3] = raw
    good = np.isfinite(raw[MEAN])
    if not good.all():
        rows[MEAN, ~good] = np.nan
    rows[LO] = rows[HI] = rows[MEAN]
    rows[XLO] = rows[XHI] = raw[X]
    rows[N] = good
    rows[BAD] = ~good
    return rows


def fold(rows: Floats, group: npt.NDArray[np.int64]) -> Floats:
    """Neighbouring buckets joined: those with the same number in `group`, which never falls."""
    size = rows.shape[1]
    if not size:
        return rows
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    lengths = np.diff(starts, append=size)
    ends = starts + lengths - 1
    made = np.empty((9, len(starts)))
    made[X], made[T] = rows[X, ends], rows[T, ends]
    n = rows[N]
    made[N] = np.add.reduceat(n, starts)
    made[BAD] = np.add.reduceat(rows[BAD], starts)
    empty = n == 0
    some_empty = bool(empty.any())
    place = np.arange(size)
    for value, step, beyond, pick in ((LO, XLO, np.inf, np.minimum), (HI, XHI, -np.inf, np.maximum)):
        held = np.where(empty, beyond, rows[value]) if some_empty else rows[value]
        best = pick.reduceat(held, starts)
        at = np.minimum.reduceat(np.where(held == np.repeat(best, lengths), place, size - 1), starts)
        made[value], made[step] = best, rows[step, at]
    mean = np.where(empty, 0.0, rows[MEAN]) if some_empty else rows[MEAN]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        made[MEAN] = np.add.reduceat(mean * n, starts) / made[N]
        if not np.isfinite(made[MEAN]).all():
            made[MEAN] = np.add.reduceat(mean * (n / np.repeat(np.maximum(made[N], 1), lengths)), starts)
    if some_empty:
        hollow = made[N] == 0
        made[MEAN, hollow] = made[LO, hollow] = made[HI, hollow] = np.nan
        made[XLO, hollow] = made[XHI, hollow] = made[X, hollow]
    return made


def _safe_mean(values: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        return mean if np.isfinite(mean) else float((values / len(values)).sum())
