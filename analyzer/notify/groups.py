"""Which alerts are told, when, and why: one group per rule over all runs, so that 40 runs with one fault make one message.

Pure: events and the time come in, decisions with a named reason come out. A group waits `group_wait` after its first alert
for others to join, then tells news at most each `group_interval`, and repeats an ERROR that still fires after `repeat`.
(The life of a group is that of Prometheus' alertmanager: group_wait, group_interval, repeat_interval.)
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from analyzer.notify.settings import NotifySettings
from contract import alerts
from contract.alerts import ENDED, FIRING, RESOLVED

#: An alert that is read this much later is history, not news.
MAX_AGE_S: Final = 86_400.0
#: What nobody has looked at for a day is repeated no more, and forgotten.
REPEAT_FOR_S: Final = 86_400.0
#: Rows of one group; the others are only counted.
MOST_ENTRIES: Final = 500
_HOUR_S: Final = 3_600.0

# Why a group is told now ...
FIRST: Final = "first"
NEW_ALERTS: Final = "new_alerts"
LEVEL_ROSE: Final = "level_rose"
OVER: Final = "over"
REPEAT: Final = "repeat"
# ... and why not.
NOTHING_NEW: Final = "nothing_new"
GROUP_WAIT: Final = "group_wait"
GROUP_INTERVAL: Final = "group_interval"
RATE_LIMIT: Final = "rate_limit"
SILENCED: Final = "silenced"


@dataclass(slots=True)
class Entry:
    """One row of alerts of one session, as it is now, and what of it was told."""

    session: str
    row: str
    rule: str
    fires: str
    level: str
    state: str
    timestamp: float
    message: str
    action: str = ""
    step: int = 0
    value: Any = None
    threshold: Any = None
    #: Level at which it was last told, and when first; "" for never.
    told: str = ""
    told_at: float = 0.0

    def is_new(self) -> bool:
        """Whether it has not been told, or not at its level. What was over before it could be told never is."""
        if not self.told:
            return self.state in (FIRING, ENDED)
        return self.state == FIRING and alerts.severity(self.level) < alerts.severity(self.told)

    def is_over(self) -> bool:
        """Whether its end is yet to be told."""
        return bool(self.told) and self.state != FIRING


class Decision(NamedTuple):
    """Whether to tell a group, by a named reason, and which entries are the news."""

    tell: bool
    reason: str
    news: tuple[Entry, ...] = ()


@dataclass(slots=True)
class Group:
    """The rows of one rule over all sessions."""

    rule: str
    #: When the first alert that was not told came in; None when there is none.
    since: float | None = None
    last_told: float | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    #: Rows beyond `MOST_ENTRIES` since the last message.
    more: int = 0


def decide(group: Group, settings: NotifySettings, now: float, ending: bool = False) -> Decision:
    """Whether the group is to be told at unix time `now`.

    Args:
        ending: nobody will ask again for long: what waits is told at once.
    """
    heard = [one for one in group.entries.values() if not settings.silent(one.rule, one.session, now)]
    fresh = tuple(one for one in heard if one.is_new())
    over = tuple(one for one in heard if one.is_over()) if settings.resolved else ()
    if not fresh and len(heard) < len(group.entries) and any(one.is_new() for one in group.entries.values()):
        return Decision(False, SILENCED)
    if group.last_told is None:
        if not fresh:
            return Decision(False, NOTHING_NEW)
        waited = now - (group.since if group.since is not None else now)
        return Decision(True, FIRST, fresh) if ending or waited >= settings.group_wait else Decision(False, GROUP_WAIT)
    passed = now - group.last_told
    if fresh or over:
        if not ending and 0 <= passed < settings.group_interval:
            return Decision(False, GROUP_INTERVAL)
        reason = OVER if not fresh else LEVEL_ROSE if all(one.told for one in fresh) else NEW_ALERTS
        return Decision(True, reason, (*fresh, *over))
    if settings.repeat and passed >= settings.repeat:
        still = tuple(
            one for one in heard if one.state == FIRING and one.level == "ERROR" and now - one.told_at < REPEAT_FOR_S
        )
        if still:
            return Decision(True, REPEAT, still)
    return Decision(False, NOTHING_NEW)


class Groups:
    """All groups, kept up to date by `take`; `due` says what is to be told now, and `told` notes that it was."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        #: Unix times of the messages of the last hour.
        self.sent: deque[float] = deque()
        #: Events and decisions by reason, since the start.
        self.counts: Counter[str] = Counter()

    def take(self, session: str, event: Mapping[str, Any], settings: NotifySettings, now: float) -> str:
        """Take one event of a session's file of alerts; what became of it, as a word that is counted."""
        word = self._take(session, event, settings, now)
        self.counts[word] += 1
        return word

    def _take(self, session: str, event: Mapping[str, Any], settings: NotifySettings, now: float) -> str:
        rule, fires = event.get("rule"), event.get("fires") or event.get("id")
        if not isinstance(rule, str) or not isinstance(fires, str):
            return "no_alert"
        row = str(
            event.get("row") or alerts.row_id(rule, *(str(event.get(k) or "") for k in ("producer", "component")))
        )
        key = f"{session}/{row}"
        group = self.groups.get(rule)
        entry = group.entries.get(key) if group is not None else None
        if event.get("state") != FIRING:
            if group is None or entry is None:
                return "unknown_end"
            return self._end(group, key, entry, str(event.get("state")))
        if settings.rules and rule not in settings.rules:
            return "other_rule"
        level = str(event.get("level"))
        if alerts.severity(level) > alerts.severity(settings.level):
            return "below_level"
        at = _number(event.get("timestamp"))
        if now - at > MAX_AGE_S:
            return "old"
        if group is None:
            group = self.groups[rule] = Group(rule)
        if entry is None and len(group.entries) >= MOST_ENTRIES:
            group.more += 1
            return "too_many"
        fresh = _entry(session, row, event, at)
        same = entry is not None and entry.fires == fresh.fires
        if entry is not None and same and alerts.severity(fresh.level) >= alerts.severity(entry.level):
            return "known"
        if entry is not None and (same or entry.is_over()):
            fresh.told, fresh.told_at = entry.told, entry.told_at  # it never was over for those who are told
        group.entries[key] = fresh
        if fresh.is_new() and group.since is None:
            group.since = now
        return "taken"

    @staticmethod
    def _end(group: Group, key: str, entry: Entry, state: str) -> str:
        entry.state = state if state in (RESOLVED, ENDED) else RESOLVED
        if not entry.told and entry.state == RESOLVED:
            del group.entries[key]
            return "over_untold"
        return "ended"

    def due(self, settings: NotifySettings, now: float, ending: bool = False) -> list[tuple[Group, Decision]]:
        """The groups to tell now, worst level first. What the hourly limit holds back is decided anew the next time."""
        while self.sent and not 0 <= now - self.sent[0] < _HOUR_S:
            self.sent.popleft()
        found = [(group, decide(group, settings, now, ending)) for group in self.groups.values()]
        wanted = sorted(
            (one for one in found if one[1].tell), key=lambda one: min(alerts.severity(e.level) for e in one[1].news)
        )
        room = max(0, settings.rate_limit - len(self.sent))
        self.counts[RATE_LIMIT] += len(wanted) - len(wanted[:room])
        return wanted[:room]

    def told(self, group: Group, decision: Decision, now: float) -> None:
        """Note that a group's message is on its way."""
        self.counts[decision.reason] += 1
        self.sent.append(now)
        group.last_told, group.since, group.more = now, None, 0
        for one in decision.news:
            one.told_at = one.told_at or now
            one.told = one.level
            if one.state != FIRING:
                group.entries.pop(f"{one.session}/{one.row}", None)

    def tidy(self, settings: NotifySettings, now: float) -> None:
        """Forget what needs no more telling."""
        for rule, group in list(self.groups.items()):
            for key, one in list(group.entries.items()):
                silent = one.state != FIRING and settings.silent(one.rule, one.session, now)
                unasked = one.is_over() and not settings.resolved
                if silent or unasked or (one.told and now - one.told_at > REPEAT_FOR_S):
                    del group.entries[key]
            if group.since is None and any(one.is_new() for one in group.entries.values()):
                group.since = now
            if not group.entries and (group.last_told is None or now - group.last_told >= settings.group_interval):
                del self.groups[rule]

    def waiting(self, settings: NotifySettings, now: float) -> int:
        """Alerts that are yet to be told."""
        entries = (one for group in self.groups.values() for one in group.entries.values())
        return sum(one.is_new() and not settings.silent(one.rule, one.session, now) for one in entries)


def _entry(session: str, row: str, event: Mapping[str, Any], at: float) -> Entry:
    step = event.get("onset_step", event.get("step"))
    return Entry(
        session=session,
        row=row,
        rule=str(event["rule"]),
        fires=str(event.get("fires") or event.get("id")),
        level=str(event.get("level")),
        state=FIRING,
        timestamp=at,
        message=str(event.get("message") or "")[:600],
        action=str(event.get("action") or "")[:300],
        step=step if isinstance(step, int) else 0,
        value=_plain(event.get("value")),
        threshold=_plain(event.get("threshold")),
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def _plain(value: Any) -> Any:
    """Numbers as text that survives JSON: a NaN is what a person must read."""
    return f"{value:.4g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else None
