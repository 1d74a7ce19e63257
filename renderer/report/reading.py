"""From the files of a session to what the report is made of. The only part that knows how sessions are read.

Reads as the live page does, in chunks and bounded memory whatever the files hold, and needs no service.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from contract import settings as shared
from contract.alerts import Row, Rows
from contract.names import ALERTS, LIFECYCLE, check_session
from contract.tail import Tail, last_records, read_all
from renderer import find
from renderer.gather import Columns, Key
from renderer.report.resumed import Attempt, attempts, join
from renderer.report.stats import Floats
from renderer.series import Series
from renderer.session import Session

#: Points of a series in the report; more make it slow to open and say nothing more on paper.
POINTS: Final = 1000
#: Where the alerts come from: stored by an analyzer, computed for this report, or nowhere.
STORED: Final = "stored"
COMPUTED: Final = "computed"
UNKNOWN: Final = "unknown"
#: The first and the last records are looked at one by one, however long the run.
_HEAD_BYTES: Final = 256 << 10
_HEAD: Final = 64
MOST_TRAILING: Final = 100


class NoSuchSession(FileNotFoundError):
    """The data folder has no files of that session."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Alerts that were not stored by an analyzer but computed afterwards, when the session had `records` data records.

    `events` are as an analyzer would have published them, or `contract.alerts` rows already where `folded`.
    """

    events: list[dict[str, Any]]
    records: int | None = None
    folded: bool = False


@dataclass(slots=True)
class Material:
    """One session, read to its end."""

    base: Path
    session: Session
    config: dict[str, Any]
    rows: list[Row]
    source: str
    judged_records: int | None
    heads: dict[Key, tuple[Floats, Floats]] = field(default_factory=dict)
    trailing: dict[Key, int] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    resumed: bool = False

    @property
    def series(self) -> dict[Key, Series]:
        return self.session.series


def sessions_asked(base: Path, wanted: Iterable[str]) -> dict[str, find.Found]:
    """The sessions of these names.

    Raises:
        contract.names.NameRefused: not a session name.
        NoSuchSession: there are no files of one; the text names the nearest, or the newest.
    """
    names = [check_session(name) for name in wanted]
    found = find.sessions(base) if base.is_dir() else {}
    for name in names:
        if name not in found:
            near = difflib.get_close_matches(name, found, 1, 0.5)
            newest = ", ".join(sorted(found, key=lambda known: -found[known].newest)[:5]) or "none"
            hint = f"; did you mean {near[0]!r}?" if near else ";"
            raise NoSuchSession(f"no data of session {name!r} in {base}{hint} the newest there: {newest}")
    return {name: found[name] for name in names}


def read(base: Path, name: str, judged: Judged | None = None) -> Material:
    """Read a session, see `sessions_asked` for what is raised; `judged` counts where the session has no stored alert."""
    files = sessions_asked(base, [name])[name].files
    config = shared.load(base)
    session = Session(base, name, POINTS, int(config["moving_average_window"]))
    for category, path in files.items():
        session.add_file(category, path)
    while session.poll()[1]:
        pass
    rows = Rows()
    stored = False
    if ALERTS in files:
        for event in read_all(files[ALERTS]):
            stored = True
            rows.update(event)
    if not stored and judged is not None and not judged.folded:
        for event in judged.events:
            rows.update(event)
    told = judged.events if judged is not None and judged.folded and not stored else rows.all()
    source = STORED if stored else COMPUTED if judged is not None else UNKNOWN
    covered = judged.records if judged is not None and judged.records is not None else session.data_records
    made = Material(base, session, config, told, source, covered if source == COMPUTED else None)
    if LIFECYCLE in files:
        made.attempts = attempts(read_all(files[LIFECYCLE]))
        made.resumed = join(session, made.attempts)
    for category, path in files.items():
        if category not in (ALERTS, LIFECYCLE):
            _edges(made, category, path)
    return made


def has_stored_alerts(base: Path, name: str) -> bool:
    """Whether an analyzer left any alert of this session."""
    path = find.sessions(base)[name].files.get(ALERTS) if base.is_dir() else None
    return path is not None and bool(last_records(path, 1))


def _edges(made: Material, category: str, path: Path) -> None:
    """The first finite values of each series, and how many values at its end were not finite."""
    own = {one.producer for one in made.attempts} if made.resumed else set()
    head, tail = Columns(), Columns()
    head.take(category, Tail(path).read_new(limit=_HEAD_BYTES), 0)
    for written, (steps, values) in head.numbers.items():
        key = written._replace(producer=made.attempts[0].producer) if written.producer in own else written
        if key in made.series and key not in made.heads:
            x, y = np.array(steps, float), np.array(values, float)
            good = np.isfinite(y)
            made.heads[key] = x[good][:_HEAD], y[good][:_HEAD]
    tail.take(category, last_records(path, MOST_TRAILING), 0)
    for written, (_, values) in tail.numbers.items():
        key = written._replace(producer=made.attempts[0].producer) if written.producer in own else written
        finite = [place for place, value in enumerate(values) if math.isfinite(value)]
        made.trailing[key] = len(values) - 1 - finite[-1] if finite else len(values)
