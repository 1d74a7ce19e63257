"""Back to the trainer: who asked to be told of alerts, and their being told, on the trainer's own thread.

A listener in the background (`avaliacoes.alert_listener`) puts the events that the analyzer publishes into `AlertDesk.news`;
the next log call, SB3 step or look at `should_stop` finds it not empty and delivers. Where nobody asked, there is no
listener, and the log call tests one attribute.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from contract import alerts
from contract.rule_names import RuleRefused
from contract.rule_names import check as check_rule

_LOG = logging.getLogger("avaliacoes")

Alert = dict[str, Any]
Callback = Callable[[Alert], object]
StopOn = str | Iterable[str] | Mapping[str, str]

#: Events that wait for a trainer that logs nothing; past it the oldest go, and are counted.
_MOST_WAITING: Final = 1_000
#: A rule that is named without a level: as an INFO it only says that a limit was crossed, on healthy runs too.
_RULE_LEVEL: Final = "WARNING"


def check_level(level: object) -> str:
    """One of `alerts.LEVELS`, in capitals or not.

    Raises:
        RuleRefused: it is none of them.
    """
    name = level.upper() if isinstance(level, str) else ""
    if name not in alerts.LEVELS:
        raise RuleRefused(f"level {level!r:.60} refused: expected one of {', '.join(alerts.LEVELS)}")
    return name


@dataclass(frozen=True, slots=True)
class Selection:
    """Which alerts somebody wants: any rule from level `level` on, and the rules in `rules` from their own level on.

    `level` None: only the named rules.
    """

    level: str | None = None
    rules: Mapping[str, str] = field(default_factory=dict)

    def takes(self, alert: Mapping[str, Any]) -> bool:
        worst = alerts.severity(alert.get("level"))
        limits = (self.level, self.rules.get(str(alert.get("rule"))))
        return any(limit is not None and worst <= alerts.severity(limit) for limit in limits)


def for_callback(level: str, rules: str | Iterable[str] | None, base: Path) -> Selection:
    """What `on_alert` is told of: alerts of `level` or worse, of these rules if any are named.

    Raises:
        RuleRefused: a level or rule that does not exist; the nearest one is named.
    """
    wanted = check_level(level)
    if rules is None:
        return Selection(wanted)
    given = [rules] if isinstance(rules, str) else list(rules)
    return Selection(None, {check_rule(name, base): wanted for name in given})


def for_stop(stop_on: StopOn, base: Path) -> Selection:
    """What `stop_on` says: a level (it and worse), rules (from WARNING on), several of both, or `{rule: level}`.

    Raises:
        RuleRefused: a level or rule that does not exist; the nearest one is named.
        TypeError: none of these.
    """
    if isinstance(stop_on, Mapping):
        return Selection(None, {check_rule(rule, base): check_level(level) for rule, level in stop_on.items()})
    if not isinstance(stop_on, (str, Iterable)):
        raise TypeError(f"stop_on={stop_on!r:.60} refused: expected a level, rule names, or a dict of rule and level")
    levels: list[str] = []
    rules: dict[str, str] = {}
    for name in [stop_on] if isinstance(stop_on, str) else stop_on:
        if isinstance(name, str) and name.upper() in alerts.LEVELS:
            levels.append(name.upper())
        else:
            rules[check_rule(name, base, alerts.LEVELS)] = _RULE_LEVEL
    if not levels and not rules:
        raise RuleRefused("stop_on is empty: expected a level or rule names; leave it out to stop on nothing")
    return Selection(max(levels, key=alerts.severity) if levels else None, rules)


class AlertSubscription:
    """What `on_alert` returns: `cancel()` undoes it, as does the end of a `with` block. `told` and `failed` count calls."""

    def __init__(self, desk: AlertDesk, callback: Callback, selection: Selection, resolved: bool) -> None:
        self._desk = desk
        self._callback = callback
        self._selection = selection
        self._resolved = resolved
        self._fired: set[str] = set()
        self.told = 0
        self.failed = 0

    def cancel(self) -> None:
        """Be told no more. A second call does nothing."""
        self._desk.remove(self)

    def take(self, alert: Alert) -> None:
        """Tell of an event if it is wanted. What the callback raises is counted and said once, never passed on."""
        if alert.get("state") == alerts.FIRING:
            if not self._selection.takes(alert):
                return
            if self._resolved:
                self._fired.add(str(alert.get("fires")))
        elif not self._resolved or str(alert.get("fires")) not in self._fired:
            return
        else:
            self._fired.discard(str(alert.get("fires")))
        self.told += 1
        try:
            self._callback(dict(alert))
        except Exception as error:  # the user's own code; the training goes on
            self.failed += 1
            if self.failed == 1:
                name = getattr(self._callback, "__qualname__", repr(self._callback))
                _LOG.warning(
                    "on_alert callback %s raised %s: %s (further ones are only counted)",
                    name,
                    type(error).__name__,
                    error,
                    exc_info=error,
                )

    def __enter__(self) -> AlertSubscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


class AlertDesk:
    """Those of one trainer who asked to be told, and what waits to be told.

    The listener appends to `news` from its own thread and says so through `announce`; `deliver` is called on the trainer's.
    """

    def __init__(self) -> None:
        self.announce: Callable[[], None] = lambda: None
        #: (offset at which the event ends in its file, event); offsets keep what is older than a subscription from it.
        self.news: deque[tuple[int, Alert]] = deque()
        self.dropped = 0
        #: Whether the listener of this process puts anything here.
        self.heard = False
        #: The alert that said to stop, or None.
        self.stopped_by: Alert | None = None
        self._subscriptions: dict[AlertSubscription, int] = {}
        self._delivering = threading.Lock()
        self._past = (0, 0)
        _desks.add(self)

    def add(
        self, callback: Callback, selection: Selection, resolved: bool = False, since: int = 0
    ) -> AlertSubscription:
        """Ask to be told of the events that end after offset `since` of the session's file of alerts."""
        made = AlertSubscription(self, callback, selection, resolved)
        self._subscriptions = {**self._subscriptions, made: since}
        return made

    def stop_on(self, selection: Selection, since: int = 0) -> AlertSubscription:
        """Set `stopped_by` at the first alert that is selected."""

        def stop(alert: Alert) -> None:
            if self.stopped_by is None:
                self.stopped_by = alert

        return self.add(stop, selection, since=since)

    def remove(self, subscription: AlertSubscription) -> None:
        left = {one: since for one, since in self._subscriptions.items() if one is not subscription}
        if len(left) != len(self._subscriptions):
            self._past = (self._past[0] + subscription.told, self._past[1] + subscription.failed)
            self._subscriptions = left

    def put(self, at: int, alert: Alert) -> None:
        """Called by the listener: one more event, which ends at offset `at`."""
        while len(self.news) >= _MOST_WAITING:
            self.news.popleft()
            self.dropped += 1
        self.news.append((at, alert))
        self.announce()

    def deliver(self) -> None:
        """Tell everybody what waits, on the calling thread. Does nothing while a delivery is under way."""
        if not self._delivering.acquire(blocking=False):
            return
        try:
            while self.news:
                at, alert = self.news.popleft()
                for subscription, since in tuple(self._subscriptions.items()):
                    if at > since and subscription in self._subscriptions:
                        subscription.take(alert)
        except IndexError:
            pass  # the listener made room between the two
        finally:
            self._delivering.release()
            if self.news:  # a callback was interrupted, or another thread came while this one was letting go
                self.announce()

    def new_session(self, since: int) -> None:
        """Whoever asked hears of the next session too, from offset `since` on; a stop of the last one is over."""
        self.news.clear()
        self.stopped_by = None
        self._subscriptions = dict.fromkeys(self._subscriptions, since)

    def figures(self) -> dict[str, int]:
        """Calls made, calls that raised, and events dropped because nothing was logged for long."""
        told, failed = self._past
        return {
            "told": told + sum(one.told for one in self._subscriptions),
            "failed": failed + sum(one.failed for one in self._subscriptions),
            "dropped": self.dropped,
        }

    def forget(self) -> None:
        """A fork's child is no trainer: it is told nothing, unless it asks itself."""
        self.news.clear()
        self.heard = False
        self.stopped_by = None
        self._subscriptions = {}
        self._delivering = threading.Lock()


_desks: weakref.WeakSet[AlertDesk] = weakref.WeakSet()


def _in_child() -> None:
    for desk in tuple(_desks):
        desk.forget()


os.register_at_fork(after_in_child=_in_child)
