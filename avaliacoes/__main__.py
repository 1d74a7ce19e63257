"""The console script: `avaliacoes COMMAND ...`, also as `python -m avaliacoes`.

Each command is a module of `avaliacoes.commands` with `configure(parser)` and `run(arguments) -> exit code`; only the one that is
asked for is imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from avaliacoes.terminal.plain import plain
from contract import __version__, names, places, service
from contract.settings import SettingRefused

EXIT_INTERRUPTED: Final = 130
#: command -> (module, one line of help)
COMMANDS: Final = {
    "up": ("up", "run collector, analyzer and renderer until Ctrl-C; --serve: the pages over HTTP, too"),
    "demo": ("demo", "three live trainings for a minute, their dashboards and reports"),
    "status": ("status", "what was logged, stored, is waiting or was lost, per session"),
    "top": ("top", "the runs live in this terminal: states, curves, rates, alerts"),
    "tail": ("tail", "the last records of one or more categories, and those that come"),
    "report": ("report", "write the report of a session and print its path"),
    "check": ("check", "run the alert rules over finished sessions, without services"),
    "export": ("export", "a session as CSV or JSON lines"),
    "import": ("import_files", "old CSV files as a new session"),
    "keys": ("keys", "who may send or follow from other machines"),
}
_EPILOG: Final = """\
Data goes to standard output, everything else to standard error.

exit codes:
  0    done
  1    it failed, or what was asked about is bad (status: records lost)
  2    wrong arguments
  3    a service already runs on that data folder
  4    the data folder or the port cannot be used, or what serving needs is missing
  130  interrupted by Ctrl-C
  143  ended by SIGTERM
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Argument errors and `--help` leave by `SystemExit`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options, unknown = _parser(arguments).parse_known_args(arguments)
    if unknown:
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, say) has what it wanted; keep the interpreter's last flush quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return service.EXIT_OK
    except (names.NameRefused, SettingRefused) as error:
        return _failed(error, service.EXIT_USAGE)
    except places.PlaceRefused as error:
        return _failed(error, service.EXIT_CANNOT_START)
    except service.AlreadyRunning as error:
        return _failed(error, service.EXIT_ALREADY_RUNNING)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        return _failed(error, service.EXIT_FAILED)


def _failed(error: Exception, code: int) -> int:
    print(f"avaliacoes: {plain(error, 10_000)}", file=sys.stderr)
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="avaliacoes",
        description="Watch trainings: lossless metrics, alerts and a live page.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"avaliacoes {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((word for word in arguments if word in COMMANDS), None)
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=line,
            description=line[0].upper() + line[1:] + ".",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == asked:
            imported = importlib.import_module(f"avaliacoes.commands.{module}")
            imported.configure(command)
            command.set_defaults(run=imported.run, parser=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
