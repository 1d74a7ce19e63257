"""What the page says in numbers, in a real browser: crosshair, search, table, CSV, and names for those who do not see it."""

from __future__ import annotations

import numpy as np
import pytest
from browser_page import CHARTS, BrowserPage
from one_page import LOSS, one, open_one
from page_fixture import learning

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


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
