"""The four panels as one picture, drawn by matplotlib where plotly cannot be imported."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

_COLOURS = ("#2f6fde", "#c9640a", "#0b8f6e", "#b83a82", "#7453d0", "#8f6d00", "#1f86b0", "#6b7280")
_LEVELS = {"ERROR": "#c62f3a", "WARNING": "#a86400", "INFO": "#2f6fde"}
_ROWS = 4
_LARGEST = 1e60


def draw(panels: list[dict[str, Any]], title: str) -> bytes:
    """A PNG of the panels that `renderer.panels` describes. Takes about a third of a second."""
    # Imported here: half a second that only folders without plotly pay. The Figure API needs no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8.6), dpi=100, layout="constrained", facecolor="white")
    figure.suptitle(_text(title), fontsize=13, x=0.01, ha="left")
    parts: Any = figure.subfigures(2, 2)
    for place, (panel, part) in enumerate(zip(panels, parts.flat, strict=False)):
        part.suptitle(panel["title"], fontsize=11, x=0.02, ha="left")
        rows = [row for row in panel["rows"] if row.get("open", True)][:_ROWS]
        if not rows:
            part.text(0.5, 0.5, panel["empty"], ha="center", va="center", color="#667080")
            continue
        heights = [1 if row["small"] or panel["choose"] else 2.6 for row in rows]
        all_axes = part.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for number, (row, axes) in enumerate(zip(rows, all_axes, strict=True)):
            _row(axes, row, panel, number + (0 if panel["choose"] else 2 * place))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _row(axes: Any, row: dict[str, Any], panel: dict[str, Any], number: int) -> None:
    for place, series in enumerate(row["series"]):
        colour = _COLOURS[(number + place) % len(_COLOURS)]
        faint = 0.4 if series["averages"] else 1.0
        axes.plot(series["x"], _drawable(series["y"]), color=colour, lw=0.9, alpha=faint, label=_text(series["name"]))
        for which, average in enumerate(series["averages"]):
            axes.plot(average["x"], _drawable(average["y"]), color="#171b22" if which else colour, lw=1.7)
        for step in series["bad"]:
            axes.axvline(step, ymax=0.06, color=_LEVELS["ERROR"], lw=1.5)
    for mark in panel["marks"]:
        axes.axvline(mark["x"], color=_LEVELS[mark["level"]], lw=0.8, alpha=0.4)
    if row["log"] and any(series["positive"] for series in row["series"]):
        axes.set_yscale("log")
    axes.set_title(_text(row["label"]), fontsize=8, loc="left", pad=2, color="#5a6473")
    axes.tick_params(labelsize=8)
    axes.grid(color="#eef0f4")
    axes.spines[["top", "right"]].set_visible(False)


def _drawable(values: Any) -> Any:
    """Values with gaps where the arithmetic of axes would overflow."""
    values = np.asarray(values, float)
    return np.where((np.abs(values) < _LARGEST) & ((np.abs(values) > 1 / _LARGEST) | (values == 0)), values, np.nan)


def _text(text: str) -> str:
    """Plain text: a dollar sign would begin a formula, a leading underscore would hide a label."""
    return text.replace("$", r"\$").lstrip("_") or "?"
