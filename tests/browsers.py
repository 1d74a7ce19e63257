"""Real browsers, one for all tests of a process; where one is missing its tests are skipped, and fail where CI says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

#: Chromium in a container, as root, that looks nothing up and downloads nothing at its start.
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
#: Run before any script of a page: every break of its policy is noted.
WATCH = """window.violations = []; addEventListener('securitypolicyviolation', (e) => window.violations.push(
    `${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));"""


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {what}")
    pytest.skip(f"no {what}")


def _found(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Chromium."""
    binary, driver = _found("chromium", "chromium-browser", "google-chrome"), _found("chromedriver")
    if not binary or not driver:
        _missing("Chromium with chromedriver: install the packages chromium and chromium-driver")
    if os.environ.get("CI") != "true":
        pytest.importorskip("selenium.webdriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        found.set_page_load_timeout(60)
        found.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        yield found
    finally:
        found.quit()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """Chromium on an empty page, with nothing logged and nothing emulated; it leaves the test's page at the end."""
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    yield chromium
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    chromium.get("about:blank")


@pytest.fixture(scope="session")
def firefox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless Firefox."""
    binary = _found("firefox-esr", "firefox")
    if not binary:
        _missing("Firefox: install the package firefox-esr")
    if os.environ.get("CI") != "true":
        pytest.importorskip("websocket")
    from firefox import Firefox

    found = Firefox(str(binary), tmp_path_factory.mktemp("firefox"))
    try:
        found.before(WATCH)
        yield found
    finally:
        found.quit()


@pytest.fixture
def firefox(firefox_process: Any) -> Iterator[Any]:
    """Firefox on an empty page; it leaves the test's page at the end."""
    yield firefox_process
    firefox_process.get("about:blank")
