"""Windows of noisy curves: their errors against simulation, and how often chance passes for a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from renderer.report import stats
from renderer.report.stats import Floats


def ones(y: Floats) -> tuple[Floats, Floats, Floats]:
    return np.arange(len(y), dtype=float), y, np.ones(len(y))


def noise(random: np.random.Generator, n: int, alike: float) -> Floats:
    """Noise of variance 1 in which neighbours have the correlation `alike`."""
    found = np.empty(n)
    found[0] = random.normal()
    for i in range(1, n):
        found[i] = alike * found[i - 1] + math.sqrt(1 - alike**2) * random.normal()
    return found


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.8])
def test_the_error_is_that_of_the_mean(alike: float) -> None:
    """Over many curves the stated error agrees with the spread of the means within a third, also where neighbours are alike."""
    random = np.random.default_rng(1)
    windows = [stats.window(*ones(y), stats.alike(y)) for y in (noise(random, 400, alike) for _ in range(200))]
    spread = float(np.std([one.mean for one in windows]))
    assert 0.67 < float(np.mean([one.error for one in windows])) / spread < 1.5


def test_a_trend_is_not_noise() -> None:
    """A window that rises steadily, or bends, has the error of its noise alone."""
    random = np.random.default_rng(2)
    flat = random.normal(0, 0.1, 100)
    steep = flat + np.linspace(0, 50, 100)
    bent = flat + np.linspace(-5, 5, 100) ** 2
    errors = [stats.window(*ones(y)).error for y in (flat, steep, bent)]
    assert max(errors) < 2 * min(errors)


@pytest.mark.parametrize(("n", "alike"), [(40, 0.0), (40, 0.8), (130, 0.8), (400, 0.0), (400, 0.5), (400, 0.8)])
def test_chance_is_seldom_called_a_difference(n: int, alike: float) -> None:
    """Pure noise, short or long, correlated or not, is called better at its end or at its best in less than 8 of 100 runs; in less than 2
    where neighbours are little alike."""
    random = np.random.default_rng(3)
    ended = best = 0
    for _ in range(150):
        c = stats.curve(*ones(10 + noise(random, n, alike)), up=True)
        assert c is not None
        ended += stats.clear(c.first, c.last, 0.0)
        best += stats.clear(c.first, c.best, 0.0, stats.BEST_OF)
    assert max(ended, best) <= (12 if alike > 0.5 else 3)


def test_the_correlation_of_noise_is_found_beside_a_trend() -> None:
    """The estimate follows the correlation that was put in, with and without a steep trend, and errs on the side of more."""
    random = np.random.default_rng(8)
    for alike in (0.0, 0.5, 0.8):
        plain = [stats.alike(noise(random, 400, alike)) for _ in range(30)]
        steep = [stats.alike(noise(random, 400, alike) + np.linspace(0, 100, 400)) for _ in range(30)]
        for found in (plain, steep):
            assert alike - 0.1 < float(np.mean(found)) < alike + 0.15
    assert stats.alike(np.zeros(50)) == stats.alike(np.zeros(3)) == 0.95


def test_a_real_difference_is_found() -> None:
    """A gain of two standard deviations of the noise is found in a run of 400 records."""
    random = np.random.default_rng(4)
    y = random.normal(0, 1, 400) + np.linspace(0, 3, 400)
    c = stats.curve(*ones(y), up=True)
    assert c is not None and stats.clear(c.first, c.last, 0.01) and c.gain(c.first, c.last) > 2


def test_blocks_and_records_tell_the_same() -> None:
    """Windows of a long run in blocks agree with those of its records."""
    random = np.random.default_rng(5)
    y = np.exp(-np.arange(64_000) / 20_000) + random.normal(0, 0.05, 64_000)
    x = np.arange(64_000, dtype=float)
    fine = stats.curve(x, y, np.ones(len(y)), up=False)
    means = y.reshape(-1, 128).mean(1)
    coarse = stats.curve(x[64::128], means, np.full(len(means), 128.0), up=False, head=(x[:64], y[:64]))
    assert fine is not None and coarse is not None
    for name in ("first", "last", "best"):
        one, other = getattr(fine, name), getattr(coarse, name)
        assert one.mean == pytest.approx(other.mean, abs=0.01)
    assert coarse.first.n == 50 and coarse.n == 64_000


def test_what_cannot_be_computed_is_none() -> None:
    """Too few records, or values whose squares overflow, give no curve; a constant has the error 0."""
    assert stats.curve(*ones(np.zeros(stats.LEAST - 1)), up=True) is None
    assert stats.curve(*ones(np.full(50, 1e200)), up=True) is None
    assert stats.curve(np.empty(0), np.empty(0), np.empty(0), up=True) is None
    c = stats.curve(*ones(np.full(50, 0.1)), up=True)
    assert c is not None and c.first.error == 0.0 and not stats.clear(c.first, c.last, 0.0)


def test_the_smallest_change_that_counts() -> None:
    """A difference beyond all noise does not count when it is a smaller share of the values than asked for."""
    one, other = (stats.Window(0, 1, 50, mean, 1e-6, 40.0) for mean in (100.0, 100.5))
    assert stats.clear(one, other, 0.001) and not stats.clear(one, other, 0.01)
    unknown = stats.Window(0, 1, 2, 500.0, math.nan, 0.0)
    assert not stats.clear(one, unknown, 0.01)
