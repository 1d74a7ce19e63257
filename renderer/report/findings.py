"""Alerts as findings: what was seen, when, why it matters, what to do, and the evidence. Pure.

Rows come from `contract.alerts.Rows` and may have few fields, or fields of any type: they were read from a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from contract.alerts import FIRING, LEVELS, severity
from renderer import wording
from renderer.report.meanings import MEANINGS

Finding = dict[str, Any]
#: Source category, metric and component of a curve, and the steps to cut it to: steps and values, or None.
Cut = Callable[[str, str, str, float, float], "tuple[list[float], list[float | None]] | None"]

#: Findings told in full; more are counted.
MOST: Final = 40
_EVIDENCE: Final = 64
_FAR: Final = 2.0**53
#: What stands for numbers that JSON does not have.
_NAMES: Final = ("NaN", "Infinity", "-Infinity")
#: Where an old alert carries no evidence, this share of the run on both sides of it is shown.
_AROUND: Final = 0.04


def findings(
    rows: Iterable[dict[str, Any]], metrics: Sequence[dict[str, Any]], cut: Cut, steps: tuple[float, float]
) -> list[Finding]:
    """All findings, the worst first; values that were not finite in a metric that no alert speaks of are one too.

    Args:
        rows: of the session, `contract.alerts.Rows`.
        metrics: the table of `renderer.report.metrics`.
        cut: gives a piece of a curve, for alerts that carry no evidence.
        steps: first and last step of the run.
    """
    found = [_finding(row, cut, steps) for row in rows]
    told = {one["metric"] for one in found if one["rule"] == "non_finite"}
    found += [_not_finite(m) for m in metrics if m["not_finite"] and m["core"] and m["metric"] not in told]
    found.sort(
        key=lambda one: (
            severity(one["worst"]),
            bool(one["silenced_by"]),
            one["first_step"] is None,
            one["first_step"] or 0,
        )
    )
    return found


def counts(found: Iterable[Finding]) -> dict[str, int]:
    """Alerts among the findings, by the worst level that they ever had."""
    totals = dict.fromkeys(LEVELS, 0)
    for one in found:
        totals[one["worst"]] += one["alert"]
    return totals


def _finding(row: dict[str, Any], cut: Cut, steps: tuple[float, float]) -> Finding:
    rule = _text(row.get("rule"), 100) or "unnamed"
    why, action = MEANINGS.get(rule, ("", ""))
    onset, detected = _number(row.get("onset_step")), _number(row.get("step"))
    first = _number(row.get("first_seen_step"))
    begin = next((at for at in (onset, _number(row.get("first_step")), detected, first) if at is not None), None)
    state = row.get("state") if row.get("state") in ("firing", "resolved", "ended") else FIRING
    one: Finding = {
        "rule": rule,
        "alert": True,
        "title": wording.rule_name(rule),
        "level": _level(row.get("level")),
        "worst": _level(row.get("worst") or row.get("level")),
        "state": state,
        "message": _text(row.get("message"), 1000),
        "outcome": _text(row.get("outcome"), 500),
        "why": why,
        "action": _text(row.get("action"), 1000) or action,
        "metric": _text(row.get("metric"), 200),
        "component": _text(row.get("component"), 200),
        "source": _text(row.get("source"), 100),
        "producer": _text(row.get("producer"), 100),
        "value": _number(row.get("value")),
        "threshold": _number(row.get("threshold")),
        "baseline": _number(row.get("baseline")),
        "onset_step": begin,
        "detected_step": detected,
        "detected_at": wording.stamp(_number(row.get("timestamp"))),
        "first_step": begin if first is None or begin is None else min(first, begin),
        "last_step": _number(row.get("last_step")),
        "episodes": _whole(row.get("episodes"), 1),
        "records": _whole(row.get("count"), 0) or None,
        "peak": _number(row.get("peak")),
        "corroborating": [_text(said, 300) for said in _list(row.get("corroborating"))[:5]],
        "silenced_by": _text(row.get("silenced_by"), 100),
        "evidence": None,
    }
    one["evidence"] = _evidence(row) or _around(one, cut, steps)
    return one


def _evidence(row: dict[str, Any]) -> dict[str, Any] | None:
    given = row.get("evidence")
    if not isinstance(given, dict):
        return None
    pairs = [
        (at, value)
        for at, value in zip(_list(given.get("steps")), _list(given.get("values")), strict=False)
        if _number(at) is not None
        and (value in _NAMES or (isinstance(value, (int, float)) and not isinstance(value, bool)))
    ][-_EVIDENCE:]
    if not pairs:
        return None
    return {
        "metric": _text(given.get("metric"), 200) or _text(row.get("metric"), 200),
        "steps": [float(at) for at, _ in pairs],
        "values": [value if value in _NAMES or math.isfinite(value) else wording.number(value) for _, value in pairs],
        "from": "alert",
    }


def _around(one: Finding, cut: Cut, steps: tuple[float, float]) -> dict[str, Any] | None:
    """A piece of the curve that was judged, around the alert."""
    at = one["onset_step"]
    if at is None or not one["metric"]:
        return None
    until = max(at, one["detected_step"] or at)
    wide = max(_AROUND * (steps[1] - steps[0]), 0.5 * (until - at), 10.0)
    piece = cut(one["source"], one["metric"], one["component"], at - wide, until + wide)
    if piece is None or len(piece[0]) < 2:
        return None
    return {"metric": one["metric"], "steps": piece[0], "values": piece[1], "from": "curve"}


def _not_finite(m: dict[str, Any]) -> Finding:
    why, action = MEANINGS["non_finite"]
    times = wording.count(m["not_finite"], "value")
    at_end = m["not_finite_at_end"]
    ended = f", the last {at_end:,} of them without a finite one after" if at_end > 1 else ""
    return {
        "rule": "non_finite", "alert": False, "title": "not finite", "level": "WARNING", "worst": "WARNING", "state": "ended" if at_end else "resolved",
        "message": f"{times} of {m['metric']} {'was' if m['not_finite'] == 1 else 'were'} NaN or infinite{ended}.",
        "outcome": "", "why": why, "action": action, "metric": m["metric"], "component": m["component"], "source": m["category"],
        "producer": m["producer"], "value": None, "threshold": None, "baseline": None,
        "onset_step": m["not_finite_first_step"], "detected_step": None, "detected_at": "-",
        "first_step": m["not_finite_first_step"], "last_step": m["not_finite_last_step"], "episodes": 1, "records": m["not_finite"],
        "peak": None, "corroborating": ["Counted for this report: no alert speaks of it."], "silenced_by": "", "evidence": None,
    }  # fmt: skip


def when(one: Finding) -> str:
    """When it began, when it was noticed, how long it went on, how often it came."""
    parts = []
    if one["onset_step"] is not None and not one["alert"]:
        parts.append(f"first by step {wording.step(one['onset_step'])}")  # a block of records ends there
    elif one["onset_step"] is not None:
        parts.append(f"from step {wording.step(one['onset_step'])}")
    if one["detected_step"] is not None and one["detected_step"] != one["onset_step"]:
        parts.append(f"noticed at step {wording.step(one['detected_step'])}")
    if one["last_step"] is not None and one["last_step"] != one["onset_step"]:
        parts.append(f"last seen at step {wording.step(one['last_step'])}")
    if one["episodes"] > 1:
        parts.append(f"{one['episodes']:,} times in all, first at step {wording.step(one['first_step'])}")
    return "; ".join(parts) or "at an unknown step"


def state_text(one: Finding, active: bool) -> str:
    """How it stands: resolved, still there, or there when the run ended."""
    if one["state"] == "resolved":
        return "resolved"
    return "still firing" if one["state"] == FIRING and active else "not resolved when the run ended"


def numbers(one: Finding) -> list[tuple[str, str]]:
    """The numbers behind it, as pairs of what and how much."""
    said = [
        ("value", one["value"]),
        ("limit", one["threshold"]),
        ("usual", one["baseline"]),
        ("most extreme", one["peak"]),
    ]
    found = [(name, wording.number(value)) for name, value in said if value is not None]
    if one["records"]:
        found.append(("records", f"{one['records']:,}"))
    return found


def _level(value: Any) -> str:
    return value if value in LEVELS else "INFO"


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _whole(value: Any, otherwise: int) -> int:
    found = _number(value)
    return otherwise if found is None else int(min(max(found, -_FAR), _FAR))


def _text(value: Any, most: int) -> str:
    return "" if value is None else str(value)[:most]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
