"""The life of a session, told by records of category `lifecycle`, and the state that follows from them.

A lifecycle record's metrics carry `event` and its fields:

    start      host, pid, python, platform, version, argv0, config {...}      first record of a producer
    heartbeat  logged, persisted, waiting, spooled, dropped                    every `HEARTBEAT_S` while the producer lives
    gap        category, dropped, reason                                       records that the producer had to give up
    adopted    by, records                                                     what a dead producer left was found and stored
    end        status ("finished", "failed", "interrupted"), error, logged     last record of a producer
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from contract.names import root_of

HEARTBEAT_S: Final = 5.0
#: No heartbeat for this long, and no end record: the process is gone.
CRASHED_AFTER_S: Final = 20.0
#: Heartbeats but no record for this long, or for ten times the usual gap: the training stands still.
STALLED_AFTER_S: Final = 60.0

RUNNING: Final = "running"
STALLED: Final = "stalled"
FINISHED: Final = "finished"
CRASHED: Final = "crashed"
UNKNOWN: Final = "unknown"


@dataclass(slots=True)
class SessionLife:
    """Follows one session's lifecycle records (`update`) and the times of its data records (`saw_record`).

    The producer that wrote the first `start` record is the trainer; its forked children share its root id.
    Times are unix seconds. Sessions imported or made by hand have no lifecycle records: their state is "finished".
    """

    root: str | None = None
    started: float | None = None
    ended: float | None = None
    end_status: str | None = None
    error: str | None = None
    last_heartbeat: float | None = None
    last_record: float | None = None
    dropped: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)
    adopted: float | None = None
    _usual_gap: float = 0.0

    def update(self, record: dict[str, Any]) -> None:
        """Take one lifecycle record (with its `_p`, `timestamp`)."""
        event = record.get("event")
        producer = str(record.get("_p", ""))
        at = float(record.get("timestamp", 0.0))
        if event == "start" and self.root is None:
            self.root, self.started, self.start = root_of(producer), at, record
        if self.root is not None and root_of(producer) != self.root and event != "adopted":
            return
        self.last_heartbeat = max(self.last_heartbeat or 0.0, at)
        if event == "heartbeat":
            self.counters = {k: v for k, v in record.items() if k not in ("_p", "_q", "timestamp", "step", "event")}
        elif event == "gap":
            self.dropped += int(record.get("dropped", 0) or 0)
        elif event == "adopted":
            if root_of(str(record.get("producer", ""))) == self.root and record.get("producer") == self.root:
                self.adopted = at
        elif event == "end" and producer == self.root:
            self.ended, self.end_status = at, str(record.get("status", "finished"))
            self.error = record.get("error")

    def saw_record(self, timestamp: float) -> None:
        """Take the time of a data record."""
        if self.last_record is not None:
            gap = max(0.0, timestamp - self.last_record)
            self._usual_gap += 0.05 * (gap - self._usual_gap)
        self.last_record = max(self.last_record or 0.0, timestamp)

    def state(self, now: float) -> str:
        """One of running, stalled, finished, crashed, at unix time `now`."""
        if self.ended is not None:
            return CRASHED if self.end_status == "failed" else FINISHED
        if self.root is None:
            recent = self.last_record is not None and now - self.last_record < STALLED_AFTER_S
            return RUNNING if recent else FINISHED
        if self.adopted is not None:
            return CRASHED
        if now - (self.last_heartbeat or now) > CRASHED_AFTER_S:
            return CRASHED
        reference = self.last_record or self.started or now
        if now - reference > max(STALLED_AFTER_S, 10 * self._usual_gap):
            return STALLED
        return RUNNING
