"""How a reader joins the collector's feed: where it is, with which socket options, and with which keys.

The feed is lossy and carries file offsets: whoever reads it takes it as a hint that there is more in a file, and looks at
the file too, now and then. What lies in its messages says `contract.wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import zmq

from contract import keys, service, wire

#: Where a trainer hears of alerts whose collector is on another machine: `tcp://host:port` of that one's feed.
ENV_FEED_ENDPOINT: Final = "AVALIACOES_FEED_ENDPOINT"

_OPTIONS: Final = (
    (zmq.LINGER, 0),
    # No limit. At one, libzmq stops reading the connection, heartbeats included, gives it up for dead, and when the reader
    # goes on aborts the whole process, a trainer's too (assertion `_input_stopped`, zeromq/libzmq#3937). A reader must
    # take what is there several times a second instead; what is offered meanwhile is little.
    (zmq.RCVHWM, 0),
    (zmq.RECONNECT_IVL, 50),
    (zmq.RECONNECT_IVL_MAX, 500),
    (zmq.HEARTBEAT_IVL, 1_000),
    (zmq.HEARTBEAT_TIMEOUT, 3_000),
    (zmq.HANDSHAKE_IVL, 3_000),
    (zmq.MAXMSGSIZE, 2 * wire.MAX_MESSAGE_BYTES),
)

#: Process id and feed endpoint of a collector: another pair is another collector, and wants another socket.
Peer = tuple[object, str]


def find(base: Path) -> tuple[Peer, dict[str, Any]] | None:
    """The collector that runs on a data folder, and what it announces of itself; None while there is none."""
    announced = service.find(base, "collector") or {}
    endpoint = announced.get("feed")
    return ((announced.get("pid"), endpoint), announced) if isinstance(endpoint, str) else None


def join(
    context: zmq.Context[zmq.Socket[bytes]],
    base: Path,
    endpoint: str,
    announced: Mapping[str, Any] | None,
    topics: Iterable[bytes],
) -> zmq.Socket[bytes]:
    """A SUB socket on the feed at `endpoint`, subscribed to `topics`; ZeroMQ connects in the background.

    Args:
        announced: what the collector of `base` says of itself; None for one that was named by its endpoint.

    Raises:
        zmq.ZMQError: nobody can connect to such an endpoint.
        contract.keys.KeysRefused: keys are asked for, and there are none that can be used (an `OSError`).
    """
    socket = context.socket(zmq.SUB)
    try:
        for option, value in _OPTIONS:
            socket.setsockopt(option, value)
        for topic in topics:
            socket.subscribe(topic)
        found = keys.keys_for(base, announced)
        if found is not None:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, found.own.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, found.own.secret.encode())
            socket.setsockopt(zmq.CURVE_SERVERKEY, found.server.encode())
        socket.connect(endpoint)
    except BaseException:
        socket.close()
        raise
    return socket
