"""The page in a real browser, over HTTP: it lives, its policy is not broken, nobody else is asked for anything."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "renderer"))

from renderer_runs import Run, realistic

from contract import places
from renderer.loop import Renderer
from renderer.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
HOSTILE = "</script><img src=x onerror=\"window.hacked=1\"><a href='javascript:1'>x</a>"


def _asked_elsewhere(browser: Any, url: str) -> set[str]:
    """Addresses outside `url` that the pages asked for since the last look."""
    found = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent" and message["params"].get("documentURL", "").startswith(
            url
        ):
            found.add(message["params"]["request"]["url"])
    return {address for address in found if not address.startswith((url, "data:", "blob:"))}


def test_the_page_lives_over_http(
    browser: Any, place: Path, serve: Callable[..., Any], until: Callable[..., bool]
) -> None:
    """Served, a running session's page draws its charts, goes on by itself, breaks no policy and contacts nobody else."""
    places.prepare_base(place)
    renderer = Renderer(Settings(place, refresh_interval=0.2), complain=lambda text: None)
    run = Run(place, "s", at=time.time() - 4)
    run.start()
    realistic(run, 200)
    run.write("training", 200, **{HOSTILE: 2.0, "note": HOSTILE})
    run.alert("loss_divergence", "WARNING", 120, HOSTILE)
    renderer.step(time.time())
    server = serve(place)
    browser.get(f"{server.url}/dashboard_s.html")
    charts = "return document.querySelectorAll('.js-plotly-plot').length"
    assert until(lambda: browser.execute_script(charts) >= 2, 40, 0.1)
    last = "return Math.max(...[...document.querySelectorAll('.js-plotly-plot')].flatMap(c => c.data.flatMap(d => [...(d.x || [])].slice(-1))).filter(Number.isFinite))"
    realistic(run, 100, begin=201)

    def goes_on() -> bool:
        renderer.step(time.time(), last=True)
        return bool(browser.execute_script(last) >= 299)

    assert until(goes_on, 40, 0.3), browser.execute_script(last)
    browser.execute_script("scrollTo(0, document.body.scrollHeight)")
    until(lambda: False, 1)
    assert browser.execute_script("return window.violations") == []
    assert browser.execute_script("return window.hacked === undefined")
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []
    assert _asked_elsewhere(browser, server.url) == set()


def test_the_policy_stops_a_script_that_got_in(
    browser: Any, place: Path, serve: Callable[..., Any], until: Callable[..., bool]
) -> None:
    """A script and a handler that a mistake let into a page are not run, and a foreign one is not loaded."""
    places.prepare_base(place)
    run = Run(place, "s", at=time.time() - 4)
    run.start()
    realistic(run, 20)
    Renderer(Settings(place), complain=lambda text: None).step(time.time())
    path = place / "dashboard_s.html"
    bad = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'><script src='http://127.0.0.1:9/x.js'></script>"
    path.write_text(path.read_text().replace("<body>", f"<body>{bad}"))
    server = serve(place)
    browser.get(f"{server.url}/dashboard_s.html")
    assert until(lambda: len(browser.execute_script("return window.violations")) >= 3, 20, 0.1)
    assert browser.execute_script("return window.hacked === undefined")


def test_a_page_of_another_port_gets_nothing(
    browser: Any, place: Path, serve: Callable[..., Any], filled: Path, until: Callable[..., bool]
) -> None:
    """A page of another server on this machine can neither include a part as a script nor put a page into a frame."""
    (filled / ".avaliacoes/live/run_20250101_000000/manifest.js").write_text("window.stolen = 1")
    server = serve(filled)
    other = serve(_other(place))
    browser.get(f"{other.url}/dashboard_other.html")
    code = """const done = arguments[1]; const s = document.createElement('script'); s.src = arguments[0];
        s.onload = () => done('loaded'); s.onerror = () => done('refused'); document.head.append(s);"""
    # The other page's own policy is switched off: it is the server that must refuse.
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    try:
        browser.get(f"{other.url}/dashboard_other.html")
        found = browser.execute_async_script(code, f"{server.url}/.avaliacoes/live/run_20250101_000000/manifest.js")
    finally:
        browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    assert found == "refused" and browser.execute_script("return window.stolen === undefined")


def _other(place: Path) -> Path:
    other = place.parent / "other"
    places.prepare_base(other)
    (other / "dashboard_other.html").write_text("<!doctype html><title>other</title>")
    return other


def test_a_token_entered_once(
    browser: Any, filled: Path, serve: Callable[..., Any], until: Callable[..., bool]
) -> None:
    """Opened with the token, the page shows, without it in the address or in reach of a script; and again without it."""
    server = serve(filled, "--token")
    token = (filled / ".avaliacoes/serve_token").read_text().strip()
    page = f"{server.url}/dashboard_run_20250101_000000.html"
    browser.get(page)
    assert "needs its token" in browser.page_source
    browser.get(f"{page}?token={token}")
    assert until(lambda: browser.current_url == page, 20) and until(
        lambda: browser.page_source.endswith("page</body></html>"), 10
    )
    assert token not in browser.execute_script("return document.cookie + document.referrer + location.href")
    browser.get(f"{server.url}/report_run_20250101_000000.html")
    assert "report" in browser.page_source
