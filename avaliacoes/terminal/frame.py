"""All runs as lines for a terminal of any size. Pure: a snapshot in, lines of (text, style) out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from avaliacoes.terminal.runs import SHOWN, Snapshot, View
from avaliacoes.terminal.text import Glyphs, age, count, fit, number, spark
from contract import alerts, lifecycle

Span = tuple[str, str]
Line = list[Span]

#: From this width on a run takes one line.
WIDE: Final = 150
STYLES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
    "alarm": "1;31",
    "chosen": "7",
}
_STATE_STYLE: Final = {lifecycle.RUNNING: "green", lifecycle.STALLED: "yellow", lifecycle.CRASHED: "alarm"}
_LEVEL_STYLE: Final = {"ERROR": "alarm", "WARNING": "yellow", "INFO": "cyan"}
_LEVEL_WORD: Final = {"ERROR": "error", "WARNING": "warning", "INFO": "info"}


@dataclass(frozen=True, slots=True)
class Size:
    """Cells of the terminal; height None for as many lines as there are (a pipe)."""

    width: int
    height: int | None


def render(line: Line, width: int, colour: bool) -> str:
    """A line in at most `width` cells, with colours or without."""
    out = []
    left = width
    for text, style in line:
        shown = text if cell_len(text) <= left else fit(text, left, dots="")
        left -= cell_len(shown)
        out.append(f"\x1b[{STYLES[style]}m{shown}\x1b[0m" if colour and style and shown else shown)
    return "".join(out) if colour else "".join(out).rstrip()


def overview(snapshot: Snapshot, size: Size, signs: Glyphs, chosen: int = 0, first: int = 0) -> tuple[list[Line], int]:
    """Every run, the one numbered `chosen` marked; and the number of the run on the first line, moved from `first` as needed."""
    head = _head(snapshot, size.width, signs)
    foot: list[Line] = [] if size.height is None else [[("q quit  up/down choose  enter look at one run", "dim")]]
    lines_each = 1 if size.width >= WIDE else 2
    body: list[Line] = []
    if size.width >= WIDE and snapshot.runs:
        head.append(_columns(size.width))
    room = len(snapshot.runs) if size.height is None else max(1, (size.height - len(head) - len(foot)) // lines_each)
    first = max(0, min(first, chosen, len(snapshot.runs) - room))
    if chosen >= first + room:
        first = chosen - room + 1
    for place, view in enumerate(snapshot.runs[first : first + room], first):
        marked = place == chosen and size.height is not None
        body += (
            [_wide(view, size.width, signs, marked)] if lines_each == 1 else _narrow(view, size.width, signs, marked)
        )
    if not snapshot.runs:
        body = [[(f"no runs in {signs.safe(snapshot.base)} yet; this fills by itself", "dim")]]
    if size.height is not None:
        body = body[: max(0, size.height - len(head) - len(foot))]
        body += [[] for _ in range(size.height - len(head) - len(body) - len(foot))]
    return [*head, *body, *foot][: size.height], first


def _head(snapshot: Snapshot, width: int, signs: Glyphs) -> list[Line]:
    at = time.strftime("%H:%M:%S", time.localtime(snapshot.now))
    states = [view.state for view in snapshot.runs]
    counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    more = snapshot.sessions - len(snapshot.runs)
    told = ", ".join(counts) + (f", {more} older not shown" if more > 0 else "")
    totals = {level: sum(view.levels[level] for view in snapshot.runs) for level in alerts.LEVELS}
    where = signs.safe(snapshot.base)
    room = max(8, width - len("avaliacoes ") - len(at) - 2)
    if cell_len(where) > room:
        where = "..." + where[-(room - 3) :]
    top: Line = [("avaliacoes ", "bold"), (fit(where, room), ""), ("  ", ""), (at, "dim")]
    second: Line = [(told or "nothing yet", ""), *_levels(totals, signs)]
    missing = [kind for kind, runs in snapshot.services.items() if not runs]
    active = any(view.active for view in snapshot.runs)
    third: Line = []
    for kind, runs in snapshot.services.items():
        third += [
            (f"{signs.on if runs else signs.off} ", "green" if runs else "dim"),
            (f"{kind}  ", "" if runs else "dim"),
        ]
    if missing and active:
        third.append((f"not running: {', '.join(missing)}" if width >= 80 else "", "yellow"))
    return [top, second, third, [(signs.rule * width, "dim")]]


def _levels(levels: dict[str, int], signs: Glyphs) -> Line:
    """Firing alerts by level, by sign, number and word, never by colour alone."""
    icons = {"ERROR": signs.error, "WARNING": signs.warning, "INFO": signs.info}
    found: Line = []
    for level, number_of in levels.items():
        if number_of:
            word = _LEVEL_WORD[level] + ("s" if number_of > 1 and level != "INFO" else "")
            found.append((f"  {icons[level]} {number_of} {word}", _LEVEL_STYLE[level]))
    return found


def _columns(width: int) -> Line:
    name, each = _widths(width)
    cells = ["  " + fit("run", name), fit("state", 9), fit("step", 8, right=True), fit("rec/s", 6, right=True), fit("last", 7, right=True)]  # fmt: skip
    cells += [fit(column, each) for column, _, _ in SHOWN]
    return [(" ".join(cells) + " alerts", "dim")]


def _widths(width: int) -> tuple[int, int]:
    """Cells of the run's name and of each metric on a wide line."""
    free = width - 2 - 9 - 8 - 6 - 7 - 24 - 7
    name = min(44, max(24, free // 4))
    return name, max(14, (free - name) // 3)


def _wide(view: View, width: int, signs: Glyphs, marked: bool) -> Line:
    name, each = _widths(width)
    step = "-" if view.step is None else f"{view.step:,}" if abs(view.step) < 1e6 else count(view.step)
    line: Line = [
        (f"{signs.mark if marked else ' '} {fit(signs.safe(view.session), name, dots=signs.dots)} ", "chosen" if marked else "bold"),
        (fit(view.state, 9), _STATE_STYLE.get(view.state, "")),
        (f" {fit(step, 8, right=True)} {fit(count(view.rate), 6, right=True)} {fit(age(view.age_s), 7, right=True)} ", ""),
    ]  # fmt: skip
    for metric in view.shown:
        line.append((_metric(metric, each, signs) + " ", ""))
    return [*line, *_levels(view.levels, signs)]


def _metric(metric: object, width: int, signs: Glyphs) -> str:
    from avaliacoes.terminal.follow import Metric

    if not isinstance(metric, Metric):
        return fit("-", width)
    room = max(0, width - 9)
    return f"{fit(spark(metric.history.columns(room), signs), room)} {fit(number(metric.last), 8)}"


def _narrow(view: View, width: int, signs: Glyphs, marked: bool) -> list[Line]:
    """A run on two lines: who and how, then its metrics, as many as fit."""
    step = "" if view.step is None else f"step {count(view.step)}"
    facts = [view.reason[:40]] if view.reason else []
    facts = (
        [step, f"{count(view.rate)} rec/s"] if view.active and not facts else [step, *facts, age(view.age_s) + " ago"]
    )
    name = min(cell_len(view.session), max(10, width // 2 - 6), 34)
    first: Line = [
        (f"{signs.mark if marked else ' '} {fit(signs.safe(view.session), name, dots=signs.dots)}", "chosen" if marked else "bold"),
        (f"  {view.state}", _STATE_STYLE.get(view.state, "")),
    ]  # fmt: skip
    levels = _levels(view.levels, signs)
    used = sum(cell_len(text) for text, _ in (*first, *levels))
    told = "  " + "  ".join(filter(None, map(signs.safe, facts)))
    if width - used > 8:
        first.append((fit(told, min(cell_len(told), width - used), dots=signs.dots), "dim"))
    first += levels
    columns = 3 if width >= 70 else 2 if width >= 46 else 1
    each = (width - 2) // columns
    second: Line = [("  ", "")]
    for (column, _, _), metric in list(zip(SHOWN, view.shown, strict=True))[:columns]:
        label = column.split()[0]
        second += [(label + " ", "dim"), (_metric(metric, each - len(label) - 2, signs) + " ", "")]
    return [first, second]
