"""Fingers on the page, in a real browser that takes them for a touch screen's."""

from __future__ import annotations

import numpy as np
import pytest
from browser_page import CHARTS, BrowserPage, figure
from page_fixture import Written, write_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

#: Makes a page believe that its first pointer is a mouse.
MOUSE = "{ const real = matchMedia; window.matchMedia = (query) => real.call(window, query.replace('(pointer: coarse)', 'not all')); }"
RANGE = f"{figure('panel/loss')}._fullLayout.xaxis.range"


class Hand:
    """Fingers on a chart: each place is pixels from the chart's middle."""

    def __init__(self, opened: BrowserPage, chart: str) -> None:
        self.opened, self.chart = opened, chart
        self.x, self.y = opened.js(
            f"((b) => [b.left + b.width / 2, b.top + b.height / 2])(document.querySelector('[data-chart=\"{chart}\"] .nsewdrag').getBoundingClientRect())"
        )

    def _send(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": self.x + x, "y": self.y + y, "id": number} for number, (x, y) in enumerate(places)]
        self.opened.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def put(self, *places: tuple[float, float]) -> None:
        """One finger after the other."""
        for number in range(1, len(places) + 1):
            self._send("touchStart", *places[:number])

    def move(self, *ways: tuple[tuple[float, float], tuple[float, float]], parts: int = 8) -> None:
        """From where they are to where they go."""
        for part in range(1, parts + 1):
            share = part / parts
            self._send("touchMove", *((x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for (x0, y0), (x1, y1) in ways))

    def lift(self) -> None:
        self._send("touchEnd")

    def pinch(self, *ways: tuple[tuple[float, float], tuple[float, float]]) -> None:
        self.put(*(begin for begin, _ in ways))
        self.move(*ways)
        self.lift()

    def tap(self) -> None:
        self.put((0, 0))
        self.lift()


@pytest.fixture
def touched(opened: BrowserPage) -> BrowserPage:
    """A page on a phone's screen."""
    cdp = opened.browser.execute_cdp_cmd
    cdp("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5})
    cdp("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})
    show(opened)
    return opened


def show(opened: BrowserPage) -> None:
    """Two charts of a run, one of them in the middle of the screen."""
    run = Written(opened.base, "s", refresh=30.0)
    run.add("training", "loss", np.linspace(2, 1, 1000) + np.random.default_rng(1).normal(0, 0.05, 1000))
    run.add("gradients", "grad_norm", np.linspace(1, 2, 1000))
    run.write()
    opened.open(write_page(opened.base, "s"))
    opened.shows(f"{CHARTS} >= 2")
    opened.shows("[...Charts.inSight].every((c) => !c.stale)")
    opened.do("document.querySelector('[data-chart=\"panel/loss\"]').scrollIntoView({block: 'center'})")


def test_two_fingers_zoom_all_charts_around_their_middle(touched: BrowserPage) -> None:
    """Fingers that part show less, around what they hold; the page stays where it is, the charts follow, the address has it."""
    before = touched.js("scrollY")
    Hand(touched, "panel/loss").pinch(((-30, 0), (-90, 30)), ((30, 0), (90, 30)))
    touched.shows("View.state.range !== null")
    low, high = touched.js("View.state.range")
    assert 280 < high - low < 400 and abs((low + high) / 2 - 500) < 30
    for chart in ("panel/loss", "panel/norm"):
        touched.shows(f"{figure(chart)}._fullLayout.xaxis.range", [low, high])
    assert touched.js("location.hash").startswith("#x=")
    assert touched.js("scrollY") == before
    assert touched.js("document.querySelector('.tip')?.hidden !== false")
    touched.sound()


def test_what_is_held_stays_under_the_fingers(touched: BrowserPage) -> None:
    """Two fingers that move together push the window along, and never out of what there is."""
    touched.do("View.look([400, 600])")
    touched.shows(RANGE, [400, 600])
    width = touched.js(f"{figure('panel/loss')}._fullLayout.xaxis._length")
    hand = Hand(touched, "panel/loss")
    hand.pinch(((-40, 0), (-80, 0)), ((40, 0), (0, 0)))
    expected = [400 + 40 / width * 200, 600 + 40 / width * 200]
    touched.shows("View.state.range[0] !== 400")
    np.testing.assert_allclose(touched.js("View.state.range"), expected, atol=1.5)
    for _ in range(4):
        hand.pinch(((-100, 0), (60, 0)), ((-20, 0), (140, 0)))
    touched.shows("View.state.range[0]", 0)
    assert abs(touched.js("View.state.range[1]") - 200) < 1e-6


def test_closing_fingers_show_everything_again(touched: BrowserPage) -> None:
    """A pinch to wider than all there is follows the run again."""
    touched.do("View.look([300, 700])")
    touched.shows(RANGE, [300, 700])
    Hand(touched, "panel/loss").pinch(((-120, 0), (-25, 0)), ((120, 0), (25, 0)))
    touched.shows("View.state.range", None)
    touched.shows(f"{RANGE}[1] > 999")


def test_fingers_zoom_a_logarithmic_axis_by_its_powers(touched: BrowserPage) -> None:
    """On a logarithmic axis half of the window is half of its powers of ten."""
    touched.do("View.setLog(true); View.look([1, 100])")
    touched.shows(f"{RANGE}.map((v) => Math.round(v * 100))", [0, 200])
    Hand(touched, "panel/loss").pinch(((-40, 0), (-80, 0)), ((40, 0), (80, 0)))
    touched.shows("View.state.range[0] > 2")
    np.testing.assert_allclose(np.log10(touched.js("View.state.range")), [0.5, 1.5], atol=0.02)


def test_one_finger_scrolls_the_page_and_zooms_nothing(touched: BrowserPage) -> None:
    """A finger that moves over a chart moves the page, whether it goes up or aslant."""
    before = touched.js("scrollY")
    hand = Hand(touched, "panel/loss")
    hand.put((0, 0))
    hand.move(((0, 0), (15, -150)))
    hand.lift()
    touched.shows(f"scrollY > {before} + 60")
    assert touched.js("View.state.range") is None


def test_fingers_do_the_same_where_a_mouse_is_there_too(touched: BrowserPage) -> None:
    """On a screen that takes fingers beside a mouse, one finger scrolls, two zoom, and the mouse zooms as ever."""
    cdp = touched.browser.execute_cdp_cmd
    added = cdp("Page.addScriptToEvaluateOnNewDocument", {"source": MOUSE})
    try:
        show(touched)
    finally:
        cdp("Page.removeScriptToEvaluateOnNewDocument", added)
    assert touched.js("Charts.touch") is False
    hand = Hand(touched, "panel/loss")
    hand.pinch(((-30, 0), (-90, 30)), ((30, 0), (90, 30)))
    touched.shows("View.state.range !== null && View.state.range[1] - View.state.range[0] < 400")
    touched.do("View.look(null)")
    touched.shows(f"{RANGE}[1] > 999")
    touched.drag("[data-chart='panel/loss']", -60, 120)
    touched.shows("View.state.range !== null")
    touched.do("View.look(null)")
    touched.shows(f"{RANGE}[1] > 999")
    before = touched.js("scrollY")
    hand.put((0, 0))
    hand.move(((0, 0), (15, -150)))
    hand.lift()
    touched.shows(f"scrollY > {before} + 60")
    assert touched.js("View.state.range") is None
    touched.sound()


def test_a_double_tap_shows_everything_again(touched: BrowserPage) -> None:
    """Two taps at one place do what a double click does; one finger, and taps at two places, do not."""
    touched.do("View.look([300, 700])")
    touched.shows(RANGE, [300, 700])
    hand = Hand(touched, "panel/loss")
    hand.put((0, 0))
    touched.shows("document.querySelectorAll('.cross.on').length > 0")
    hand.lift()
    hand.x += 60
    hand.tap()
    assert touched.js("View.state.range") == [300, 700]
    hand.tap()
    touched.shows("View.state.range", None)
    touched.shows(f"{RANGE}[1] > 999")
    touched.sound()
