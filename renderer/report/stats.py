"""What a noisy curve lets one say: means of windows with their standard errors, and whether two of them differ.

A curve comes as blocks in the order of its records: middle step, mean and number of finite records of each block (a block
is a record while the run is short). Errors are about a line or parabola through the window, so that a trend is not taken for
noise, and widened for neighbours that resemble each other as much as those of the whole curve do. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Below it nothing is said about a curve.
LEAST: Final = 20
#: Quantile of the normal distribution that a difference must pass, in standard errors; `BEST_OF` where one side was picked
#: as the best of some twenty windows: chance alone puts that one about two errors above the mean.
PLAIN: Final = 3.0
BEST_OF: Final = 4.0
#: Neighbours more alike than this are taken to be this alike: an estimate from a few blocks cannot tell.
_MOST_ALIKE: Final = 0.95
_FIRST_AT_MOST: Final = 50
_ROUNDING: Final = 1e-9
_CURVED: Final = 8


@dataclass(frozen=True, slots=True)
class Window:
    """Mean of `n` finite records between the steps `begin` and `end`, its standard error, and the degrees of freedom behind it."""

    begin: float
    end: float
    n: int
    mean: float
    error: float
    freedom: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "from_step": _plain(self.begin), "to_step": _plain(self.end), "records": self.n, "mean": _plain(self.mean),
            "standard_error": _plain(self.error),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric's course, where higher is better if `up`: its first records, its last tenth, its best window,
    its last sixth (`late`) and the sixth before (`middle`)."""

    up: bool
    n: int
    first: Window
    last: Window
    best: Window
    middle: Window
    late: Window

    def gain(self, since: Window, until: Window) -> float:
        """How much better `until` is than `since`."""
        return (until.mean - since.mean) if self.up else (since.mean - until.mean)


def alike(y: Floats) -> float:
    """How much neighbours of a curve resemble each other beyond its trend: the lag-one correlation of its noise, 0 to 0.95.

    For autoregressive noise the mean squares of differences at distance one and two are 2 s^2 (1 - r) and 2 s^2 (1 - r^2): their
    ratio is 1 + r, and a slow trend hardly enters it. Taken over some twenty pieces, each by its own scale and with its own slope
    taken out. One standard error, 1 / sqrt(length), is added: too much makes for fewer claims.
    """
    if len(y) < 5:
        return _MOST_ALIKE
    near = far = 0.0
    for piece in np.array_split(y, max(1, min(20, len(y) // 10))):
        one, two = np.diff(piece), piece[2:] - piece[:-2]
        squares = float(((one - one.mean()) ** 2).mean()), float(((two - two.mean()) ** 2).mean())
        if squares[0] + squares[1] > 0:
            near += squares[0] / (squares[0] + squares[1])
            far += squares[1] / (squares[0] + squares[1])
    return min(max(0.0, far / near - 1) + 1 / math.sqrt(len(y)), _MOST_ALIKE) if near > 0 else _MOST_ALIKE


def window(x: Floats, y: Floats, n: Floats, r: float = 0.0) -> Window:
    """The mean of some blocks and its error, where the noise of neighbours has the correlation `r`.

    The error is that of a mean of `k` correlated values, s / sqrt(k (1 - r) / (1 + r)) (Bartlett 1946). s^2 is the larger of two
    estimates, from what a line or parabola leaves, and from the differences of neighbours: slow noise looks like a trend to the first,
    noise that is not autoregressive like none to the second. With fewer than three blocks the error is not known: NaN.
    """
    total = float(n.sum())
    mean = float((y * n).sum() / total)
    k = len(y)
    if k < 3:
        return Window(float(x[0]), float(x[-1]), int(total), mean, math.nan, 0.0)
    powers = np.vander(np.linspace(-1.0, 1.0, k), 3 if k >= _CURVED else 2)
    root = np.sqrt(n / total)
    rest = y - powers @ np.linalg.lstsq(powers * root[:, None], y * root, rcond=None)[0]
    steps = np.diff(y)
    place = np.linspace(-1.0, 1.0, k - 1)
    steps = steps - steps.mean() - place * float((place * steps).sum() / (place * place).sum())
    slow = float((steps**2).sum()) / max(1, k - 3) / (2 * (1 - r))
    variance = max(float((rest**2).sum()) / (k - powers.shape[1]), slow)
    if variance < (_ROUNDING * float(np.abs(y).max())) ** 2:
        variance = 0.0  # what is left is the arithmetic's, not the run's
    effective = max(1.0, k * (1 - r) / (1 + r))
    # What correlated values are worth as an estimate of a variance (Bayley and Hammersley 1946), less one.
    freedom = max(2.0, k * (1 - r * r) / (1 + r * r) - 1)
    return Window(float(x[0]), float(x[-1]), int(total), mean, math.sqrt(variance / effective), freedom)


def curve(x: Floats, y: Floats, n: Floats, up: bool, head: tuple[Floats, Floats] | None = None) -> Curve | None:
    """The windows of a curve, None where there are fewer than `LEAST` finite records.

    Args:
        x, y, n: blocks in order, see the module.
        up: higher is better.
        head: steps and values of the first finite records, one by one, where blocks are coarser than that.
    """
    records = int(n.sum()) if len(n) else 0
    with np.errstate(over="ignore", invalid="ignore"):
        if records < LEAST or not np.isfinite(y).all() or not math.isfinite(float((y * y * n).sum())):
            return None
        r = alike(y)
        upto = min(_FIRST_AT_MOST, max(10, records // 10))
        if head is not None and len(head[1]) >= 10:
            first = window(head[0][:upto], head[1][:upto], np.ones(min(upto, len(head[1]))), alike(head[1]))
        else:
            first = _between(x, y, n, r, 0, upto)
        last = _between(x, y, n, r, records - max(10, records // 10), records)
        width = max(10, records // 20)
        starts = [records - width * i for i in range(records // width, 0, -1)]
        parts = [_between(x, y, n, r, start, start + width) for start in starts]
        best = max(parts, key=lambda part: part.mean if up else -part.mean)
        middle, late = (
            _between(x, y, n, r, records * 2 // 3, records * 5 // 6),
            _between(x, y, n, r, records * 5 // 6, records),
        )
    return Curve(up, records, first, last, best, middle, late)


def _between(x: Floats, y: Floats, n: Floats, r: float, begin: int, end: int) -> Window:
    """The blocks that hold the records `begin` to `end`, whole."""
    behind = np.cumsum(n)
    low = int(np.searchsorted(behind, begin, side="right"))
    high = int(np.searchsorted(behind, end, side="left")) + 1
    low = min(low, len(y) - 1)
    return window(x[low:high], y[low:high], n[low:high], r)


def clear(one: Window, other: Window, least: float, quantile: float = PLAIN) -> bool:
    """Whether two means differ by more than noise explains, and by more than the share `least` of the larger of them.

    Welch's test at `quantile`, as a quantile of Student's t (expansion in Abramowitz and Stegun 26.7.5).
    """
    difference = abs(one.mean - other.mean)
    if not difference > least * max(abs(one.mean), abs(other.mean)):
        return False
    parts = (one.error**2, other.error**2)
    error = math.sqrt(parts[0] + parts[1])
    if not math.isfinite(error):
        return False
    if error == 0:
        return True
    freedom = (parts[0] + parts[1]) ** 2 / (parts[0] ** 2 / one.freedom + parts[1] ** 2 / other.freedom)
    return difference > student(quantile, freedom) * error


def student(z: float, freedom: float) -> float:
    """The quantile of Student's t that belongs to quantile `z` of the normal distribution.

    >>> [round(student(3.0, nu), 2) for nu in (5, 10, 30, 1e9)]
    [5.43, 3.95, 3.27, 3.0]
    """
    nu = max(1.0, freedom)
    return (
        z
        + (z**3 + z) / (4 * nu)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * nu**3)
    )


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
