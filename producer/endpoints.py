"""Endpoints a producer may connect to, and the keys it needs for those that leave this machine."""

from __future__ import annotations

import zmq

from contract.endpoints import check_client_endpoint


def check_endpoint(endpoint: str | None) -> str | None:
    """`endpoint` if it may be connected to (None stays None).

    Raises:
        ValueError: not tcp:// or ipc://, or wider than this machine without keys; the text says how to make them.
    """
    return None if endpoint is None else check_client_endpoint(endpoint)


def secure(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Put this client's keys on a socket that needs them (before it connects)."""
