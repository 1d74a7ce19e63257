"""The report in a real browser, opened from disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from renderer_runs import Run, realistic

from renderer.report import write_comparison, write_report

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HOSTILE = "</script><img src=x onerror=\"window.hacked=1\"><a href='javascript:1'>x</a>" + "y" * 400


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A report with everything in it, one with hostile texts, and a comparison."""
    base = tmp_path_factory.mktemp("reports")
    run = Run(base, "full", at=1000.0)
    run.start(config={"lr": 3e-4})
    realistic(run, 2800)
    run.alert("gradient_explosion", "ERROR", 2600, "too big", source="gradients", metric="grad_norm")
    run.end()
    hostile = Run(base, "hostile")
    hostile.write("lifecycle", 0, event="start", host=HOSTILE, config={HOSTILE: HOSTILE})
    for step in range(30):
        hostile.write("training", step, **{"loss": 1.0, HOSTILE: float(step), "note": HOSTILE})
    hostile.alert(HOSTILE, "ERROR", 3, HOSTILE, metric=HOSTILE)
    hostile.end("failed", HOSTILE)
    return [write_report(base, "full"), write_report(base, "hostile"), write_comparison(base, ["full", "hostile"])]


def test_pages_are_sound_and_ask_for_nothing(browser: Any, pages: list[Path]) -> None:
    """No error, no script, no request but for the page itself, nothing hostile came alive, and every picture has a size."""
    for path in pages:
        browser.get_log("performance")
        browser.get(path.as_uri())
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = {
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        }
        assert asked <= {path.as_uri()}
        script = "return [window.hacked || 0, document.scripts.length, document.querySelectorAll('img, a, iframe, link').length]"
        assert browser.execute_script(script) == [0, 0, 0]
        sizes = browser.execute_script(
            "return [...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().height)"
        )
        assert sizes and min(sizes) > 50


def test_light_dark_and_phone(browser: Any, pages: list[Path]) -> None:
    """The ground follows the reader's setting, text stands out from it in both, and on a phone nothing is wider than the screen."""
    browser.get(pages[0].as_uri())
    grounds = []
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        ground, ink = browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        )
        light, dark = (sum(map(int, colour[4:-1].split(","))) for colour in (ground, ink))
        assert abs(light - dark) > 500
        grounds.append(light)
    assert grounds[0] > 700 and grounds[1] < 100
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    for path in pages:
        browser.get(path.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
