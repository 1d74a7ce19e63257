"""The page in a real Firefox, opened from disk, while a real renderer goes on writing it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_page import CHARTS, HOSTILE, figure
from firefox_page import FirefoxPage
from renderer_runs import Run, realistic

from contract import places
from renderer import page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LAST = "((c) => c.columns.x[c.columns.size - 1])(Charts.charts.get('panel/loss').figure.curves[0])"
RANGE = "._fullLayout.xaxis.range"


@pytest.fixture
def opened(firefox: Any, place: Path, until: Callable[..., bool]) -> FirefoxPage:
    """A tab of an empty data folder, with no choices of an earlier test."""
    places.prepare_base(place)
    blank = place / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>")
    firefox.get(blank.as_uri())
    firefox.execute_script("localStorage.clear()")
    return FirefoxPage(firefox, place, until)


def shown(opened: FirefoxPage, run: Run, spawn: Callable[..., Any]) -> None:
    """A renderer's process on the folder, and its page of the run."""
    spawn("-m", "renderer", "--base-path", str(opened.base), "--refresh-interval", "0.2", "--worker", stdout=subprocess.DEVNULL)  # fmt: skip
    path = page.page_file(opened.base, run.name)
    assert opened.until(path.exists)
    opened.open(path)
    opened.shows(f"{CHARTS} >= 4")
    opened.shows("[...Charts.inSight].every((c) => !c.stale)")
    opened.do("window.first = true")


def begun(opened: FirefoxPage, steps: int = 400) -> Run:
    run = Run(opened.base, "s", at=time.time() - 0.02 * steps)
    run.start()
    realistic(run, steps)
    return run


def test_it_goes_on_by_itself_and_keeps_a_zoom_by_mouse(opened: FirefoxPage, spawn: Callable[..., Any]) -> None:
    """New records come without a reload; a window drawn by mouse holds for all charts meanwhile, and a double click follows again."""
    run = begun(opened)
    shown(opened, run, spawn)
    realistic(run, 50, begin=400)
    opened.shows(LAST, 449)
    opened.shows(f"{figure('panel/loss')}{RANGE}[1] > 449")
    opened.drag("[data-chart='panel/loss']", -80, 120)
    opened.shows("View.state.range !== null")
    low, high = opened.js("View.state.range")
    assert 50 < low < high < 400
    for chart in ("panel/loss", "panel/norm"):
        opened.shows(f"{figure(chart)}{RANGE}", [low, high])
    realistic(run, 100, begin=450)
    opened.shows(LAST, 549)
    for chart in ("panel/loss", "panel/norm"):
        assert opened.js(f"{figure(chart)}{RANGE}") == [low, high]
    opened.click("[data-chart='panel/loss'] .nsewdrag", times=2)
    opened.shows(f"{figure('panel/norm')}{RANGE}[1] > 549")
    assert opened.js("View.state.range") is None and opened.js("window.first")
    opened.sound()


def test_an_alert_brings_the_charts_to_it(opened: FirefoxPage, spawn: Callable[..., Any]) -> None:
    """An alert that comes while the page is open appears, and a click on it takes all charts to its step."""
    run = begun(opened)
    shown(opened, run, spawn)
    run.alert("loss_divergence", "WARNING", 120, "the loss has been rising for 52 records")
    opened.shows("document.querySelectorAll('#alert-list .go').length", 1)
    assert "rising for 52 records" in opened.text("#alert-list")
    opened.click("#alert-list .go")
    for chart in ("panel/loss", "panel/norm"):
        opened.shows(f"((r) => r[0] < 120 && 120 < r[1] && r[1] - r[0] < 200)({figure(chart)}{RANGE})")
    assert opened.js("window.first")
    opened.sound()


def test_dark_and_light(opened: FirefoxPage, spawn: Callable[..., Any]) -> None:
    """The switch changes page and charts, and what was chosen holds over a reload."""
    shown(opened, begun(opened), spawn)
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "Charts.charts.get('panel/loss').figure.layout.font.color"
    seen = {}
    for theme in ("light", "dark"):
        opened.click("#theme")
        opened.shows("document.getElementById('theme').textContent", f"◐ {theme}")
        opened.shows(f"{ink} === getComputedStyle(document.documentElement).getPropertyValue('--soft').trim()")
        seen[theme] = opened.js(f"{ground}.match(/\\d+/g).map(Number).reduce((a, b) => a + b)")
    assert seen["light"] > 700 and seen["dark"] < 100
    opened.open(page.page_file(opened.base, "s"))
    opened.shows(f"{CHARTS} >= 4")
    assert opened.js(f"{ground}.match(/\\d+/g).map(Number).reduce((a, b) => a + b)") == seen["dark"]
    opened.sound()


def test_hostile_text_stays_text(opened: FirefoxPage, spawn: Callable[..., Any]) -> None:
    """Names, values and messages that are markup are shown as they are and run nothing, in the charts as well."""
    run = Run(opened.base, "s", at=time.time() - 1)
    run.write("lifecycle", 0, event="start", host=HOSTILE, argv0=HOSTILE)
    for step in range(5):
        run.write("training", step, **{"loss": 1e308 * (-1) ** step, HOSTILE: 2.0, "note": HOSTILE, "n" * 10_000: 1.0})
        run.write("gradients", step, component=HOSTILE, grad_norm=2.0)
    run.alert(HOSTILE, "ERROR", 2, HOSTILE, source="gradients", metric="grad_norm")
    spawn("-m", "renderer", "--base-path", str(opened.base), "--worker", stdout=subprocess.DEVNULL)
    path = page.page_file(opened.base, "s")
    assert opened.until(path.exists)
    opened.open(path)
    opened.shows(f"{CHARTS} >= 3")
    opened.do("document.getElementById('table').open = true")
    opened.shows("document.querySelectorAll('#texts dd').length", 1)
    opened.click("#alert-list .go")
    opened.do("document.querySelectorAll('.chart').forEach((c) => c.querySelectorAll('.tool')[1].click())")
    opened.shows("document.querySelectorAll('.sheet td').length > 4")
    assert "onerror" in opened.text("#sections") and "onerror" in opened.text("#alert-list")
    assert opened.js("document.querySelectorAll('img, svg a, main a').length") == 0
    assert opened.js("window.hacked === undefined")
    assert opened.js("document.documentElement.scrollWidth <= innerWidth")
    opened.sound()
