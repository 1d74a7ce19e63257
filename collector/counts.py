"""Everything that is counted, and the announcements: what went wrong is never silent."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

_SHOWN: Final = (
    "received_batches",
    "received",
    "pulled",
    "stored",
    "duplicates",
    "gaps",
    "waits",
    "skipped",
    "quarantined",
    "repaired",
    "duplicate_alerts",
    "write_errors",
    "write_error",
    "reopened",
    "adopted",
    "adopted_producers",
)


def to_stderr(text: str) -> None:
    """Where announcements go by default."""
    sys.stderr.write(f"collector: {text}\n")
    sys.stderr.flush()


@dataclass(slots=True)
class Counts:
    """Totals since this process started. Units are records unless the name says otherwise.

    Attributes:
        received_batches, received: what arrived in well-formed envelopes, duplicates included.
        pulled: of these records, what was taken out of trainers' rings instead of a socket.
        stored: lines written and acknowledged or about to be.
        duplicates: records that were stored before; their producer did not know yet.
        gaps: batches that came too early and were asked for again.
        waits: batches dropped (not acknowledged, so sent again) while their file could not be written.
        skipped: sequences that a producer declared gone (its buffer and spool were full).
        rejected: messages refused, by reason.
        quarantined: records that cannot be a line; kept in `quarantine.jsonl`.
        repaired: records stored after a repair (no step, no time, a name too long, nesting too deep).
        duplicate_alerts: alerts whose id was already stored.
        write_errors: failed or short writes; `write_error` is the last one's text.
        reopened: data files that were moved or deleted under the collector.
        adopted, adopted_producers: what dead producers left behind.
    """

    received_batches: int = 0
    received: int = 0
    pulled: int = 0
    stored: int = 0
    duplicates: int = 0
    gaps: int = 0
    waits: int = 0
    skipped: int = 0
    quarantined: int = 0
    repaired: int = 0
    duplicate_alerts: int = 0
    write_errors: int = 0
    reopened: int = 0
    adopted: int = 0
    adopted_producers: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    write_error: str | None = None
    say: Callable[[str], None] = to_stderr
    notes: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=20))
    _said: dict[str, float] = field(default_factory=dict)

    def note(self, text: str, kind: str | None = None) -> None:
        """Announce something. Of one `kind` at most one a second is said, so a storm stays readable."""
        now = time.monotonic()
        if kind is not None:
            if now - self._said.get(kind, -1e9) < 1.0:
                return
            if len(self._said) > 1_000:
                self._said.clear()
            self._said[kind] = now
        self.notes.append((time.time(), text))
        try:
            self.say(text)
        except (OSError, ValueError):
            pass  # nobody reads our standard error any more: the status file has it

    def as_dict(self) -> dict[str, Any]:
        """The numbers, ready for the status file."""
        return {name: getattr(self, name) for name in _SHOWN} | {"rejected": dict(self.rejected)}
