"""The analysis report of one session: `report_<session>.html`, complete in itself, and the same numbers as JSON.

Reads the files as the live page does, in chunks and bounded memory, whatever their size; needs no service and no
chart library.
"""

from __future__ import annotations

import html
import importlib.resources
import math
import time
from pathlib import Path
from typing import Any, Final

import orjson

from contract import settings as shared
from contract.alerts import LEVELS
from contract.lifecycle import CRASHED, FINISHED, RUNNING
from contract.names import check_session
from renderer import drawing, find, page, panels
from renderer.session import Session, number, stamp

#: What a rule means and what to look at, for readers who did not write it.
EXPLAINED: Final = {
    "gradient_explosion": "The gradient norm was far above its usual range: updates that large can undo what was learned. Look at the learning rate, reward scale and clipping.",
    "vanishing_gradient": "The gradient norm was practically zero: nothing was being learned at those steps. Look at saturated activations, zero advantages, or a finished schedule.",
    "zero_gradients": "Most gradient entries were exactly zero, as with dead units. Some architectures live well with that; a rising share is the sign to watch.",
    "loss_divergence": "The loss rose steadily. In reinforcement learning a rising value loss can be healthy while rewards grow: judge it together with the reward.",
    "stagnation": "The loss hardly changed for a long time: either the training has converged, or it has stopped learning.",
    "poor_performance": "Episode rewards stayed low for a long stretch.",
    "non_finite": "A loss, gradient or reward was not a finite number: what follows such an update is rarely worth keeping.",
}


class NoSuchSession(FileNotFoundError):
    """The data folder has no files of that session."""


def report_file(base: Path, session: str) -> Path:
    return base / f"report_{session}.html"


def write_report(base: Path, session: str) -> Path:
    """Write the report of a session into its data folder and return the path of the HTML file.

    Raises:
        contract.names.NameRefused: not a session name.
        NoSuchSession: there are no files of that session.
        OSError: the folder cannot be written.
    """
    numbers, charts = analyse(base, session)
    (base / ".avaliacoes" / "live").mkdir(mode=0o700, parents=True, exist_ok=True)
    target = report_file(base, session)
    plain = orjson.dumps(numbers, option=orjson.OPT_INDENT_2)
    page.write_atomic(base, target.with_suffix(".json"), plain + b"\n")
    page.write_atomic(base, target, _html(numbers, charts).encode())
    return target


def analyse(base: Path, session: str, now: float | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The numbers of the report, ready for JSON, and the panels to draw."""
    check_session(session)
    found = find.sessions(base) if base.is_dir() else {}
    if session not in found:
        known = ", ".join(sorted(found, key=lambda name: -found[name].newest)[:5]) or "none"
        raise NoSuchSession(f"no data of session {session!r} in {base}; the newest there: {known}")
    config = shared.load(base)
    model = Session(base, session, min(int(config["history_window"]), 1000), int(config["moving_average_window"]))
    for category, path in found[session].files.items():
        model.add_file(category, path)
    while model.poll()[1]:
        pass
    now = time.time() if now is None else now
    shown = panels.panels(model, config)
    return _numbers(model, config, shown, now), shown


def _numbers(model: Session, config: dict[str, Any], shown: list[dict[str, Any]], now: float) -> dict[str, Any]:
    end = model.ended_at(now)
    started = model.life.started or model.first_time
    numbers: dict[str, Any] = {
        "session": model.name,
        "written": stamp(now),
        "state": model.state(now),
        "reason": model.reason(now),
        "started": stamp(started),
        "ended": None if model.is_active(now) else stamp(end),
        "duration_s": number(round(end - started, 3)) if started else None,
        "last_step": model.last_step,
        "records": dict(sorted(model.records.items())),
        "records_per_second": round(model.rate(now), 3),
        "dropped": panels.dropped_of(model),
        "broken_lines": model.broken_lines,
        "series_not_followed": len(model.refused),
        "metrics": _metrics(model),
        "loss": _loss(model, shown),
        "reward": _reward(model),
        "alerts": _alerts(model),
    }
    return {"verdict": _verdict(numbers), **numbers}


def _metrics(model: Session) -> list[dict[str, Any]]:
    return [
        {
            "category": key.category, "metric": key.metric, "component": key.component, "producer": key.producer,
            "records": one.count, "not_finite": one.bad, "first": number(one.first), "last": number(one.last),
            "min": number(one.low), "min_step": number(one.low_x), "max": number(one.high), "max_step": number(one.high_x),
            "mean": number(one.mean),
        }
        for key, one in sorted(model.series.items())
    ]  # fmt: skip


def _find_series(model: Session, names: tuple[str, ...], categories: tuple[str, ...]) -> Any:
    for name in names:
        for key, one in model.series.items():
            if key.metric == name and key.category in categories and not key.component and one.finite:
                return key, one
    return None


def _loss(model: Session, shown: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = _find_series(model, panels.LOSSES, ("training", "convergence", "performance"))
    if not found:
        return None
    key, one = found
    rows = shown[0]["rows"]
    trend = rows[0]["series"][0].get("trend") if rows else None
    return {
        "metric": key.metric, "first_average": _early(one), "last_average": number(one.last_average()),
        "lowest": number(one.low), "lowest_step": number(one.low_x), "trend": trend["text"] if trend else None,
    }  # fmt: skip


def _reward(model: Session) -> dict[str, Any] | None:
    found = _find_series(model, panels.REWARDS, ("rewards",))
    if not found:
        return None
    key, one = found
    return {
        "metric": key.metric, "episodes": one.count, "first_average": _early(one), "last_average": number(one.last_average()),
        "long_average": number(one.last_average(1)), "best": number(one.high), "best_step": number(one.high_x),
    }  # fmt: skip


def _early(one: Any) -> float | None:
    """Mean over the beginning of a series: its first 5 %."""
    _, means, counts = one.means()
    upto = max(1, int(len(means) * 0.05))
    total = float(counts[:upto].sum())
    return number(float((means[:upto] * counts[:upto]).sum()) / total) if total else None


def _alerts(model: Session) -> list[dict[str, Any]]:
    order = {level: place for place, level in enumerate(LEVELS)}
    return [
        {
            "level": level, "rule": rule, "fired": count.fired, "resolved": count.resolved, "first_step": count.first_step,
            "last_step": count.last_step, "first_time": stamp(count.first_time), "last_time": stamp(count.last_time),
            "last_message": count.message, "explanation": EXPLAINED.get(rule, ""),
        }
        for (level, rule), count in sorted(model.rules.items(), key=lambda item: (order[item[0][0]], -item[1].fired))
    ]  # fmt: skip


def _verdict(n: dict[str, Any]) -> str:
    """One or two sentences that a busy reader may stop at."""
    how = {FINISHED: "The run has ended", CRASHED: "The run crashed"}.get(
        n["state"], "The run is still going on" if n["state"] == RUNNING else f"The run is {n['state']}"
    )
    logged = sum(count for category, count in n["records"].items() if category not in ("alerts", "lifecycle"))
    if not logged:
        return f"{how} without a single record."
    at = f" at step {n['last_step']:,}" if n["last_step"] is not None else ""
    parts = [f"{how}{at} after {logged:,} records."]
    reward, loss = n["reward"], n["loss"]
    if reward and reward["first_average"] is not None and reward["last_average"] is not None:
        parts.append(f"Reward per episode went {_change(reward['first_average'], reward['last_average'])}.")
    elif loss and loss["first_average"] is not None and loss["last_average"] is not None:
        parts.append(f"The loss went {_change(loss['first_average'], loss['last_average'])}.")
    bad = sum(metric["not_finite"] for metric in n["metrics"])
    if bad:
        parts.append("One value was not finite." if bad == 1 else f"{bad:,} values were not finite.")
    errors = sorted({alert["rule"] for alert in n["alerts"] if alert["level"] == "ERROR" and alert["fired"]})
    warnings = sum(alert["fired"] for alert in n["alerts"] if alert["level"] == "WARNING")
    if errors:
        parts.append(f"Critical alerts: {', '.join(rule.replace('_', ' ') for rule in errors)}.")
    elif warnings:
        parts.append(f"No critical alert, {warnings} warning{'s' if warnings > 1 else ''}.")
    else:
        parts.append("No critical alert and no warning.")
    if n["dropped"]:
        parts.append(f"{n['dropped']:,} records were dropped.")
    return " ".join(parts)


def _change(first: float, last: float) -> str:
    return f"from {panels.text_of_number(first)} to {panels.text_of_number(last)}"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    hours, rest = divmod(int(max(0, seconds)), 3600)
    return (
        f"{hours} h {rest // 60} min"
        if hours
        else f"{rest // 60} min {rest % 60} s"
        if rest >= 60
        else f"{seconds:.1f} s"
    )


def _e(value: object) -> str:
    """Text from outside, harmless in HTML."""
    return html.escape(str(value))


def _html(n: dict[str, Any], shown: list[dict[str, Any]]) -> str:
    facts = {
        "State": f"{n['state']}: {n['reason']}",
        "Started": n["started"],
        "Ended": n["ended"] or "still running",
        "Duration": _span(n["duration_s"]),
        "Records": ", ".join(f"{category} {count:,}" for category, count in n["records"].items()) or "none",
        "Lost": f"{n['dropped']:,} dropped, {n['broken_lines']:,} broken lines skipped",
    }
    out = [f"<h1>{_e(n['session'])}</h1><p class='verdict'>{_e(n['verdict'])}</p>"]
    out.append("<dl>" + "".join(f"<dt>{_e(k)}</dt><dd>{_e(v)}</dd>" for k, v in facts.items()) + "</dl>")
    for place, panel in enumerate(shown):
        drawn = [drawing.chart(row, panel["marks"], (0, 4, 2, 0)[place] + i) for i, row in enumerate(panel["rows"])]
        body = (
            "".join(f"<figure>{svg}</figure>" for svg in drawn if svg)
            or f"<p class='soft'>{_e(panel['empty'] or 'Nothing finite to draw.')}</p>"
        )
        out.append(
            f"<h2>{_e(panel['title'])}</h2><p class='soft'>{_e(_said(n, place) or panel['hint'])}</p><div class='charts'>{body}</div>"
        )
    out.append(
        "<h2>Alerts</h2>" + (_alert_table(n["alerts"]) if n["alerts"] else "<p class='soft'>None were raised.</p>")
    )
    out.append("<h2>All metrics</h2>" + _metric_table(n["metrics"]))
    if n["series_not_followed"]:
        out.append(f"<p class='soft'>{n['series_not_followed']} more series are in the files.</p>")
    style = (importlib.resources.files("renderer") / "static" / "report.css").read_text("utf-8")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\"><meta name='viewport' content='width=device-width, "
        f"initial-scale=1'><meta name='color-scheme' content='light dark'><title>Report {_e(n['session'])}</title>"
        f"<style>{style}</style></head><body><main>{''.join(out)}</main><footer>Written {_e(n['written'])}. "
        f"The same numbers: report_{_e(n['session'])}.json</footer></body></html>\n"
    )


def _said(n: dict[str, Any], place: int) -> str:
    text = panels.text_of_number
    if place == 0 and n["loss"]:
        loss = n["loss"]
        went = _change(loss["first_average"] or math.nan, loss["last_average"] or math.nan)
        low = f"lowest {text(loss['lowest'])} at step {loss['lowest_step']:,.0f}"
        return f"{loss['metric']} went {went}; {low}; trend at the end: {loss['trend'] or 'too few records'}."
    if place == 2 and n["reward"]:
        reward = n["reward"]
        went = _change(reward["first_average"] or 0.0, reward["last_average"] or 0.0)
        return f"{reward['episodes']:,} episodes; average went {went}; best {text(reward['best'])} at step {reward['best_step']:,.0f}."
    return ""


def _alert_table(alerts: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><span class='tag {a['level']}'>{a['level']}</span></td><td>{html.escape(a['rule'].replace('_', ' '))}</td>"
        f"<td>{a['fired']:,}</td><td>{a['resolved']:,}</td><td>{a['first_step']:,}</td><td>{a['last_step']:,}</td>"
        f"<td class='wide'>{html.escape(a['last_message'])}<br><span class='soft'>{html.escape(a['explanation'])}</span></td></tr>"
        for a in alerts
    )
    heads = ("Level", "Rule", "Raised", "Resolved", "First step", "Last step", "Last message, and what it means")
    return _table(heads, rows)


def _metric_table(metrics: list[dict[str, Any]]) -> str:
    def cell(value: float | None) -> str:
        return "-" if value is None else panels.text_of_number(value)

    def name(m: dict[str, Any]) -> str:
        return html.escape(" · ".join(part for part in (m["metric"], m["component"]) if part))

    rows = "".join(
        f"<tr><td>{html.escape(m['category'])}</td><td class='wide'>{name(m)}</td><td>{m['records']:,}</td><td>{cell(m['first'])}</td>"
        f"<td>{cell(m['last'])}</td><td>{cell(m['min'])}</td><td>{cell(m['max'])}</td><td>{cell(m['mean'])}</td><td>{m['not_finite']:,}</td></tr>"
        for m in metrics
    )
    return _table(("Category", "Metric", "Records", "First", "Last", "Min", "Max", "Mean", "Not finite"), rows)


def _table(heads: tuple[str, ...], rows: str) -> str:
    head = "".join(f"<th>{text}</th>" for text in heads)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
