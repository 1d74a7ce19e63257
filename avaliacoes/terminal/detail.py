"""One run as lines for a terminal: its alerts in words, then every metric with its course. Pure."""

from __future__ import annotations

import time

from avaliacoes.terminal.frame import _LEVEL_STYLE, _STATE_STYLE, Line, Size
from avaliacoes.terminal.runs import View
from avaliacoes.terminal.text import Glyphs, age, count, fit, number, spark, wrap
from contract import alerts


def detail(view: View, size: Size, signs: Glyphs, first: int = 0) -> tuple[list[Line], int]:
    """The lines of one run from line `first` of its body on; and `first` as far as there is that much to scroll."""
    head = _head(view, size.width, signs)
    body = [*_alerts(view, size.width, signs), *_metrics(view, size.width, signs)]
    if size.height is None:
        return head + body, 0
    foot: Line = [("q quit  esc back  up/down scroll", "dim")]
    room = max(1, size.height - len(head) - 1)
    first = max(0, min(first, len(body) - room))
    shown = body[first : first + room]
    if len(body) > room:
        foot.append((f"  lines {first + 1}-{first + len(shown)} of {len(body)}", "dim"))
    shown += [[] for _ in range(room - len(shown))]
    return [*head, *shown, foot][: size.height], first


def _head(view: View, width: int, signs: Glyphs) -> list[Line]:
    top: Line = [(signs.safe(view.session), "bold"), (f"  {view.state}", _STATE_STYLE.get(view.state, ""))]
    step = "-" if view.step is None else f"{view.step:,}"
    exact = "" if view.counted else "about "
    second = f"step {step}  {exact}{count(view.records)} records  {count(view.rate)} rec/s  last record {age(view.age_s)} ago"
    facts = [f"{name} {signs.safe(value)}" for name, value in view.facts.items()]
    if view.started:
        facts.insert(0, time.strftime("started %Y-%m-%d %H:%M:%S", time.localtime(view.started)))
    lines: list[Line] = [
        top,
        *([(part, "")] for part in wrap(signs.safe(view.reason), width)[:3] if part),
        [(second, "")],
    ]
    lines += [[(part, "dim")] for part in wrap("  ".join(facts), width)[:2]]
    return [*lines, [(signs.rule * width, "dim")]]


def _alerts(view: View, width: int, signs: Glyphs) -> list[Line]:
    icons = {"ERROR": signs.error, "WARNING": signs.warning, "INFO": signs.info}
    lines: list[Line] = [[("ALERTS", "bold")]]
    if not view.rows:
        return [*lines, [("  none", "dim")], []]
    for row in view.rows:
        level = alerts.LEVELS[alerts.severity(row.get("level"))]
        firing = row.get("state") == alerts.FIRING
        style = _LEVEL_STYLE[level] if firing else "dim"
        about = signs.safe(row.get("rule"), 60)
        if row.get("component"):
            about += f" ({signs.safe(row['component'], 60)})"
        steps = f"step {signs.safe(row.get('first_seen_step', row.get('step')), 30)}"
        if row.get("last_step") not in (None, row.get("first_seen_step")):
            steps += f" to {signs.safe(row['last_step'], 30)}"
        often = f", {row['episodes']} times" if isinstance(row.get("episodes"), int) and row["episodes"] > 1 else ""
        state = signs.safe(row.get("state") or "firing", 20)
        lines.append([(f"{icons[level]} {level} {about}", style), (f"  {state}  {steps}{often}", "dim")])
        for text, inner in ((row.get("message"), ""), (row.get("outcome"), "dim"), (row.get("action"), "cyan")):
            if text:
                lines += [[("    " + part, inner)] for part in wrap(signs.safe(text), max(10, width - 4))]
    return [*lines, []]


def _metrics(view: View, width: int, signs: Glyphs) -> list[Line]:
    lines: list[Line] = []
    name_room = max(12, min(36, width // 3))
    room = max(0, min(64, width - name_room - 2 - 9 - 12))
    category = None
    for name, metric in view.metrics.items():
        group, _, short = name.partition(".")
        if group != category:
            lines += [[], [(group.upper(), "bold")]] if category else [[(group.upper(), "bold")]]
            category = group
        curve = fit(spark(metric.history.columns(room), signs), room)
        step = "" if metric.step is None else f"step {count(metric.step)}"
        lines.append([
            (f"  {fit(signs.safe(short, 200), name_room, dots=signs.dots)} ", ""),
            (curve + " ", "cyan"), (fit(number(metric.last), 9), "bold"), (step, "dim"),
        ])  # fmt: skip
    return lines or [[("no metrics yet", "dim")]]
