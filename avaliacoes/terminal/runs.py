"""What is known of one run, and of every run of a folder that is shown. Reads the files, and of those only what is new."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from avaliacoes.session_status import services
from avaliacoes.terminal.follow import Followed, Metric
from contract import alerts, folder, lifecycle, names, service, settings
from contract.tail import Tail

#: Bytes decoded in one look, shared by the files that grew: some 500 records, half a hundredth of a core at one look a second.
BUDGET_BYTES: Final = 96 * 1024
_LEAST_BYTES: Final = 1024
#: A folder of many files is listed less often, so that listing takes at most a hundredth of the time.
_LISTING_SHARE: Final = 100.0
_SERVICES_EVERY_S: Final = 2.0
_NOT_COUNTED: Final = (names.ALERTS, names.LIFECYCLE)
#: (column, category, names in the order in which they are preferred)
SHOWN: Final = (
    ("loss", "training", ("loss", "total_loss", "train_loss", "training_loss")),
    ("reward", "rewards", ("episode_reward", "reward", "mean_reward", "episode_return")),
    ("grad norm", "gradients", ("grad_norm", "gradient_norm")),
)


@dataclass(frozen=True, slots=True)
class View:
    """One run as it is shown at one moment.

    Attributes:
        state: running, stalled, finished, crashed; `reason` says more in words.
        age_s: seconds since the last record, None without one.
        shown: per column of `SHOWN` its metric, None where there is none.
        metrics: `category.name` to metric.
        rows: alert rows to show, newest first; `levels`: how many of them fire, by level.
    """

    session: str
    state: str
    reason: str
    active: bool
    step: int | None
    records: int
    counted: bool
    rate: float
    age_s: float | None
    started: float | None
    facts: dict[str, str]
    shown: tuple[Metric | None, ...]
    metrics: dict[str, Metric]
    rows: list[alerts.Row]
    levels: dict[str, int]


@dataclass(slots=True)
class Run:
    """Follows the files of one session."""

    base: Path
    session: str
    life: lifecycle.SessionLife = field(default_factory=lifecycle.SessionLife)
    _rows: alerts.Rows = field(default_factory=alerts.Rows)
    _files: dict[str, Followed] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _lifecycle: Tail | None = None
    _alerts: Tail | None = None

    def grown(self, files: dict[str, folder.DataFile]) -> list[str]:
        """Categories whose file is not as it was at the last look."""
        return [
            category
            for category, file in files.items()
            if self._sizes.get(category) != file.size or (category in self._files and not self._files[category].counted)
        ]

    def look(self, files: dict[str, folder.DataFile], grown: list[str], budget: int, clock: float) -> None:
        """Read what is new in the files that grew."""
        for category in grown:
            path = files[category].path
            self._sizes[category] = files[category].size
            if category == names.LIFECYCLE:
                self._lifecycle = self._lifecycle or Tail(path)
                for event in self._lifecycle.read_new():
                    self.life.update(event)
            elif category == names.ALERTS:
                self._alerts = self._alerts or Tail(path)
                for event in self._alerts.read_new():
                    self._rows.update(event)
            else:
                followed = self._files.setdefault(category, Followed(path))
                followed.look(budget, clock)
                for at in followed.fresh:
                    self.life.saw_record(at)

    def view(self, now: float, clock: float, retention_s: float) -> View:
        """The run at unix time `now`, when the clock of `look` shows `clock`."""
        life = self.life
        state = life.state(now)
        counting = {c: f for c, f in self._files.items() if c not in _NOT_COUNTED}
        rows = self._rows.shown(now, retention_s)
        steps = [followed.step for followed in counting.values() if followed.step is not None]
        age_s = None if life.last_record is None else now - life.last_record
        return View(
            self.session,
            state,
            _reason(life, state, age_s),
            state in (lifecycle.RUNNING, lifecycle.STALLED),
            max(steps, default=None),
            sum(followed.records for followed in counting.values()),
            all(followed.counted for followed in counting.values()),
            sum(followed.rate(clock, now) for followed in counting.values()),
            age_s,
            life.started,
            _facts(life),
            tuple(self._find(category, wanted) for _, category, wanted in SHOWN),
            {f"{c}.{name}": metric for c, followed in sorted(counting.items()) for name, metric in followed.metrics.items()},
            rows,
            {level: sum(_level(row) == level and row["state"] == alerts.FIRING for row in rows) for level in alerts.LEVELS},
        )  # fmt: skip

    def _find(self, category: str, wanted: tuple[str, ...]) -> Metric | None:
        followed = self._files.get(category)
        return None if followed is None else next((followed.metrics[n] for n in wanted if n in followed.metrics), None)


def _level(row: alerts.Row) -> str:
    return alerts.LEVELS[alerts.severity(row.get("level"))]


def _reason(life: lifecycle.SessionLife, state: str, age_s: float | None) -> str:
    if state == lifecycle.STALLED and age_s is not None:
        return f"last record {age_s:.0f} s ago"
    if state == lifecycle.CRASHED:
        return str(life.error or "its process is gone without a word")
    if state == lifecycle.FINISHED and life.end_status not in (None, "finished"):
        return str(life.end_status)
    return ""


def _facts(life: lifecycle.SessionLife) -> dict[str, str]:
    wanted = {"host": "host", "argv0": "script", "python": "python", "pid": "pid"}
    return {label: str(life.start[name])[:200] for name, label in wanted.items() if life.start.get(name) is not None}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder at one moment: the runs that are shown, active and newest first, and how many there are in all."""

    base: Path
    now: float
    services: dict[str, bool]
    runs: list[View]
    sessions: int


@dataclass(slots=True)
class Folder:
    """Every run of a data folder that is shown: at most `most`, the newest, and every one that is active.

    Args:
        only: sessions to show; empty for the newest.
    """

    base: Path
    most: int = 20
    only: tuple[str, ...] = ()
    _runs: dict[str, Run] = field(default_factory=dict)
    _files: dict[str, dict[str, folder.DataFile]] = field(default_factory=dict)
    _listed: float = -math.inf
    _list_every: float = 0.0
    _services: dict[str, bool] = field(default_factory=dict)
    _services_at: float = -math.inf

    def look(self, now: float) -> Snapshot:
        """Read what is new; `now` is unix time."""
        clock = time.monotonic()
        if clock - self._listed >= self._list_every:
            self._list(clock)
        if clock - self._services_at >= _SERVICES_EVERY_S:
            self._services, self._services_at = services(self.base), clock
            if service.is_running(self.base, "server"):
                self._services["server"] = True
        work = []
        for session in self._chosen(now):
            run = self._runs.setdefault(session, Run(self.base, session))
            work.append((run, run.grown(self._files[session])))
        busy = sum(len(grown) for _, grown in work)
        budget = max(_LEAST_BYTES, BUDGET_BYTES // max(1, busy))
        for run, grown in work:
            run.look(self._files[run.session], grown, budget, clock)
        retention_s = 60.0 * float(settings.load(self.base)["alert_retention_minutes"])
        views = [run.view(now, clock, retention_s) for run, _ in work]
        views.sort(key=lambda view: (not view.active, -(view.started or self._newest(view.session)), view.session))
        return Snapshot(self.base, now, self._services, views, len(self._files))

    def _list(self, clock: float) -> None:
        found = folder.sessions(self.base)
        self._files = {name: files for name, files in found.items() if set(files) != {names.ALERTS}}
        self._listed = clock
        self._list_every = _LISTING_SHARE * (time.monotonic() - clock) if len(self._files) > self.most else 0.0
        self._runs = {name: run for name, run in self._runs.items() if name in self._files}

    def _chosen(self, now: float) -> list[str]:
        if self.only:
            return [name for name in self.only if name in self._files]
        newest = sorted(self._files, key=lambda name: -self._newest(name))
        return newest[: self.most] + [
            n for n in newest[self.most :] if now - self._newest(n) < lifecycle.CRASHED_AFTER_S
        ]

    def _newest(self, session: str) -> float:
        return max(file.mtime for file in self._files[session].values())


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as plain data; what is not finite as the strings that the files use."""
    return {
        "base_path": str(snapshot.base),
        "time": snapshot.now,
        "services": snapshot.services,
        "sessions": snapshot.sessions,
        "runs": [_run_json(view) for view in snapshot.runs],
    }


def _run_json(view: View) -> dict[str, Any]:
    columns = zip((column for column, _, _ in SHOWN), view.shown, strict=True)
    return {
        "session": view.session,
        "state": view.state,
        "reason": view.reason,
        "active": view.active,
        "step": view.step,
        "records": view.records,
        "records_exact": view.counted,
        "rate": round(view.rate, 3),
        "last_record_age_s": None if view.age_s is None else round(view.age_s, 3),
        "started": view.started,
        **{column.replace(" ", "_"): None if metric is None else _json_number(metric.last) for column, metric in columns},
        "metrics": {name: {"last": _json_number(m.last), "step": m.step} for name, m in view.metrics.items()},
        "firing": view.levels,
        "alerts": [
            {key: _json_number(row.get(key)) for key in ("rule", "level", "state", "step", "component", "message", "action", "value", "threshold")}
            for row in view.rows
        ],
    }  # fmt: skip


def _json_number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
