"""Small line charts as inline SVG: no script, no library, prints well, a few kilobytes each.

The report is mailed and kept: it must not depend on a folder beside it, and a 4.8 MB chart library inside it would be
a thousand times its content. So its charts are still pictures; the live page is there for zooming.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import Any, Final

_WIDTH: Final = 560
_HEIGHT: Final = 200
#: Beyond it the arithmetic of axes overflows; such values are in the tables only.
_LARGEST: Final = 1e250
_Scale = Callable[[float], float]
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 22, 22


def chart(row: dict[str, Any], marks: list[dict[str, Any]], tone: int) -> str:
    """One row of `renderer.panels` as an SVG, "" when it has nothing finite to draw."""
    lines = [_points(part) for series in row["series"] for part in (series, *series["averages"])]
    xs = [x for line in lines for x, y in line if y is not None]
    ys = [y for line in lines for _, y in line if y is not None]
    log = bool(row["log"]) and any(y > 0 for y in ys)
    if log:
        ys = [y for y in ys if y > 0]
    if not ys:
        return ""

    def to_y(y: float) -> float:
        return math.log10(y) if log else y

    low, high = to_y(min(ys)), to_y(max(ys))
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 0.5
    low, high = low - pad, high + pad
    left, right = min(xs), max(xs)
    scale_x = (_WIDTH - _LEFT - _RIGHT) / ((right - left) or 1)
    scale_y = (_HEIGHT - _TOP - _BOTTOM) / ((high - low) or 1)

    def px(x: float) -> float:
        return _LEFT + (x - left) * scale_x

    def py(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - low) * scale_y

    label = html.escape(row["label"])
    out = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>']
    out.append(f'<text class="name" x="{_LEFT}" y="13">{label}{" (log)" if log else ""}</text>')
    for value in _ticks(low, high, 5, whole=log):
        at = py(value)
        shown = 10.0**value if log else value
        text = f"{shown:.0%}" if row.get("percent") else f"{shown:.4g}"
        out.append(
            f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/><text class="y" x="{_LEFT - 6}" y="{at + 4:.1f}">{text}</text>'
        )
    bottom = _HEIGHT - _BOTTOM
    out.extend(f'<text class="x" x="{px(at):.1f}" y="{bottom + 16}">{at:,.10g}</text>' for at in _ticks(left, right, 6))
    for mark in marks:
        if left <= mark["x"] <= right:
            at = px(mark["x"])
            out.append(
                f'<path class="mark {mark["level"]}" d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"><title>{html.escape(mark["text"])}</title></path>'
            )
    place = 0
    for number, series in enumerate(row["series"]):
        for which in range(1 + len(series["averages"])):
            path = _path(lines[place], px, py, to_y, log)
            place += 1
            if path:
                kind = "raw" if which == 0 and series["averages"] else "slow" if which == 2 else "line"
                out.append(f'<path class="{kind} t{(tone + number) % 8}" d="{path}"/>')
        out.extend(f'<text class="bad" x="{px(at):.1f}" y="{bottom}">&times;</text>' for at in series["bad"])
    out.append("</svg>")
    return "".join(out)


def _points(line: dict[str, Any]) -> list[tuple[float, float | None]]:
    pairs = zip(line["x"].tolist(), line["y"].tolist(), strict=True)
    return [(x, y if abs(y) < _LARGEST else None) for x, y in pairs]


def _path(line: list[tuple[float, float | None]], px: _Scale, py: _Scale, to_y: _Scale, log: bool) -> str:
    out: list[str] = []
    pen = "M"
    for x, y in line:
        if y is None or (log and y <= 0):
            pen = "M"
            continue
        out.append(f"{pen}{px(x):.1f} {py(to_y(y)):.1f}")
        pen = "L"
    return "".join(out)


def _ticks(low: float, high: float, wanted: int, whole: bool = False) -> list[float]:
    """Round numbers between `low` and `high`, about `wanted` of them."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low] if math.isfinite(low) else []
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step)
    count = min(int((high - first * step) / step) + 1, 50)
    return [round((first + i) * step, 12) if step > 1e-9 else (first + i) * step for i in range(count)]
