"""The rules over runs that are already on disk: no service, nothing published, nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analyzer import tuning as tunings
from analyzer.engine import Engine
from analyzer.sources import reader
from analyzer.tuning import Tuning
from contract import names
from contract.folder import files_of


def check_session(base: Path, session: str, tuning: Tuning | None = None) -> list[dict[str, Any]]:
    """The alerts that the analyzer gives for one session, oldest first: fields of `contract.alerts` with timestamp, step.

    Args:
        base: the data folder.
        session: its name; a session without files gives no alerts.
        tuning: settings to judge by; those in force for the folder (`avaliacoes.toml`, `plot_config`) if not given.

    Raises:
        NameRefused: `session` cannot be the name of a session.
        ConfigRefused: the folder's configuration says what cannot be.
        OSError: a file of the session cannot be read.
    """
    names.check_session(session)
    return check_files(files_of(base, session), tuning or tunings.load(base))


def check_files(files: Mapping[str, Path], tuning: Tuning) -> list[dict[str, Any]]:
    """The alerts for the files of one run, `{category: path}`, oldest first.

    Raises:
        Unreadable: a CSV without a step column.  OSError: a file cannot be read.
    """
    return judge_files(files, Engine(tuning))


def judge_files(files: Mapping[str, Path], engine: Engine) -> list[dict[str, Any]]:
    """As `check_files`, with an engine of one's own, which afterwards says what it counted.

    What is furthest behind in record time is read next, so that little waits for its turn.
    """
    readers = {category: reader(path) for category, path in sorted(files.items()) if category != names.ALERTS}
    behind = set(readers)
    events = []
    while behind:
        category = min(behind, key=lambda name: (engine.frontier(name), name))
        records = readers[category].read()
        if records:
            events += engine.feed(category, records)
        else:
            behind.discard(category)
        events += engine.advance(behind)
    events += engine.finish()
    return sorted(events, key=lambda event: float(event["timestamp"]))
