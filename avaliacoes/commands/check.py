"""`avaliacoes check`: the alert rules over sessions on disk."""

from __future__ import annotations

import argparse
from typing import Any

from avaliacoes.commands import common
from avaliacoes.log_reader import LogReader
from contract import alerts, places


def configure(parser: argparse.ArgumentParser) -> None:
    common.add_session(parser, nargs="*")
    parser.add_argument("--all", action="store_true", help="every session of the folder")
    parser.add_argument("--json", action="store_true", help="{session: [alert, ...]} with all fields")
    common.add_base(parser)
    parser.description = (
        "Run the alert rules over sessions on disk; no service is needed and nothing is written. One line per alert: session, "
        "level, rule, step, message, with tabs between. Exit code 1 if any alert has level ERROR."
    )


def run(arguments: argparse.Namespace) -> int:
    from analyzer import check_session

    base = places.base_path(arguments.base_path)
    wanted: list[Any] = LogReader(base).sessions() if arguments.all else arguments.session or [None]
    found: dict[str, list[dict[str, Any]]] = {}
    for name in wanted:
        session = common.session_in(base, name)
        found[session] = check_session(base, session)
    if arguments.json:
        common.put_json(found)
    bad = False
    for session, raised in found.items():
        firing = [alert for alert in raised if alert.get("state") != alerts.RESOLVED]
        bad = bad or any(alert.get("level") == "ERROR" for alert in firing)
        counts = ", ".join(f"{sum(a.get('level') == level for a in firing)} {level}" for level in alerts.LEVELS)
        common.say(f"{session}: {counts}")
        for alert in firing if not arguments.json else ():
            fields = (session, alert.get("level"), alert.get("rule"), alert.get("step"), alert.get("message"))
            common.put(("\t".join(map(str, fields)) + "\n").encode())
    return 1 if bad else 0
