"""A session's model as the objects of the page's files (see `docs/decisions/0008-page-files.md`). Pure.

Everything from outside is bounded here, and stays text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from contract import alerts as alert_records
from contract.lifecycle import CRASHED
from contract.names import ALERTS, LIFECYCLE
from renderer.gather import Key
from renderer.live.model import Model, row_number
from renderer.live.pyramid import Pyramid
from renderer.wording import count

Plain = dict[str, Any]

#: Rows of alerts on the page; how many more there are is said.
MAX_ROWS_SHOWN: Final = 500
MAX_RUN_METRICS: Final = 24
_CONFIG_CHARS: Final = 8_000
_CHARS: Final = 1_000
_BETTER: Final = (
    ("min", ("loss", "error", "mse", "mae", "perplexity", "drawdown")),
    ("max", ("reward", "return", "score", "accuracy", "win_rate", "success", "explained_variance", "profit", "auc", "f1")),
)  # fmt: skip
#: Metrics that a run is compared by, best first.
_FIRST: Final = (
    "loss",
    "episode_reward",
    "reward",
    "episode_length",
    "grad_norm",
    "learning_rate",
    "policy_loss",
    "value_loss",
    "entropy",
)


def manifest(model: Model, config: Plain, now: float, services: Mapping[str, bool], files: Plain) -> Plain:
    """The manifest at unix time `now`; `files` says which base, segments and revisions there are."""
    counts = {category: n for category, n in sorted(model.records.items()) if category not in (ALERTS, LIFECYCLE)}
    return {
        "kind": "manifest",
        "v": 1,
        "session": model.name,
        "generation": model.generation,
        "written": now,
        "refresh": config["refresh_interval"],
        **files,
        "state": state(model, now),
        "services": dict(services),
        "step": model.last_step,
        "records": model.data_records,
        "rate": round(model.rate(now), 3),
        "per_category": counts,
        "dropped": model.dropped,
        "broken": model.broken_lines,
        "notes": notes(model, now),
        "facts": facts(model.life.start),
        "settings": dict(config),
    }


def state(model: Model, now: float) -> Plain:
    life, active = model.life, model.is_active(now)
    return {
        "name": model.state(now),
        "text": model.reason(now)[:_CHARS],
        "active": active,
        "started": row_number(life.started or model.first_time),
        "ended": None if active else row_number(model.ended_at(now)),
        "last_record": row_number(model.last_time),
        "end_status": _text(life.end_status, 40),
        "error": _text(life.error, _CHARS),
    }


def notes(model: Model, now: float) -> list[str]:
    """What is not as it should be, in sentences."""
    found = []
    if model.dropped:
        found.append(
            f"{count(model.dropped, 'record was', 'records were')} dropped by the trainer because its buffers were full"
        )
    if model.broken_lines:
        found.append(f"{count(model.broken_lines, 'broken line was', 'broken lines were')} skipped")
    if model.restarted_files:
        found.append(f"{count(model.restarted_files, 'time')} a data file was cut short or replaced")
    if model.refused:
        more = count(len(model.refused), "more series is", "more series are")
        found.append(f"{more} in the files but not followed here (limit {model.most})")
    waiting = model.counter("waiting")
    if waiting and model.state(now) == CRASHED:
        found.append(f"{count(waiting, 'record was', 'records were')} waiting at the last heartbeat")
    return found


def facts(start: Plain) -> Plain:
    """Facts of a run from its trainer's start record."""
    found: Plain = {name: _text(start.get(source), 200) for name, source in _FACTS.items()}
    found["pid"] = start["pid"] if isinstance(start.get("pid"), int) else None
    config = start.get("config")
    budget = [_CONFIG_CHARS]
    found["config"] = _bounded(config, budget, 0) if isinstance(config, dict) else {}
    return found


_FACTS: Final = {
    "host": "host",
    "script": "argv0",
    "python": "python",
    "version": "version",
    "platform": "platform",
}


def _bounded(value: Any, budget: list[int], depth: int) -> Any:
    """A configuration, cut where it has used up its characters."""
    if isinstance(value, dict) and depth < 6:
        found: Plain = {}
        for name, inner in value.items():
            if budget[0] <= 0:
                found["…"] = "more is in the file of lifecycle records"
                break
            name = str(name)[:100]
            budget[0] -= len(name)
            found[name] = _bounded(inner, budget, depth + 1)
        return found
    if isinstance(value, list) and depth < 6:
        listed = []
        for inner in value[:100]:
            if budget[0] <= 0:
                break
            listed.append(_bounded(inner, budget, depth + 1))
        return listed
    budget[0] -= 8
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return row_number(value)
    text = str(value)[:500]
    budget[0] -= len(text)
    return text


def series(model: Model) -> dict[int, Plain]:
    """What the page is told of each series, by id."""
    root = model.producers()[0] if model.series else ""
    grouped = groups(model.series)
    return {
        model.ids[key]: {
            "id": model.ids[key],
            "category": key.category,
            "metric": key.metric,
            "component": key.component,
            "producer": key.producer,
            "child": key.producer != root,
            "group": grouped[key],
        }
        for key in model.series
    }


def groups(keys: Mapping[Key, object]) -> dict[Key, str]:
    """The group of each series: its name before "/", or before its first "_" where others begin alike, else its category."""
    metrics = {key.metric for key in keys}
    shared = Counter(metric.split("_", 1)[0] for metric in metrics if "_" in metric and "/" not in metric)
    found = {}
    for key in keys:
        before, slash, _ = key.metric.partition("/")
        prefix = before if slash else key.metric.split("_", 1)[0]
        found[key] = prefix if prefix and (slash or shared[prefix] > 1) else key.category
    return found


def stat(one: Pyramid) -> list[Any]:
    """`[count, bad, first, last, lo, xlo, hi, xhi, mean, mean of the last tenth, last x]`."""
    extremes = (one.low, one.low_x, one.high, one.high_x) if one.finite else (None,) * 4
    numbers = (one.first, one.last, *extremes, one.mean if one.finite else None, _none(one.tail_mean()), one.last_x)
    return [one.count, one.bad, *map(row_number, numbers)]


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value


def alerts(model: Model, revision: int, retention_minutes: float) -> Plain:
    """The rows of alerts: those that fire, then the latest."""
    every = model.rows.all()
    ranked = sorted(range(len(every)), key=lambda at: ("resolved_at" in every[at], -_time(every[at].get("last_time"))))
    kept = sorted(ranked[:MAX_ROWS_SHOWN])
    return {
        "kind": "alerts",
        "session": model.name,
        "generation": model.generation,
        "r": revision,
        "rows": [alert(every[at]) for at in kept],
        "left_out": len(every) - len(kept) + model.rows_refused,
        "total": {level: model.fired[level] for level in alert_records.LEVELS},
        "retention_minutes": retention_minutes,
    }


_TEXTS: Final = {
    "id": 40, "row": 40, "fires": 40, "rule": 100, "level": 10, "state": 20, "message": _CHARS, "action": _CHARS, "metric": 300, "worst": 10,
    "silenced_by": 100, "source": 60, "producer": 64, "component": 300, "outcome": _CHARS,
}  # fmt: skip
_NUMBERS: Final = (
    "step", "timestamp", "value", "threshold", "baseline", "window", "onset_step", "onset_time", "first_step", "last_step", "last_time",
    "first_seen_step", "first_seen_time", "count", "peak", "episodes", "resolved_at", "seq",
)  # fmt: skip


def alert(row: Plain) -> Plain:
    """One row, its fields of the kinds that they must be; fields that it has not are left out."""
    found: Plain = {name: _text(row[name], most) for name, most in _TEXTS.items() if row.get(name) is not None}
    found.update({name: row_number(row[name]) for name in _NUMBERS if name in row})
    evidence = row.get("evidence")
    if isinstance(evidence, dict):
        found["evidence"] = {"metric": _text(evidence.get("metric"), 300)} | {
            name: [row_number(value) for value in values[-alert_records.EVIDENCE :]]
            for name in ("steps", "values")
            if isinstance(values := evidence.get(name), list)
        }
    said = row.get("corroborating")
    if isinstance(said, list):
        found["corroborating"] = [_text(text, 500) for text in said[: alert_records.CORROBORATING]]
    return found


def run(model: Model, now: float, page: str, live: bool) -> Plain:
    """The line of a session on the page of all."""
    firing = Counter(str(row.get("level")) for row in model.rows.all() if "resolved_at" not in row)
    root = model.producers()[0] if model.series else ""
    keys = [key for key in model.series if not key.component and key.producer == root]
    keys.sort(key=lambda key: _FIRST.index(key.metric) if key.metric in _FIRST else len(_FIRST))
    return {
        "session": model.name,
        "page": page,
        "live": live,
        "active": model.is_active(now),
        "state": state(model, now),
        "step": model.last_step,
        "records": model.data_records,
        "started": row_number(model.life.started or model.first_time),
        "last_record": row_number(model.last_time),
        "alerts": {level: firing[level] for level in alert_records.LEVELS},
        "metrics": [
            {
                "category": key.category,
                "metric": key.metric,
                "component": key.component,
                "stat": stat(model.series[key]),
                "better": better(key.metric),
            }
            for key in keys[:MAX_RUN_METRICS]
        ],
    }


def better(metric: str) -> str | None:
    """Whether more or less of a metric is better, by its name; None where that is not known."""
    name = metric.lower()
    if "entropy" in name:
        return None
    return next((which for which, words in _BETTER if any(word in name for word in words)), None)


def _text(value: Any, most: int) -> str | None:
    return None if value is None else str(value)[:most]


def _time(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else 0.0
