"""What the page makes of its files, in a real browser: curves, marks, axes, zoom. The files are made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from browser_page import BrowserPage, built, figure
from one_page import LOSS, one, open_one

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_smoothing_is_that_of_tensorboard_and_follows_the_slider(opened: BrowserPage) -> None:
    """The debiased EMA equals its definition at every record, the slider changes it at once, and the choice is remembered."""
    values = np.random.default_rng(3).normal(1, 0.3, 300)
    values[40] = np.nan
    run = one(opened)
    run.add("training", "loss", values)
    run.add("training", "flat", np.full(300, 0.3))
    run.write()
    open_one(opened, run)
    opened.do("const k = document.getElementById('kind'); k.value = 'ema'; k.dispatchEvent(new Event('change'))")
    opened.do("const s = document.getElementById('smooth'); s.value = 250; s.dispatchEvent(new Event('input'))")
    opened.shows("document.getElementById('smooth-value').textContent", "0.9")
    last, n, expected = 0.0, 0, []
    for value in values.astype(np.float32).astype(float):
        if np.isfinite(value):
            last, n = last * 0.9 + 0.1 * value, n + 1
        expected.append(last / (1 - 0.9**n) if np.isfinite(value) else None)
    opened.shows(f"{LOSS}.curves[0].smoothed !== null")
    got = opened.js(f"[...{LOSS}.curves[0].smoothed].map((v) => Number.isFinite(v) ? v : null)")
    assert got[40] is None and expected[40] is None
    np.testing.assert_allclose([v for v in got if v is not None], [v for v in expected if v is not None], atol=1e-6)
    assert opened.js(f"{built('training/flat')}.curves[0].smoothed") is None
    opened.do("const s = document.getElementById('smooth'); s.value = 750; s.dispatchEvent(new Event('input'))")
    opened.shows(f"Math.abs({LOSS}.curves[0].smoothed[299] - {got[299]}) > 1e-4")
    opened.do("const k = document.getElementById('kind'); k.value = 'mean'; k.dispatchEvent(new Event('change'))")
    clean = np.where(np.isfinite(values), values, 0)
    opened.shows(f"Math.abs({LOSS}.curves[0].smoothed[299] - {clean[-20:].mean()}) < 1e-6")
    opened.do("const k = document.getElementById('kind'); k.value = 'ema'; k.dispatchEvent(new Event('change'))")
    open_one(opened, run)
    opened.shows("document.getElementById('smooth-value').textContent", "0.999")
    opened.sound()


def test_smoothing_of_buckets_is_that_of_their_records(opened: BrowserPage) -> None:
    """An EMA over buckets of many records lies where the EMA over the records lies, as far as a bucket's mean can tell."""
    values = np.concatenate([np.full(20_000, 1.0), np.full(20_000, 3.0)]) + np.random.default_rng(1).normal(0, 0.1, 40_000)  # fmt: skip
    run = one(opened)
    run.add("training", "loss", values)
    run.write()
    open_one(opened, run)
    assert opened.js(f"{LOSS}.curves[0].columns.k") == 32
    opened.do("const k = document.getElementById('kind'); k.value = 'ema'; k.dispatchEvent(new Event('change'))")
    opened.do("const s = document.getElementById('smooth'); s.value = 750; s.dispatchEvent(new Event('input'))")
    opened.shows("document.getElementById('smooth-value').textContent", "0.999")
    last = 0.0
    ends = {}
    for i, value in enumerate(values):
        last = last * 0.999 + 0.001 * value
        ends[i] = last / (1 - 0.999 ** (i + 1))
    opened.shows(f"{LOSS}.curves[0].smoothed !== null")
    got = opened.js(f"[...{LOSS}.curves[0].smoothed]")
    assert abs(got[-1] - ends[39_999]) < 0.01
    assert abs(got[650] - ends[650 * 32 + 31]) < 0.02


def test_what_is_not_finite_is_a_mark_and_never_dropped(opened: BrowserPage) -> None:
    """NaN stands at the bottom as a cross, an infinity at its end as a triangle, also where a bucket hides it among others."""
    values = np.linspace(2, 1, 200)
    values[50], values[90], values[120] = np.nan, np.inf, -np.inf
    long = np.random.default_rng(0).normal(0, 1, 50_000)
    long[33_333] = np.nan
    run = one(opened)
    run.add("training", "loss", values)
    run.add("training", "custom", long)
    run.write()
    open_one(opened, run)
    symbols = "plot.data.filter((t) => Array.isArray(t.marker && t.marker.symbol)).flatMap((t) => t.marker.symbol)"
    assert opened.js(f"((plot) => {symbols})({figure('panel/loss')})") == ["x", "triangle-up", "triangle-down"]
    places = "plot.data.filter((t) => Array.isArray(t.marker && t.marker.symbol)).flatMap((t) => [...t.x])"
    assert opened.js(f"((plot) => {places})({figure('panel/loss')})") == [50, 90, 120]
    opened.shows(f"((plot) => {symbols})({figure('training/custom')})", ["x"])
    opened.do("const s = document.getElementById('kind'); s.value = 'none'; s.dispatchEvent(new Event('change'))")
    opened.shows(f"{LOSS}.curves[0].smoothed", None)
    lines = "plot.data.filter((t) => t.mode.startsWith('lines')).map((t) => [...t.y].filter((v) => !Number.isFinite(v)).length)"  # fmt: skip
    assert opened.js(f"((plot) => {lines})({figure('panel/loss')})")[0] == 3
    opened.sound()


def test_a_resumed_run_is_drawn_as_segments(opened: BrowserPage) -> None:
    """Where the steps fall back the line breaks, and nothing is drawn across."""
    run = one(opened)
    run.add("training", "loss", np.linspace(2, 1, 300), np.concatenate([np.arange(200), 100 + np.arange(100)]))
    run.write()
    open_one(opened, run)
    raw = "[...plot.data[0].x]"
    x = opened.js(f"((plot) => {raw}.map((v) => Number.isFinite(v) ? v : null))({figure('panel/loss')})")
    assert x.count(None) == 1 and x[x.index(None) - 1] == 199 and x[x.index(None) + 1] == 100
    assert opened.js(f"{LOSS}.shapes.some((s) => s.x0 === 100 && s.line.dash === 'dashdot')")


def test_axes_of_time_relative_time_and_logarithms(opened: BrowserPage) -> None:
    """Each axis shows the same records at their step, their time or their time since the start; log axes begin above zero."""
    run = one(opened)
    begin = run.state["started"]
    run.add("training", "loss", np.geomspace(10, 0.01, 500), np.arange(500) * 10.0, begin + np.arange(500.0))
    run.write()
    open_one(opened, run)
    last = f"{LOSS}.curves[0].cells[{LOSS}.curves[0].cells.length - 1].x"
    assert opened.js(last) == 4990
    opened.do("document.getElementById('axis-relative').click()")
    opened.shows(f"Math.abs({last} - 499) < 0.01")
    opened.do("document.getElementById('axis-time').click()")
    opened.shows(f"Math.abs({last} - {begin + 499}) < 0.01")
    assert ":" in opened.js(f"{LOSS}.ticks.x.ticktext[1]")
    opened.press("xx")
    opened.shows("document.getElementById('axis-step').getAttribute('aria-pressed')", "true")
    opened.do("document.getElementById('logx').click(); document.querySelector('[data-chart=\"panel/loss\"] .tool').click()")  # fmt: skip
    opened.shows(f"{figure('panel/loss')}._fullLayout.xaxis.type", "log")
    opened.shows(f"{figure('panel/loss')}._fullLayout.yaxis.type", "log")
    low, high = opened.js(f"{figure('panel/loss')}._fullLayout.yaxis.range")
    assert -2.5 < low < -1.9 and 0.9 < high < 1.5
    open_one(opened, run)
    opened.shows(f"{figure('panel/loss')}._fullLayout.yaxis.type", "log")
    opened.sound()


def test_outliers_are_clipped_only_when_asked_and_counted(opened: BrowserPage) -> None:
    """The spike is in sight at first; clipped, the chart says how many points lie outside."""
    values = np.random.default_rng(2).normal(1, 0.1, 800)
    values[[100, 500]] = 90.0
    run = one(opened)
    run.add("training", "loss", values)
    run.write()
    open_one(opened, run)
    assert opened.js(f"{LOSS}.y[1]") > 90
    assert opened.text("[data-chart='panel/loss'] .note") == ""
    opened.do("document.getElementById('outliers').click()")
    opened.shows(f"{LOSS}.y[1] < 3")
    said = opened.text("[data-chart='panel/loss'] .note")
    outside = opened.js(f"{LOSS}.outside")
    assert outside >= 2 and said == f"{outside} points outside"


def test_zoom_into_a_long_run_shows_the_records_of_the_window(opened: BrowserPage) -> None:
    """One spike among 120,000 records shows from afar, and zoomed in as the record that it is, from tiles on disk; so do the latest."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, 120_000)
    values[77_777] = 500.0
    values[-3] = 300.0
    run = one(opened)
    line = run.add("training", "loss", values, np.arange(120_000) * 2.0)
    run.write_base()
    for k in (1, 8):
        run.write_tiles(line, k)
    run.write_recent(500)
    run.write()
    open_one(opened, run)
    assert opened.js(f"{LOSS}.curves[0].columns.k") == 64
    assert opened.js(f"Math.max(...{LOSS}.curves[0].ry)") == 500
    opened.do("View.look([155400, 155700])")
    opened.shows(f"{LOSS}.curves[0].cells.filter((c) => c.n === 1).length > 100")
    spike = f"{LOSS}.curves[0].cells.find((c) => c.hi === 500)"
    assert opened.js(f"[{spike}.step, {spike}.n]") == [155554, 1]
    exact = opened.js(f"{LOSS}.curves[0].cells.filter((c) => c.step >= 155500 && c.step <= 155600).map((c) => [c.step, c.y])")  # fmt: skip
    assert [step for step, _ in exact] == list(range(155500, 155601, 2))
    np.testing.assert_allclose([y for _, y in exact], values[77_750:77_801].astype(np.float32))
    assert opened.js("location.hash") == "#x=155400,155700"
    opened.do("View.look([239500, 240000])")
    opened.shows(f"{LOSS}.curves[0].cells.some((c) => c.n === 1 && c.hi === 300 && c.step === 239994)")
    opened.do("View.look([100000, 190000])")
    opened.shows(f"{LOSS}.range[0] === 100000 && Math.max(...{LOSS}.curves[0].ry) === 500")
    opened.sound()


def test_the_window_and_the_axis_are_in_the_address(opened: BrowserPage) -> None:
    """A link with a window opens there; the y axis fits what is in the window."""
    run = one(opened)
    run.add("training", "loss", np.concatenate([np.full(100, 50.0), np.linspace(1, 2, 100)]))
    run.write()
    open_one(opened, run, "#x=120,180")
    opened.shows(f"{figure('panel/loss')}._fullLayout.xaxis.range", [120, 180])
    low, high = opened.js(f"{LOSS}.y")
    assert 0.8 < low < 1.3 and 1.7 < high < 2.2
    opened.press("0")
    opened.shows("location.hash", "")
    opened.shows(f"{LOSS}.y[1] > 50")
    opened.press("+")
    opened.shows("View.state.range !== null")
