"""The demo's words: rows first, then a live table on a terminal or plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from avaliacoes.demo.sessions import Account, Story

PLAIN_EVERY_S: Final = 10.0
LIVE_COLUMNS: Final = ("training", "steps", "mean reward", "best", "loss", "grad norm", "alerts")
CLOSING_COLUMNS: Final = ("session", "logged", "on disk", "lost", "first reward", "last", "best", "alerts")


@dataclass(slots=True)
class Entry:
    """One trainer as it is shown: what it is, and its story once the session has begun."""

    name: str
    purpose: str
    story: Story | None = None
    failure: str | None = None


def number(value: float | None) -> str:
    """A figure for a narrow column; a dash where there is none."""
    if value is None:
        return "-"
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def live_row(entry: Entry) -> list[str]:
    """One trainer in figures, in the order of `LIVE_COLUMNS`."""
    story = entry.story
    name = f"{entry.name} ({entry.failure or entry.purpose})"
    if story is None:
        return [name, "-", "-", "-", "-", "-", "-"]
    mean, best = number(story.mean_reward), number(story.best_mean)
    steps = f"{story.step:,}"
    return [name, steps, mean, best, number(story.loss), number(story.grad_norm), story.alerts_by_level()]


def plain_line(entries: Sequence[Entry], elapsed: float, total: float) -> str:
    """All trainers in one line of text."""
    parts = []
    for entry in entries:
        name, steps, mean, _, loss, norm, raised = live_row(entry)
        parts.append(f"{name}: step {steps} reward {mean} loss {loss} grad {norm} alerts {raised}")
    return f"{elapsed:4.0f} of {total:.0f} s | " + " | ".join(parts)


def closing_row(account: Account, story: Story) -> list[str]:
    """One session's account, in the order of `CLOSING_COLUMNS`."""
    logged = "unknown" if account.logged is None else f"{account.logged:,}"
    rewards = (story.first_mean_reward, story.mean_reward, story.best_mean)
    counts = [account.session, logged, f"{account.stored:,}", f"{account.lost:,}"]
    return [*counts, *(number(value) for value in rewards), story.alerts_by_level()]


def closing_table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title="What was logged, and what is on disk", title_justify="left", box=None, pad_edge=False)
    for column in CLOSING_COLUMNS:
        left = column in ("session", "alerts")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


class Display:
    """Shows progress on stderr until `close()`; `say()` puts a line above it."""

    def __init__(self, total: float, console: Console) -> None:
        self._total = total
        self._console = console
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=4, transient=True)
            self._live.start()
        self._next_plain = 0.0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, entries: Sequence[Entry], elapsed: float) -> None:
        """Show the state `elapsed` seconds after the start (plain output: at most every 10 s)."""
        elapsed = min(elapsed, self._total)
        if self._live is not None:
            table = Table(box=None, pad_edge=False)
            for column in LIVE_COLUMNS:
                table.add_column(column, justify="left" if column in ("training", "alerts") else "right", no_wrap=True)
            for entry in entries:
                table.add_row(*live_row(entry))
            bar = ProgressBar(total=self._total, completed=elapsed, width=60)
            self._live.update(Group(bar, Text(f"{elapsed:.0f} of {self._total:.0f} s"), table))
        elif time.monotonic() >= self._next_plain:
            self._next_plain = time.monotonic() + PLAIN_EVERY_S
            self.say(plain_line(entries, elapsed, self._total))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
