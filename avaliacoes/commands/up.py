"""`avaliacoes up`: the three services under honcho, and the server if asked for, with the interpreter that runs this command."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any, Final

from avaliacoes.commands import common
from contract import names, places, service
from renderer.serve import __main__ as serving
from renderer.serve import access, checks, settings

SERVICES: Final = ("collector", "analyzer", "renderer")


def configure(parser: argparse.ArgumentParser) -> None:
    common.add_base(parser)
    parser.add_argument(
        "--serve", action="store_true", help="a fourth process that serves the pages over HTTP (extra `serve`)"
    )
    serving.add_arguments(parser.add_argument_group("with --serve"))
    parser.description = (
        "Run collector, analyzer and renderer under honcho until Ctrl-C or SIGTERM; all end within 5 seconds. "
        "Their output goes to standard error. When one of them ends for good, the others are ended too and its exit code is ours."
    )


def run(arguments: argparse.Namespace) -> int:
    from honcho.printer import Printer

    base = places.prepare_base(places.base_path(arguments.base_path))
    modules: dict[str, tuple[str, list[str]]] = {kind: (kind, []) for kind in SERVICES}
    if arguments.serve:
        modules[serving.KIND] = ("renderer.serve", _server_arguments(arguments))
    elif given := [name for name in ("port", "host", "allow_host", "token") if getattr(arguments, name)]:
        raise names.NameRefused(f"--{given[0].replace('_', '-')} is the server's: give --serve too")
    for kind in modules:
        info = service.find(base, kind)
        if info and not info.get("auto"):
            raise service.AlreadyRunning(
                f"a {kind} already runs on {base} (process {info['pid']}); stop it first, or give another --base-path"
            )
    if arguments.serve and (code := _refuse_serving(arguments)):
        return code
    manager = _manager()(Printer(sys.stderr))
    for kind, (module, more) in modules.items():
        argv, environment = service.command(module, "--base-path", str(base), *more)
        environment["PYTHONUNBUFFERED"] = "1"
        # The neutral folder keeps a user's own `collector.py` from being run in place of ours.
        manager.add_process(kind, f"exec {shlex.join(argv)}", env=environment, cwd=str(places.socket_dir(base)))
    common.say(f"data folder: {base}")
    manager.loop()
    returned: int | None = manager.returncode
    return returned if returned is not None else service.EXIT_OK


def _refuse_serving(arguments: argparse.Namespace) -> int:
    """Why the server would not start, said before the others are started: its exit code, 0 if it would."""
    try:
        chosen = serving.from_arguments(arguments)
    except checks.AddressRefused as error:
        common.say(f"avaliacoes: {error}")
        return service.EXIT_USAGE
    if not serving.available():
        common.say(f"avaliacoes: {serving.MISSING}")
        return service.EXIT_CANNOT_START
    from renderer.serve import server

    try:
        settings.token_of(chosen)
        server.listen(chosen.host, chosen.port).close()
    except (access.TokenRefused, service.CannotStart) as error:
        common.say(f"avaliacoes: {error}")
        return service.EXIT_CANNOT_START
    return service.EXIT_OK


def _server_arguments(arguments: argparse.Namespace) -> list[str]:
    words = [
        f"--{name}={getattr(arguments, name)}" for name in ("port", "host") if getattr(arguments, name) is not None
    ]
    words += [f"--allow-host={name}" for name in arguments.allow_host]
    return [*words, "--token"] if arguments.token else words


def _manager() -> Any:
    from honcho.manager import Manager

    class Services(Manager):  # type: ignore[misc, unused-ignore]
        """honcho's manager fails on a signal that comes before all processes have told their ids; this one waits for them."""

        _asked = False

        def terminate(self) -> None:
            if self._all_started():
                super().terminate()
            else:
                self._asked = True

        def _system_print(self, data: str) -> None:
            super()._system_print(data)
            if self._asked and self._all_started():
                super().terminate()

    return Services
