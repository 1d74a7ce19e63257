"""Endpoints a producer may connect to, and the keys it needs for those that leave this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import zmq

from contract import keys, service
from contract.endpoints import check_client_endpoint


def check_endpoint(endpoint: str | None, base: Path) -> str | None:
    """`endpoint` if it may be connected to (None stays None).

    Raises:
        ValueError: not tcp:// or ipc://, or wider than this machine without keys; the text says how to make them.
        contract.keys.KeysRefused: keys are configured, and cannot be used safely.
    """
    if endpoint is None:
        return None
    return check_client_endpoint(endpoint, keys.keys_for(base, None) is not None)


def securing(base: Path, configured: str | None) -> Callable[[zmq.Socket[bytes], str], None]:
    """What puts this client's keys on a socket before it connects, where the collector asks for keys.

    They are read anew for each socket: a collector that is started again with keys finds its clients ready.

    Args:
        base: the data folder, whose collector says whether it wants keys.
        configured: the endpoint of a collector elsewhere, or None for the folder's own.
    """

    def secure(socket: zmq.Socket[bytes], _endpoint: str) -> None:
        announced = None if configured is not None else service.find(base, "collector") or {}
        found = keys.keys_for(base, announced)
        if found is not None:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, found.own.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, found.own.secret.encode())
            socket.setsockopt(zmq.CURVE_SERVERKEY, found.server.encode())

    return secure
