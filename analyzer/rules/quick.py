"""The newest values against the whole run: what several rules of losses and rewards share. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from analyzer.context import Progress
from analyzer.series import RING, Series


class Quick(NamedTuple):
    """Level of the last `records` values: mean, median, and the standard error from the noise of the run."""

    mean: float
    median: float
    error: float
    records: int
    least: float
    most: float


def quick(series: Series, p: Progress, least: int, part: float) -> Quick:
    """The newest values: at least `least` of them, or `part` of the run, at most the ring."""
    records = min(RING, series.n, max(least, int(part * series.n)))
    values = series.recent(records)
    cells = len(series.cells.values)
    sigma = p.noise * math.sqrt(max(1, cells // 8) * series.cells.width)  # of one value
    ordered = sorted(values)
    return Quick(
        sum(values) / records, ordered[records // 2], sigma / math.sqrt(records), records, ordered[0], ordered[-1]
    )
