"""`python -m renderer`: keeps a live page for every session of a data folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from contract import places, service
from contract import settings as shared
from renderer import loop
from renderer.settings import ENV_REFRESH, ENV_WINDOW, Settings, make

KIND = "renderer"


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m renderer",
        description="Keeps dashboard_<session>.html up to date for every session of a data folder, opened from disk, no server.",
        epilog="Exit codes: 0 ended when asked, 1 failed, 2 wrong usage, 3 another renderer runs on this folder, "
        "4 the folder cannot be used.",
    )
    found.add_argument(
        "--base-path", help=f"the data folder (default: {places.ENV_BASE}, else ./{places.DEFAULT_BASE})"
    )
    found.add_argument(
        "--refresh-interval", type=float, metavar="SECONDS",
        help=f"seconds between two states of a page (default: {ENV_REFRESH}, else the monitor's setting, 1.0)",
    )  # fmt: skip
    found.add_argument(
        "--history-window", type=int, metavar="POINTS",
        help=f"points per series (default: {ENV_WINDOW}, else the monitor's setting, 1000)",
    )  # fmt: skip
    found.add_argument("--auto", action="store_true", help="end when no session has been active for 30 s")
    found.add_argument("--once", action="store_true", help="bring pages and reports up to date, then end")
    found.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return found


def work(settings: Settings) -> int:
    """Hold the folder, render until asked to end, let go."""
    base = settings.base
    try:
        places.prepare_base(base)
        held = service.hold(base, KIND, settings.auto)
    except service.AlreadyRunning as error:
        print(f"renderer: {error}", file=sys.stderr)
        return service.EXIT_ALREADY_RUNNING
    except OSError as error:
        print(f"renderer: {error.strerror or error}", file=sys.stderr)
        return service.EXIT_CANNOT_START
    with service.stopping_on_signals() as stop:
        try:
            loop.run(settings, stop, lambda: _ready(held))
        except OSError as error:
            print(f"renderer: cannot work in {base}: {error}", file=sys.stderr)
            return service.EXIT_CANNOT_START
        finally:
            held.release()
    return service.EXIT_OK


def _ready(held: service.Held) -> None:
    held.announce(pages=str(held.base))
    print(f"renderer: ready, pages in {held.base}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = parser().parse_args(arguments)
    try:
        settings = make(given.base_path, given.refresh_interval, given.history_window, given.auto, once=given.once)
    except shared.SettingRefused as error:
        print(f"renderer: {error}", file=sys.stderr)
        return service.EXIT_USAGE
    if given.worker or given.auto or given.once:
        return work(settings)
    return service.supervise("renderer", arguments)


if __name__ == "__main__":
    sys.exit(main())
