"""What a trainer's files tell while it runs, and the account at the end: logged, stored, lost."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract import alerts, names
from contract.folder import files_of
from contract.lines import Record
from contract.names import file_name
from contract.tail import Tail, read_all

_WINDOW = 20


def session_of(base: Path, prefix: str, pid: int, since: float) -> str | None:
    """The session that process `pid` began in this folder at or after unix time `since`, or None so far."""
    for path in base.glob(f"{names.LIFECYCLE}_{prefix}_*.jsonl"):
        try:
            if path.stat().st_mtime < since - 1:
                continue
            first = next(read_all(path), None)
        except OSError:
            continue
        split = names.split_file_name(path.name)
        if split and first and first.get("event") == "start" and first.get("pid") == pid:
            return split[1]
    return None


@dataclass(slots=True)
class Story:
    """One session, followed by reading its files as they grow. Rewards are per episode."""

    base: Path
    session: str
    step: int = 0
    records: int = 0
    episodes: int = 0
    loss: float | None = None
    grad_norm: float | None = None
    first_rewards: list[float] = field(default_factory=list)
    last_rewards: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    best_mean: float | None = None
    rows: alerts.Rows = field(default_factory=alerts.Rows)
    ended: Record | None = None
    _tails: dict[str, Tail] = field(default_factory=dict)

    def read(self) -> None:
        """Take what was appended since the last call."""
        for category in names.CATEGORIES:
            tail = self._tails.get(category)
            if tail is None:
                tail = self._tails[category] = Tail(self.base / file_name(category, self.session))
            for record in tail.read_new():
                self._take(category, record)

    def _take(self, category: str, record: Record) -> None:
        if category == names.ALERTS:
            self.rows.update(record)
            return
        if category == names.LIFECYCLE:
            if record.get("event") == "end":
                self.ended = record
            return
        self.records += 1
        self.step = max(self.step, int(record.get("step", 0)))
        if category == "training":
            self.loss = _number(record.get("loss"), self.loss)
        elif category == "gradients":
            self.grad_norm = _number(record.get("grad_norm"), self.grad_norm)
        elif category == "rewards":
            reward = _number(record.get("episode_reward"), None)
            if reward is not None:
                self._reward(reward)

    def _reward(self, reward: float) -> None:
        self.episodes += 1
        if len(self.first_rewards) < _WINDOW:
            self.first_rewards.append(reward)
        self.last_rewards.append(reward)
        if len(self.last_rewards) == _WINDOW:
            self.best_mean = max(self.best_mean or 0.0, self.mean_reward or 0.0)

    @property
    def mean_reward(self) -> float | None:
        """Mean over the last 20 episodes."""
        return sum(self.last_rewards) / len(self.last_rewards) if self.last_rewards else None

    @property
    def first_mean_reward(self) -> float | None:
        """Mean over the first 20 episodes."""
        return sum(self.first_rewards) / len(self.first_rewards) if self.first_rewards else None

    @property
    def rules(self) -> Counter[str]:
        """How many alerts each rule raised: one that went from WARNING to ERROR is one, as on the page."""
        return Counter(str(row.get("rule")) for row in self.rows.all())

    @property
    def levels(self) -> Counter[str]:
        """How many alerts there were of each level, by the worst that each came to."""
        return Counter(str(row.get("worst")) for row in self.rows.all())

    def alerts_by_level(self) -> str:
        counts = self.levels
        return ", ".join(f"{counts[level]} {level}" for level in alerts.LEVELS if counts[level]) or "none"

    @property
    def dashboard(self) -> Path:
        return self.base / f"dashboard_{self.session}.html"

    def drawn(self) -> bool:
        """Whether the page is younger than all that it has to show."""
        try:
            newest = max(path.stat().st_mtime for path in self.base.glob(f"*_{self.session}.jsonl"))
            return self.dashboard.stat().st_mtime >= newest
        except (OSError, ValueError):
            return False


def _number(value: Any, otherwise: float | None) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a session's records, counted from the files, alerts and lifecycle apart.

    `logged` is the trainer's own count, from its last lifecycle record; None if it never wrote one, and then only gaps
    in the sequence numbers tell of losses.
    """

    session: str
    logged: int | None
    stored: int
    lost: int
    doubled: int
    broken: int

    @property
    def whole(self) -> bool:
        return not (self.lost or self.doubled or self.broken)


def account(base: Path, session: str) -> Account:
    """Count every line of a session and hold it against what its trainer says it logged.

    Sequence numbers count from 0 per producer and category, so a missing one is a lost record, and one that is there
    twice was stored twice, whatever the counters say.
    """
    logged: int | None = None
    stored = missing = doubled = broken = 0
    for category, path in sorted(files_of(base, session).items()):
        if category == names.ALERTS:
            continue
        tail = Tail(path)
        seen: dict[str, set[int]] = {}
        while records := tail.read_new(limit=1 << 20):
            for record in records:
                if category == names.LIFECYCLE:
                    if record.get("event") == "end":
                        logged = int(record.get("logged", 0))
                    continue
                numbers = seen.setdefault(str(record.get("_p")), set())
                doubled += record["_q"] in numbers
                numbers.add(record["_q"])
        broken += tail.broken + (tail.position != path.stat().st_size)
        stored += sum(len(numbers) for numbers in seen.values())
        missing += sum(max(numbers) + 1 - len(numbers) for numbers in seen.values())
    lost = max(missing, 0 if logged is None else logged - stored)
    return Account(session, logged, stored, lost, doubled, broken)
