"""A page of one run whose files are made by hand, open in a browser and drawn."""

from __future__ import annotations

from browser_page import CHARTS, BrowserPage, built
from page_fixture import Written, write_page

LOSS = built("panel/loss")
CALM = 30.0  # a refresh so slow that nothing counts as late while a test goes on


def one(opened: BrowserPage, name: str = "s", **state: object) -> Written:
    return Written(opened.base, name, refresh=CALM, state=dict(state))


def open_one(opened: BrowserPage, run: Written, fragment: str = "", charts: int = 1) -> None:
    opened.open(write_page(opened.base, run.name), fragment)
    opened.shows(f"{CHARTS} >= {charts}")
    opened.shows("typeof Charts === 'object' && [...Charts.inSight].every((c) => !c.stale)")
