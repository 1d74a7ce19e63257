"""Online statistics equal what the whole series gives, at every prefix; and judgements do not depend on units."""

from __future__ import annotations

import doctest
import importlib
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.context import progress
from analyzer.metrics import NAMES, key_of
from analyzer.series import CELLS, HEAD, RING, Cells, Series
from analyzer.stats import SlidingSlope

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))


@pytest.mark.parametrize("module", ["batch", "metrics", "series", "stats"])
def test_examples_in_docstrings(module: str) -> None:
    """The examples of the statistics' docstrings come out as they say."""
    result = doctest.testmod(importlib.import_module(f"analyzer.{module}"))
    assert result.attempted and not result.failed


@settings(deadline=None, max_examples=40)
@given(st.lists(numbers, min_size=1, max_size=300))
def test_cells_are_means_of_equal_parts_at_every_prefix(values: list[float]) -> None:
    """After any number of values the cells are the means of consecutive parts of `width` values, fewer than `CELLS` of them."""
    cells = Cells()
    for n, x in enumerate(values, 1):
        cells.push(x, 1)
        width = cells.width
        assert len(cells.values) == n // width < CELLS and width & (width - 1) == 0
        for index, mean in enumerate(cells.values):
            part = values[index * width : (index + 1) * width]
            assert math.isclose(mean, sum(part) / width, rel_tol=1e-9, abs_tol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.lists(numbers, min_size=3, max_size=60), st.integers(3, 20))
def test_a_sliding_slope_is_that_of_least_squares(values: list[float], size: int) -> None:
    """At every prefix the slope is what numpy fits to the last `size` values."""
    slope = SlidingSlope(size)
    for n, x in enumerate(values, 1):
        found = slope.push(x)
        if n < size:
            assert found is None
        else:
            expected = np.polyfit(range(size), values[n - size : n], 1)[0]
            assert found is not None and math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-4)


@settings(deadline=None, max_examples=40)
@given(st.lists(numbers, min_size=1, max_size=200), st.integers(0, 10**6))
def test_blocks_of_any_size_remember_the_same(values: list[float], seed: int) -> None:
    """Count, head, ring and last value do not depend on how a series is cut into blocks; each block has its extremes and mean."""
    cut = random.Random(seed)
    series = Series("loss", "loss", "training", "", "")
    at = 0
    while at < len(values):
        block = values[at : at + cut.choice([1, 2, 5, 70])]
        series.push(block, range(at, at + len(block)), (at, at, float(at)))
        at += len(block)
        assert (series.low, series.high, series.last) == (min(block), max(block), block[-1])
        assert math.isclose(series.mean, sum(block) / len(block), rel_tol=1e-9, abs_tol=1e-6)
        assert series.n == at and series.head == values[:at][:HEAD] and list(series.ring) == values[:at][-RING:]
        assert list(series.steps) == list(range(at))[-RING:]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_progress_has_no_unit(scale: float) -> None:
    """The same curve in another unit has gained, lost and drifted by the same number of standard errors."""
    chance = random.Random(3)
    curve = [2.0 * math.exp(-i / 60) + chance.gauss(0, 0.05) for i in range(400)]
    plain, scaled = Series("loss", "loss", "training", "", ""), Series("loss", "loss", "training", "", "")
    for i, x in enumerate(curve):
        plain.push([x], [i], (i, i, float(i)))
        scaled.push([scale * x], [i], (i, i, float(i)))
    a, b = progress(plain), progress(scaled)
    assert a is not None and b is not None and a.gained and b.gained
    for name in ("sigmas", "firm", "lost", "worse", "drift", "late"):
        assert math.isclose(getattr(a, name), getattr(b, name), rel_tol=1e-6, abs_tol=1e-6)
    assert math.isclose(a.best * scale, b.best, rel_tol=1e-9)


def test_names_are_found_in_one_table() -> None:
    """Every alias has one key; prefixes of loggers do not matter, those of evaluations do."""
    aliases = [alias for names in NAMES.values() for alias in names]
    assert len(aliases) == len(set(aliases))
    assert key_of("train/approx_kl") == key_of("losses/approx_kl") == key_of("Approx_KL") == "approx_kl"
    assert key_of("lr") == key_of("charts/learning_rate") == "learning_rate"
    assert (
        key_of("eval/mean_reward") == "eval/mean_reward" and key_of("val/loss") == "val_loss" and key_of("kl") == "kl"
    )
