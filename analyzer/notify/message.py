"""A group of alerts as a message in plain words: what, in which runs, how bad, what to do, where to look. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from analyzer.notify.groups import OVER, REPEAT, Decision, Entry, Group
from contract import alerts
from contract.alerts import ENDED, FIRING

#: Runs named with their own words; the others are named only, then only counted.
_DETAILED: Final = 8
_NAMED: Final = 20
_LINKS: Final = 3
_MOST_CHARS: Final = 4_000
#: Kinds of message, as apprise has them.
KINDS: Final = {"ERROR": "failure", "WARNING": "warning", "INFO": "info"}


class Message(NamedTuple):
    """Title, text, and kind ("failure", "warning", "info", "success")."""

    title: str
    text: str
    kind: str


def compose(group: Group, decision: Decision, base: Path) -> Message:
    """The message that tells the news of a group, about sessions of a data folder."""
    news = sorted(decision.news, key=lambda one: (one.state != FIRING, alerts.severity(one.level), one.timestamp))
    bad = [one for one in news if one.state == FIRING or not one.told]
    over = [one for one in news if one not in bad]
    runs = _unique(one.session for one in news)
    where = runs[0] if len(runs) == 1 else f"{len(runs)} runs"
    level = bad[0].level if bad else "INFO"
    mark = "over" if decision.reason == OVER else f"still {level}" if decision.reason == REPEAT else level
    parts = []
    if bad:
        parts.append(_fault(bad, group.more))
    if over:
        parts.append(_ends(over))
    parts.append(_links(runs, base))
    text = "\n\n".join(part for part in parts if part)
    return Message(f"[{mark}] {group.rule}: {where}"[:200], text[:_MOST_CHARS], KINDS[level] if bad else "success")


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _fault(bad: Sequence[Entry], more: int) -> str:
    lines = [
        f"{one.level} in {one.session}, step {one.step}: {one.message or one.rule}{_figures(one)}"
        + ("; the run has ended" if one.state == ENDED else "")
        for one in bad[:_DETAILED]
    ]
    runs = _unique(one.session for one in bad[_DETAILED:])
    if runs:
        rest = len(runs) - _NAMED
        lines.append(f"The same in {', '.join(runs[:_NAMED])}" + (f" and {rest} more" if rest > 0 else ""))
    if more:
        lines.append(f"{more} further alerts are not listed.")
    lines += [f"Try: {action}" for action in _unique(one.action for one in bad if one.action)[:3]]
    return "\n".join(lines)


def _figures(one: Entry) -> str:
    """What the message's own words may not have said."""
    figures = [(name, value) for name, value in (("value", one.value), ("limit", one.threshold)) if value is not None]
    text = ", ".join(f"{name} {value}" for name, value in figures)
    return f" ({text})" if text else ""


def _ends(over: Sequence[Entry]) -> str:
    lines = []
    for state, words in ((ENDED, "Ended while it fired"), ("resolved", "Over")):
        runs = _unique(one.session for one in over if (one.state == ENDED) == (state == ENDED))
        if runs:
            rest = len(runs) - _NAMED
            lines.append(f"{words}: {', '.join(runs[:_NAMED])}" + (f" and {rest} more" if rest > 0 else ""))
    return "\n".join(lines)


def _links(runs: Sequence[str], base: Path) -> str:
    lines = [(base / f"dashboard_{run}.html").as_uri() for run in runs[:_LINKS]]
    if len(runs) > _LINKS:
        lines.append(f"and dashboard_<run>.html of the others in {base}")
    return "\n".join(lines)


def trial(base: Path) -> Message:
    """What `--test-notify` sends."""
    return Message(
        "[test] notifications work",
        f"This is a trial from the data folder {base}. Alerts of its runs will come this way.",
        "info",
    )
