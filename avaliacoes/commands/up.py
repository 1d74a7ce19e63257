"""`avaliacoes up`: the three services under honcho, with the interpreter that runs this command."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any, Final

from avaliacoes.commands import common
from contract import places, service

SERVICES: Final = ("collector", "analyzer", "renderer")


def configure(parser: argparse.ArgumentParser) -> None:
    common.add_base(parser)
    parser.description = (
        "Run collector, analyzer and renderer under honcho until Ctrl-C or SIGTERM; all end within 5 seconds. "
        "Their output goes to standard error. When one of them ends for good, the others are ended too and its exit code is ours."
    )


def run(arguments: argparse.Namespace) -> int:
    from honcho.printer import Printer

    base = places.prepare_base(places.base_path(arguments.base_path))
    for kind in SERVICES:
        info = service.find(base, kind)
        if info and not info.get("auto"):
            raise service.AlreadyRunning(
                f"a {kind} already runs on {base} (process {info['pid']}); stop it first, or give another --base-path"
            )
    manager = _manager()(Printer(sys.stderr))
    for kind in SERVICES:
        argv, environment = service.command(kind, "--base-path", str(base))
        environment["PYTHONUNBUFFERED"] = "1"
        # The neutral folder keeps a user's own `collector.py` from being run in place of ours.
        manager.add_process(kind, f"exec {shlex.join(argv)}", env=environment, cwd=str(places.socket_dir(base)))
    common.say(f"data folder: {base}")
    manager.loop()
    code = manager.returncode
    return code if code is not None else service.EXIT_OK


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
