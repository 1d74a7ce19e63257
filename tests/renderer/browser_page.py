"""A page in a real browser, opened from disk, and the questions that tests ask it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHARTS = "document.querySelectorAll('.js-plotly-plot').length"

HOSTILE = "</script><img src=x onerror=\"window.hacked=1\"><a href='javascript:window.hacked=1'>x</a>\u2028&lt;b&gt;"


class BrowserPage:
    """One page: `open` it, run `js`, wait until it `shows` something, and look whether all was `sound`."""

    def __init__(self, browser: Any, base: Path, until: Callable[..., bool]) -> None:
        self.browser, self.base, self.until = browser, base, until

    def open(self, path: Path, fragment: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get_log("browser")
        self.browser.get_log("performance")
        self.browser.get(path.as_uri() + fragment)

    def forget(self) -> None:
        """No choices of an earlier test."""
        self.js("localStorage.clear()")

    def js(self, code: str) -> Any:
        return self.browser.execute_script(f"return {code}")

    def do(self, code: str) -> None:
        self.browser.execute_script(code)

    def shows(self, code: str, expected: object = True, seconds: float = 40) -> None:
        assert self.until(lambda: self.js(code) == expected, seconds, 0.1), (
            f"{code} is {self.js(code)!r}, not {expected!r}"
        )

    def text(self, css: str) -> str:
        return str(self.js(f"(document.querySelector({css!r}) || {{}}).textContent || ''"))

    def press(self, keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(keys).perform()

    def drag(self, css: str, begin: int, by: int) -> None:
        """Drag over a chart by mouse, from `begin` pixels of its middle, `by` pixels."""
        from selenium.webdriver import ActionChains

        area = self.browser.find_element("css selector", f"{css} .nsewdrag")
        half = by // 2
        ActionChains(self.browser).move_to_element_with_offset(area, begin, 0).click_and_hold().move_by_offset(
            half, 0
        ).move_by_offset(by - half, 0).release().perform()

    def sound(self) -> None:
        """No error was logged, nothing was refused by the page's policy, and nothing but files was asked for."""
        errors = [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not errors, [message[:600] for message in errors]
        asked = set()
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            ours = str(message["params"].get("documentURL", "")).startswith("file:")
            if message["method"] == "Network.requestWillBeSent" and ours:
                asked.add(message["params"]["request"]["url"])
        foreign = [url for url in asked if url.split(":")[0] not in ("file", "data", "blob")]
        assert not foreign and any(url.startswith("file:") for url in asked), (foreign, len(asked))


def figure(chart: str) -> str:
    """JavaScript: what Plotly holds of a chart."""
    return f"document.querySelector('[data-chart=\"{chart}\"] .plot')"


def built(chart: str) -> str:
    """JavaScript: what the page made of a chart."""
    return f"Charts.charts.get('{chart}').figure"
