"""A series as buckets of `k` records, `k` a power of two, counted from its first record: pure, no clocks, no files.

Only the finest level that is kept lies in memory; coarser ones are folded from it when asked for. Adding records costs what they are, not
what came before. While `k` is 1 a bucket is a record and is kept as it was logged. `coarsen` halves the buckets; each keeps its
extremes and where they were, so an outlier of a single record is found at every level.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

import numpy as np

from renderer.live.buckets import MEAN, Floats, N, continue_row, continued, fold, mean_of

#: Records kept one by one at the end of a series, however coarse the rest is.
RECENT: Final = 1024
#: Records that are taken one by one in Python; more, as arrays.
_FEW: Final = 24


class Pyramid:
    """One metric over a run.

    Attributes:
        k: records per bucket of the finest level in memory.
        count: records seen, `finite` and `bad` (NaN or infinite) among them.
        first, last, last_x: first and last value, non-finite ones included; the last step.
        low, high, low_x, high_x: least and greatest finite value and their steps.
        mean: of the finite values, NaN if there are none.
        keep: latest records kept one by one, however coarse the rest is.
        even, whole: whether the steps were evenly spaced, and whole numbers, so far.
    """

    def __init__(self) -> None:
        self.k = 1
        self.keep = RECENT
        self.count = self.finite = self.bad = 0
        self.first = self.last = self.last_x = self.mean = np.nan
        self.low, self.high, self.low_x, self.high_x = np.inf, -np.inf, np.nan, np.nan
        self.even = self.whole = True
        self._spacing: float | None = None
        self._rows: Floats = np.empty((3, 16))
        self._used = 0
        self._recent: list[Floats] = []
        self._recent_count = 0

    @property
    def used(self) -> int:
        """Buckets of the finest level."""
        return self._used

    def extend(self, x: Floats, t: Floats, y: Floats) -> None:
        """Take records in their order: steps `x`, unix times `t`, values `y`, three arrays of one length."""
        if not len(y):
            return
        if len(y) <= _FEW:
            self._extend_few(x.tolist(), t.tolist(), y.tolist())
            return
        self._spaced(x)
        self._total(x, y)
        raw = np.stack((x, t, y))
        if self.k == 1:
            self._append(raw)
        else:
            self._keep_recent(raw)
            rows = fold(raw, self.k, self.count % self.k)
            if self.count % self.k:
                rows[:, 0] = continued(self._rows[:, self._used - 1].tolist(), rows[:, 0].tolist())
                self._used -= 1
            self._append(rows)
        self.count += len(y)

    def _extend_few(self, xs: list[float], ts: list[float], ys: list[float]) -> None:
        """`extend` without numpy, which for a few numbers takes longer to call than to compute."""
        k, count = self.k, self.count
        begun = bool(k > 1 and count % k)
        row = self._rows[:, self._used - 1].tolist() if begun else []
        made = [row] if begun else []
        for x, t, y in zip(xs, ts, ys, strict=True):
            self.whole = self.whole and x == x // 1
            if self.even and count:
                spacing = self._spacing if self._spacing is not None else x - self.last_x
                self._spacing = spacing
                self.even = x - self.last_x == spacing
            if not count:
                self.first = y
            self.last, self.last_x = y, x
            good = -np.inf < y < np.inf
            if good:
                self.finite += 1
                self.mean = y if self.finite == 1 else self.mean * (1 - 1 / self.finite) + y / self.finite
                if y < self.low:
                    self.low, self.low_x = y, x
                if y > self.high:
                    self.high, self.high_x = y, x
            else:
                self.bad += 1
            if k == 1:
                made.append([x, t, y])
            elif count % k == 0:
                value = y if good else np.nan
                row = [x, t, value, value, x, value, x, float(good), float(not good)]
                made.append(row)
            else:
                continue_row(row, x, t, y, good)
            count += 1
        if k > 1:
            self._keep_recent(np.array((xs, ts, ys)))
        if begun:
            self._used -= 1
        self._append(np.array(made).T)
        self.count = count

    def _keep_recent(self, raw: Floats) -> None:
        self._recent.append(raw)
        self._recent_count += raw.shape[1]
        if self._recent_count > 2 * self.keep:
            self._recent = [np.concatenate(self._recent, 1)[:, -self.keep :].copy()]
            self._recent_count = self._recent[0].shape[1]

    def _spaced(self, x: Floats) -> None:
        self.whole = self.whole and bool((x == np.floor(x)).all())
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
        fresh = mean_of(y)
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
            self._keep_recent(self._rows[:, max(0, self._used - RECENT) : self._used].copy())
        rows = self.level(2 * self.k)
        self.k *= 2
        self._rows, self._used = np.ascontiguousarray(rows), rows.shape[1]

    def level(self, k: int, begin: int = 0, end: int | None = None) -> Floats:
        """Buckets `begin` to `end` (exclusive; None: all) of the level of `k` records, `k` not below `self.k`.

        Three rows where `k` is 1, else nine; the last bucket may be unfinished.
        """
        ratio = k // self.k
        if end is None and self.k > 1 and 0 < self._used - begin * ratio <= min(ratio, _FEW):
            few = self._rows[:, begin * ratio : self._used].T.tolist()
            return np.array(reduce(continued, few), float)[:, None]
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
        if self.k == 1:
            rows = self._rows[:, : self._used]
        else:
            self._recent = [np.concatenate(self._recent, 1)] if self._recent else [np.empty((3, 0))]
            rows = self._recent[0]
        return rows[:, -min(most, RECENT) :]

    def tail_mean(self, share: float = 0.1) -> float:
        """Mean of the finite records in the last `share` of the series (in whole buckets), NaN if there are none."""
        begin = (self.count - max(1, int(self.count * share))) // self.k
        rows = self._rows[:, begin : self._used]
        if self.k == 1:
            values = rows[MEAN]
            good = np.isfinite(values)
            values = values if good.all() else values[good]
            return mean_of(values) if len(values) else float("nan")
        n = rows[N]
        finite = float(n.sum())
        if not finite:
            return float("nan")
        held = n > 0
        return float((rows[MEAN, held] * (n[held] / finite)).sum())
