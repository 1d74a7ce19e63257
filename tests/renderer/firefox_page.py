"""A page in Firefox, opened from disk, and the questions that tests ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser_page import BrowserPage
from firefox import Firefox


class FirefoxPage(BrowserPage):
    """The same questions, asked of a page in Firefox."""

    browser: Firefox

    def open(self, path: Path, fragment: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.errors.clear()
        self.browser.asked.clear()
        self.browser.get(path.as_uri() + fragment)

    def press(self, keys: str) -> None:
        self.browser.act("key", [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")])

    def middle(self, css: str) -> tuple[int, int]:
        """The middle of an element that is in sight, in pixels of the window."""
        box = self.js(
            f"((e) => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect(); "
            f"return [b.left + b.width / 2, b.top + b.height / 2]; }})(document.querySelector({css!r}))"
        )
        return round(box[0]), round(box[1])

    def click(self, css: str, times: int = 1) -> None:
        x, y = self.middle(css)
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.browser.act("pointer", [_move(x, y), *press * times])

    def drag(self, css: str, begin: int, by: int) -> None:
        x, y = self.middle(f"{css} .nsewdrag")
        moves = [_move(x + begin + by * part // 4, y, 40) for part in range(1, 5)]
        self.browser.act("pointer", [_move(x + begin, y), {"type": "pointerDown", "button": 0}, *moves, {"type": "pointerUp", "button": 0}])  # fmt: skip

    def sound(self) -> None:
        assert self.js("window.violations") == []
        assert self.browser.errors == []
        assert [url for url in self.browser.asked if url.split(":")[0] not in ("file", "data", "blob", "about")] == []


def _move(x: int, y: int, duration: int = 0) -> dict[str, Any]:
    return {"type": "pointerMove", "x": x, "y": y, "duration": duration}
