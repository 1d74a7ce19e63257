"""Each online statistic against the batch one, at every prefix."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyzer
from analyzer.stats import Blocks, Ewma, Window, kendall_tau

VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=200)
MODULES = sorted(module.name for module in pkgutil.walk_packages(analyzer.__path__, "analyzer."))


@pytest.mark.parametrize("module", [name for name in MODULES if name != "analyzer.__main__"])
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    """Every example in a docstring of the analyzer gives what it says."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@given(VALUES, st.integers(1, 30))
def test_window_agrees_with_numpy_at_every_prefix(values: list[float], size: int) -> None:
    """Mean and variance of the last values are numpy's, whatever came before them."""
    window = Window(size)
    for end, x in enumerate(values, 1):
        window.push(x)
        last = np.array(values[max(0, end - size) : end])
        assert len(window) == len(last)
        assert window.mean == pytest.approx(last.mean(), rel=1e-9, abs=1e-6)
        if len(last) > 1:
            assert window.variance == pytest.approx(last.var(ddof=1), rel=1e-6, abs=1e-3)


def test_window_forgets_a_huge_value_without_a_trace() -> None:
    """After 1e300 has left the window the mean is exact again."""
    window = Window(3)
    for x in (1e300, 1.0, 1.0, 1.0):
        window.push(x)
    assert (window.mean, window.variance) == (1.0, 0.0)


@given(VALUES, st.integers(1, 30), st.integers(1, 30), st.integers(0, 200))
def test_window_keeps_its_newest_values_when_resized(values: list[float], size: int, then: int, at: int) -> None:
    """A window that is resized half-way ends with the newest values that both sizes have kept."""
    window, kept = Window(size), []
    for i, x in enumerate(values):
        if i == at:
            window.resize(then)
            size, kept = then, kept[-then:]
        window.push(x)
        kept = [*kept, x][-size:]
    assert len(window) == len(kept)
    assert window.mean == pytest.approx(np.mean(kept), rel=1e-9, abs=1e-6)


@given(VALUES, st.floats(1.0, 50.0))
def test_ewma_is_a_weighted_sum_of_all_values(values: list[float], span: float) -> None:
    """The smoothed value is the weighted sum that its recursion stands for, and never outside the values' range."""
    smooth = Ewma(span)
    for end in range(1, len(values) + 1):
        got = smooth.push(values[end - 1])
        weights = np.ones(end)
        for i in range(end):
            alpha = max(1 / (i + 1), 2 / (span + 1))
            weights[:i] *= 1 - alpha
            weights[i] = alpha
        assert got == pytest.approx(float(weights @ np.array(values[:end])), rel=1e-9, abs=1e-6)
        assert min(values[:end]) - 1e-6 <= got <= max(values[:end]) + 1e-6


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=150), st.integers(5, 40))
def test_blocks_agree_with_numpy_whenever_one_is_complete(values: list[float], window: int) -> None:
    """Block means are numpy's over the same values, and the noise is the root of half the mean squared difference."""
    blocks = Blocks(window)
    for end, x in enumerate(values, 1):
        if not blocks.push(x):
            continue
        size = blocks.block
        first = max(0, end - size * blocks.count)
        part = np.array(values[first:end])
        assert np.allclose(blocks.means, part.reshape(-1, size).mean(axis=1), rtol=1e-9, atol=1e-6)
        differences = np.diff(np.array(values[max(0, first - 1) : end]))
        noise = np.sqrt(np.mean(differences**2) / 2) if len(differences) else 0.0
        assert blocks.noise == pytest.approx(noise, rel=1e-9, abs=1e-9)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=12))
def test_kendall_tau_counts_pairs(values: list[int]) -> None:
    """Tau is the surplus of rising over falling pairs, by numpy's count."""
    array = np.array(values, float)
    signs = np.sign(array[None, :] - array[:, None])
    expected = signs[np.triu_indices(len(values), 1)].mean()
    assert kendall_tau(array.tolist()) == pytest.approx(expected)
