"""What the page says of a run, in a real browser: its state, its alerts; in the dark and on a phone."""

from __future__ import annotations

import time

import numpy as np
import pytest
from browser_page import BrowserPage, built, figure
from one_page import LOSS, one, open_one
from page_fixture import learning

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


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
