"""What the page makes of its files, in a real browser: curves, axes, zoom, marks, states. The files are made by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from browser_page import CHARTS, BrowserPage, built, figure
from page_fixture import Written, learning, write_page, write_runs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

LOSS = built("panel/loss")
CALM = 30.0  # a refresh so slow that nothing counts as late while a test goes on


def one(opened: BrowserPage, name: str = "s", **state: object) -> Written:
    return Written(opened.base, name, refresh=CALM, state=dict(state))


def open_one(opened: BrowserPage, run: Written, fragment: str = "", charts: int = 1) -> None:
    opened.open(write_page(opened.base, run.name), fragment)
    opened.shows(f"{CHARTS} >= {charts}")
    opened.shows("typeof Charts === 'object' && [...Charts.inSight].every((c) => !c.stale)")


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


def test_the_crosshair_runs_through_all_charts_and_holds_over_an_update(opened: BrowserPage) -> None:
    """Under the pointer each chart says its value at that place, and goes on to do so when data comes."""
    from selenium.webdriver import ActionChains

    run = one(opened)
    loss = run.add("training", "loss", np.linspace(2, 1, 101))
    run.add("training", "entropy", np.linspace(0, 1, 101))
    run.write()
    open_one(opened, run, charts=2)
    area = opened.browser.find_element("css selector", "[data-chart='panel/loss'] .plot")
    ActionChains(opened.browser).move_to_element(area).perform()
    opened.shows("document.querySelectorAll('.cross.on').length", 2)
    opened.shows("/^step \\d+ /.test((document.querySelector('.tip') || {}).textContent)")
    shown = "document.querySelector('[data-chart=\"training/entropy\"] .value').textContent"
    assert 0.3 < float(opened.js(shown)) < 0.5  # the mean of the last twenty records before the middle
    run.more(loss, np.full(10, 1.0))
    run.write()
    opened.do("Data.follow(Data.run('s'))")
    opened.shows(f"{LOSS}.curves[0].columns.size", 111)
    assert opened.js("document.querySelectorAll('.cross.on').length") == 2
    assert opened.js("document.querySelector('.tip').hidden") is False
    opened.do("document.getElementById('reset').click()")
    opened.sound()


def test_search_shows_the_charts_that_have_it_in_their_name(opened: BrowserPage) -> None:
    """Every metric has a chart, in a section of its group; the search leaves those whose names hold all its words."""
    run = one(opened)
    learning(run, 400)
    run.write()
    open_one(opened, run, charts=4)
    sections = "[...document.querySelectorAll('.section')].map((s) => s.dataset.section)"
    assert opened.js(sections) == ["performance", "convergence", "sac", "val"]
    shown = "[...document.querySelectorAll('.chart')].filter((c) => c.checkVisibility()).map((c) => c.dataset.chart)"
    opened.do(
        "const s = document.getElementById('search'); s.value = 'val RECALL'; s.dispatchEvent(new Event('input'))"
    )
    opened.shows(shown, ["eval/val/recall"])
    assert opened.text("#hits") == "1 of 21"
    opened.shows(f"{CHARTS} > 0 && !!Charts.charts.get('eval/val/recall').drawn")
    opened.do("const s = document.getElementById('search'); s.value = 'no such'; s.dispatchEvent(new Event('input'))")
    opened.shows("document.getElementById('nothing').hidden", False)
    opened.do("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")
    opened.shows(f"{shown}.length", 21)
    opened.do("document.querySelector('[data-section=val] summary').click()")
    opened.shows(f"{shown}.length", 17)


def test_table_and_csv_have_what_is_seen(opened: BrowserPage) -> None:
    """Behind each chart is a table, and a CSV of exactly the window; a name that a spreadsheet would run is defused."""
    run = one(opened)
    run.add("training", "loss", np.linspace(2, 1, 100))
    run.add("training", "=cmd()", np.linspace(2, 1, 100))
    run.write()
    open_one(opened, run)
    opened.do("View.look([10, 19])")
    opened.shows(f"{LOSS}.range", [10, 19])
    csv = opened.js("Readout.csv(Charts.charts.get('panel/loss'))").split("\r\n")
    assert csv[0].startswith("run,series,part,step,time,value") and len(csv) == 12
    assert csv[1].startswith("s,loss,,10,")
    assert ",'=cmd()," in opened.js("Readout.csv(Charts.charts.get('training/=cmd()'))")
    opened.do("document.querySelectorAll('[data-chart=\"panel/loss\"] .tool')[1].click()")
    opened.shows("document.querySelectorAll('[data-chart=\"panel/loss\"] tbody tr').length", 10)


@pytest.mark.parametrize(
    ("change", "pill", "says"),
    [
        ({"state": {"name": "stalled", "last_record": -42.0}}, "stalled", " ago. records are coming in"),
        ({"state": {"name": "finished", "active": False, "ended": -5.0, "text": "ended normally"}}, "finished", "ended normally"),
        ({"state": {"name": "crashed", "active": False, "error": "ValueError: x"}}, "crashed", "ValueError: x"),
        ({"services": {"analyzer": False}}, "running", "The analyzer is not running: alerts are not being looked for."),
        ({"services": {"collector": False}}, "running", "The collector is not running"),
        ({"at": -300.0}, "not updating", "The renderer is not running"),
        ({"at": -300.0, "state": {"active": False, "name": "finished"}}, "finished", ""),
    ],
)  # fmt: skip
def test_the_state_is_told_as_it_is(opened: BrowserPage, change: dict[str, object], pill: str, says: str) -> None:
    """What stalled, ended, crashed, or has no service behind it says so in words."""
    run = one(opened)
    now = time.time()
    run.add("training", "loss", np.linspace(2, 1, 100))
    for name, value in dict(change.get("state", {})).items():  # type: ignore[call-overload]
        run.state[name] = now + value if isinstance(value, float) else value
    run.services.update(change.get("services", {}))  # type: ignore[call-overload]
    run.write(at=now + float(change.get("at", 0)))  # type: ignore[arg-type]
    open_one(opened, run)
    opened.shows("document.getElementById('pill').textContent", pill)
    assert says in opened.text(".top")
    assert ("renderer is not running" in opened.text(".top")) == (pill == "not updating")


def test_the_time_since_the_last_record_counts_on(opened: BrowserPage) -> None:
    """A page to which nothing new comes counts the seconds by itself."""
    run = one(opened, name="s")
    run.state["last_record"] = time.time() - 42
    run.state["name"] = "stalled"
    run.add("training", "loss", np.linspace(2, 1, 100))
    run.write()
    open_one(opened, run)
    said = opened.text("#reason")
    assert said.startswith("Last record ")
    opened.shows(f"document.getElementById('reason').textContent !== {said!r}")


def test_an_alert_brings_every_chart_there_and_tells_everything(opened: BrowserPage) -> None:
    """A press zooms all charts to onset and detection with room, marks them, and unfolds evidence, other signals and what to try."""
    run = one(opened)
    learning(run, 1000)
    run.alert(
        rule="gradient_explosion",
        level="ERROR",
        metric="grad_norm",
        source="gradients",
        step=2000,
        onset_step=1900,
        action="Clip the gradients.",
        corroborating=["the loss rose by 40 %"],
    )
    run.alert(
        rule="loss_divergence",
        level="INFO",
        silenced_by="gradient_explosion",
        step=2010,
        message="explained by the explosion",
    )
    run.alert(rule="stagnation", level="INFO", state="resolved", resolved_at=time.time() - 60)
    run.alert(rule="zero_gradients", level="WARNING", state="resolved", resolved_at=time.time() - 9000, last_time=time.time() - 9000)  # fmt: skip
    run.write()
    open_one(opened, run, charts=4)
    assert opened.text("#levels") == "1 error"
    assert opened.js("[...document.querySelectorAll('#alert-list h3')].map((h) => h.textContent)") == [
        "1 error",
        "1 note",
    ]
    assert opened.js("document.querySelectorAll('.alert.over').length") == 1
    assert "explained by the explosion" not in opened.text("#alert-list")
    opened.do("document.querySelector('.alert.ERROR .go').click()")
    opened.shows(f"{figure('panel/loss')}._fullLayout.xaxis.range[0] < 1900")
    low, high = opened.js(f"{figure('panel/rate')}._fullLayout.xaxis.range")
    assert 1700 < low < 1900 and 2000 < high < 2200
    told = opened.text(".alert.ERROR")
    for text in ("Clip the gradients.", "the loss rose by 40 %", "explained by the explosion", "Usual", "step 1,900"):
        assert text in told
    assert opened.js("document.querySelectorAll('.alert.ERROR .spark path').length") >= 1
    assert opened.js("document.querySelectorAll('.alert.ERROR .icon').length") >= 1
    assert opened.js(f"{built('panel/norm')}.marks.length") == 1
    opened.do("[...document.querySelectorAll('#alert-list > button')].pop().click()")
    opened.shows("document.querySelectorAll('.alert.over').length", 2)
    opened.press("0")
    opened.shows("View.state.range", None)
    opened.press("n")
    opened.shows("View.state.focus !== null")
    opened.sound()


def test_dark_and_light(opened: BrowserPage) -> None:
    """The page and its charts follow the system, and a choice made by hand holds over a reload."""
    run = one(opened)
    run.add("training", "loss", np.linspace(2, 1, 100))
    run.write()
    ground = "getComputedStyle(document.body).backgroundColor"
    tick = f"{LOSS}.layout.font.color"
    open_one(opened, run)
    light, light_tick = opened.js(ground), opened.js(tick)
    opened.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})  # fmt: skip
    opened.shows(f"{ground} !== {light!r} && {tick} !== {light_tick!r}")
    opened.press("d")
    opened.shows(f"{ground} === {light!r} && {tick} === {light_tick!r}")
    open_one(opened, run)
    assert opened.js(ground) == light
    opened.sound()


def test_phone_width_is_one_column_without_sideways_scrolling(opened: BrowserPage) -> None:
    """At 390 pixels the panels stand under one another and nothing is wider than the screen."""
    run = one(opened, name="a_rather_long_name_of_a_run_" * 3)
    learning(run, 300)
    run.alert(message="word" * 60)
    run.write()
    opened.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})  # fmt: skip
    open_one(opened, run, charts=2)
    assert opened.js("document.documentElement.scrollWidth") <= 390
    lefts = opened.js("[...document.querySelectorAll('.panel')].map((p) => Math.round(p.getBoundingClientRect().left))")
    assert len(lefts) == 4 and len(set(lefts)) == 1


def test_every_chart_and_control_has_a_name(opened: BrowserPage) -> None:
    """Buttons, fields and charts say what they are to people who do not see them; charts tell their last value and window."""
    run = one(opened)
    learning(run, 300)
    run.alert()
    run.write()
    open_one(opened, run, charts=4)
    nameless = "[...document.querySelectorAll('button, input, select, a')].filter((e) => e.offsetParent && !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && [...e.labels].some((l) => l.textContent.trim()))))"
    assert opened.js(f"{nameless}.map((e) => e.outerHTML)") == []
    label = opened.js("document.querySelector('[data-chart=\"panel/loss\"]').getAttribute('aria-label')")
    assert label.startswith("loss, last ") and "step" in label


def three(opened: BrowserPage) -> list[Written]:
    runs = []
    for seed in (1, 2, 3):
        run = one(opened, name=f"ppo_seed{seed}_20260101_10000{seed}")
        learning(run, 200 + 100 * seed, seed, custom=False)
        if seed == 2:
            run.alert(level="ERROR", rule="gradient_explosion")
        run.write()
        runs.append(run)
    other = one(opened, name="dqn")
    other.state.update(name="finished", active=False, started=time.time() - 9000)
    learning(other, 250, 7, custom=False)
    other.write()
    return [*runs, other]


def test_runs_are_compared(opened: BrowserPage) -> None:
    """Overlay, filter, sort, groups of seeds as mean and band, the latest alone: charts and table follow."""
    runs = three(opened)
    write_runs(opened.base, runs, CALM)
    opened.open(write_page(opened.base, None))
    names = "[...document.querySelectorAll('#runs tbody tr')].map((r) => r.dataset.run)"
    opened.shows(f"{names}.length", 4)
    curves = "(Charts.charts.get('panel/loss') || {}).figure?.curves.map((c) => c.run.name)"
    opened.shows(f"({curves} || []).length", 3)
    assert "1" in opened.text("tr[data-run=ppo_seed2_20260101_100002] .badge.ERROR")
    opened.do("const s = document.getElementById('compare'); s.value = 'training/loss'; s.dispatchEvent(new Event('change'))")  # fmt: skip
    opened.do("[...document.querySelectorAll('#runs .sort')].find((b) => b.textContent === 'Best').click()")
    best = "[...document.querySelectorAll('#runs td.best')].map((d) => Number(d.textContent.replace('\\u2212', '-')))"
    opened.shows(f"{best}.length", 4)
    found = opened.js(best)
    assert found == sorted(found, reverse=True)
    opened.do("document.querySelector('tr[data-run=dqn] input[type=checkbox]').click()")
    opened.shows(f"{curves}.length", 4)
    opened.do("const f = document.getElementById('filter'); f.value = 'ppo'; f.dispatchEvent(new Event('input'))")
    opened.shows(f"{curves}.length", 3)
    opened.shows(f"{names}.length", 3)
    opened.do("document.getElementById('group').click()")
    opened.shows(f"{LOSS}.bands.length", 1)
    assert opened.js(f"{LOSS}.bands[0].name") == "ppo"
    middle = opened.js(f"((g) => [g.low[120], g.mean[120], g.high[120], g.n[120]])({LOSS}.bands[0])")
    assert middle[0] < middle[1] < middle[2] and middle[3] >= 2
    opened.do("const s = document.getElementById('seeds'); s.value = '_.*'; s.dispatchEvent(new Event('input'))")
    opened.shows(f"{LOSS}.bands.length", 1)
    opened.do("document.getElementById('group').click(); document.getElementById('latest').click()")
    opened.shows(f"{curves}.length", 1)
    opened.sound()


def test_colours_of_runs_are_kept_and_can_be_chosen(opened: BrowserPage) -> None:
    """A run keeps its colour when others come, and over a reload; one chosen by hand wins."""
    runs = three(opened)
    write_runs(opened.base, runs[1:], CALM)
    tones = "Object.fromEntries(Charts.charts.get('panel/loss').figure.curves.map((c) => [c.run.name, c.tone]))"
    path = write_page(opened.base, None)
    opened.open(path)
    opened.shows("(Charts.charts.get('panel/loss') || {}).figure?.curves.length >= 2")
    before = opened.js(tones)
    write_runs(opened.base, runs, CALM)
    opened.open(path)
    opened.shows("(Charts.charts.get('panel/loss') || {}).figure?.curves.length >= 3")
    after = opened.js(tones)
    assert all(after[name] == tone for name, tone in before.items() if name in after)
    assert len(set(after.values())) == len(after)
    opened.do(f"const p = document.querySelector('tr[data-run={runs[0].name}] .pick'); p.value = '#123456'; p.dispatchEvent(new Event('change'))")  # fmt: skip
    opened.shows(f"({tones})[{runs[0].name!r}]", "#123456")
