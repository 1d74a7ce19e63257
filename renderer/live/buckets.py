"""Buckets of records as rows of numbers, and how neighbours are joined. Pure.

Three ways of joining give the same: arrays for many, `_reduced` for many raw records, Python for a few, where calling numpy takes longer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Rows of a level, one column per bucket: step and time of its last record, mean of its finite records, then least and greatest value with
#: their steps, number of finite and of non-finite records. A level of single records has the first three alone.
X, T, MEAN, LO, XLO, HI, XHI, N, BAD = range(9)


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


def continue_row(row: list[float], x: float, t: float, y: float, good: bool) -> None:
    """Put one record more into a bucket, whose numbers are in the order of the rows."""
    row[X], row[T] = x, t
    n = row[N]
    if not good:
        row[BAD] += 1
        if not n:
            row[XLO] = row[XHI] = x
        return
    row[N] = n + 1
    if not n:
        row[MEAN] = row[LO] = row[HI] = y
        row[XLO] = row[XHI] = x
        return
    row[MEAN] = row[MEAN] * (n / (n + 1)) + y / (n + 1)
    if y < row[LO]:
        row[LO], row[XLO] = y, x
    if y > row[HI]:
        row[HI], row[XHI] = y, x


def continued(bucket: list[float], more: list[float]) -> list[float]:
    """Two buckets that follow each other, as one; numbers in the order of the rows."""
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
    elif not fresh:
        made[XLO] = made[XHI] = made[X]
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


def mean_of(values: Floats) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        return mean if np.isfinite(mean) else float((values / len(values)).sum())
