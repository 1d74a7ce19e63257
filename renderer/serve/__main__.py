"""`python -m renderer.serve`: the pages of a data folder over HTTP."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from contract import places, service
from renderer.serve import access, checks, settings
from renderer.serve.settings import Settings

KIND: Final = "server"
MISSING: Final = "serving needs uvicorn, which is not installed: pip install 'avaliacoes[serve]'"


def add_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The server's own arguments, for this program and for `avaliacoes up --serve`."""
    parser.add_argument(
        "--port",
        type=int,
        help=f"TCP port, 0 for a free one (default: ${settings.ENV_PORT}, else {settings.DEFAULT_PORT})",
    )
    parser.add_argument(
        "--host",
        help=f"address to listen on (default: ${settings.ENV_HOST}, else {settings.DEFAULT_HOST}); other machines reach it "
        "only with a token",
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME[:PORT]",
        help=f"a further name to answer to, of a proxy or a tunnel (may be repeated; also ${settings.ENV_ALLOW}, with commas)",
    )  # fmt: skip
    parser.add_argument(
        "--token",
        action="store_true",
        help=f"ask for a token, made once in .avaliacoes/serve_token (or ${access.ENV_TOKEN}); on a machine that others use, too",
    )


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m renderer.serve",
        description="Serves the pages of a data folder over HTTP, read only, by default to this machine alone.",
        epilog="Exit codes: 0 ended when asked, 1 failed, 2 wrong usage, 3 another server runs on this folder, "
        "4 the folder or port cannot be used, or a token is missing.",
    )
    found.add_argument(
        "--base-path", help=f"the data folder (default: {places.ENV_BASE}, else ./{places.DEFAULT_BASE})"
    )
    add_arguments(found)
    found.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return found


def from_arguments(given: argparse.Namespace) -> Settings:
    return settings.make(given.base_path, given.host, given.port, given.allow_host, given.token)


def available() -> bool:
    """Whether what serving needs is installed."""
    return find_spec("uvicorn") is not None


def work(chosen: Settings) -> int:
    """Hold the folder, serve until asked to end, let go."""
    from renderer.serve import app, server, window

    try:
        base = places.prepare_base(chosen.base)
        token = settings.token_of(chosen)
        held = service.hold(base, KIND)
    except service.AlreadyRunning as error:
        print(f"server: {error}", file=sys.stderr)
        return service.EXIT_ALREADY_RUNNING
    except access.TokenRefused as error:
        print(f"server: {error}", file=sys.stderr)
        return service.EXIT_CANNOT_START
    except OSError as error:
        print(f"server: {error.strerror or error}", file=sys.stderr)
        return service.EXIT_CANNOT_START
    try:
        with service.stopping_on_signals() as stop, server.listen(chosen.host, chosen.port) as listener:
            port = int(listener.getsockname()[1])
            hosts = settings.hosts_of(chosen, port, socket.gethostname())
            made = app.App(base, hosts, access.Access(token, port), window.reader())
            server.run(made, listener, stop, lambda: _ready(held, chosen, port, token is not None))
            made.tell_refused()
    except service.CannotStart as error:
        print(f"server: {error}", file=sys.stderr)
        return service.EXIT_CANNOT_START
    finally:
        held.release()
    return service.EXIT_OK


def _ready(held: service.Held, chosen: Settings, port: int, token: bool) -> None:
    host = socket.gethostname() if chosen.host in ("0.0.0.0", "::") else chosen.host  # noqa: S104 - told apart, not bound
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    held.announce(url=url, token=token)
    how = f", with ?token= and what is in {access.token_file(held.base)} or ${access.ENV_TOKEN}" if token else ""
    print(f"server: ready, {url}{how}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = parser().parse_args(arguments)
    try:
        chosen = from_arguments(given)
    except checks.AddressRefused as error:
        print(f"server: {error}", file=sys.stderr)
        return service.EXIT_USAGE
    if not available():
        print(f"server: {MISSING}", file=sys.stderr)
        return service.EXIT_CANNOT_START
    if given.worker:
        return work(chosen)
    return service.supervise("renderer.serve", arguments)


if __name__ == "__main__":
    sys.exit(main())
