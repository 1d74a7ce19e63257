"""The token: where it comes from, how a browser and a program show it, how often one may guess, and that nobody prints it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contract import service
from renderer.serve.access import ATTEMPTS, REFILL_S, Access, Attempts, TokenRefused, load_token, token_file

SESSION = "run_20250101_000000"
PAGE = f"/dashboard_{SESSION}.html"
SECRET = "a-secret-of-thirty-two-characters"


def _cookie(answer: object) -> str:
    return str(answer.headers["set-cookie"].split(";")[0])  # type: ignore[attr-defined]


def test_wider_than_loopback_needs_a_token(filled: Path) -> None:
    """0.0.0.0 without a token is refused by an error that says how to make one, or to do without; nothing listens."""
    for command in (["-m", "renderer.serve"], ["-m", "avaliacoes", "up", "--serve"]):
        arguments = [*command, "--base-path", str(filled), "--host", "0.0.0.0", "--port", "0"]
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == service.EXIT_CANNOT_START
        assert "--token" in done.stderr and "ssh -L" in done.stderr and "Traceback" not in done.stderr
    assert not token_file(filled).exists() and not service.is_running(filled, "collector")


def test_a_browser_shows_the_token_once(serve: Callable[..., object], filled: Path) -> None:
    """Without the token nothing is shown; ?token= gives a cookie that scripts cannot read, and with it everything is."""
    server = serve(filled, "--host", "0.0.0.0", "--token")
    token = token_file(filled).read_text().strip()
    assert stat.S_IMODE(token_file(filled).stat().st_mode) == 0o600 and len(token) >= 40
    for path in (PAGE, "/", "/nothing", "/api/window?session=a", f"/data/training_{SESSION}.jsonl"):
        found = server.get(path)
        assert found.status == 401 and b"page" not in found.body and "set-cookie" not in found.headers, path
    entered = server.get(f"{PAGE}?token={token}")
    assert (
        entered.status == 200
        and token not in entered.body.decode()
        and "<!doctype html>page" not in entered.body.decode()
    )
    assert f'content="0;url={PAGE}"' in entered.body.decode()
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(entered.headers["set-cookie"].split("; "))
    assert token not in entered.headers["set-cookie"] and entered.headers["cache-control"] == "no-store"
    assert server.get(PAGE, Cookie=f"other=1; {_cookie(entered)}").body == b"<!doctype html>page"
    assert server.get(PAGE, Authorization=f"Bearer {token}").status == 200
    assert server.get(PAGE, Authorization="Bearer wrong").status == 401
    assert server.get(PAGE, Cookie=_cookie(entered)[:-1] + "!").status == 401
    part = f"/.avaliacoes/live/{SESSION}/manifest.js"
    assert server.get(f"{part}?token={token}").status == 401  # only a page's address may carry it
    assert (
        server.get(PAGE, Host=f"{socket.gethostname()}:{server.port}").status == 401
    )  # answered to, where loopback would not
    server.end()
    assert token.encode() not in server.said and b"Traceback" not in server.said
    assert server.said.startswith(f"server: ready, http://{socket.gethostname()}:{server.port}/, with ?token=".encode())


def test_the_cookie_outlives_a_restart(serve: Callable[..., object], filled: Path) -> None:
    """A server started again on the same port takes the cookies it gave; with another token it does not."""
    access = [Access(token, 8765) for token in (SECRET, SECRET, SECRET + "x")]
    cookie = f"{access[0].cookie_name}={access[0].cookie}"
    assert [one.judge("a", cookie, "", "", 0.0) for one in access] == ["open", "open", "wrong"]


def test_guessing_is_slow(serve: Callable[..., object], filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some wrong tokens even the right one has to wait; the secret never shows in what the server prints."""
    monkeypatch.setenv("AVALIACOES_SERVE_TOKEN", SECRET)
    server = serve(filled)
    found = [server.get(f"/?token=wrong-{number}").status for number in range(ATTEMPTS + 5)]
    assert found == [401] * ATTEMPTS + [429] * 5
    late = server.get(f"/?token={SECRET}")
    assert late.status == 429 and late.headers["retry-after"]
    server.end()
    assert SECRET.encode() not in server.said and b"wrong-" not in server.said


def test_the_limit_of_guesses_counts_guesses() -> None:
    """Guesses come back with time, each address has its own, and the same wrong value again is no new guess."""
    attempts = Attempts()
    access = Access(SECRET, 1, attempts)
    for _ in range(1000):
        assert access.judge("tab", f"{access.cookie_name}=stale", "", "", 0.0) == "wrong"
    assert access.judge("tab", "", "", SECRET, 0.0) == "token"
    guesses = [access.judge("evil", "", f"Bearer {number}", "", 0.0) for number in range(ATTEMPTS + 1)]
    assert guesses == ["wrong"] * ATTEMPTS + ["wait"]
    assert access.judge("evil", "", f"Bearer {SECRET}", "", REFILL_S / 2) == "wait"
    assert access.judge("evil", "", f"Bearer {SECRET}", "", REFILL_S * 1.1) == "open"
    assert access.judge("other", "", f"Bearer {SECRET}", "", 0.0) == "open"
    for number in range(3000):
        access.judge(f"address {number}", "", "Bearer wrong", "", 0.0)
    assert len(attempts._left) <= 1000 and len(attempts._wrong) <= 1000


def test_what_a_token_may_be(filled: Path) -> None:
    """A short one, one that others can read and one behind a link are refused by words that say what to do."""
    path = token_file(filled)
    assert load_token(filled, make=False, environment={}) is None
    made = load_token(filled, make=True, environment={})
    assert made == load_token(filled, make=True, environment={}) == load_token(filled, make=False, environment={})
    with pytest.raises(TokenRefused, match="at least 16"):
        load_token(filled, make=False, environment={"AVALIACOES_SERVE_TOKEN": "short"})
    path.chmod(0o644)
    with pytest.raises(TokenRefused, match="chmod 600"):
        load_token(filled, make=True, environment={})
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(OSError, match=r"symbolic link"):
        load_token(filled, make=True, environment={})
    assert os.path.islink(path)
