"""The rules over a run that is already on disk: no service, nothing published, nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer.engine import Engine
from analyzer.rules import Thresholds
from analyzer.watch import data_files
from contract import names, settings
from contract.tail import read_all


def check_session(base: Path, session: str, thresholds: Thresholds | None = None) -> list[dict[str, Any]]:
    """The alerts that the analyzer gives for one session, oldest first: fields of `contract.alerts` with timestamp, step.

    Args:
        base: the data folder.
        session: its name; a session without files gives no alerts.
        thresholds: limits to judge by; those in force for the folder (`plot_config`) if not given.

    Raises:
        NameRefused: `session` cannot be the name of a session.
        OSError: a file of the session cannot be read.
    """
    names.check_session(session)
    engine = Engine(thresholds or Thresholds.of(settings.load(base)))
    alerts = []
    for category, path in sorted(data_files(base).get(session, {}).items()):
        for record in read_all(path):
            alerts += engine.update(category, record)
    return sorted(alerts, key=lambda alert: float(alert["timestamp"]))
