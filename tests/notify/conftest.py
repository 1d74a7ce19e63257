"""A receiver of notifications on this machine, which can be slow, refuse, or be down, and the alerts to tell it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from contract.names import file_name


class Receiver:
    """An HTTP server on a port that it keeps; `messages` are the JSON bodies that it accepted."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        self.delay_s = 0.0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"json://user:s3cretPassw0rd@127.0.0.1:{self.port}/hidden-path?cto=2&rto=30"

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked += 1
                time.sleep(receiver.delay_s)
                if receiver.status == 200:
                    receiver.messages.append(json.loads(body))
                try:
                    self.send_response(receiver.status)
                    self.end_headers()
                except OSError:
                    pass  # the sender was killed meanwhile

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.down()


def alert(session: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    """An alert as it lies in a file."""
    own = f"{number:08x}{abs(hash((session, number))) % 16**8:08x}"
    return {
        "_p": "aaaaaaaaaaaa",
        "_q": number,
        "timestamp": time.time(),
        "step": 10 + number,
        "id": own,
        "fires": own,
        "row": f"row-{session}-{number}",
        "rule": "non_finite",
        "level": "ERROR",
        "state": "firing",
        "message": "loss is NaN",
        "action": "lower the learning rate",
        "value": "NaN",
        "threshold": None,
        **fields,
    }


Write = Callable[..., dict[str, Any]]


@pytest.fixture
def write(place: Path) -> Write:
    """`write(session, number, **fields)`: append an alert to a session's file, as the collector does."""
    place.mkdir(parents=True, exist_ok=True)

    def append(session: str, number: int = 0, **fields: Any) -> dict[str, Any]:
        made = alert(session, number, **fields)
        with open(place / file_name("alerts", session), "ab") as file:
            file.write(orjson.dumps(made) + b"\n")
        return made

    return append


@pytest.fixture
def configure(place: Path, receiver: Receiver) -> Callable[..., Path]:
    """`configure(**settings)`: write `[notify]`, with our receiver where none is named."""
    place.mkdir(parents=True, exist_ok=True)

    def written(urls: list[str] | None = None, more: str = "", **settings: Any) -> Path:
        chosen: dict[str, Any] = {"urls": [receiver.url] if urls is None else urls, "group_wait": 0.5, **settings}
        lines = [f"{name} = {json.dumps(value)}" for name, value in chosen.items()]
        path = place / "avaliacoes.toml"
        path.write_text("\n".join(["[notify]", *lines, more]) + "\n")
        return path

    return written
