"""`avaliacoes status`: what became of the records, session by session."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

from avaliacoes.account import Account, account_of, collector_status, orphans
from avaliacoes.commands import common
from avaliacoes.log_reader import LogReader
from avaliacoes.session_status import services
from contract import names, places, service

_COLUMNS: Final = [
    "session",
    "state",
    "logged",
    "stored",
    "waiting",
    "spooled",
    "orphaned",
    "resent",
    "rejected",
    "dropped",
    "lost",
    "age",
]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="SESSION", nargs="*", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    common.add_base(parser)
    parser.description = (
        "Per session: records logged (as its producers last said), stored (in the files), waiting, spooled, orphaned (left by a "
        "dead producer, stored by the next collector), resent, rejected (messages that named it and were refused), dropped, lost, and the "
        "age of the last record. Then the services, and what was rejected and dropped, by reason. Exit code 1 when anything was lost."
    )


def run(arguments: argparse.Namespace) -> int:
    base = places.base_path(arguments.base_path)
    for name in arguments.sessions:
        names.check_session(name)
    left = orphans(base)
    sessions = arguments.sessions or [*LogReader(base).sessions()]
    sessions += [name for name in left if name not in sessions and not arguments.sessions]
    now = time.time()
    accounts = [account_of(base, session, now, left.get(session, 0)) for session in sessions]
    collector = collector_status(base)
    for account in accounts:
        account.rejected = collector["rejected_by_session"].get(account.session, {})
    lost = sum(account.lost for account in accounts) + collector["quarantined"]
    if arguments.json:
        common.put_json(
            {
                "base_path": str(base),
                "lost": lost,
                "services": services(base),
                "server": _url(base),
                "collector": collector,
                "sessions": [account.as_dict() for account in accounts],
            }
        )
    else:
        _print([_row(account) for account in accounts])
        running = [kind for kind, runs in services(base).items() if runs]
        if url := _url(base):
            running.append(f"server at {url}")
        common.say(f"running on {base}: {', '.join(running) or 'nothing'}")
        for name in ("rejected", "failing"):
            if collector[name]:
                common.say(f"{name}: " + ", ".join(f"{reason} {count}" for reason, count in collector[name].items()))
        for account in accounts:
            for reason, count in account.rejected.items():
                common.say(f"{account.session}: {count} rejected ({reason})")
            for reason, count in account.reasons.items():
                common.say(f"{account.session}: {count} dropped ({reason})")
        if collector["quarantined"]:
            common.say(
                f"{collector['quarantined']} records could not be lines; they are in .avaliacoes/quarantine.jsonl"
            )
        common.say("lost: nothing" if not lost else f"lost: {lost} records")
    return 1 if lost else 0


def _url(base: Path) -> str | None:
    """Where the pages are served, None where they are not."""
    info = service.find(base, "server")
    return str(info["url"]) if info and "url" in info else None


def _row(account: Account) -> dict[str, Any]:
    row = {name: getattr(account, name, "") for name in _COLUMNS}
    row["logged"] = "-" if account.logged is None else account.logged
    row["rejected"] = sum(account.rejected.values())
    row["age"] = "-" if account.last_record_age_s is None else _age(account.last_record_age_s)
    return row


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _print(rows: list[dict[str, Any]]) -> None:
    """A table for a person at a terminal, columns with tabs between for a pipe."""
    if not sys.stdout.isatty():
        for values in (_COLUMNS, *([str(row[name]) for name in _COLUMNS] for row in rows)):
            common.put(("\t".join(values) + "\n").encode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("session", "state") else "right")
    for row in rows:
        table.add_row(*(str(row[name]) for name in _COLUMNS), style="red" if row["lost"] else None)
    Console().print(table)
