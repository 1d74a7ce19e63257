"""What became of a session's records, from the files alone: logged, stored, waiting, spooled, resent, dropped, lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from avaliacoes.session_status import SessionStatus
from contract import blocks, lifecycle, names, places, service
from contract.lines import Record
from contract.tail import read_all

_FIGURES: Final = ("logged", "waiting", "spooled", "resent", "dropped")


@dataclass(slots=True)
class Account:
    """One session's records, in numbers.

    `logged`, `waiting`, `spooled`, `resent` and `dropped` are what its producers last said (each five seconds, and at
    their end; None when none ever did), summed up; `skipped` is what the collector found missing in between, mostly the same
    records as those dropped; `stored` is what stands in the files; `orphaned` waits in the ring or
    spool of a dead producer; `rejected` counts, by reason, the messages naming this session that the collector has refused since it
    opened it; `lost` is what is known to be nowhere.
    """

    session: str
    state: str
    stored: int
    logged: int | None = None
    waiting: int = 0
    spooled: int = 0
    resent: int = 0
    dropped: int = 0
    skipped: int = 0
    orphaned: int = 0
    lost: int = 0
    per_category: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    last_record_age_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def account_of(base: Path, session: str, now: float, orphaned: int = 0) -> Account:
    """Count one session.

    Args:
        now: unix time.
        orphaned: records of this session that dead producers left in rings and spools.
    """
    follower = SessionStatus(base, session)
    status = follower.read(0.0, now)
    per_category = dict(status["records"])
    stored = sum(count for category, count in per_category.items() if category != names.ALERTS)
    account = Account(session, status["state"], stored, per_category=per_category, orphaned=orphaned)
    times = [float(record.get("timestamp") or 0.0) for record in status["last"].values()]
    if times:
        account.last_record_age_s = round(now - max(times), 3)
    said, running = _last_words(base, session, account)
    if said:
        account.logged = sum(int(words.get("logged") or 0) for words in said)
        for name in _FIGURES[1:]:
            setattr(account, name, sum(int(words.get(name) or 0) for words in said))
    if orphaned and account.state == lifecycle.FINISHED and not said:
        account.state = lifecycle.CRASHED  # nothing of it is on disk yet, not even its beginning
    account.dropped = max(account.dropped, sum(account.reasons.values()))
    if not running:
        # The last words of a producer were written before its last records went out: the files say what became of them.
        account.waiting = account.spooled = 0
    account.lost = max(account.dropped, account.skipped)
    alive = running or account.state in (lifecycle.RUNNING, lifecycle.STALLED)
    if account.logged is not None and not alive and not service.is_running(base, "collector"):
        ever = max(account.stored, _ever_stored(base, session))
        account.lost = max(account.lost, account.logged - ever - account.orphaned)
    return account


def _ever_stored(base: Path, session: str) -> int:
    """Lines that the collector wrote for a session, those included that somebody has since moved away with their file."""
    try:
        stored = orjson.loads(places.checkpoint_file(base, session).read_bytes())["stored"]
        return sum(count for category, count in stored.items() if category not in (names.ALERTS, names.LIFECYCLE))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _last_words(base: Path, session: str, account: Account) -> tuple[list[Record], bool]:
    """The latest figures of each producer of a session, and whether one of them has not said its end."""
    latest: dict[str, Record] = {}
    open_producers = set()
    for record in read_all(base / names.file_name(names.LIFECYCLE, session)):
        event, producer = record.get("event"), str(record.get("_p"))
        if event == "start":
            open_producers.add(producer)
        elif event == "gap":
            reason = str(record.get("reason"))
            account.reasons[reason] = account.reasons.get(reason, 0) + int(record.get("dropped") or 0)
        elif event == "skipped" and record.get("category") not in (names.ALERTS, names.LIFECYCLE):
            account.skipped += int(record.get("count") or 0)
        elif event == "adopted":
            open_producers.discard(str(record.get("producer")))
        if event == "end":
            open_producers.discard(producer)
        if event in ("heartbeat", "end"):
            latest[producer] = record
    crashed = account.state in (lifecycle.CRASHED, lifecycle.FINISHED)
    return list(latest.values()), bool(open_producers) and not crashed


def orphans(base: Path) -> dict[str, int]:
    """Records by session that dead producers left in rings and spools of this host, not yet stored."""
    found: dict[str, int] = {}
    for orphan in _orphans(base):
        seen: dict[tuple[str, str], int] = {}
        for block in orphan.blocks():
            if block.category == names.LIFECYCLE:
                continue
            key = (block.session, block.category)
            end = block.first_seq + block.count
            fresh = end - max(block.first_seq, seen.get(key, block.first_seq), _acked(orphan, block.category))
            seen[key] = max(end, seen.get(key, 0))
            if fresh > 0:
                found[block.session] = found.get(block.session, 0) + fresh
    return found


def _acked(orphan: blocks.Orphan, category: str) -> int:
    content: Any = orphan.content
    return int(dict(getattr(content, "acked", None) or {}).get(category, 0))


def _orphans(base: Path) -> Iterator[blocks.Orphan]:
    try:
        for orphan in blocks.find_orphans(base):
            try:
                yield orphan
            finally:
                orphan.release()
    except OSError:
        return


def collector_status(base: Path) -> dict[str, Any]:
    """What the collector last wrote about itself: `running`, its process id and its totals."""
    running = service.is_running(base, "collector")
    try:
        found = orjson.loads(places.status_file(base).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    totals = found.get("totals") or {}
    return {
        "running": running,
        "pid": found.get("pid") if running else None,
        "rejected": dict(totals.get("rejected") or {}),
        "rejected_by_session": {
            name: dict(row["rejected"])
            for name, row in dict(found.get("sessions") or {}).items()
            if row.get("rejected")
        },
        "quarantined": int(totals.get("quarantined") or 0),
        "duplicates": int(totals.get("duplicates") or 0),
        "repaired": int(totals.get("repaired") or 0),
        "adopted": int(totals.get("adopted") or 0),
        "write_errors": int(totals.get("write_errors") or 0),
        "failing": dict(found.get("failing") or {}),
    }
