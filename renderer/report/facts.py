"""The facts of a run: what it was, where, with which settings, how long, what was logged and what was lost."""

from __future__ import annotations

import math
from typing import Any, Final

from contract.names import ALERTS, LIFECYCLE
from renderer import wording
from renderer.report.reading import Material
from renderer.session import number, stamp

_MOST_SETTINGS: Final = 200
_MOST_CHARS: Final = 300
_DEEP: Final = 5


def facts(made: Material, now: float) -> dict[str, Any]:
    """The facts as plain data, ready for JSON."""
    session, life = made.session, made.session.life
    active = session.is_active(now)
    started = life.started or session.first_time
    end = session.ended_at(now)
    first, last = steps(made)
    return {
        "session": session.name,
        "written": stamp(now),
        "state": session.state(now),
        "reason": session.reason(now),
        "error": str(life.error)[:_MOST_CHARS] if life.error else None,
        "started": stamp(started),
        "ended": None if active else stamp(end),
        "duration_s": number(round(end - started, 3)) if started is not None and math.isfinite(end - started) else None,
        "first_step": first,
        "last_step": session.last_step,
        "highest_step": last,
        "attempts": [
            {"producer": one.producer, "started": stamp(one.life.started), "ended": stamp(one.life.ended), "status": one.life.end_status}
            for one in made.attempts
        ],
        "resumed": made.resumed,
        "host": _text(life.start.get("host")),
        "platform": _text(life.start.get("platform")),
        "python": _text(life.start.get("python")),
        "version": _text(life.start.get("version")),
        "script": _text(life.start.get("argv0")),
        "pid": number(life.start.get("pid")),
        "records": dict(sorted(session.records.items())),
        "data_records": session.data_records,
        "records_per_second": round(session.rate(now), 3),
        "dropped": min(session.dropped, 2**53),
        "broken_lines": session.broken_lines,
        "series_not_followed": len(session.refused),
        "config": flat(life.start.get("config")),
        "texts": dict(sorted(session.texts.items())),
    }  # fmt: skip


def steps(made: Material) -> tuple[float | None, float | None]:
    """The lowest and the highest step of any series."""
    ends = []
    for one in made.series.values():
        x, _ = one.points()
        if len(x):
            ends += [float(x.min()), float(x.max())]
    return (min(ends), max(ends)) if ends else (None, None)


def flat(config: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested settings as dotted names and plain values, in their order, at most `_MOST_SETTINGS` of them.

    >>> flat({"lr": 3e-4, "net": {"sizes": [64, 64], "act": "relu"}})
    {'lr': 0.0003, 'net.sizes': '[64, 64]', 'net.act': 'relu'}
    """
    if not isinstance(config, dict):
        return {}
    found: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"[:_MOST_CHARS]
        if isinstance(value, dict) and value and depth < _DEEP:
            found.update(flat(value, f"{key}.", depth + 1))
        elif value is None or isinstance(value, (bool, int)):
            found[key] = value
        elif isinstance(value, float):
            found[key] = value if math.isfinite(value) else wording.number(value)
        else:
            found[key] = _text(value)
        if len(found) >= _MOST_SETTINGS:
            break
    return dict(list(found.items())[:_MOST_SETTINGS])


def shown(f: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts for people: name and text, what is not known left out."""
    logged = [
        f"{category} {count:,}" for category, count in f["records"].items() if category not in (ALERTS, LIFECYCLE)
    ]
    pairs = [
        ("State", f"{f['state']}: {f['reason']}"),
        ("Started", f["started"]),
        ("Ended", f["ended"] or "not yet: the run is still going on"),
        ("Duration", wording.span(f["duration_s"])),
        ("Steps", _steps(f)),
        ("Records", f"{f['data_records']:,}" + (f" ({', '.join(logged)})" if len(logged) > 1 else "")),
        ("Rate", f"{wording.number(f['records_per_second'])} records/s" if f["records_per_second"] else ""),
        ("Lost", _lost(f)),
        ("Attempts", _attempts(f)),
        ("Host", f["host"]),
        ("Script", f["script"]),
        ("Versions", ", ".join(part for part in (f["python"] and f"Python {f['python']}", f["version"] and f"avaliacoes {f['version']}", f["platform"]) if part)),
    ]  # fmt: skip
    return [(name, text) for name, text in pairs if text and text != "-"]


def _steps(f: dict[str, Any]) -> str:
    if f["last_step"] is None:
        return ""
    text = f"{wording.step(f['first_step'])} to {wording.step(f['highest_step'])}"
    if f["highest_step"] is not None and f["last_step"] < f["highest_step"]:
        text += f", the last record at {wording.step(f['last_step'])}"
    return text


def _lost(f: dict[str, Any]) -> str:
    if not f["dropped"] and not f["broken_lines"]:
        return "nothing that is known of"
    parts = []
    if f["dropped"]:
        parts.append(f"{wording.count(f['dropped'], 'record')} dropped by the trainer because its buffers were full")
    if f["broken_lines"]:
        parts.append(f"{wording.count(f['broken_lines'], 'broken line')} skipped")
    return ", ".join(parts)


def _attempts(f: dict[str, Any]) -> str:
    found = f["attempts"]
    if len(found) < 2:
        return ""
    begun = wording.listed((one["started"] for one in found[1:]), 6)
    if f["resumed"]:
        return f"{len(found)}; resumed at {begun}. State and configuration are those of the last"
    return f"{len(found)} at the same time, each told apart; state and configuration are those of the first"


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:_MOST_CHARS]
