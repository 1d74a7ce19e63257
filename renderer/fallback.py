"""Pictures by matplotlib: the four panels where plotly cannot be imported, and reports as PNG.

Through the Figure API alone, which needs no display and shares no state.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

_COLOURS = ("#2f6fde", "#c9640a", "#0b8f6e", "#b83a82", "#7453d0", "#8f6d00", "#1f86b0", "#6b7280")
_LEVELS = {"ERROR": "#c62f3a", "WARNING": "#a86400", "INFO": "#2f6fde"}
_DASHES = ("-", "--", ":")
_ROWS = 4
_LARGEST = 1e60
_SIZE = (14, 8.6)
_DPI = 100


def draw(panels: list[dict[str, Any]], title: str, said: str = "") -> bytes:
    """A PNG of 1400 x 860 pixels of the panels that `renderer.panels` describes, under a title and a sentence.

    Takes about a third of a second.

    Raises:
        ImportError: matplotlib is not there.
    """
    figure = _figure(title, said)
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
    return _png(figure)


def overlay(title: str, lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], metric: str) -> bytes:
    """A PNG of 1400 x 860 pixels of several runs' curves: name, steps and values of each.

    Raises:
        ImportError: matplotlib is not there.
    """
    figure = _figure(title, "")
    axes: Any = figure.subplots()
    for place, (name, steps, values) in enumerate(lines):
        style = _DASHES[place // len(_COLOURS) % len(_DASHES)]
        axes.plot(steps, _drawable(values), color=_COLOURS[place % len(_COLOURS)], ls=style, lw=1.8, label=_text(name))
    if lines:
        axes.legend(fontsize=9, frameon=False)
    _style(axes, f"{metric}, smoothed" if lines else "No reward or loss that these sessions share.")
    return _png(figure)


def _figure(title: str, said: str) -> Any:
    # Imported here: half a second that only those who ask for a picture pay.
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"a picture needs matplotlib, which cannot be imported ({error}): pip install matplotlib"
        ) from error

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained", facecolor="white")
    lines = [_text(title), *(_text(line) for line in textwrap.wrap(said, 190, max_lines=3, placeholder=" ..."))]
    figure.suptitle("\n".join(lines), fontsize=11 if said else 13, x=0.01, ha="left")
    return figure


def _png(figure: Any) -> bytes:
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
    if len(row["series"]) > 1:
        axes.legend(fontsize=7, frameon=False, ncols=4, loc="upper right", borderaxespad=0.1)
    _style(axes, row["label"])


def _style(axes: Any, label: str) -> None:
    axes.set_title(_text(label), fontsize=8, loc="left", pad=2, color="#5a6473")
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
