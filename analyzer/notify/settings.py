"""What may stand in `[notify]` of `avaliacoes.toml`, complete and checked before anything is sent.

    [notify]
    urls = ["mailto://...", "env:TRAINING_SLACK"]   # as apprise has them; env:NAME takes one from the environment
    level = "WARNING"           # this and worse
    rules = []                  # only these; empty is all
    group_wait = "10s"          # after the first alert of a rule, for those of other runs to join it
    group_interval = "5m"       # between two messages about one rule
    repeat = "4h"               # an ERROR that still fires is told again; 0 is never
    resolved = true             # also tell that it is over
    rate_limit = 30             # messages an hour, all rules together
    retries = 12                # tries of one message at one receiver, with growing pauses

    [[notify.silences]]         # not told while it lasts; an alert that outlasts it is told then
    rules = ["stagnation"]      # empty or left out: all
    sessions = "debug_*"        # left out: all
    until = 2030-01-01T08:00:00 # left out: for ever

Errors name the key, never a URL: it may hold a password.
"""

from __future__ import annotations

import datetime
import fnmatch
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from contract import alerts, config, rule_names

SECTION: Final = "notify"
_ENV: Final = "env:"
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\Z")
_MAX_S: Final = 30 * 86400.0


class NotifyRefused(config.ConfigRefused):
    """A setting of `[notify]` that does not exist or cannot be; the text names it and what was expected."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts of these rules (none: of all) in sessions that match the pattern are not told before unix time `until`."""

    rules: frozenset[str] = frozenset()
    sessions: str = "*"
    until: float | None = None

    def covers(self, rule: str, session: str, now: float) -> bool:
        return (
            (self.until is None or now < self.until)
            and (not self.rules or rule in self.rules)
            and fnmatch.fnmatchcase(session, self.sessions)
        )


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Times in seconds; `repr` leaves the URLs out, so that they never get into a log."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    #: An INFO says that a limit was crossed: for the page, not for somebody's telephone.
    level: str = "WARNING"
    rules: frozenset[str] = frozenset()
    #: Long enough for the runs of one sweep to show the same fault, short enough to act on it.
    group_wait: float = 10.0
    #: A rule that fires in one run after another fills nobody's inbox.
    group_interval: float = 300.0
    #: A sick run that nobody has looked at since the morning is told again after lunch.
    repeat: float = 4 * 3600.0
    resolved: bool = True
    #: What mail and chat services allow is more; what people read is less.
    rate_limit: int = 30
    #: With pauses of 2 s, 4 s, ... 10 min: about 40 minutes of a receiver's absence.
    retries: int = 12
    silences: tuple[Silence, ...] = ()

    def silent(self, rule: str, session: str, now: float) -> bool:
        return any(silence.covers(rule, session, now) for silence in self.silences)


def load(base: Path, given: Path | None = None, environment: Mapping[str, str] = os.environ) -> NotifySettings:
    """The settings in the configuration of a data folder; without a `[notify]`, the defaults, which have no receiver.

    Raises:
        contract.config.ConfigRefused: the file, or something in it, cannot be (`NotifyRefused` for what is ours).
    """
    return check(config.load(base, given).get(SECTION, {}), base, environment)


def check(found: object, base: Path | None = None, environment: Mapping[str, str] = os.environ) -> NotifySettings:
    """The settings that a `[notify]` table says.

    Raises:
        NotifyRefused: a key that does not exist (the nearest one is named), or a value that cannot be.
    """
    if not isinstance(found, dict):
        raise NotifyRefused(f"notify must be a table, [notify], got {type(found).__name__}")
    known = tuple(NotifySettings.__dataclass_fields__)
    for name in found:
        if name not in known:
            raise NotifyRefused(config.unknown("key in [notify]", name, known))
    values: dict[str, Any] = {}
    if "urls" in found:
        values["urls"] = _urls(found["urls"], environment)
    if "level" in found:
        values["level"] = _level(found["level"])
    if "rules" in found:
        values["rules"] = _rules("notify.rules", found["rules"], base)
    for name, least in (("group_wait", 0.0), ("group_interval", 1.0), ("repeat", 0.0)):
        if name in found:
            values[name] = duration(f"notify.{name}", found[name], least)
    for name, most in (("rate_limit", 100_000), ("retries", 1_000)):
        if name in found:
            values[name] = _integer(f"notify.{name}", found[name], most)
    if "resolved" in found:
        if not isinstance(found["resolved"], bool):
            raise NotifyRefused(f"notify.resolved must be true or false, got {type(found['resolved']).__name__}")
        values["resolved"] = found["resolved"]
    if "silences" in found:
        values["silences"] = _silences(found["silences"], base)
    return NotifySettings(**values)


def duration(name: str, value: object, least: float) -> float:
    """Seconds, from a number or from "10s", "5m", "4h", "1d".

    Raises:
        NotifyRefused: neither, or not between `least` and 30 days.
    """
    seconds = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (cut := _DURATION.match(value.strip().lower())) and cut[2] in _UNITS:
        seconds = float(cut[1]) * _UNITS[cut[2]]
    if seconds is None or not least <= seconds <= _MAX_S:
        raise NotifyRefused(
            f'{name} must be a time of {least:g} s to 30 days, as a number of seconds or as "10s", "5m", "4h"; '
            f"got {value!r:.40}"
        )
    return seconds


def _integer(name: str, value: object, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise NotifyRefused(f"{name} must be a whole number from 1 to {most}, got {value!r:.40}")
    return value


def _level(value: object) -> str:
    if value not in alerts.LEVELS:
        raise NotifyRefused(f"notify.level: {config.unknown('level', str(value), alerts.LEVELS)}")
    return str(value)


def _rules(name: str, value: object, base: Path | None) -> frozenset[str]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        raise NotifyRefused(f"{name} must be a list of rules, got {type(value).__name__}")
    try:
        return frozenset(rule_names.check(rule, base) for rule in given)
    except rule_names.RuleRefused as error:
        raise NotifyRefused(f"{name}: {error}") from error


def _urls(value: object, environment: Mapping[str, str]) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list):
        raise NotifyRefused(f"notify.urls must be a list of URLs, got {type(value).__name__}")
    found = []
    for number, url in enumerate(given):
        if not isinstance(url, str) or not url.strip():
            raise NotifyRefused(f"notify.urls[{number}] must be a URL, got {type(url).__name__}")
        if url.startswith(_ENV):
            name = url.removeprefix(_ENV)
            url = environment.get(name, "")
            if not url:
                raise NotifyRefused(f"notify.urls[{number}]: the environment has no {name}, which it is to come from")
        if "://" not in url:
            raise NotifyRefused(
                f"notify.urls[{number}] is no URL: expected one that apprise knows, as in mailto://user:password@host, "
                f"or {_ENV}NAME for one in the environment"
            )
        found.append(url)
    return tuple(dict.fromkeys(found))


def _silences(value: object, base: Path | None) -> tuple[Silence, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise NotifyRefused("notify.silences must be tables, [[notify.silences]]")
    found = []
    for number, one in enumerate(value):
        where = f"notify.silences[{number}]"
        for name in one:
            if name not in Silence.__dataclass_fields__:
                raise NotifyRefused(f"{where}: {config.unknown('key', name, Silence.__dataclass_fields__)}")
        sessions = one.get("sessions", "*")
        if not isinstance(sessions, str):
            raise NotifyRefused(f"{where}.sessions must be a pattern of names, as in 'debug_*'")
        found.append(
            Silence(
                _rules(f"{where}.rules", one.get("rules", []), base),
                sessions,
                _until(f"{where}.until", one.get("until")),
            )
        )
    return tuple(found)


def _until(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime.datetime):
        return value.timestamp()  # without an offset: this machine's own time, as people write it
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time()).timestamp()
    raise NotifyRefused(f"{name} must be a date and time, as in 2030-01-01T08:00:00 without quotes")
