"""A real server process on a free port, asked over real sockets."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract import places

pytest.importorskip("uvicorn")

Spawn = Callable[..., "subprocess.Popen[bytes]"]
SESSION = "run_20250101_000000"
SECRET = "a-secret-of-thirty-two-characters"


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Server:
    """`python -m renderer.serve` on a data folder; `said` is all it printed, on both streams."""

    def __init__(self, base: Path, process: subprocess.Popen[bytes], name: str = "127.0.0.1") -> None:
        self.base, self.process, self.name = base, process, name
        self.said = b""
        assert process.stdout is not None
        line = process.stdout.readline()
        self.said += line
        found = re.match(rb"server: ready, (http://\S+:(\d+)/)", line)
        assert found, line
        self.url, self.port = found[1].decode().rstrip("/"), int(found[2])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request; a header `Sec_Fetch_Site` is sent as `Sec-Fetch-Site`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for key, value in headers.items():
            connection.putheader(key.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        found = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return found

    def raw(self, data: bytes) -> bytes:
        """What comes back for these very bytes, until the server closes or stops speaking for two seconds."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.settimeout(2)
            got = b""
            try:
                connection.sendall(data)
                while piece := connection.recv(65536):
                    got += piece
            except (TimeoutError, ConnectionError):
                pass
            return got

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(6)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def filled(place: Path) -> Path:
    """A data folder with what a server may show, and beside it what it must not."""
    places.prepare_base(place)
    own = places.own_dir(place)
    live = own / "live" / SESSION
    (live / "tiles").mkdir(parents=True)
    (own / "assets").mkdir()
    (own / "keys").mkdir()
    for path, text in {
        place / f"dashboard_{SESSION}.html": "<!doctype html>page",
        place / f"report_{SESSION}.html": "<!doctype html>report",
        place / f"training_{SESSION}.jsonl": '{"step":1,"loss":0.5}\n{"step":2,"lo',
        place / "notes.txt": "private",
        place / "avaliacoes.toml": "private",
        live / "manifest.js": "avaliacoes({})",
        live / "segment-3.js": "avaliacoes({n: 3})",
        live / "tiles" / "7-1-0.js": "avaliacoes({i: 0})",
        own / "assets" / "plotly-7.1.0.min.js": "plotly",
        own / "keys" / "collector.key_secret": "private",
        own / "sessions" / f"{SESSION}.json": "private",
        own / "status.json": "private",
        place.parent / "outside.html": "private",
    }.items():
        path.write_text(text)
    return place


@pytest.fixture
def serve(spawn: Spawn) -> Iterator[Callable[..., Server]]:
    """`serve(base, *arguments)`: a server that is ready; ended with the test."""
    started: list[Server] = []

    def start(base: Path, *arguments: str) -> Server:
        process = spawn(
            "-m", "renderer.serve", "--base-path", str(base), "--port", "0", *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append(Server(base, process))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.end()
