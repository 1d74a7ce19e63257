"""Small charts as inline SVG: no script, no library, prints well, a few kilobytes each. Scales, axes, lines and marks.

The report is mailed and kept: it must not depend on a folder beside it, and a 4.8 MB chart library inside it would be
a thousand times its content. So its charts are still pictures; the live page is there for zooming.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

#: Beyond it the arithmetic of axes overflows; such values are in the tables only.
LARGEST: Final = 1e250
#: A positive curve over more than this factor gets a logarithmic axis where the chart leaves it open.
WIDE: Final = 100.0
#: The axis fits all but the outermost of the values when all of them would take this many times the room.
_CROWDED: Final = 8.0
_OUTERMOST: Final = 0.005

Points = list[tuple[float, float | None]]


def e(value: object) -> str:
    """Text from outside, harmless in HTML and SVG."""
    return html.escape(str(value))


class Frame:
    """A chart's area: from steps and values to pixels, with the parts drawn so far in `out`.

    Args:
        xs, ys: every step and value that will be drawn; without a finite value `empty` is true and nothing may be drawn.
        log: logarithmic values; None chooses by the values.
        fit: leave outermost values outside where they would flatten the rest; `outside` counts them, `reach` is their extent.
        width, height: of the picture in its own units, `below` of them under the axis for further rows.
    """

    def __init__(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        log: bool | None = False,
        fit: bool = True,
        width: int = 560,
        height: int = 200,
        below: int = 0,
    ) -> None:
        self.width, self.height = width, height
        self.left, self.right, self.top, self.bottom = 58, width - 10, 24, height - 22 - below
        self.out: list[str] = []
        positive = [y for y in ys if y > 0]
        self.log = bool(positive) and (
            len(positive) == len(ys) and max(positive) / min(positive) > WIDE if log is None else log
        )
        shown = positive if self.log else list(ys)
        self.empty = not shown
        self.outside, self.reach = 0, (0.0, 0.0)
        self.x0, self.x1, self.y0, self.y1 = 0.0, 1.0, 0.0, 1.0
        if self.empty:
            return
        self.x0, self.x1 = min(xs), max(xs)
        low, high = self._range(shown, fit and not self.log)
        pad = (high - low) * 0.06 or abs(high) * 0.1 or 0.5
        self.y0, self.y1 = low - pad, high + pad
        if not self.log and low >= 0:
            self.y0 = max(self.y0, -0.02 * (self.y1 - low))  # what is never negative needs no room below zero

    def _range(self, shown: list[float], fit: bool) -> tuple[float, float]:
        ordered = sorted(math.log10(y) if self.log else y for y in shown)
        low, high = ordered[0], ordered[-1]
        cut = int(len(ordered) * _OUTERMOST)
        if fit and cut:
            inner = ordered[cut], ordered[-1 - cut]
            room = 0.5 * (inner[1] - inner[0])
            if 0 < _CROWDED * (inner[1] - inner[0]) < high - low:
                self.reach = low, high
                low, high = max(low, inner[0] - room), min(high, inner[1] + room)
                self.outside = sum(not low <= y <= high for y in ordered)
        return low, high

    def x(self, step: float) -> float:
        return self.left + (step - self.x0) * (self.right - self.left) / ((self.x1 - self.x0) or 1)

    def y(self, value: float) -> float:
        """Pixels of a value; what lies outside is put on the edge. Only positive values where `log`."""
        at = math.log10(value) if self.log else value
        return self.bottom - min(max((at - self.y0) / ((self.y1 - self.y0) or 1), 0.0), 1.0) * (self.bottom - self.top)

    def drawable(self, value: float | None) -> bool:
        return value is not None and abs(value) < LARGEST and (value > 0 or not self.log)

    def axes(self, percent: bool = False, ticks: int = 5) -> None:
        for value in log_ticks(self.y0, self.y1) if self.log else tick_values(self.y0, self.y1, ticks):
            at = self.bottom - (value - self.y0) / ((self.y1 - self.y0) or 1) * (self.bottom - self.top)
            shown = 10.0**value if self.log else value
            text = (
                f"{100 * shown:.4g} %" if percent else f"{shown:,.10g}" if 1e3 <= abs(shown) < 1e6 else f"{shown:.4g}"
            )
            self.out.append(f'<path class="grid" d="M{self.left} {at:.1f}H{self.right}"/>')
            self.out.append(f'<text class="y" x="{self.left - 6}" y="{at + 4:.1f}">{text}</text>')
        for at in tick_values(self.x0, self.x1, max(2, (self.right - self.left) // 90)):
            # A label at the very edge ends there, or it would be cut.
            kind = "y" if self.x(at) > self.width - 24 else "x"
            shift = 8 if kind == "y" else 0
            self.out.append(
                f'<text class="{kind}" x="{self.x(at) + shift:.1f}" y="{self.bottom + 16}">{at:,.10g}</text>'
            )

    def name(self, text: str) -> None:
        self.out.append(f'<text class="name" x="{self.left}" y="14">{e(text)}</text>')

    def line(self, points: Points, kind: str, tone: int) -> None:
        """A line with gaps where it has no value; a value between two gaps is a dot."""
        out: list[str] = []
        pen, run = "M", 0
        for step, value in points:
            if value is None or not self.drawable(value):
                out += ["h.01"] if run == 1 else []
                pen, run = "M", 0
                continue
            out.append(f"{pen}{self.x(step):.1f} {self.y(value):.1f}")
            pen, run = "L", run + 1
        out += ["h.01"] if run == 1 else []
        if out:
            self.out.append(f'<path class="{kind} t{tone % 8}" d="{"".join(out)}"/>')

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], tone: int) -> None:
        """The area between two lines."""
        good = [(x, a, b) for x, a, b in zip(xs, low, high, strict=True) if self.drawable(a) and self.drawable(b)]
        if len(good) > 1:
            path = "L".join(f"{self.x(x):.1f} {self.y(b):.1f}" for x, _, b in good)
            back = "L".join(f"{self.x(x):.1f} {self.y(a):.1f}" for x, a, _ in reversed(good))
            self.out.append(f'<path class="band t{tone % 8}" d="M{path}L{back}Z"/>')

    def level(self, value: float, text: str) -> None:
        """A limit, where it lies inside."""
        at = math.log10(value) if self.log and value > 0 else value
        if self.drawable(value) and self.y0 < at < self.y1:
            y = self.y(value)
            self.out.append(f'<path class="limit" d="M{self.left} {y:.1f}H{self.right}"/>')
            self.out.append(f'<text class="at" x="{self.right}" y="{y - 3:.1f}">{e(text)}</text>')

    def upright(self, step: float, kind: str, text: str) -> None:
        if self.x0 <= step <= self.x1:
            title = f"<title>{e(text)}</title>" if text else ""
            self.out.append(
                f'<path class="mark {kind}" d="M{self.x(step):.1f} {self.top}V{self.bottom}">{title}</path>'
            )

    def crosses(self, steps: Iterable[float]) -> None:
        """Values that were not finite, on the axis; those that would cover each other are drawn once."""
        last = -math.inf
        for step in steps:
            at = self.x(step)
            if self.x0 <= step <= self.x1 and abs(at - last) >= 2:
                self.out.append(f'<text class="bad" x="{at:.1f}" y="{self.bottom}">&times;</text>')
                last = at

    def svg(self, label: str, text: str, kind: str = "") -> str:
        """The picture; `label` names it, `text` says in words what it shows."""
        return (
            f'<svg class="{kind}" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{e(label)}. {e(text)}">'
            f"<title>{e(label)}</title><desc>{e(text)}</desc>{''.join(self.out)}</svg>"
        )


def points(line: dict[str, Any]) -> Points:
    """The points of a line of `renderer.series.plain`, or of lists, None where there is no value to draw."""
    xs, ys = line["x"], line["y"]
    xs, ys = (part.tolist() if hasattr(part, "tolist") else part for part in (xs, ys))
    return [(x, y if y is not None and abs(y) < LARGEST else None) for x, y in zip(xs, ys, strict=True)]


def finite(lines: Iterable[Points]) -> tuple[list[float], list[float]]:
    """Steps and values of all points that can be drawn."""
    pairs = [(x, y) for line in lines for x, y in line if y is not None]
    return [x for x, _ in pairs], [y for _, y in pairs]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two logarithms, and their double and fivefold where there are few."""
    if not high - low < 3:
        return [float(at) for at in tick_values(low, high, 5) if at == int(at)]
    tens = range(math.floor(low), math.ceil(high) + 1)
    found = [ten + math.log10(m) for ten in tens for m in ((1, 2, 5) if high - low < 1.7 else (1,))]
    return [at for at in found if low <= at <= high] or tick_values(low, high, 3)


def tick_values(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers between `low` and `high`, about `wanted` of them."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low] if math.isfinite(low) else []
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    # The nearest round step, rather one tick more than half as many.
    step = next((power * m for m in (1, 2, 5, 10) if power * m >= 0.7 * raw), 10 * power)
    first = math.ceil(low / step)
    count = min(int((high - first * step) / step) + 1, 50)
    return [round((first + i) * step, 12) if step > 1e-9 else (first + i) * step for i in range(count)]
