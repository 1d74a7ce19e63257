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
            rows = fold(raw, self.k, self.count % self.k)
            if self.count % self.k:
                rows[:, 0] = _continued(self._rows[:, self._used - 1].tolist(), rows[:, 0].tolist())
                self._used -= 1
            self._append(rows)
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
        return fold(rows, ratio)

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


def fold(rows: Floats, ratio: int, before: int = 0) -> Floats:
    """Neighbouring buckets (or, of three rows, records) joined, `ratio` (a power of two) to one.

    The first may lack `before` of its `ratio`, the last any number.
    """
    if not rows.shape[1]:
        return np.empty((9, 0))
    parts = []
    begin = 0
    if before:
        begin = min(ratio - before, rows.shape[1])
        parts.append(_joined(rows[:, :begin]))
    end = begin + (rows.shape[1] - begin) // ratio * ratio
    if end > begin:
        parts.append(_folded(rows[:, begin:end], ratio))
    if end < rows.shape[1]:
        parts.append(_joined(rows[:, end:]))
    return np.concatenate(parts, 1) if len(parts) != 1 else parts[0]


def _joined(rows: Floats) -> Floats:
    """All buckets, or records, as one."""
    value = rows[MEAN]
    made = np.empty((9, 1))
    made[X, 0], made[T, 0] = rows[X, -1], rows[T, -1]
    if len(rows) == 3:
        held = np.isfinite(value)
        n = float(np.count_nonzero(held))
        made[N, 0], made[BAD, 0] = n, len(value) - n
        weights = held / n if n < len(value) and n else 1 / n if n else held
        low = high = value
        xlo = xhi = rows[X]
    else:
        held = rows[N] > 0
        n = float(rows[N].sum())
        made[N, 0], made[BAD, 0] = n, rows[BAD].sum()
        weights = rows[N] / n if n else rows[N]
        low, high, xlo, xhi = rows[LO], rows[HI], rows[XLO], rows[XHI]
    if not n:
        made[(MEAN, LO, HI), 0] = np.nan
        made[XLO, 0] = made[XHI, 0] = rows[X, -1]
        return made
    if not held.all():
        low, high, value = np.where(held, low, np.inf), np.where(held, high, -np.inf), np.where(held, value, 0)
    at, to = int(low.argmin()), int(high.argmax())
    made[LO, 0], made[XLO, 0], made[HI, 0], made[XHI, 0] = low[at], xlo[at], high[to], xhi[to]
    made[MEAN, 0] = (value * weights).sum()
    return made


def _continued(bucket: list[float], more: list[float]) -> list[float]:
    """An unfinished bucket and what follows it in it, as one; numbers in the order of the rows."""
    n, fresh = bucket[N], more[N]
    made = more.copy()
    made[N], made[BAD] = n + fresh, bucket[BAD] + more[BAD]
    if n and (not fresh or bucket[LO] <= more[LO]):
        made[LO], made[XLO] = bucket[LO], bucket[XLO]
    if n and (not fresh or bucket[HI] >= more[HI]):
        made[HI], made[XHI] = bucket[HI], bucket[XHI]
    if n and fresh:
        made[MEAN] = bucket[MEAN] * (n / made[N]) + more[MEAN] * (fresh / made[N])
    elif n:
        made[MEAN] = bucket[MEAN]
    return made


def _folded(rows: Floats, ratio: int) -> Floats:
    """Buckets joined, `ratio` (a power of two) to one, their number a multiple of it: pair by pair."""
    if len(rows) == 3:
        if ratio > 2 and bool(np.isfinite(rows[MEAN]).all()):
            return _reduced(rows, ratio)
        rows = full(rows)
    while ratio > 1:
        rows = _paired(rows[:, 0::2], rows[:, 1::2])
        ratio //= 2
    return rows


def _reduced(raw: Floats, ratio: int) -> Floats:
    """Finite records joined, `ratio` to one: in one go, which for raw records is much quicker."""
    y = raw[MEAN].reshape(-1, ratio)
    begin = np.arange(0, raw.shape[1], ratio)
    made = np.empty((9, len(y)))
    made[X], made[T] = raw[X, ratio - 1 :: ratio], raw[T, ratio - 1 :: ratio]
    for value, step, at in ((LO, XLO, y.argmin(1)), (HI, XHI, y.argmax(1))):
        at += begin
        made[value], made[step] = raw[MEAN, at], raw[X, at]
    with np.errstate(over="ignore", invalid="ignore"):
        made[MEAN] = y.sum(1) / ratio
        if not np.isfinite(made[MEAN]).all():
            made[MEAN] = (y / ratio).sum(1)
    made[N], made[BAD] = ratio, 0
    return made


def _paired(left: Floats, right: Floats) -> Floats:
    """Each bucket of `left` with the one of `right` that follows it."""
    made = np.empty((9, left.shape[1]))
    made[X], made[T] = right[X], right[T]
    np.add(left[N:], right[N:], out=made[N:])
    n, more = left[N], right[N]
    hollow = bool((n * more == 0).any())
    for value, step, better in (
        (LO, XLO, right[LO] < left[LO]),
        (HI, XHI, right[HI] > left[HI]),
    ):
        if hollow:
            better |= (n == 0) & (more > 0)
        made[value] = np.where(better, right[value], left[value])
        made[step] = np.where(better, right[step], left[step])
    if not hollow:
        weight = n / made[N]
        made[MEAN] = left[MEAN] * weight + right[MEAN] * (1 - weight)
        return made
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = n / made[N]
        mean = np.where(n > 0, left[MEAN], 0) * weight + np.where(more > 0, right[MEAN], 0) * (1 - weight)
    none = made[N] == 0
    made[MEAN] = np.where(none, np.nan, mean)
    made[XLO, none] = made[XHI, none] = made[X, none]
    return made


def _safe_mean(values: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        return mean if np.isfinite(mean) else float((values / len(values)).sum())
