"""The server as a process: one per folder, found, supervised, ended; beside the others under `avaliacoes up --serve`."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contract import service
from renderer.serve import settings
from renderer.serve.checks import AddressRefused

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]
SESSION = "run_20250101_000000"
PAGE = f"/dashboard_{SESSION}.html"


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )  # fmt: skip


def test_one_per_folder_and_it_ends_when_asked(serve: Callable[..., object], filled: Path) -> None:
    """It says where it is, refuses a second of its kind, and ends within 5 s of SIGTERM with code 0, clients or not."""
    server = serve(filled)
    found = service.find(filled, "server")
    assert found is not None and found["url"] == server.url + "/"
    second = _run("-m", "renderer.serve", "--base-path", str(filled), "--port", "0")
    assert second.returncode == service.EXIT_ALREADY_RUNNING and "already runs" in second.stderr
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET / HT")
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(6) == 0 and time.monotonic() - begin < 5
    assert not service.is_running(filled, "server")


def test_a_worker_that_dies_is_started_again(serve: Callable[..., object], filled: Path, until: Until) -> None:
    """Killed, the worker is started again by its supervisor, on another free port where none was asked for."""
    server = serve(filled)
    first = service.find(filled, "server")
    assert first is not None
    os.kill(int(first["pid"]), signal.SIGKILL)

    def again() -> bool:
        found = service.find(filled, "server")
        return bool(found and found["pid"] != first["pid"])

    assert until(again, 20)
    server.process.kill()
    assert until(lambda: not service.is_running(filled, "server"), 6), "the worker outlived its supervisor"


def test_a_port_that_is_taken_is_said(filled: Path) -> None:
    """A taken port and an address of another machine are errors in words, with their exit code."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = _run("-m", "renderer.serve", "--base-path", str(filled), "--port", str(taken.getsockname()[1]))
    assert done.returncode == service.EXIT_CANNOT_START and "another --port" in done.stderr
    other = _run(
        "-m", "renderer.serve", "--base-path", str(filled), "--host", "192.0.2.1", AVALIACOES_SERVE_TOKEN="x" * 32
    )
    assert other.returncode == service.EXIT_CANNOT_START and "192.0.2.1" in other.stderr
    up = _run(
        "-m",
        "avaliacoes",
        "up",
        "--serve",
        "--base-path",
        str(filled),
        "--host",
        "192.0.2.1",
        AVALIACOES_SERVE_TOKEN="x" * 32,
    )
    assert up.returncode == service.EXIT_CANNOT_START and "192.0.2.1" in up.stderr
    assert not service.is_running(filled, "collector")


def test_what_was_refused_is_counted_and_said(serve: Callable[..., object], filled: Path) -> None:
    """At its end the server says how many requests it refused, by reason, and nothing of what they asked for."""
    server = serve(filled)
    for _ in range(3):
        server.get("/secret-path", Host="evil.example")
    server.get("/secret-path", "POST")
    assert server.get("/secret-path").status == 404
    status = _run("-m", "avaliacoes", "status", "--base-path", str(filled))
    assert f"server at {server.url}/" in status.stderr
    server.end()
    assert b"server: requests refused so far: 3 foreign host, 1 method" in server.said
    assert b"evil" not in server.said and b"secret" not in server.said


def test_settings_come_from_arguments_then_from_the_environment() -> None:
    """Host, port and names may be given either way; what cannot be is refused and quoted."""
    variables = {
        "AVALIACOES_SERVE_HOST": "::1",
        "AVALIACOES_SERVE_PORT": "1234",
        "AVALIACOES_SERVE_ALLOW_HOST": "a,b:2",
    }
    made = settings.make("x", None, None, ["c"], False, variables)
    assert (made.host, made.port, made.allowed, made.wide) == ("::1", 1234, (("c", None), ("a", None), ("b", 2)), False)
    assert settings.make("x", "localhost", 1, [], False, variables).port == 1
    assert settings.make("x", "[::]", 1, [], False, {}).wide and settings.make("x", "myhost", 1, [], False, {}).wide
    wide = settings.make("x", "0.0.0.0", 80, [], False, {})
    assert settings.hosts_of(wide, 80, "Desk.example").allowed == (("desk", 80), ("desk.example", 80))
    assert settings.hosts_of(made, 80, "Desk.example").allowed == made.allowed
    for wrong in ((None, 70_000, []), (None, -1, []), ("a b", 1, []), ("http://x", 1, []), (None, 1, ["a/b"])):
        with pytest.raises(AddressRefused, match="expected"):
            settings.make("x", *wrong, False, {})
    with pytest.raises(AddressRefused, match="eighty"):
        settings.make("x", None, None, [], False, {"AVALIACOES_SERVE_PORT": "eighty"})


def test_without_the_extra_it_says_which(filled: Path, tmp_path: Path) -> None:
    """Where uvicorn is not installed both commands end with the pip command that installs it."""
    hide = "import sys, importlib.util as u; real = u.find_spec\n"
    hide += "u.find_spec = lambda name, *rest: None if name == 'uvicorn' else real(name, *rest)\n"
    for call in ("from renderer.serve.__main__ import main; sys.exit(main([{}]))", "from avaliacoes.__main__ import main; sys.exit(main(['up', '--serve', {}]))"):  # fmt: skip
        done = _run("-c", hide + call.format(f"'--base-path', {str(filled)!r}"))
        assert done.returncode == service.EXIT_CANNOT_START and "pip install 'avaliacoes[serve]'" in done.stderr
    assert not service.is_running(filled, "collector")


def test_up_serves_beside_the_three(place: Path, spawn: Spawn, until: Until) -> None:
    """up --serve starts four, the pages of a live run are there over HTTP, and all four end within 5 s of a signal."""
    from avaliacoes.real_time_logger import create_real_time_logger

    process = spawn(
        "-m", "avaliacoes", "up", "--serve", "--port", "0", "--base-path", str(place),
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    kinds = ("collector", "analyzer", "renderer", "server")
    assert until(lambda: all(service.find(place, kind) for kind in kinds), 40)
    found = service.find(place, "server")
    assert found is not None
    port = int(found["url"].rstrip("/").rpartition(":")[2])

    def get(path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    with create_real_time_logger(place) as logger:
        logger.log_training_step(0, loss=1.0)
        assert until(lambda: get(f"/dashboard_{logger.session}.html")[0] == 200, 30)
    assert get(f"/data/training_{logger.session}.jsonl")[1].count(b"\n") == 1
    second = _run("-m", "avaliacoes", "up", "--serve", "--port", str(port), "--base-path", str(place))
    assert second.returncode == service.EXIT_ALREADY_RUNNING and "already runs" in second.stderr
    begin = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM and time.monotonic() - begin < 5.5
    assert not any(service.is_running(place, kind) for kind in kinds)


def test_arguments_of_the_server_need_the_server(place: Path) -> None:
    """--port without --serve is a usage error, not something quietly left out."""
    done = _run("-m", "avaliacoes", "up", "--port", "1", "--base-path", str(place))
    assert done.returncode == service.EXIT_USAGE and "--serve" in done.stderr
