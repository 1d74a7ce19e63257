"""Records in, alerts out: one `Engine` per session. Pure: record time only, no clock, no file, no socket.

The same records in the same order per producer and category give the same alerts with the same ids, however the
categories interleave: that is what lets a restarted analyzer read a session again and repeat nothing. So a rule sees
one stream alone, keyed by (rule, producer, category, component, metric), and an alert's id comes from its record.

An alert's life: `firing` at the first record whose condition holds; `firing` again, with an id of its own, only when
the level rises; `resolved` once the condition has been clear for `CLEAR_RECORDS` records and `CLEAR_SECONDS` of record
time, so that a flapping condition is one alert (Prometheus' keep_firing_for).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analyzer.rules import RULES, Rule, Thresholds, Verdict
from analyzer.rules.verdict import BETWEEN, CLEAR, HOLDS, number_in
from contract import names
from contract.alerts import FIRING, LEVELS, RESOLVED, alert_id

CLEAR_RECORDS: Final = 20
CLEAR_SECONDS: Final = 10.0
#: Streams judged per session; the next ones are counted in `Engine.streams_refused`, not judged.
MAX_STREAMS: Final = 1_024
_SILENT: Final = frozenset({names.ALERTS, names.LIFECYCLE})

Alert = dict[str, Any]
_Key = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _Stream:
    """One rule on one stream of records, and the alert that it has raised."""

    rule: Rule
    fires: str | None = None
    level: str = ""
    since: int = 0
    threshold: float | None = None
    clear_records: int = 0
    clear_seconds: float = 0.0
    last_time: float | None = None


@dataclass(frozen=True, slots=True)
class _Cause:
    """Where a verdict comes from: what an alert says of its record."""

    producer: str
    category: str
    component: str
    seq: int
    step: int
    timestamp: float


@dataclass(slots=True)
class Engine:
    """The rules over one session.

    `update` takes one record and returns the alerts that it causes (metrics of `contract.alerts`, with the `timestamp`
    and `step` of the record). A record whose sequence was already seen is counted in `repeated` and not judged again,
    so a file may be read twice. A rule that raises is switched off and named in `failed`.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    rules: Sequence[type[Rule]] = RULES
    records: int = 0
    repeated: int = 0
    streams_refused: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    _streams: dict[_Key, _Stream] = field(default_factory=dict)
    _next: dict[tuple[str, str], int] = field(default_factory=dict)

    def take(self, thresholds: Thresholds) -> None:
        """Judge by these limits from the next record on; nothing learned so far is lost."""
        self.thresholds = thresholds
        for stream in self._streams.values():
            stream.rule.take(thresholds)

    @property
    def firing(self) -> int:
        """Alerts whose condition has not ended."""
        return sum(stream.fires is not None for stream in self._streams.values())

    def update(self, category: str, record: Mapping[str, Any]) -> list[Alert]:
        """The alerts, usually none, that follow from one record of `category`."""
        if category in _SILENT:
            return []
        producer = record.get("_p")
        producer = producer if isinstance(producer, str) else ""
        expected = self._next.get((producer, category), 0)
        seq = record.get("_q")
        if type(seq) is not int:
            seq = expected  # a line without sequence, written by hand or imported: its place in the file
        if seq < expected:
            self.repeated += 1
            return []
        self._next[(producer, category)] = seq + 1
        self.records += 1
        alerts: list[Alert] = []
        cause: _Cause | None = None
        for kind in self.rules:
            found = number_in(record, kind.metrics)
            if found is None or kind.name in self.failed:
                continue
            if cause is None:
                cause = _cause_of(record, producer, category, seq)
            stream = self._stream(kind, (kind.name, producer, category, cause.component, found[0]))
            if stream is None:
                continue
            try:
                verdict = stream.rule.update(record)
                alert = None if verdict is None else _live(stream, verdict, cause)
            except Exception as error:  # a rule may be somebody's own: it must not end the monitoring
                self.failed[kind.name] = f"{type(error).__name__}: {error}"[:300]
                continue
            if alert is not None:
                alerts.append(alert)
        return alerts

    def _stream(self, kind: type[Rule], key: _Key) -> _Stream | None:
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                self.streams_refused += 1
                return None
            stream = self._streams[key] = _Stream(kind(self.thresholds))
        return stream


def _cause_of(record: Mapping[str, Any], producer: str, category: str, seq: int) -> _Cause:
    step = record.get("step")
    timestamp = record.get("timestamp")
    component = record.get("component")
    return _Cause(
        producer=producer,
        category=category,
        component=component[: names.MAX_METRIC_NAME_CHARS] if isinstance(component, str) else "",
        seq=seq,
        step=step if type(step) is int else 0,
        timestamp=float(timestamp) if isinstance(timestamp, (int, float)) else 0.0,
    )


def _live(stream: _Stream, verdict: Verdict, cause: _Cause) -> Alert | None:
    """The next moment in an alert's life, if this verdict is one."""
    # Only forward steps of record time count: a clock set back must not hold an alert for an hour.
    passed = max(0.0, cause.timestamp - stream.last_time) if stream.last_time is not None else 0.0
    stream.last_time = cause.timestamp
    if verdict.condition == HOLDS:
        stream.clear_records, stream.clear_seconds = 0, 0.0
        risen = stream.fires is not None and LEVELS.index(verdict.level) < LEVELS.index(stream.level)
        return _fire(stream, verdict, cause) if stream.fires is None or risen else None
    if stream.fires is None:
        return None
    if verdict.condition == BETWEEN:
        stream.clear_records, stream.clear_seconds = 0, 0.0
        return None
    if verdict.condition != CLEAR:
        raise ValueError(f"expected a condition of {HOLDS}, {BETWEEN}, {CLEAR}, got {verdict.condition!r:.40}")
    stream.clear_seconds += passed if stream.clear_records else 0.0
    stream.clear_records += 1
    if stream.clear_records < CLEAR_RECORDS or stream.clear_seconds < CLEAR_SECONDS:
        return None
    return _resolve(stream, verdict, cause)


def _alert(stream: _Stream, state: str, verdict: Verdict, cause: _Cause, message: str) -> Alert:
    own = alert_id(stream.rule.name, state, cause.producer, cause.category, cause.seq)
    alert = {
        "id": own,
        "rule": stream.rule.name,
        "level": stream.level,
        "state": state,
        "message": f"{cause.component}: {message}" if cause.component else message,
        "metric": verdict.metric,
        "value": verdict.value,
        "threshold": stream.threshold,
        "source": cause.category,
        "producer": cause.producer,
        "seq": cause.seq,
        "fires": own if state == FIRING else stream.fires,
        "timestamp": cause.timestamp,
        "step": cause.step,
    }
    if cause.component:
        alert["component"] = cause.component
    return alert


def _fire(stream: _Stream, verdict: Verdict, cause: _Cause) -> Alert:
    if stream.fires is None:
        stream.since = cause.step
    stream.level, stream.threshold = verdict.level, verdict.threshold
    alert = _alert(stream, FIRING, verdict, cause, verdict.message)
    stream.fires = str(alert["id"])
    return alert


def _resolve(stream: _Stream, verdict: Verdict, cause: _Cause) -> Alert:
    message = (
        f"over: {verdict.metric} is {verdict.value:.4g} and has been in order for {stream.clear_records} records and "
        f"{stream.clear_seconds:.0f} s; it fired from step {stream.since} on"
    )
    alert = _alert(stream, RESOLVED, verdict, cause, message)
    stream.fires, stream.level = None, ""
    stream.clear_records, stream.clear_seconds = 0, 0.0
    return alert
