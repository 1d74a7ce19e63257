"""Series as buckets against numpy over the whole batch, and on the wire and back."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from renderer.live import blocks
from renderer.live.buckets import BAD, HI, LO, MEAN, XHI, XLO, N, T, X
from renderer.live.pyramid import RECENT, Pyramid

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-310]))
CUTS = st.lists(st.integers(0, 300), max_size=6)


def filled(values: list[float], cuts: list[int], coarsen: list[int] | None = None, step: float = 3.0) -> Pyramid:
    """A pyramid that got its values in pieces cut at `cuts`, and gave up a level before each piece numbered in `coarsen`."""
    one = Pyramid()
    y = np.array(values, float)
    edges = sorted({0, len(values), *(cut % (len(values) + 1) for cut in cuts)})
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        for _ in range((coarsen or []).count(number)):
            one.coarsen()
        at = np.arange(begin, end, dtype=float)
        one.extend(step * at, 1000 + at / 8, y[begin:end])
    return one


@settings(max_examples=400, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=300), CUTS, st.lists(st.integers(0, 6), max_size=5), st.integers(0, 4))
def test_every_level_is_that_of_the_whole_batch(
    values: list[float], cuts: list[int], coarsen: list[int], up: int
) -> None:
    """However records arrive and whenever levels are given up, each bucket has numpy's extremes, places, counts and mean."""
    one = filled(values, cuts, coarsen)
    k = one.k * 2**up
    rows = one.level(k)
    assert rows.shape[1] == math.ceil(len(values) / k)
    y = np.array(values, float)
    for place in range(rows.shape[1]):
        part = y[place * k : (place + 1) * k]
        last = place * k + len(part) - 1
        assert (rows[X, place], rows[T, place]) == (3.0 * last, 1000 + last / 8)
        good = part[np.isfinite(part)]
        if k == 1:
            np.testing.assert_equal(rows[MEAN, place], part[0])
            continue
        assert (rows[N, place], rows[BAD, place]) == (len(good), len(part) - len(good))
        if len(good):
            assert (rows[LO, place], rows[HI, place]) == (good.min(), good.max())
            assert values[int(rows[XLO, place] / 3)] == good.min() and values[int(rows[XHI, place] / 3)] == good.max()
            assert place * k <= rows[XLO, place] / 3 <= last and place * k <= rows[XHI, place] / 3 <= last
            scale = float(np.abs(good).max())
            np.testing.assert_allclose(rows[MEAN, place], (good / len(good)).sum(), rtol=1e-9, atol=1e-12 * scale)
        else:
            assert np.isnan(rows[[MEAN, LO, HI], place]).all() and rows[XLO, place] == rows[X, place]


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=300), CUTS, st.lists(st.integers(0, 6), max_size=4))
def test_totals_are_those_of_the_whole_batch(values: list[float], cuts: list[int], coarsen: list[int]) -> None:
    """Counts, extremes and their places, first, last, the mean and the mean of the end are numpy's over all records."""
    one = filled(values, cuts, coarsen)
    y = np.array(values, float)
    good = y[np.isfinite(y)]
    assert (one.count, one.finite, one.bad) == (len(y), len(good), len(y) - len(good))
    np.testing.assert_equal([one.first, one.last, one.last_x], [y[0], y[-1], 3.0 * (len(y) - 1)])
    begin = (len(y) - max(1, len(y) // 10)) // one.k * one.k
    end = y[begin:][np.isfinite(y[begin:])]
    if len(good):
        assert (one.low, one.high) == (good.min(), good.max())
        assert values[int(one.low_x / 3)] == one.low and values[int(one.high_x / 3)] == one.high
        scale = float(np.abs(good).max())
        np.testing.assert_allclose(one.mean, (good / len(good)).sum(), rtol=1e-9, atol=1e-9 * scale)
    expected = (end / len(end)).sum() if len(end) else math.nan
    np.testing.assert_allclose(
        one.tail_mean(), expected, rtol=1e-9, atol=1e-9 * float(np.abs(end).max()) if len(end) else 0
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=200), st.integers(0, 3), st.integers(0, 40), st.sampled_from([1.0, 0.3]))
def test_a_block_survives_the_wire(values: list[float], up: int, begin: int, step: float) -> None:
    """Decoding what was encoded gives steps exactly, times to a millisecond, values to F32, counts exactly."""
    rows = filled(values, [], step=step).level(2**up)
    back = blocks.decode(blocks.encode(5, 2**up, begin, rows))
    np.testing.assert_allclose(back[T], rows[T], atol=0.00051)
    np.testing.assert_allclose(back[X], rows[X], rtol=1e-15)
    np.testing.assert_allclose(back[[MEAN]], rows[[MEAN]], rtol=1e-6)
    if up:
        np.testing.assert_allclose(back[[LO, HI]], rows[[LO, HI]], rtol=1e-6)
        np.testing.assert_allclose(back[[XLO, XHI]], rows[[XLO, XHI]], rtol=1e-15)
        np.testing.assert_equal(back[[N, BAD]], rows[[N, BAD]])


def test_steps_that_fall_back_stay_in_the_order_of_the_records() -> None:
    """A resumed run's second half follows its first, whatever its steps and times."""
    one = Pyramid()
    one.extend(np.array([1.0, 2.0, 3.0]), np.array([10.0, 11.0, 12.0]), np.arange(3.0))
    one.extend(np.array([2.0, 3.0]), np.array([5.0, 6.0]), np.array([7.0, 8.0]))
    back = blocks.decode(blocks.encode(1, 1, 0, one.level(1)))
    assert back[X].tolist() == [1, 2, 3, 2, 3] and back[T].tolist() == [10, 11, 12, 5, 6]
    assert not one.even
    assert one.level(2)[X].tolist() == [2, 2, 3]


def test_far_steps_and_times_stay_exact() -> None:
    """Steps beyond what F32 counts, and times further apart than 49 days, are exact."""
    one = Pyramid()
    x = np.array([2.0**52, 2.0**52 + 1, 2.0**52 + 5, 3.0])
    one.extend(x, np.array([1.7e9, 1.7e9 + 0.25, 1.71e9, 1.72e9]), np.arange(4.0))
    for k in (1, 2):
        back = blocks.decode(blocks.encode(1, k, 0, one.level(k)))
        np.testing.assert_equal(back[: MEAN + 1], one.level(k)[: MEAN + 1])
        np.testing.assert_equal(back, one.level(k))


def test_the_latest_records_stay_one_by_one() -> None:
    """However coarse the rest is, the last records are kept as they were logged, a NaN and an infinity among them."""
    one = Pyramid()
    y = np.random.default_rng(0).normal(size=10_000)
    y[9_990], y[9_995] = math.nan, -math.inf
    for begin in range(0, 10_000, 1_500):
        part = y[begin : begin + 1_500]
        one.extend(np.arange(begin, begin + len(part), dtype=float), np.zeros(len(part)), part)
        one.coarsen()
    recent = one.recent()
    assert recent.shape[1] == RECENT and one.k == 128
    np.testing.assert_equal(recent[MEAN], y[-RECENT:])
    assert recent[X].tolist() == list(range(10_000 - RECENT, 10_000))


def test_memory_follows_what_is_kept() -> None:
    """After a million records and nine halvings some thousand buckets are in memory."""
    one = Pyramid()
    for begin in range(0, 1_000_000, 50_000):
        one.extend(np.arange(begin, begin + 50_000.0), np.zeros(50_000), np.ones(50_000))
        while one.used > 4_000:
            one.coarsen()
    assert one.k == 256 and one._rows.nbytes < 600_000
    assert one.level_for(1000) == 1024 and one.level(1024).shape[1] == 977


def test_no_records_change_nothing() -> None:
    """An empty batch leaves a series as it was, and an empty series has no buckets."""
    one = Pyramid()
    one.extend(np.empty(0), np.empty(0), np.empty(0))
    assert one.count == 0 and one.level(1).shape == (3, 0) and one.level(4).shape == (9, 0)
    assert math.isnan(one.tail_mean()) and one.level_for(10) == 1
