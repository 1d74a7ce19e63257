"""The life of an alert: inactive, pending, firing, resolved or ended. Pure: record time and record counts only.

One `Row` per (producer, component, rule). It fires when a rule's condition has held for the rule's patience; it fires again,
in the same episode, when the level rises; it is resolved when the condition has been seen to be gone for `CLEAR_RECORDS` records
and `CLEAR_SECONDS` of record time (Prometheus' keep_firing_for: a flapping condition is one alert). Records that say
nothing about the condition resolve nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from analyzer.rules.base import INFO, Finding
from analyzer.series import Series
from contract.alerts import CORROBORATING, ENDED, EVIDENCE, FIRING, RESOLVED, alert_id, row_id, severity

CLEAR_RECORDS: Final = 20
CLEAR_SECONDS: Final = 60.0
_TEXT: Final = 600

Event = dict[str, Any]


class Cause(NamedTuple):
    """The record that decides."""

    category: str
    seq: int
    step: int
    time: float
    records: int = 1


@dataclass(slots=True)
class Row:
    """One alert through its episodes. Every method returns the events that follow, usually none."""

    rule: str
    producer: str
    component: str
    #: Tells rows of one rule apart that come from different categories; empty for the usual one.
    category: str = ""
    fires: str = ""
    level: str = ""
    silenced: str = ""
    #: Records and record time since the condition was seen to be gone.
    clear_records: int = 0
    clear_since: float = 0.0
    #: Records for which the condition has held while it is pending, and where that began.
    pending: int = 0
    onset: tuple[int, float] = (0, 0.0)
    count: int = 0
    peak: float = 0.0
    first_step: int = 0
    last: tuple[int, float] = (0, 0.0)
    episodes: int = 0
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return row_id(
            self.rule, self.producer, f"{self.component}@{self.category}" if self.category else self.component
        )

    @property
    def firing(self) -> bool:
        return bool(self.fires)

    def hold(
        self, found: Finding, series: Series | None, cause: Cause, silenced: str = "", action: str = ""
    ) -> list[Event]:
        """The condition holds at `cause`, and has for `cause.records` records."""
        self.clear_records = 0
        if not self.pending and not self.fires:
            self.onset = found.onset or (cause.step, cause.time)
            self.first_step = self.onset[0]
            self.count, self.peak = 0, found.value
        self.pending += cause.records
        self.count += cause.records
        self.last = (cause.step, cause.time)
        if _further(found.value, self.peak, found.threshold):
            self.peak = found.value
        if self.pending <= found.patience:
            if self.fires or not found.crossed:
                return []
            found = replace(found, level=INFO)  # what was documented is never silent, however patient the rule
        elif self.fires and severity(found.level) >= severity(self.level):
            return []
        return [self._fire(found, series, cause, silenced, action)]

    def clear(self, cause: Cause) -> list[Event]:
        """The condition is gone at `cause`, as it was for `cause.records` records."""
        if not self.fires:
            self.pending = 0
            return []
        if not self.clear_records:
            self.clear_since = cause.time
        self.clear_records += cause.records
        if self.clear_records < CLEAR_RECORDS or cause.time - self.clear_since < CLEAR_SECONDS:
            return []
        text = f"over: gone for {self.clear_records} records and {cause.time - self.clear_since:.0f} s; it fired from step {self.first_step} on"
        return [self._close(RESOLVED, text, cause)]

    def between(self) -> None:
        """Neither here nor gone: what fires goes on, what is pending begins again."""
        self.clear_records = 0
        if not self.fires:
            self.pending = 0

    def resolve(self, words: str, cause: Cause) -> Event:
        """The condition is known to be gone, without waiting."""
        return self._close(RESOLVED, words, cause)

    def end(self, cause: Cause, words: str = "the run ended while this fired") -> list[Event]:
        """The run is over."""
        return [self._close(ENDED, words, cause)] if self.fires else []

    def _fire(self, found: Finding, series: Series | None, cause: Cause, silenced: str, action: str) -> Event:
        event = self._event(FIRING, found.level, cause)
        if not self.fires:
            self.fires = event["id"]
            self.episodes += 1
        self.level, self.silenced = found.level, silenced
        shown = found.metric or series
        message = found.message[:_TEXT]
        event.update(
            fires=self.fires,
            message=f"{self.component}: {message}" if self.component else message,
            action=found.action or action,
            metric=shown.name if shown is not None else "",
            value=found.value,
            threshold=found.threshold,
            baseline=found.baseline,
            window=found.window,
            onset_step=self.onset[0],
            onset_time=self.onset[1],
        )
        if shown is not None and shown.ring:
            event["evidence"] = {
                "metric": shown.name,
                "steps": list(shown.steps)[-EVIDENCE:],
                "values": list(shown.ring)[-EVIDENCE:],
            }
        if found.reasons:
            event["corroborating"] = [text[:_TEXT] for text in found.reasons[:CORROBORATING]]
        if silenced:
            event["silenced_by"] = silenced
        self.shown = {key: event[key] for key in ("metric", "value", "threshold", "baseline", "window")}
        return event

    def _close(self, state: str, text: str, cause: Cause) -> Event:
        event = self._event(state, self.level, cause)
        event.update(fires=self.fires, message=f"{self.component}: {text}" if self.component else text, **self.shown)
        event.update(onset_step=self.onset[0], onset_time=self.onset[1])
        self.fires = self.level = self.silenced = ""
        self.pending = self.clear_records = 0
        return event

    def _event(self, state: str, level: str, cause: Cause) -> Event:
        event = {
            "id": alert_id(
                self.rule,
                state,
                self.producer,
                cause.category,
                cause.seq,
                f"{self.component}@{self.category}" if self.category else self.component,
                level,
            ),
            "row": self.id,
            "fires": "",
            "rule": self.rule,
            "level": level or INFO,
            "state": state,
            "first_step": self.first_step,
            "last_step": self.last[0],
            "last_time": self.last[1],
            "count": self.count,
            "peak": self.peak,
            "source": cause.category,
            "producer": self.producer,
            "seq": cause.seq,
            "timestamp": cause.time,
            "step": cause.step,
        }
        if self.component:
            event["component"] = self.component
        return event


def _further(value: float, peak: float, threshold: float | None) -> bool:
    """Whether `value` is more extreme than `peak`, seen from the threshold."""
    if value != value or peak != peak:
        return value != value
    if threshold is None:
        return abs(value) > abs(peak)
    return value > peak if value >= threshold else value < peak
