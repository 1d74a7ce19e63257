"""The page in a real browser, opened from disk."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from renderer_runs import Run, realistic

from contract import places
from renderer import page
from renderer.loop import Renderer
from renderer.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1300",
]
HOSTILE = "</script><img src=x onerror=\"window.hacked=1\"><a href='javascript:1'>x</a>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Chromium for this file; missing, it skips here and fails where CI says so."""
    selenium = pytest.importorskip("selenium.webdriver") if os.environ.get("CI") != "true" else None
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium with chromedriver: install the packages chromium and chromium-driver")
        pytest.skip("no Chromium with chromedriver")
    if selenium is None:
        from selenium import webdriver as selenium
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    found.set_page_load_timeout(60)
    yield found
    found.quit()


class Page:
    """The page of session `s` in the browser, with a renderer that the test drives."""

    def __init__(self, browser: Any, base: Path, until: Callable[..., bool]) -> None:
        places.prepare_base(base)
        self.browser, self.base, self.until = browser, base, until
        self.renderer = Renderer(Settings(base, refresh_interval=0.2), complain=lambda text: None)

    def open(self) -> None:
        self.browser.get_log("browser")
        self.browser.get_log("performance")
        self.browser.get(page.page_file(self.base, "s").as_uri())

    def js(self, code: str) -> Any:
        return self.browser.execute_script(f"return {code}")

    def shows(self, code: str, expected: object = True, seconds: float = 30) -> None:
        assert self.until(lambda: self.js(code) == expected, seconds, 0.1), (
            f"{code} is {self.js(code)!r}, not {expected!r}"
        )

    def render(self) -> None:
        """Render now and wait until the page has taken it."""
        now = time.time()
        self.renderer.step(now, last=True)
        written = int(page.live_file(self.base, "s").read_text().split('"revision":')[1].split(",")[0])
        self.shows(f"Number(document.documentElement.dataset.revision) >= {written}")

    def sound(self) -> None:
        """No error was logged, and nothing but files was asked for."""
        errors = [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not errors
        asked = set()
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            ours = str(message["params"].get("documentURL", "")).startswith("file:")
            if message["method"] == "Network.requestWillBeSent" and ours:
                asked.add(message["params"]["request"]["url"].split(":")[0])
        assert asked <= {"file", "data", "blob"} and "file" in asked


@pytest.fixture
def opened(browser: Any, place: Path, until: Callable[..., bool]) -> Page:
    return Page(browser, place, until)


CHARTS = "document.querySelectorAll('.js-plotly-plot').length"


def test_shows_a_running_session_from_disk(opened: Page) -> None:
    """Four charts, the state, the alert and no error; no origin but the disk is asked for anything."""
    run = Run(opened.base, "s", at=time.time() - 4)
    run.start()
    realistic(run, 200)
    run.alert("loss_divergence", "WARNING", 120, "the loss has been rising for 52 records")
    opened.renderer.step(time.time())
    opened.open()
    opened.shows("document.getElementById('pill').textContent", "running")
    opened.browser.execute_script("document.getElementById('alerts').scrollIntoView()")
    opened.shows(CHARTS, 4)
    assert "rising for 52 records" in opened.js("document.getElementById('alerts').textContent")
    assert opened.js("document.getElementById('levels').textContent") == "1 warning"
    assert "199" in opened.js("document.getElementById('tiles').textContent")
    opened.browser.execute_script("document.querySelector('#table summary').click()")
    opened.shows("document.querySelectorAll('#table tbody tr').length > 8")
    opened.sound()


def test_updates_live_without_losing_the_zoom(opened: Page) -> None:
    """A zoom by mouse holds for all charts while the data grows; a reset follows the new data again."""
    from selenium.webdriver import ActionChains

    run = Run(opened.base, "s", at=time.time() - 10)
    run.start()
    realistic(run, 400)
    opened.renderer.step(time.time())
    opened.open()
    opened.shows(f"{CHARTS} >= 2")
    drag = opened.browser.find_element("css selector", "[data-panel=loss] .nsewdrag")
    ActionChains(opened.browser).move_to_element_with_offset(drag, -80, 0).click_and_hold().move_by_offset(
        60, 0
    ).move_by_offset(60, 0).release().perform()
    opened.shows("document.getElementById('reset').hidden", False)
    low, high = opened.js("document.querySelector('[data-panel=loss] .chart').layout.xaxis.range")
    assert 50 < low < high < 350
    opened.shows("document.querySelector('[data-panel=gradients] .chart').layout.xaxis.range", [low, high])
    drawn = "document.querySelector('[data-panel=loss] .chart').data[0].x.at(-1)"
    assert opened.js(drawn) == 399
    realistic(run, 100, begin=400)
    opened.render()
    opened.shows(drawn, 499)
    for panel in ("loss", "gradients"):
        assert opened.js(f"document.querySelector('[data-panel={panel}] .chart')._fullLayout.xaxis.range") == [
            low,
            high,
        ]
    opened.browser.find_element("id", "reset").click()
    opened.shows("document.querySelector('[data-panel=loss] .chart')._fullLayout.xaxis.range[1] > 499")
    opened.shows("document.querySelector('[data-panel=loss] .chart')._fullLayout.xaxis.range[0] <= 0")
    opened.sound()


def test_opened_before_the_first_record_it_fills_by_itself(opened: Page) -> None:
    """A page opened while nothing is logged says so, and shows the charts once there is something."""
    run = Run(opened.base, "s")
    run.start()
    opened.renderer.step(time.time())
    opened.open()
    opened.shows("document.getElementById('waiting').hidden", False)
    realistic(run, 60)
    opened.render()
    opened.shows("document.getElementById('waiting').hidden", True)
    opened.shows(f"{CHARTS} >= 2")
    opened.sound()


def test_the_final_page_needs_no_data_file(opened: Page) -> None:
    """After the end the page holds its data: the folder of live data may be deleted."""
    run = Run(opened.base, "s", at=time.time() - 4)
    run.start()
    realistic(run, 100)
    run.end("failed", "ValueError: loss is NaN")
    opened.renderer.step(time.time())
    shutil.rmtree(page.live_file(opened.base, "s").parent)
    opened.open()
    opened.shows("document.getElementById('pill').textContent", "crashed")
    opened.shows(f"{CHARTS} >= 2")
    assert "ValueError: loss is NaN" in opened.js("document.getElementById('reason').textContent")


def test_hostile_text_stays_text(opened: Page) -> None:
    """Names, values and messages that are markup are shown as they are and run nothing, in the charts as well."""
    run = Run(opened.base, "s", at=time.time() - 1)
    run.write("lifecycle", 0, event="start", host=HOSTILE, argv0=HOSTILE)
    for step in range(5):
        run.write("training", step, **{"loss": 1e308 * (-1) ** step, HOSTILE: 2.0, "note": HOSTILE})
        run.write("gradients", step, component=HOSTILE, grad_norm=2.0)
    run.alert(HOSTILE, "ERROR", 2, HOSTILE, source="gradients", metric="grad_norm")
    opened.renderer.step(time.time())
    opened.open()
    opened.browser.execute_script(
        "document.getElementById('table').open = true; document.getElementById('alerts').scrollIntoView()"
    )
    opened.shows(CHARTS, 3)
    opened.shows("document.querySelectorAll('#texts dd').length", 1)
    assert opened.js("document.querySelectorAll('img, svg a').length") == 0
    assert opened.js("window.hacked === undefined")
    assert "onerror" in opened.js("document.querySelector('[data-panel=metrics]').textContent")
    opened.sound()


def test_the_picture_page_shows_the_picture(opened: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plotly the page shows the PNG beside it, and the header and alerts all the same."""
    import sys

    run = Run(opened.base, "s", at=time.time() - 2)
    run.start()
    realistic(run, 60)
    monkeypatch.setitem(sys.modules, "plotly", None)
    Renderer(Settings(opened.base), complain=lambda text: None).step(time.time())
    opened.open()
    opened.shows("(document.querySelector('.picture img') || {}).naturalWidth > 500")
    assert opened.js("document.getElementById('pill').textContent") == "running"
    opened.sound()


def test_a_page_whose_renderer_has_gone_says_so(opened: Page) -> None:
    """A running session's page that gets no sign of life says that it is not updating, instead of showing calm."""
    run = Run(opened.base, "s", at=time.time() - 100)
    run.start()
    run.write("training", 1, loss=1.0)
    opened.renderer.step(run.at + 1)
    opened.open()
    opened.shows("document.getElementById('pill').textContent", "not updating")
    assert "renderer is not running" in opened.js("document.getElementById('reason').textContent")
