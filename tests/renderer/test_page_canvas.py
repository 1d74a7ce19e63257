"""Lines that the page draws itself, in a real browser: every place is compared with what Plotly says of it."""

from __future__ import annotations

import numpy as np
import pytest
from browser_page import CHARTS, BrowserPage, built, figure
from page_fixture import Written, write_page, write_runs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LOSS = built("panel/loss")
DRAWN = f"{CHARTS} >= 1 && [...Charts.inSight].every((c) => !c.stale)"

#: What of a chart's canvas has the colour `tone`, in CSS pixels; and where Plotly has a value.
EYES = """
window.inked = (id, tone, x0, y0, x1, y1) => {
  const { canvas } = Charts.charts.get(id), found = [];
  if (!canvas.width) return found;
  const ratio = canvas.width / canvas.clientWidth, [left, top, width, height] = [x0, y0, x1 - x0, y1 - y0].map((v) => Math.round(v * ratio));
  const { data } = canvas.getContext('2d').getImageData(left, top, Math.max(1, width), Math.max(1, height));
  const rgb = [1, 3, 5].map((i) => parseInt(tone.slice(i, i + 2), 16));
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 25 && rgb.every((v, n) => Math.abs(v - data[i + n]) < 50))
      found.push([(left + ((i / 4) % Math.max(1, width))) / ratio, (top + Math.floor(i / 4 / Math.max(1, width))) / ratio]);
  return found;
};
window.place = (id, x, y) => {
  const { xaxis, yaxis } = document.querySelector(`[data-chart="${id}"] .plot`)._fullLayout;
  return [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(y)];
};
/* How far from where Plotly has it a spike is at the height `y`: in the mean, and at the most in widths of a step; and its pixels. */
window.off = (id, x, y) => {
  const chart = Charts.charts.get(id), [at, level] = place(id, x, y), step = Math.abs(place(id, x + 1, y)[0] - at);
  const found = inked(id, chart.figure.curves[0].tone, 53, level, chart.width - 15, level + 1).map(([p]) => p + 0.5 - at);
  return [Math.abs(found.reduce((sum, p) => sum + p, 0) / found.length), Math.max(...found.map(Math.abs)) / (step + 1.5), found.length];
};
"""


def spiked(size: int, at: int, seed: int = 1) -> np.ndarray:
    """Quiet values and one spike; choose places beside the grid, over which a faint line has another colour."""
    values = np.random.default_rng(seed).normal(1, 0.01, size)
    values[at] = 50.0
    return values


def look(opened: BrowserPage, run: Written | None, fragment: str = "") -> None:
    opened.open(write_page(opened.base, run.name if run else None), fragment)
    opened.shows(DRAWN)
    opened.do(EYES)


def shows_spike(opened: BrowserPage, step: int, height: float = 30.0) -> None:
    """At `height` the canvas has the spike where Plotly says that its step is, to a pixel, and nothing elsewhere."""
    opened.shows(DRAWN)
    off = f"off('panel/loss', {step}, {height})"
    opened.shows(f"((o) => o[0] < 1 && o[1] < 1 && o[2] > 0)({off})", seconds=20)


def test_a_spike_stands_where_its_record_is(opened: BrowserPage) -> None:
    """From afar and zoomed in, on logarithmic axes, after an update, in dark and on a finer screen: always at Plotly's place."""
    run = Written(opened.base, "s", refresh=0.2)
    line = run.add("training", "loss", spiked(600, 333))
    run.write()
    look(opened, run)
    assert opened.js(f"{LOSS}.own.length") == 1 and opened.js(f"{LOSS}.own[0].opacity") < 1
    shows_spike(opened, 333)
    afar = opened.js("place('panel/loss', 333, 30)")
    opened.do("View.look([320, 430])")
    opened.shows(f"{LOSS}.range[0]", 320)
    shows_spike(opened, 333)
    assert opened.js("place('panel/loss', 333, 30)")[0] < afar[0] - 100
    opened.do("View.look(null)")
    opened.do("Charts.charts.get('panel/loss').setLog(true)")
    opened.shows(f"{LOSS}.ylog")
    shows_spike(opened, 333, 27.0)
    opened.do("View.setLog(true)")
    opened.shows(f"{LOSS}.logx")
    shows_spike(opened, 333, 27.0)
    opened.do("View.setLog(false); Charts.charts.get('panel/loss').setLog(false)")
    opened.shows(f"{LOSS}.logx || {LOSS}.ylog", False)
    run.more(line, spiked(600, 0, 2)[1:])
    run.write()
    opened.shows(f"{LOSS}.range[1] > 1190")
    shows_spike(opened, 333)
    light = opened.js(f"{LOSS}.curves[0].tone")
    opened.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})  # fmt: skip
    opened.shows(f"{LOSS}.curves[0].tone !== {light!r}")
    shows_spike(opened, 333)
    opened.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 1000, "height": 900, "deviceScaleFactor": 2, "mobile": False})  # fmt: skip
    canvas = "Charts.charts.get('panel/loss').canvas"
    opened.shows(f"{canvas}.width === 2 * {canvas}.clientWidth")
    shows_spike(opened, 333)
    opened.sound()


def test_a_chart_that_gave_back_its_canvas_is_drawn_anew(opened: BrowserPage) -> None:
    """Off screen a chart may keep no pixel; in sight again it has all of them."""
    run = Written(opened.base, "s", refresh=30.0)
    run.add("training", "loss", spiked(600, 333))
    run.write()
    look(opened, run)
    shows_spike(opened, 333)
    chart = "Charts.charts.get('panel/loss')"
    opened.do(f"{chart}.forget()")
    assert opened.js(f"{chart}.canvas.width") == 0
    opened.do(f"Charts.mark({chart}); Charts.paint()")
    shows_spike(opened, 333)


def test_what_is_not_finite_is_a_gap_and_a_lone_record_a_dot(opened: BrowserPage) -> None:
    """No line leads over records that are not finite; one between them that stands alone is a dot at its place."""
    values = np.random.default_rng(4).normal(1, 0.01, 400)
    values[150:250] = np.nan
    values[200] = 1.0
    run = Written(opened.base, "s", refresh=30.0)
    run.add("training", "loss", values)
    run.write()
    look(opened, run)
    ink = "inked('panel/loss', {t}, place('panel/loss', {a}, 1)[0], 9, place('panel/loss', {b}, 1)[0], Charts.charts.get('panel/loss').height - 23)"
    tone = f"{LOSS}.curves[0].tone"
    assert opened.js(f"{ink.format(t=tone, a=20, b=140)}.length") > 100
    assert opened.js(f"{ink.format(t=tone, a=153, b=190)}.length") == 0
    assert opened.js(f"{ink.format(t=tone, a=210, b=247)}.length") == 0
    dot = np.array(opened.js(ink.format(t=tone, a=192, b=208)))
    assert 8 <= len(dot) <= 40
    np.testing.assert_allclose(dot.mean(0) + 0.5, opened.js("place('panel/loss', 200, 1)"), atol=1)


def test_a_curve_that_is_hidden_leaves_no_pixel(opened: BrowserPage) -> None:
    """A press on a curve's chip takes it off the canvas, another brings it back."""
    run = Written(opened.base, "s", refresh=30.0)
    rng = np.random.default_rng(1)
    run.add("gradients", "grad_norm", rng.lognormal(0, 0.4, 500))
    run.add("gradients", "grad_norm", rng.lognormal(0, 0.4, 500), component="actor")
    run.write()
    look(opened, run)
    norm = built("panel/norm")
    tone = opened.js(f"{norm}.curves[0].tone")
    count = f"inked('panel/norm', {tone!r}, 53, 9, 600, 180).length"
    assert opened.js(count) > 200
    opened.do("document.querySelector('[data-chart=\"panel/norm\"] .chip').click()")
    opened.shows(f"{norm}.curves.length", 1)
    opened.shows(count, 0)
    opened.do("document.querySelector('[data-chart=\"panel/norm\"] .chip').click()")
    opened.shows(f"{norm}.curves.length", 2)
    opened.shows(f"{count} > 200")


def test_no_line_is_drawn_outside_the_plot_area(opened: BrowserPage) -> None:
    """Lines that go on to every side, also to the end of what a double holds, end at the plot area; inside they are true."""
    values = np.random.default_rng(2).normal(1, 0.1, 900)
    values[400:404] = 1e308, -1e308, 1e308, -1e308
    run = Written(opened.base, "s", refresh=30.0)
    run.add("training", "loss", values)
    run.write()
    look(opened, run, "#x=380,700")
    opened.do("document.getElementById('outliers').click()")
    opened.shows(f"{LOSS}.y[1] < 5")
    chart, tone = "Charts.charts.get('panel/loss')", f"{LOSS}.curves[0].tone"
    inside = f"inked('panel/loss', {tone}, 52, 8, {chart}.width - 14, {chart}.height - 22).length"
    every = f"inked('panel/loss', {tone}, 0, 0, {chart}.width, {chart}.height).length"
    assert opened.js(inside) > 200
    assert opened.js(every) == opened.js(inside)
    # Between two such records the line is upright: at every height where the steps are.
    for height in (0.83, 0.97, 1.13):
        at = opened.js(f"[place('panel/loss', 399, {height}), place('panel/loss', 404, {height})]")
        found = opened.js(f"inked('panel/loss', {tone}, {at[0][0]}, {at[0][1]}, {at[1][0]}, {at[0][1] + 1}).map(([x]) => x)")  # fmt: skip
        assert len(found) >= 4, (height, found)


def four(opened: BrowserPage, refresh: float) -> list[Written]:
    runs = []
    for seed in range(4):
        run = Written(opened.base, f"ppo_{'abcd'[seed]}", refresh=refresh)
        run.add("training", "loss", spiked(600, 100 + 100 * seed, seed))
        run.write()
        runs.append(run)
    write_runs(opened.base, runs, refresh)
    return runs


def test_many_lines_are_all_ours_and_a_zoom_by_mouse_is_still_right(opened: BrowserPage) -> None:
    """Plotly draws none of the lines of four runs and is not asked at updates; yet a drag zooms to the steps under the mouse."""
    runs = four(opened, 0.2)
    look(opened, None)
    opened.shows(f"{LOSS}.curves.length", 4)
    assert opened.js(f"[{figure('panel/loss')}.data.length, {LOSS}.own.length]") == [0, 8]
    for run in runs:
        run.more(run.lines[0], np.random.default_rng(9).normal(1, 0.01, 600))
        run.write()
    opened.shows(f"{LOSS}.range[1] > 1190")
    opened.shows("Charts.charts.get('panel/loss').behind")
    assert opened.js(f"{figure('panel/loss')}._fullLayout.xaxis.range[1]") < 700
    a, b = opened.js(f"{LOSS}.range")
    opened.drag("[data-chart='panel/loss']", -80, 160)
    opened.shows("View.state.range !== null")
    low, high = opened.js("View.state.range")
    width = opened.js("Charts.charts.get('panel/loss').width") - 66
    assert high - low == pytest.approx((b - a) * 160 / width, rel=0.03)
    assert (low + high) / 2 == pytest.approx((a + b) / 2, abs=(b - a) * 3 / width)
    opened.shows(f"{LOSS}.range", [low, high])
    opened.sound()


#: How much of the tone there is on the vertical through each of ten places of a line, in CSS pixels: what the line is thick there.
THICK = """
const chart = Charts.charts.get('panel/loss'), { figure, canvas } = chart, [a, b] = figure.range, [low, high] = figure.y;
const line = { ...figure.own[0], x: [a, b], y: [low + (high - low) * arguments[0], low + (high - low) * arguments[1]], width: arguments[2], opacity: 1, dots: 0, dash: 'solid' };
const none = { tickvals: [], ticktext: [] };
Canvas.paint(canvas, { ...figure, own: [line], shapes: [], notes: [], ticks: { x: none, y: none } }, [a, b]);
const ratio = canvas.width / canvas.clientWidth, found = [];
for (let i = 1; i <= 10; i++) {
  const { data } = canvas.getContext('2d').getImageData(Math.round((60 + i * 30) * ratio), 0, 1, canvas.height);
  let sum = 0;
  for (let j = 3; j < data.length; j += 4) sum += data[j] / 255;
  found.push(sum / ratio);
}
return found;
"""


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_line_is_as_thick_as_it_says(opened: BrowserPage, ratio: int) -> None:
    """Even and sloping lines of one and two pixels, on usual screens and on finer ones."""
    run = Written(opened.base, "s", refresh=30.0)
    run.add("training", "loss", spiked(600, 333))
    run.write()
    look(opened, run)
    opened.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 1000, "height": 900, "deviceScaleFactor": ratio, "mobile": False})  # fmt: skip
    canvas = "Charts.charts.get('panel/loss').canvas"
    opened.shows(f"{canvas}.width === {ratio} * {canvas}.clientWidth")
    opened.shows(DRAWN)
    for width in (1, 1.5, 2):
        for end in (0.5, 0.513, 0.8):
            thick = opened.browser.execute_script(THICK, 0.5, end, width)
            assert np.mean(thick) == pytest.approx(width, abs=0.35), (width, end, thick)
            assert max(thick) - min(thick) < 0.6, (width, end, thick)
