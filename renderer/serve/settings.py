"""What the server needs to know before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract import places
from renderer.serve import access, checks

ENV_HOST: Final = "AVALIACOES_SERVE_HOST"
ENV_PORT: Final = "AVALIACOES_SERVE_PORT"
ENV_ALLOW: Final = "AVALIACOES_SERVE_ALLOW_HOST"
DEFAULT_HOST: Final = "127.0.0.1"
#: Near TensorBoard's 6006 and Jupyter's 8888 people forward ports by habit; this one is registered for nothing common.
DEFAULT_PORT: Final = 8765


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked settings of one server.

    Attributes:
        base: the data folder.
        host: what to listen on; 127.0.0.1 by default, because TCP on loopback reaches no other machine.
        port: TCP port; 0 takes a free one.
        allowed: further names to answer to, see `checks.Hosts`.
        need_token: ask for a token on loopback, too; wider than loopback it is always asked for.
    """

    base: Path
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    allowed: tuple[tuple[str, int | None], ...] = ()
    need_token: bool = False

    @property
    def wide(self) -> bool:
        """Whether other machines reach it."""
        return not checks.is_loopback(self.host)


def make(
    base_path: str | None,
    host: str | None,
    port: int | None,
    allow_hosts: Sequence[str],
    need_token: bool,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from arguments, then from the environment.

    Raises:
        checks.AddressRefused: a port, host or name that cannot be.
    """
    host = host or environment.get(ENV_HOST) or DEFAULT_HOST
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if checks.address_of(host) is None and checks.split_authority(host) != (host.lower(), None):
        raise checks.AddressRefused(f"expected an address or a host name to listen on, got {host!r:.100}")
    given: object = port if port is not None else environment.get(ENV_PORT, DEFAULT_PORT)
    try:
        number = int(str(given))
    except ValueError:
        number = -1
    if not 0 <= number < 65_536:
        raise checks.AddressRefused(f"expected a port from 1 to 65535, or 0 for a free one, got {given!r:.60}")
    names = [*allow_hosts, *filter(None, environment.get(ENV_ALLOW, "").split(","))]
    return Settings(places.base_path(base_path), host, number, checks.parse_allowed(names), need_token)


def hosts_of(settings: Settings, port: int, own_name: str) -> checks.Hosts:
    """The names to answer to on `port`; for other machines also the machine's own, whole and its first part."""
    own = checks.split_authority(own_name) if settings.wide else None
    names = {own[0], own[0].partition(".")[0]} if own else set()
    return checks.Hosts(settings.host, port, (*settings.allowed, *((name, port) for name in sorted(names))))


def token_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token that this server asks for, None if it asks for none.

    On loopback: with `need_token`, or where one is set in the environment. Wider: always.

    Raises:
        access.TokenRefused: one is needed and there is none, or it cannot be used.
    """
    if not settings.wide and not settings.need_token and access.ENV_TOKEN not in environment:
        return None
    token = access.load_token(settings.base, settings.need_token, environment)
    if token is None:
        raise access.TokenRefused(
            f"{settings.host} is reached by other machines, and whoever reaches it would read everything in {settings.base}. "
            f"Ask for a token: --token makes one in {access.token_file(settings.base)}; or set {access.ENV_TOKEN}. "
            "To look from one other machine, rather leave --host away and use: ssh -L 8765:127.0.0.1:8765 HOST"
        )
    return token
