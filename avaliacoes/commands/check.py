"""`avaliacoes check`: the alert rules over finished runs, on anybody's files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from avaliacoes.commands import common
from avaliacoes.log_reader import LogReader
from contract import alerts, names, places

EXIT_CLEAN: Final = 0
EXIT_WARNINGS: Final = 1
EXIT_ERRORS: Final = 2
#: Not 2, which argparse would use: in a build, errors in the run and errors in the command must differ (EX_USAGE of sysexits.h).
EXIT_USAGE: Final = 64


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="*",
        help="data folder, file <category>_<session>.jsonl (those of one session together), CSV with a step column, or the name of a "
        "session in the data folder (default: its newest session)",
    )
    parser.add_argument("--all", action="store_true", help="every session of the data folder")
    parser.add_argument("--json", action="store_true", help="the alert records with all fields: {run: [record, ...]}")
    parser.add_argument("--profile", choices=("calibrated", "documented"), help="over what the configuration says")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="configuration (default: avaliacoes.toml beside the files)"
    )
    parser.add_argument(
        "--level", choices=alerts.LEVELS, default="INFO", help="print this level and worse (default: INFO)"
    )
    common.add_base(parser)
    parser.description = (
        "Run the alert rules over finished runs; no service is needed and nothing is written. One line per alert: run, level, state, "
        "rule, step, message, with tabs between."
    )
    parser.epilog = (
        f"exit codes: {EXIT_CLEAN} no alert of level WARNING or ERROR; {EXIT_WARNINGS} a WARNING; {EXIT_ERRORS} an ERROR; {EXIT_USAGE} wrong "
        "arguments, a configuration that is refused, or files that cannot be read"
    )

    def error(message: str) -> NoReturn:
        parser.print_usage(sys.stderr)
        parser.exit(EXIT_USAGE, f"{parser.prog}: error: {message}\n")

    parser.error = error  # type: ignore[method-assign]


def run(arguments: argparse.Namespace) -> int:
    try:
        return _run(arguments)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        common.say(f"avaliacoes check: {error}")
        return EXIT_USAGE


def _run(arguments: argparse.Namespace) -> int:
    import gc
    from dataclasses import replace

    from analyzer import tuning
    from analyzer.check import judge_files
    from analyzer.engine import Engine
    from analyzer.sources import find

    gc.disable()  # millions of records come and go without a cycle among them; the process ends with this command
    base = places.base_path(arguments.base_path)
    found: dict[str, list[dict[str, Any]]] = {}
    worst = EXIT_CLEAN
    tunings: dict[Path, tuning.Tuning] = {}
    for one in find(_paths(base, arguments)):
        if one.base not in tunings:
            chosen = tuning.load(one.base, arguments.config)
            tunings[one.base] = replace(chosen, profile=arguments.profile) if arguments.profile else chosen
        engine = Engine(tunings[one.base])
        events = judge_files(one.files, engine)
        name = one.name if one.name not in found else str(one.base / one.name)
        found[name] = events
        rows = alerts.rows(events)
        worst = max(worst, *(_exit_code(row["worst"]) for row in rows), EXIT_CLEAN)
        counts = ", ".join(f"{sum(row['worst'] == level for row in rows)} {level}" for level in alerts.LEVELS)
        common.say(f"{name}: {engine.records} records, {counts}")
        for rule, why in engine.failed.items():
            common.say(f"{name}: rule {rule} failed with {why}")
        for row in rows if not arguments.json else ():
            if alerts.severity(row["worst"]) <= alerts.severity(arguments.level):
                fields = (name, row["worst"], row["state"], row["rule"], row.get("first_seen_step"), row["message"])
                common.put(("\t".join(map(str, fields)) + "\n").encode())
    if arguments.json:
        limit = alerts.severity(arguments.level)
        common.put_json(
            {name: [e for e in events if alerts.severity(e["level"]) <= limit] for name, events in found.items()}
        )
    return worst


def _exit_code(level: object) -> int:
    return {"ERROR": EXIT_ERRORS, "WARNING": EXIT_WARNINGS}.get(str(level), EXIT_CLEAN)


def _paths(base: Path, arguments: argparse.Namespace) -> list[Path]:
    """What to check: the paths given; names of sessions and nothing at all stand for files of the data folder."""
    paths = []
    for word in arguments.path:
        if Path(word).exists():
            paths.append(Path(word))
        elif word in LogReader(base).sessions():
            paths += _files(base, word)
        else:
            raise FileNotFoundError(f"{word}: no such file or folder, and no session of that name in {base}")
    if arguments.all:
        paths.append(base)
    return paths or _files(base, common.session_in(base, None))


def _files(base: Path, session: str) -> list[Path]:
    from contract.folder import files_of

    return [path for category, path in files_of(base, session).items() if category != names.ALERTS]
