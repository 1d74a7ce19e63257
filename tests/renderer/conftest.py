from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import FLAGS, BrowserPage

from contract import places


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Chromium for all pages; missing, it skips here and fails where CI says so."""
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


@pytest.fixture
def opened(browser: Any, place: Path, until: Callable[..., bool]) -> Iterator[BrowserPage]:
    """A page of an empty data folder, with no choices of an earlier test."""
    places.prepare_base(place)
    blank = place / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>")
    browser.get(blank.as_uri())
    browser.execute_script("localStorage.clear()")
    yield BrowserPage(browser, place, until)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
