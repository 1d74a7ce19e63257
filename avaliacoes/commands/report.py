"""`avaliacoes report`: the report of a session, or several side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from avaliacoes.commands import common
from contract import folder, places
from contract.names import ALERTS, LIFECYCLE

if TYPE_CHECKING:
    from renderer.report import Judged

FORMATS: Final = ("html", "md", "json", "png")
#: Judging takes every record one by one, some ten seconds for so many bytes. Beyond it the report says that nobody looked.
JUDGED_BYTES: Final = 50 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    common.add_session(parser, nargs="*")
    common.add_base(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="html",
        help="html (the default) writes JSON and Markdown beside it; png needs matplotlib",
    )
    parser.add_argument(
        "--output", metavar="PATH", type=Path, help="file or folder to write to (default: the data folder)"
    )
    parser.add_argument("--json", action="store_true", help="print the numbers and write no file")
    parser.add_argument(
        "--no-rules", action="store_true", help="do not run the alert rules where no analyzer stored any alert"
    )
    parser.description = (
        "Write the report of a session, by default of the newest, and print its path. Several sessions give one comparison: their curves over "
        "one axis, what differs in their settings, mean and spread over seeds. A session without stored alerts is judged by the rules now."
    )


def run(arguments: argparse.Namespace) -> int:
    from renderer import report

    base = places.base_path(arguments.base_path)
    wanted = list(dict.fromkeys(arguments.session)) or [common.session_in(base, None)]
    report.sessions_asked(base, wanted)
    judged = {} if arguments.no_rules else {name: found for name in wanted if (found := _judge(base, name)) is not None}
    form, target = arguments.format, arguments.output
    if target is not None and not target.is_dir() and not target.parent.is_dir():
        raise FileNotFoundError(f"--output {target}: no such folder as {target.parent}; make it first")
    if len(wanted) == 1:
        name = wanted[0]
        if arguments.json:
            common.put_json(report.numbers(base, name, judged.get(name)))
            return 0
        path = report.write_report(base, name, form, target, judged.get(name))
    else:
        if arguments.json:
            common.put_json(report.compare_numbers(base, wanted, judged))
            return 0
        path = report.write_comparison(base, wanted, form, target, judged)
    common.put(f"{path}\n".encode())
    return 0


def _judge(base: Path, session: str) -> Judged | None:
    """What the rules say of a session that has no stored alert: renderer and analyzer do not know each other."""
    from analyzer import check_session
    from renderer.report import Judged, has_stored_alerts

    if has_stored_alerts(base, session):
        return None
    files = folder.sessions(base).get(session, {})
    size = sum(file.size for category, file in files.items() if category not in (ALERTS, LIFECYCLE))
    if size > JUDGED_BYTES:
        common.say(
            f"{session}: {size >> 20} MiB are too much to run the rules over here; `avaliacoes check {session}` does"
        )
        return None
    common.say(f"{session}: no analyzer has stored any alert; running the rules over its records")
    return Judged(check_session(base, session))
