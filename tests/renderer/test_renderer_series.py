"""The bounded history of a metric against numpy over the whole batch."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderer.series import Series, plain

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))


def filled(values: list[float], cuts: list[int], points: int = 20, windows: tuple[int, ...] = (5,)) -> Series:
    series = Series(points, windows)
    y = np.array(values)
    edges = sorted({0, len(values), *(cut % (len(values) + 1) for cut in cuts)})
    for begin, end in itertools.pairwise(edges):
        series.extend(np.arange(begin, end, dtype=float), y[begin:end])
    return series


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_totals_are_those_of_the_whole_batch(values: list[float], cuts: list[int]) -> None:
    """However the records arrive, counts, extremes, their places and the mean are numpy's over all of them."""
    series = filled(values, cuts)
    y = np.array(values)
    good = y[np.isfinite(y)]
    assert (series.count, series.finite, series.bad) == (len(y), len(good), len(y) - len(good))
    np.testing.assert_equal([series.first, series.last], [y[0], y[-1]])
    if len(good):
        assert (series.low, series.high) == (good.min(), good.max())
        assert values[int(series.low_x)] == series.low and values[int(series.high_x)] == series.high
        assert series.mean == pytest.approx(good.mean(), rel=1e-9, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_what_is_drawn_does_not_depend_on_how_records_arrived(values: list[float], cuts: list[int]) -> None:
    """One batch or many: the same buckets, points and averages."""
    one, many = filled(values, []), filled(values, cuts)
    for left, right in zip((*one.points(), *one.average()), (*many.points(), *many.average()), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-6)
    assert one.bad_steps() == many.bad_steps()


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=200), st.integers(1, 30), st.lists(st.integers(0, 200), max_size=4))
def test_the_moving_average_is_the_mean_of_the_last_finite_values(
    values: list[float], window: int, cuts: list[int]
) -> None:
    """At the end of a run the average is numpy's mean over its last `window` finite values."""
    series = filled(values, cuts, windows=(window,))
    good = [v for v in values if math.isfinite(v)]
    expected = float(np.mean(good[-window:])) if good else math.nan
    np.testing.assert_allclose(series.average()[1][-1], expected, rtol=1e-9, atol=1e-6)


def test_long_averages_agree_with_short_work() -> None:
    """A window too long for the quick way still gives the mean, also after a huge outlier has left it."""
    random = np.random.default_rng(3)
    y = random.normal(size=40_000)
    y[5000] = 1e12
    series = Series(100, (3000,))
    for begin in range(0, len(y), 7000):
        part = y[begin : begin + 7000]
        series.extend(np.arange(begin, begin + len(part), dtype=float), part)
    assert series.average()[1][-1] == pytest.approx(y[-3000:].mean(), abs=1e-6)


def test_memory_is_bounded_and_extremes_survive() -> None:
    """After a million records some thousand points are drawn, and one outlier of a single record is among them."""
    series = Series(1000, (20, 100))
    random = np.random.default_rng(1)
    for begin in range(0, 1_000_000, 50_000):
        y = random.normal(size=50_000)
        if begin == 300_000:
            y[123] = 1e4
        series.extend(np.arange(begin, begin + 50_000, dtype=float), y)
    x, drawn = series.points()
    assert 400 < len(x) <= 1001
    assert series._rows.nbytes < 200_000
    assert drawn.max() == 1e4 and x[int(drawn.argmax())] == 300_123
    assert (np.diff(x) >= 0).all()


def test_only_the_end_of_a_curve_changes_between_two_halvings() -> None:
    """A few records more leave all points but the last few where they were: curves do not shimmer."""
    y = np.random.default_rng(5).normal(size=10_050)
    series = Series(1000, (20,))
    series.extend(np.arange(10_000.0), y[:10_000])
    before = series.points()[0]
    series.extend(np.arange(10_000.0, 10_050.0), y[10_000:])
    after = series.points()[0]
    assert (before[:-3] == after[: len(before) - 3]).all()


def test_short_history_is_drawn_record_by_record() -> None:
    """While there is room each record is a point, and a NaN is a gap that is counted and placed."""
    series = Series(1000, (2,))
    series.extend(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, math.nan, 3.0, 5.0]))
    x, y = series.points()
    assert x.tolist() == [0, 1, 2, 3]
    np.testing.assert_equal(y, [1, math.nan, 3, 5])
    assert series.bad == 1 and series.bad_steps() == [1.0]
    assert series.average()[1].tolist() == [1, 1, 2, 4]


def test_steps_that_begin_again_break_the_line() -> None:
    """A restarted count of steps makes a gap, not a line across the chart."""
    series = Series(1000, (1,))
    series.extend(np.array([0.0, 1.0, 2.0, 0.0, 1.0]), np.arange(5.0))
    x, y = series.points()
    assert x.tolist() == [0, 1, 2, 0, 0, 1]
    assert math.isnan(y[3])


def test_trend_is_the_least_squares_line() -> None:
    """On a line with noise the trend's slope is numpy's polyfit over the same records."""
    x = np.arange(200.0)
    y = 3 - 0.01 * x + np.random.default_rng(2).normal(scale=0.01, size=200)
    series = Series(1000, (1,))
    series.extend(x, y)
    found = series.trend(50)
    assert found is not None
    slope = (found[3] - found[1]) / (found[2] - found[0])
    assert slope == pytest.approx(np.polyfit(x[-50:], y[-50:], 1)[0], rel=1e-6)
    assert Series().trend(50) is None


def test_extreme_values_do_not_break_anything() -> None:
    """Values near the limits of floats, and none at all, are taken without an exception and stay JSON-able."""
    series = Series(16, (3,))
    series.extend(np.empty(0), np.empty(0))
    for _ in range(40):
        series.extend(np.array([1.0, 2.0]), np.array([1e308, -1e308]))
    line = plain(*series.points())
    assert line["y"].dtype == np.float64
    assert plain(np.array([2.0**60]), np.array([1.0]))["x"].dtype == np.float64
    assert plain(np.array([20_000_001.0]), np.array([1.0]))["x"].tolist() == [20_000_001]
