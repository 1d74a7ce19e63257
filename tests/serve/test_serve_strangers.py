"""Who may ask: foreign hosts, other sites' pages, hostile requests, slow clients."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from renderer.serve import app, checks
from renderer.serve.access import Access
from renderer.serve.checks import Hosts, foreign, parse_allowed

SESSION = "run_20250101_000000"
PAGE = f"/dashboard_{SESSION}.html"
PART = f"/.avaliacoes/live/{SESSION}/manifest.js"


def test_a_foreign_host_is_refused(serve: Callable[..., object], filled: Path) -> None:
    """Only this machine's own names with the port, and names that were allowed, are answered to: a rebound name is not."""
    server = serve(filled, "--allow-host", "desk.example", "--allow-host", "proxy.example:443")
    port = server.port
    good = [f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "desk.example", "desk.example:9", "proxy.example:443"]  # fmt: skip
    bad = ["evil.example", f"evil.example:{port}", "localhost", "localhost:1", f"localhost.evil.example:{port}", f"192.168.1.2:{port}",
           "proxy.example", "proxy.example:444", "", "a b", f"127.0.0.1:{port}@evil.example", f"localhost:{port}:1", "[::1", f"127.0.0.1:{port}, evil.example"]  # fmt: skip
    for host in good:
        assert server.get(PAGE, Host=host).status == 200, host
    for host in bad:
        found = server.get(PAGE, Host=host)
        assert found.status == 421 and b"page" not in found.body, host
    no_host = server.raw(f"GET {PAGE} HTTP/1.1\r\n\r\n".encode())
    two = server.raw(f"GET {PAGE} HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\n\r\n".encode())
    old = server.raw(f"GET {PAGE} HTTP/1.0\r\n\r\n".encode())
    assert b" 400 " in no_host and b" 400 " in two and b" 421 " in old


def test_another_sites_page_gets_nothing(serve: Callable[..., object], filled: Path) -> None:
    """A foreign Origin, a script or frame of another site is refused; a link from one to a whole page is followed."""
    server = serve(filled)
    own = f"http://127.0.0.1:{server.port}"
    assert server.get(PART, Origin=own, Sec_Fetch_Site="same-origin").status == 200
    assert server.get(PART, Sec_Fetch_Site="none").status == 200
    for origin in (
        "http://evil.example",
        "null",
        f"http://localhost:{server.port}",
        "http://127.0.0.1:1",
        own + ".evil.example",
    ):
        assert server.get(PART, Origin=origin).status == 403, origin
    for site in ("cross-site", "same-site", "anything"):
        assert server.get(PART, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script").status == 403
        assert server.get(PAGE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe").status == 403
        assert server.get(PART, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document").status == 403
        assert server.get(PAGE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document").status == 200


def test_addresses_for_names_when_others_reach_it() -> None:
    """Served wider, an address in place of a name is answered to, because no name was rebound; a foreign name is not."""
    wide = Hosts("0.0.0.0", 80, parse_allowed(["desk"]))
    assert all(map(wide.answers_to, ("10.1.2.3", "10.1.2.3:80", "[fe80::1]", "desk", "localhost")))
    assert not any(map(wide.answers_to, ("evil.example", "10.1.2.3:81", "10.1.2.3.evil.example")))
    assert not Hosts("127.0.0.1", 80).answers_to("10.1.2.3")
    assert foreign("h", "http://h", "same-origin", None, None, page=False) == ""
    with pytest.raises(checks.AddressRefused, match="NAME or NAME:PORT"):
        parse_allowed(["http://x/"])


def test_huge_requests_are_cut_off(serve: Callable[..., object], filled: Path) -> None:
    """An address, a header or a count of headers beyond all reason is refused, and the server goes on."""
    server = serve(filled)
    host = f"Host: localhost:{server.port}\r\n"
    for head in (
        f"GET /{'a' * 100_000} HTTP/1.1\r\n{host}\r\n",
        f"GET {PAGE} HTTP/1.1\r\n{host}X: {'a' * 100_000}\r\n\r\n",
        f"GET {PAGE} HTTP/1.1\r\n{host}{''.join(f'X{n}: 1{chr(13)}{chr(10)}' for n in range(20_000))}\r\n",
        f"GET {PAGE}\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        f"GET {PAGE} HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n",
        f"GET {PAGE} HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        got = server.raw(head.encode("latin-1"))
        assert b" 200 " not in got[:20] and b"<!doctype html>page" not in got, head[:60]
    assert server.get(PAGE).status == 200


def test_noise_is_no_request(serve: Callable[..., object], filled: Path) -> None:
    """Random bytes, and requests with a few bytes changed, get an error or nothing, never a file's content that has no address."""
    server = serve(filled)
    random = Random(7)
    good = f"GET {PART} HTTP/1.1\r\nHost: localhost:{server.port}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
    for number in range(150):
        data = bytearray(good if number % 3 else random.randbytes(random.randrange(1, 400)))
        for _ in range(random.randrange(1, 6)):
            data[random.randrange(len(data))] = random.randrange(256)
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.settimeout(20)
            got = b""
            try:
                connection.sendall(bytes(data))
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    got += piece
            except ConnectionError:
                pass
        assert b"private" not in got.partition(b"\r\n\r\n")[2] and b" 500 " not in got[:20], bytes(data)
    assert server.get(PAGE).status == 200 and b"Traceback" not in server.said


def test_a_slow_client_holds_nobody_up(serve: Callable[..., object], filled: Path, until: Callable[..., bool]) -> None:
    """Clients that send a byte now and then, or do not read what they asked for, keep no other waiting, and are cut off."""
    (filled / ".avaliacoes/assets/big-1.0.js").write_bytes(b"x" * 30_000_000)
    server = serve(filled)
    slow = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(40)]
    try:
        for connection in slow[:30]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
        for connection in slow[30:]:
            connection.sendall(
                f"GET /.avaliacoes/assets/big-1.0.js HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode()
            )
        for _ in range(20):
            assert server.get(PAGE).status == 200
        slow[0].settimeout(30)
        begin = time.monotonic()
        try:
            ended = slow[0].recv(1) == b""
        except ConnectionResetError:
            ended = True
        assert ended and time.monotonic() - begin < 25
        assert server.get(PAGE).status == 200
    finally:
        for connection in slow:
            connection.close()


def test_many_at_once(serve: Callable[..., object], filled: Path) -> None:
    """Twenty tabs that ask at the same time are all answered, and all alike."""
    server = serve(filled)
    found: list[int] = []

    def tab() -> None:
        found.extend([server.get(PART).status for _ in range(20)])

    tabs = [threading.Thread(target=tab) for _ in range(20)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join(60)
    assert found == [200] * 400


def test_connections_beyond_the_limit(serve: Callable[..., object], filled: Path, until: Callable[..., bool]) -> None:
    """More connections than the server takes are closed at once; when the others go, it answers again."""
    server = serve(filled)
    held = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(300)]
    held[-1].settimeout(10)
    try:
        ended = held[-1].recv(1) == b""
    except ConnectionResetError:
        ended = True
    assert ended
    for connection in held:
        connection.close()

    def answers() -> bool:
        try:
            return bool(server.get(PAGE).status == 200)
        except OSError:
            return False

    assert until(answers, 10)


def test_who_never_takes_an_answer_is_left(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not take a long answer in time is given up, and the file closed."""
    monkeypatch.setattr(app, "_SEND_S", 0.2)
    (filled / ".avaliacoes/assets/big-1.0.js").write_bytes(b"x" * 3_000_000)
    sent = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])
        if len(sent) == 3:
            await asyncio.sleep(3600)

    made = app.App(filled, Hosts("127.0.0.1", 80), Access(None, 80), None)
    scope = {"type": "http", "method": "GET", "raw_path": b"/.avaliacoes/assets/big-1.0.js", "query_string": b"", "headers": [(b"host", b"localhost")]}  # fmt: skip
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    async def ask() -> int:
        await made(scope, None, send)  # type: ignore[arg-type]
        return len(os.listdir("/proc/self/fd")) if before else 0

    assert asyncio.run(ask()) <= before + 3 and len(sent) == 3  # the loop's own three descriptors
