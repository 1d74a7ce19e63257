"""Which endpoints are private to this machine, and which need keys."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:.%]+\]|[A-Za-z0-9_.*-]+):(\d{1,5}|\*)\Z")
KEYS_HELP: Final = (
    "Sockets wider than this machine need keys on both ends: on the collector's machine run `avaliacoes keys init`, and "
    "`avaliacoes keys add NAME` for each trainer's machine, whose client folder AVALIACOES_KEYS then names; "
    "or use ipc:// or tcp://127.0.0.1 (for another machine, an ssh tunnel works too)"
)


class EndpointRefused(ValueError):
    """An endpoint that cannot be used, with the reason and what to do."""


def split_tcp(endpoint: str) -> tuple[str, str]:
    """(host, port) of a tcp endpoint.

    Raises:
        EndpointRefused: it is not of the form tcp://host:port.
    """
    found = _TCP.match(endpoint)
    if not found or (found[2] != "*" and not 0 < int(found[2]) < 65536):
        raise EndpointRefused(f"endpoint {endpoint!r:.100} refused: expected tcp://host:port or ipc:///path")
    return found[1].strip("[]"), found[2]


def is_private(endpoint: str) -> bool:
    """Whether an endpoint cannot be reached from another machine.

    Raises:
        EndpointRefused: neither tcp:// nor ipc://.
    """
    if endpoint.startswith("ipc://") and len(endpoint) > 6:
        return True
    host, _ = split_tcp(endpoint)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_client_endpoint(endpoint: str, keys: bool = False) -> str:
    """`endpoint` if a client may connect to it.

    Args:
        keys: whether the client has keys; without them only what stays on this machine is allowed.

    Raises:
        EndpointRefused: malformed, or wider than this machine without keys.
    """
    if not isinstance(endpoint, str) or "*" in endpoint:
        raise EndpointRefused(f"endpoint {endpoint!r:.100} refused: expected tcp://host:port or ipc:///path")
    if not is_private(endpoint) and not keys:
        raise EndpointRefused(f"endpoint {endpoint} refused: it leaves this machine. {KEYS_HELP}")
    return endpoint
