"""The charts of the report, each a picture with its content in words: rows of panels, evidence, alerts over time, several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from renderer import drawing, wording
from renderer.drawing import Frame, Points

_LANES: Final = 10
_LANE: Final = 15
_WORDS: Final = {"ERROR": "critical", "WARNING": "moderate", "INFO": "worth knowing"}


def row(one: dict[str, Any], marks: list[dict[str, Any]], tone: int) -> str:
    """A row of a panel (`renderer.panels`), "" when it has nothing finite to draw."""
    lines = [[drawing.points(part) for part in (series, *series["averages"])] for series in one["series"]]
    frame = Frame(
        *drawing.finite(line for parts in lines for line in parts),
        log=True if one["log"] else None if one["id"] == "loss" else False,
    )
    if frame.empty:
        return ""
    frame.axes(percent=bool(one.get("percent")))
    frame.name(one["label"] + (" (log)" if frame.log else ""))
    for limit in one["lines"]:
        frame.level(limit["y"], limit["text"])
    for mark in marks:
        frame.upright(mark["x"], mark["level"], mark["text"])
    for number, (series, parts) in enumerate(zip(one["series"], lines, strict=True)):
        for which, part in enumerate(parts):
            kind = "raw" if which == 0 and series["averages"] else "slow" if which == 2 else "line"
            frame.line(part, f"{kind} faint" if series["faint"] else kind, tone + number)
        if series.get("trend"):
            frame.line(drawing.points(series["trend"]), "trend", tone + number)
        frame.crosses(series["bad"])
    return f"<figure>{frame.svg(one['label'], words(one, marks))}{_caption(one, frame, tone)}</figure>"


def words(one: dict[str, Any], marks: Sequence[dict[str, Any]] = ()) -> str:
    """What a row shows, for those who cannot see it."""
    said = []
    for series in one["series"][:6]:
        pairs = [(x, y) for x, y in drawing.points(series) if y is not None and math.isfinite(y)]
        if not pairs:
            said.append(f"{series['name']}: no finite value")
            continue
        low, high = min(pairs, key=lambda p: p[1]), max(pairs, key=lambda p: p[1])
        text = (
            f"{series['name']}: {wording.number(pairs[0][1])} at step {wording.step(pairs[0][0])}, {wording.number(pairs[-1][1])} at step "
            f"{wording.step(pairs[-1][0])}; lowest {wording.number(low[1])} at step {wording.step(low[0])}, highest {wording.number(high[1])} "
            f"at step {wording.step(high[0])}"
        )
        if series["bad_count"]:
            text += f"; {wording.count(series['bad_count'], 'value')} not finite"
        said.append(text)
    if len(one["series"]) > 6:
        said.append(f"{len(one['series']) - 6} more lines")
    if marks:
        said.append(f"{wording.count(len(marks), 'alert')} marked")
    return ". ".join(said) + "."


def _caption(one: dict[str, Any], frame: Frame, tone: int) -> str:
    """The legend, where there is more than one line, and what the picture leaves out."""
    notes = []
    if len(one["series"]) > 1:
        notes += [
            f"<span class='key t{(tone + i) % 8}'>{drawing.e(series['name'])}</span>"
            for i, series in enumerate(one["series"])
        ]
    if frame.outside:
        low, high = (wording.number(value) for value in frame.reach)
        notes.append(f"{wording.count(frame.outside, 'point')} outside the axis (all: {low} to {high})")
    bad = sum(series["bad_count"] for series in one["series"])
    if bad:
        notes.append(f"&times; {wording.count(bad, 'value')} not finite")
    if one["left_out"]:
        notes.append(f"{wording.count(one['left_out'], 'more line')} not drawn")
    return (
        f"<figcaption>{' '.join(f'<span>{note}</span>' if not note.startswith('<span') else note for note in notes)}</figcaption>"
        if notes
        else ""
    )


def evidence(finding: dict[str, Any]) -> str:
    """The values that an alert rests on, with its limit, its onset and where it was noticed."""
    given = finding["evidence"]
    if given is None:
        return ""
    values = [value if isinstance(value, (int, float)) else None for value in given["values"]]
    line = drawing.points({"x": given["steps"], "y": values})
    xs, ys = drawing.finite([line])
    limit = finding["threshold"]
    frame = Frame(given["steps"] if ys else xs, ys, log=None, fit=False, width=420, height=140)
    if frame.empty:
        return ""
    frame.axes(ticks=3)
    frame.name(
        " · ".join(part for part in (given["metric"], finding["component"]) if part) + (" (log)" if frame.log else "")
    )
    if limit is not None:
        frame.level(limit, f"limit {wording.number(limit)}")
    if finding["onset_step"] is not None:
        frame.upright(finding["onset_step"], finding["worst"], "onset")
    if finding["detected_step"] is not None and finding["detected_step"] != finding["onset_step"]:
        frame.upright(finding["detected_step"], f"{finding['worst']} seen", "noticed")
    frame.line(line, "line", 0)
    frame.crosses(x for x, y in line if y is None)
    shown = ", ".join(
        wording.number(value) if isinstance(value, (int, float)) else str(value)
        for value in given["values"][-8:]
        if value is not None
    )
    return f"<figure>{frame.svg('Evidence', f'The last values: {shown}.')}</figure>"


def timeline(one: dict[str, Any], findings: list[dict[str, Any]]) -> str:
    """The curve of loss or reward with a lane below for each finding, from where it began to where it was last seen."""
    series = one["series"][0]
    lines = [drawing.points(part) for part in (series, *series["averages"])]
    told = [f for f in findings if f["onset_step"] is not None]
    lanes = told[:_LANES]
    below = _LANE * len(lanes) + 8
    xs, ys = drawing.finite(lines)
    frame = Frame(xs + [f[name] for f in lanes for name in ("onset_step", "last_step") if f[name] is not None] if ys else xs, ys,
                  log=None, width=1140, height=190 + below, below=below)  # fmt: skip
    if frame.empty:
        return ""
    frame.axes()
    frame.name(one["label"] + (" (log)" if frame.log else ""))
    for place, line in enumerate(lines):
        frame.line(line, "raw" if place == 0 and len(lines) > 1 else "slow" if place == 2 else "line", 0)
    frame.crosses(series["bad"])
    for place, f in enumerate(lanes):
        y = frame.bottom + 30 + _LANE * place
        begin = frame.x(f["onset_step"])
        end = max(begin + 3, frame.x(f["last_step"])) if f["last_step"] is not None else begin + 3
        frame.upright(f["onset_step"], f["worst"], f"{f['title']}: {f['message'][:120]}")
        frame.out.append(f'<path class="bar {f["worst"]}" d="M{begin:.1f} {y}H{end:.1f}"/>')
        if f["state"] != "resolved":
            # Until the end nobody saw it over: a thin line, which says less than the bar.
            frame.out.append(f'<path class="rest {f["worst"]}" d="M{end:.1f} {y}H{frame.right}"/>')
        right = end < frame.right - 260
        at, kind = (end + 6, "lane") if right else (begin - 6, "lane before")
        frame.out.append(f'<text class="{kind}" x="{at:.1f}" y="{y + 4}">{f["worst"]} {drawing.e(f["title"])}</text>')
    text = "; ".join(f"{_WORDS[f['worst']]}: {f['title']} from step {wording.step(f['onset_step'])}" for f in lanes)
    if len(told) > len(lanes):
        text += f"; {wording.count(len(told) - len(lanes), 'more is', 'more are')} not drawn"
    note = (
        f"<figcaption><span>{wording.count(len(told) - len(lanes), 'more finding is', 'more findings are')} not drawn.</span></figcaption>"
        if len(told) > len(lanes)
        else ""
    )
    return f"<figure class='wide'>{frame.svg('Alerts over time', text + '.', 'broad')}{note}</figure>"


def overlay(
    label: str,
    runs: Sequence[tuple[str, Points]],
    bands: Sequence[tuple[str, list[float], list[float], list[float]]] = (),
    log: bool | None = None,
) -> str:
    """Several runs' curves over one axis, each named below the picture; or mean and spread of groups.

    Args:
        runs: name and curve.
        bands: name, steps, low, high: the area around the run of the same place.
        log: logarithmic axis; None chooses.
    """
    lines = [line for _, line in runs]
    edges: list[Points] = [
        [(x, y) for x, y in zip(xs, part, strict=True)] for _, xs, low, high in bands for part in (low, high)
    ]
    frame = Frame(*drawing.finite([*lines, *edges]), log=log, width=1140, height=300)
    if frame.empty:
        return ""
    frame.axes()
    frame.name(label + (" (log)" if frame.log else ""))
    for place, (_, xs, low, high) in enumerate(bands):
        frame.band(xs, low, high, place)
    for place, line in enumerate(lines):
        frame.line(line, f"line d{place // 8 % 3}", place)
    said = []
    for name, line in runs:
        good = [(x, y) for x, y in line if y is not None]
        if good:
            said.append(
                f"{name}: from {wording.number(good[0][1])} to {wording.number(good[-1][1])} at step {wording.step(good[-1][0])}"
            )
    keys = "".join(
        f"<span class='key t{i % 8} d{i // 8 % 3}'>{drawing.e(name)}</span>" for i, (name, _) in enumerate(runs)
    )
    outside = ""
    if frame.outside:
        low_, high_ = (wording.number(value) for value in frame.reach)
        outside = f"<span>{wording.count(frame.outside, 'point')} outside the axis (all: {low_} to {high_})</span>"
    return f"<figure class='wide'>{frame.svg(label, '. '.join(said) + '.', 'broad')}<figcaption>{keys}{outside}</figcaption></figure>"
