"""What an alert is: the record that the analyzer writes and that page, report, status, notifier and trainers read.

The file of alerts is a history of events, only ever appended to. `rows` folds it into what people look at: one row per
(producer, component, rule) of a session, with its state now. An event is a record of category `alerts` with these metrics:

    id            16 hex digits, derived from the row, the state, the level and the record that decided: found twice, it is
                  the same event
    row           16 hex digits, derived from producer, component and rule: the row that the event belongs to
    fires         id of the event with which this episode began (its own id there); a re-fire begins a new episode
    rule          "gradient_explosion", "vanishing_gradient", ..., or the name of a user's own rule
    level         "ERROR" (critical), "WARNING" (moderate) or "INFO" (worth knowing); within an episode it only rises
    state         "firing" when an episode begins or its level rises, "resolved" when the condition has been seen to be
                  over, "ended" when the run ended while it fired
    message       what was seen, against which limit, in plain words;  action: one thing to try
    metric        name of the metric that was judged, as it was logged
    value, threshold, baseline   numbers or null: observed; the limit it crossed; what is usual for this run
    window        records looked at, or null
    onset_step, onset_time       where the trouble began, as far as can be told; the event's own `step` and `timestamp` say
                  where it was detected
    first_step, last_step, last_time   first and last record of this episode on which the condition held
    count, peak   records of this episode on which it held; the most extreme value among them
    evidence      {"metric": name, "steps": [...], "values": [...]}, the last values up to the decision, at most `EVIDENCE`
    corroborating sentences about other signals that say the same, or speak against it; at most `CORROBORATING`
    silenced_by   name of the rule whose alert explains this one, which is then kept at INFO
    source        category the metric came from;  producer, seq: the record that decided
    component     the part of the model that was judged, where the record named one

The record's `step` and `timestamp` are those of the deciding record. Readers must do with fewer fields: records that were
written by hand, or by an older version, have but some of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import Any, Final

LEVELS: Final = ("ERROR", "WARNING", "INFO")
FIRING: Final = "firing"
RESOLVED: Final = "resolved"
ENDED: Final = "ended"
#: Points of evidence, and sentences on other signals, that an event carries at most.
EVIDENCE: Final = 32
CORROBORATING: Final = 5

Row = dict[str, Any]


def _digest(*parts: object) -> str:
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).hexdigest()


def row_id(rule: str, producer: str, component: str) -> str:
    """The 16 hex digits of the row that an event of this origin belongs to."""
    return _digest(rule, producer, component)


def alert_id(
    rule: str, state: str, producer: str, category: str, seq: int, component: str = "", level: str = ""
) -> str:
    """The same 16 hex digits for the same cause, so that a restarted analyzer repeats nothing."""
    parts = (rule, state, producer, category, seq)
    return _digest(*parts, component, level) if component or level else _digest(*parts)


def severity(level: object) -> int:
    """0 for ERROR, 1 for WARNING, 2 for INFO and for anything unknown: the lower, the worse."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS) - 1


class Rows:
    """The rows of one session, kept up to date event by event: `update` is constant time, memory one row per `row` id.

    A row is the latest firing event's fields, and over them: `state` ("firing", "resolved", "ended"), `level` (the worst of the
    current episode), `worst` (the worst ever), `episodes` (how often it fired), `first_seen_step`, `first_seen_time` (of its
    first episode), `last_step`, `last_time` (when the condition last held, as far as told), `count` and `peak` of the
    current episode, `resolved_at` (unix seconds; absent while it fires).
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def update(self, event: dict[str, Any]) -> Row:
        """Take one event; the row it belongs to, as it is now. Events of one row must come in their order."""
        rule, producer, component = (str(event.get(key) or "") for key in ("rule", "producer", "component"))
        key = str(event.get("row") or row_id(rule, producer, component))
        row = self._rows.get(key)
        step, at = event.get("step"), _time(event.get("timestamp"))
        if event.get("state") in (RESOLVED, ENDED):
            if row is not None:
                row["state"] = event["state"]
                row["resolved_at"] = at
                for name in ("count", "peak", "last_step", "last_time"):
                    if event.get(name) is not None:
                        row[name] = event[name]
                row["outcome"] = event.get("message", "")
                return row
            row = self._rows[key] = {**event, "row": key, "episodes": 1, "worst": event.get("level"), "resolved_at": at}
            row.update(first_seen_step=event.get("first_step", step), first_seen_time=at)
            return row
        again = row is None or row["state"] != FIRING
        fresh = {**event, "row": key, "state": FIRING}
        fresh["last_time"] = _time(event.get("last_time"), at)
        fresh["last_step"] = event.get("last_step", step)
        if row is None:
            fresh.update(episodes=1, worst=event.get("level"))
            fresh.update(first_seen_step=event.get("first_step", step), first_seen_time=at)
        else:
            fresh["episodes"] = row["episodes"] + again
            fresh["worst"] = min(row["worst"], event.get("level"), key=severity)
            fresh["first_seen_step"], fresh["first_seen_time"] = row["first_seen_step"], row["first_seen_time"]
        self._rows[key] = fresh
        return fresh

    def all(self) -> list[Row]:
        """Every row, in the order in which they were first seen."""
        return list(self._rows.values())

    def shown(self, now: float, retention_s: float) -> list[Row]:
        """The rows to show at unix time `now`, newest first: those that fire, and those that last held within `retention_s`."""
        found = [
            row
            for row in self._rows.values()
            if "resolved_at" not in row or now - _time(row.get("last_time"), row["resolved_at"]) <= retention_s
        ]
        return sorted(found, key=lambda row: -_time(row.get("timestamp")))


def _time(value: Any, otherwise: float = 0.0) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else otherwise


def rows(events: Iterable[dict[str, Any]]) -> list[Row]:
    """The rows of a session's events, see `Rows`."""
    found = Rows()
    for event in events:
        found.update(event)
    return found.all()


def active(events: Iterable[dict[str, Any]], now: float, retention_s: float) -> list[Row]:
    """The rows to show at unix time `now`, newest first, see `Rows.shown`."""
    found = Rows()
    for event in events:
        found.update(event)
    return found.shown(now, retention_s)
