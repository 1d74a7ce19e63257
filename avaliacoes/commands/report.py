"""`avaliacoes report`: the report of a session."""

from __future__ import annotations

import argparse

from avaliacoes.commands import common
from contract import places


def configure(parser: argparse.ArgumentParser) -> None:
    common.add_session(parser, nargs="?")
    common.add_base(parser)


def run(arguments: argparse.Namespace) -> int:
    from renderer.report import write_report

    base = places.base_path(arguments.base_path)
    session = common.session_in(base, arguments.session)
    path = write_report(places.prepare_base(base), session)
    common.put(f"{path}\n".encode())
    return 0
