from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_page import BrowserPage

from contract import places


@pytest.fixture
def opened(browser: Any, place: Path, until: Callable[..., bool]) -> BrowserPage:
    """A page of an empty data folder, with no choices of an earlier test."""
    places.prepare_base(place)
    blank = place / "blank.html"
    blank.write_text("<!doctype html><title>blank</title>")
    browser.get(blank.as_uri())
    browser.execute_script("localStorage.clear()")
    return BrowserPage(browser, place, until)
