"""The sockets: uvicorn with deadlines, a limit of connections, and our own way to be asked to end.

uvicorn's parser is forced to h11, which bounds a request's head; what uvicorn does not bound is how long a client may take
to send it, so `Connection` does. Forwarding headers are not believed, and nothing is logged of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from contract import service

#: Bytes of a request line with its headers: ours need under two thousand.
HEAD_BYTES: Final = 16 * 1024
#: Seconds to send one whole request, and for which an idle connection is kept.
REQUEST_S: Final = 10.0
IDLE_S: Final = 15
#: A browser opens six; this is forty of them, and well under the usual limit of 1024 open files.
MAX_CONNECTIONS: Final = 250
_FINISH_S: Final = 2
_BACKLOG: Final = 128


class Connection(H11Protocol):
    """uvicorn's connection, closed when a request takes too long to arrive or when there are too many of its kind."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._arm()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        busy = self.cycle is not None and not self.cycle.response_complete
        if self.cycle is not before or busy:
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_S, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: `service.Stop` asks it to end."""

    ready: Callable[[], None]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        service.CannotStart: the port is taken, or the host is not this machine's; the text says what to do.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With the protocol named: asyncio sends small answers at once (TCP_NODELAY) only on sockets that say they are TCP.
        found = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            found.bind(address)
            found.listen(_BACKLOG)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise service.CannotStart(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port (0 takes a free one) or --host"
        ) from error
    return found


def run(app: Any, listener: socket.socket, stop: service.Stop, ready: Callable[[], None]) -> None:
    """Answer requests until `stop` is set; then finish what is being sent, for at most 2 s."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=_FINISH_S,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    server = _Server(config)
    server.ready = ready
    asyncio.run(_serve(server, listener, stop))


async def _serve(server: _Server, listener: socket.socket, stop: service.Stop) -> None:
    loop = asyncio.get_running_loop()

    def ask() -> None:
        loop.remove_reader(stop.reader)
        server.should_exit = True

    loop.add_reader(stop.reader, ask)
    await server.serve([listener])
