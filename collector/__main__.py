"""`python -m collector`: arguments, signals and exit codes; all else is in `collector.loop`."""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress

from collector import settings as collector_settings
from collector.loop import KIND, LockLost, run
from collector.settings import DURABILITIES, ENV_BIND, ENV_DURABILITY, ENV_FEED, Settings, SettingsRefused
from contract import places, service
from contract.keys import ENV_KEYS

_WANTED_FILES = 16_384


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m collector",
        description="Receives the records of every trainer that uses this data folder and writes each to "
        "<category>_<session>.jsonl exactly once.",
        epilog="Exit codes: 0 ended as asked; 1 failed; 2 settings refused; 3 another collector has this folder; "
        "4 the folder or an endpoint cannot be used. Prints one line on standard output when ready; everything else "
        "goes to standard error.",
    )
    made.add_argument("--base-path", metavar="DIR", help=f"data folder (env {places.ENV_BASE}; default: avaliacoes)")
    made.add_argument(
        "--bind",
        metavar="ENDPOINT",
        help=f"where producers connect: ipc:///path or tcp://address:port (env {ENV_BIND}; default: a private socket "
        "of this folder). An address that other machines reach needs keys: avaliacoes keys",
    )
    made.add_argument(
        "--feed",
        metavar="ENDPOINT",
        help=f"where readers follow live (env {ENV_FEED}; default: beside --bind, for tcp the next port)",
    )
    made.add_argument(
        "--durability",
        choices=DURABILITIES,
        help="written: acknowledge once written, sync each second; power: acknowledge after the disk has it "
        f"(env {ENV_DURABILITY}; default: written)",
    )
    made.add_argument(
        "--idle-exit",
        type=float,
        metavar="SECONDS",
        help="end this long after the last trainer has gone and all is stored (default: stay; with --auto: "
        f"{collector_settings.AUTO_IDLE_EXIT_S:g})",
    )
    made.add_argument(
        "--auto",
        action="store_true",
        help="started on demand by a trainer: gives way to a collector that a person starts",
    )
    made.add_argument(
        "--keys",
        metavar="DIR",
        help=f"folder of keys that every client must have (env {ENV_KEYS}; default: .avaliacoes/keys in the data "
        "folder, if `avaliacoes keys` made it)",
    )
    made.add_argument("--json", action="store_true", help="print the ready line as JSON")
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the collector, or its supervisor; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    try:
        settings = collector_settings.make(
            options.base_path,
            options.bind,
            options.feed,
            options.durability,
            options.idle_exit,
            options.auto,
            keys_folder=options.keys,
        )
    except SettingsRefused as error:
        return _fail(error, service.EXIT_USAGE)
    except OSError as error:
        return _fail(error.strerror or error, service.EXIT_CANNOT_START)
    if not options.worker and not options.auto:
        return service.supervise(KIND, given)
    return work(settings, options.json)


def work(settings: Settings, as_json: bool = False) -> int:
    """Collect in this process until asked to end; returns the exit code."""
    _tune_process()

    def ready(ingest: str, feed: str) -> None:
        text = f"collector: ready on {ingest}, feed {feed}, data in {settings.base}"
        if as_json:
            text = json.dumps({"ready": KIND, "ingest": ingest, "feed": feed, "base": str(settings.base)})
        with suppress(OSError):  # whoever started us may not be listening
            print(text, flush=True)

    with service.stopping_on_signals() as stop:
        try:
            run(settings, stop, ready)
        except service.AlreadyRunning as error:
            return _fail(error, service.EXIT_ALREADY_RUNNING)
        except service.CannotStart as error:
            return _fail(error, service.EXIT_CANNOT_START)
        except LockLost as error:
            return _fail(error, service.EXIT_FAILED)
    return service.EXIT_OK


def _tune_process() -> None:
    """Room for a descriptor per producer, and fewer collections: records are unpacked and gone, in great numbers."""
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _fail(what: object, code: int) -> int:
    print(f"collector: {what}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
