"""The whole way: files of a run, the renderer, the page in a real browser, opened from disk."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from browser_page import CHARTS, HOSTILE, BrowserPage, figure
from renderer_runs import Run, realistic

from renderer import page
from renderer.live import folder
from renderer.loop import Renderer
from renderer.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def renderer(base: Path, refresh: float = 0.2) -> Renderer:
    return Renderer(Settings(base, refresh_interval=refresh), complain=lambda text: None)


def shown(opened: BrowserPage, name: str = "s") -> None:
    opened.open(page.page_file(opened.base, name))


def test_shows_a_running_session_from_disk(opened: BrowserPage) -> None:
    """The four panels, the state, the alert, every metric in the table; no error, and no origin but the disk is asked for anything."""
    run = Run(opened.base, "s", at=time.time() - 4)
    run.start()
    realistic(run, 200)
    run.alert("loss_divergence", "WARNING", 120, "the loss has been rising for 52 records")
    renderer(opened.base, 20).step(time.time())
    shown(opened)
    opened.shows("document.getElementById('pill').textContent", "running")
    opened.shows(f"{CHARTS} >= 10")
    for panel in ("loss", "gradients", "rewards", "metrics"):
        opened.shows(f"document.querySelectorAll('[data-panel={panel}] .js-plotly-plot').length >= 2")
    assert "rising for 52 records" in opened.text("#alerts")
    assert opened.text("#levels") == "1 warning"
    assert "199" in opened.text("#tiles")
    opened.shows("document.querySelectorAll('[data-section=performance] .chart').length", 1)
    opened.do("document.querySelector('#table summary').click()")
    opened.shows("document.querySelectorAll('#table tbody tr').length > 8")
    opened.sound()


def test_updates_live_without_losing_zoom_legend_and_scroll(opened: BrowserPage) -> None:
    """A zoom by mouse, a hidden curve and the scroll hold for all charts while the data grows; a reset follows the new data again."""
    run = Run(opened.base, "s", at=time.time() - 10)
    run.start()
    realistic(run, 400)
    service = renderer(opened.base)
    service.step(time.time())
    shown(opened)
    opened.shows(f"{CHARTS} >= 4")
    opened.drag("[data-chart='panel/loss']", -80, 120)
    opened.shows("document.getElementById('reset').disabled", False)
    low, high = opened.js(f"{figure('panel/loss')}.layout.xaxis.range")
    assert 50 < low < high < 350
    opened.shows(f"{figure('panel/norm')}.layout.xaxis.range", [low, high])
    opened.do(
        "document.querySelector('[data-chart=\"panel/norm\"] .chip:nth-child(2)').click(); window.scrollTo(0, 80)"
    )
    top = "document.querySelector('[data-panel=rewards]').getBoundingClientRect().top"
    before = opened.js(top)
    curves = "Charts.charts.get('panel/norm').figure.curves.length"
    opened.shows(curves, 2)
    realistic(run, 100, begin=400)
    service.step(time.time(), last=True)
    drawn = "Charts.charts.get('panel/loss').figure.curves[0].columns.x[Charts.charts.get('panel/loss').figure.curves[0].columns.size - 1]"
    opened.shows(drawn, 499)
    for chart in ("panel/loss", "panel/norm"):
        assert opened.js(f"{figure(chart)}._fullLayout.xaxis.range") == [low, high]
    assert opened.js(curves) == 2
    assert abs(opened.js(top) - before) < 2
    opened.do("document.getElementById('reset').click()")
    opened.shows(f"{figure('panel/loss')}._fullLayout.xaxis.range[1] > 499")
    opened.shows(f"{figure('panel/loss')}._fullLayout.xaxis.range[0] <= 0")
    realistic(run, 100, begin=500)
    service.step(time.time(), last=True)
    opened.shows(f"{figure('panel/loss')}._fullLayout.xaxis.range[1] > 599")
    opened.sound()


def test_a_drag_in_progress_is_never_painted_over(opened: BrowserPage) -> None:
    """While the mouse is down in a chart the new data waits, and the drag ends in the zoom that was drawn."""
    from selenium.webdriver import ActionChains

    run = Run(opened.base, "s", at=time.time() - 10)
    run.start()
    realistic(run, 400)
    service = renderer(opened.base)
    service.step(time.time())
    shown(opened)
    opened.shows(f"{CHARTS} >= 4")
    area = opened.browser.find_element("css selector", "[data-chart='panel/loss'] .nsewdrag")
    ActionChains(opened.browser).move_to_element_with_offset(area, -80, 0).click_and_hold().move_by_offset(
        60, 0
    ).perform()
    realistic(run, 100, begin=400)
    service.step(time.time(), last=True)
    opened.shows("Charts.charts.get('panel/norm').figure.curves[0].columns.size", 500)
    assert opened.js(f"{figure('panel/loss')}._fullLayout.xaxis.range[1] < 450")
    ActionChains(opened.browser).move_by_offset(40, 0).release().perform()
    opened.shows("View.state.range !== null")
    opened.shows(f"{figure('panel/norm')}.layout.xaxis.range[1] < 380")
    opened.sound()


def test_opened_before_the_first_record_it_fills_by_itself(opened: BrowserPage) -> None:
    """A page opened while nothing is logged says so, and shows the charts once there is something."""
    run = Run(opened.base, "s")
    run.start()
    service = renderer(opened.base)
    service.step(time.time())
    shown(opened)
    opened.shows("document.getElementById('waiting').hidden", False)
    assert "Waiting for records" in opened.text("#waiting")
    realistic(run, 60)
    service.step(time.time(), last=True)
    opened.shows("document.getElementById('waiting').hidden", True)
    opened.shows(f"{CHARTS} >= 4")
    opened.sound()


def test_a_renderer_that_starts_again_is_followed(opened: BrowserPage) -> None:
    """A second renderer numbers its files from one again; an open page takes them up, and stays where it was zoomed."""
    run = Run(opened.base, "s", at=time.time() - 10)
    run.start()
    realistic(run, 300)
    renderer(opened.base).step(time.time())
    shown(opened, "s")
    opened.shows(f"{CHARTS} >= 4")
    opened.do("View.look([50, 150])")
    realistic(run, 50, begin=300)
    again = renderer(opened.base)
    again.step(time.time(), last=True)
    realistic(run, 50, begin=350)
    again.step(time.time(), last=True)
    opened.shows("Charts.charts.get('panel/loss').figure.curves[0].columns.size", 400)
    assert opened.js(f"{figure('panel/loss')}._fullLayout.xaxis.range") == [50, 150]


def test_the_final_page_needs_no_data_file(opened: BrowserPage) -> None:
    """After the end the page holds its data: the folder of live data may be deleted."""
    run = Run(opened.base, "s", at=time.time() - 4)
    run.start()
    realistic(run, 100)
    run.end("failed", "ValueError: loss is NaN")
    renderer(opened.base).step(time.time())
    shutil.rmtree(folder.session_dir(opened.base, "s"))
    shown(opened)
    opened.shows("document.getElementById('pill').textContent", "crashed")
    opened.shows(f"{CHARTS} >= 4")
    assert "ValueError: loss is NaN" in opened.text("#reason")
    opened.sound()


def test_hostile_text_stays_text(opened: BrowserPage) -> None:
    """Names, values and messages that are markup or endless are shown as they are and run nothing, in the charts as well."""
    run = Run(opened.base, "s", at=time.time() - 1)
    run.write("lifecycle", 0, event="start", host=HOSTILE, argv0=HOSTILE)
    for step in range(5):
        run.write("training", step, **{"loss": 1e308 * (-1) ** step, HOSTILE: 2.0, "note": HOSTILE, "n" * 10_000: 1.0})
        run.write("gradients", step, component=HOSTILE, grad_norm=2.0)
    run.alert(HOSTILE, "ERROR", 2, HOSTILE, source="gradients", metric="grad_norm")
    renderer(opened.base).step(time.time())
    shown(opened)
    opened.do("document.getElementById('table').open = true")
    opened.shows(f"{CHARTS} >= 3")
    opened.shows("document.querySelectorAll('#texts dd').length", 1)
    opened.do("document.querySelectorAll('.chart').forEach((c) => c.querySelectorAll('.tool')[1].click())")
    opened.do("document.querySelector('#alert-list .go').click()")
    opened.shows("document.querySelectorAll('.sheet td').length > 4")
    assert opened.js("document.querySelectorAll('img, svg a, main a').length") == 0
    assert opened.js("window.hacked === undefined")
    assert "onerror" in opened.text("#sections")
    assert "onerror" in opened.text("#alert-list")
    assert opened.js("document.documentElement.scrollWidth <= innerWidth")
    opened.sound()


def test_the_picture_page_shows_the_picture(opened: BrowserPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plotly the page shows the PNG beside it, and head, alerts and table all the same."""
    run = Run(opened.base, "s", at=time.time() - 2)
    run.start()
    realistic(run, 60)
    monkeypatch.setitem(sys.modules, "plotly", None)
    renderer(opened.base, 20).step(time.time())
    shown(opened)
    opened.shows("(document.querySelector('.picture img') || {}).naturalWidth > 500")
    opened.shows("document.getElementById('pill').textContent", "running")
    opened.shows("document.querySelectorAll('#table tbody tr').length > 8")
    opened.sound()


def test_all_runs_of_a_folder(opened: BrowserPage) -> None:
    """The page of all lists the runs, draws those chosen over one another, and leads to each run's page."""
    for seed in (1, 2, 3):
        run = Run(opened.base, f"cartpole_seed{seed}", at=time.time() - 8)
        run.start()
        realistic(run, 200, seed=seed)
    renderer(opened.base, 20).step(time.time())
    opened.open(page.all_page_file(opened.base))
    opened.shows("document.querySelectorAll('#runs tbody tr').length", 3)
    opened.shows("(Charts.charts.get('panel/loss') || {figure: null}).figure?.curves.length", 3)
    opened.shows(f"{CHARTS} >= 4")
    assert opened.js("new Set(Charts.charts.get('panel/loss').figure.curves.map((c) => c.tone)).size") == 3
    opened.do("document.querySelector('#runs tbody input[type=checkbox]').click()")
    opened.shows("Charts.charts.get('panel/loss').figure.curves.length", 2)
    opened.sound()
    opened.do("document.querySelector('#runs tbody a').click()")
    opened.shows("location.pathname.includes('dashboard_cartpole_seed')")
    opened.shows("document.getElementById('pill').textContent", "running")
