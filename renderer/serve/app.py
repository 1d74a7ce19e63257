"""A request to an answer. The application of `server`, as ASGI: knows no sockets, and can be called from a test.

Order of the checks: host, method, other sites, address, token. What is refused is refused before a file is looked at.
"""

from __future__ import annotations

import asyncio
import html
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from contract import folder
from renderer.serve import checks, files, policy, routes, window
from renderer.serve.access import Access

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Headers = list[tuple[bytes, bytes]]

TEXT: Final = "text/plain; charset=utf-8"
#: The parser bounds what has not arrived whole; what came in one piece is bounded here.
MAX_TARGET_BYTES: Final = 4 * 1024
MAX_HEADER_BYTES: Final = 16 * 1024
_CHUNK: Final = 1024 * 1024
#: Reading a stretch of a long series takes time: so many at once, so many more may wait.
_READERS: Final = 2
_WAITING: Final = 16
#: A client that takes longer than this for one answer is cut off.
_SEND_S: Final = 300.0
_COMPLAIN_EVERY_S: Final = 60.0
_REASONS: Final = {
    400: "bad request",
    401: "no token or a wrong one",
    403: "another site",
    405: "method",
    414: "too long",
    421: "foreign host",
    429: "too many guesses",
    431: "too long",
    503: "busy",
}


@dataclass(slots=True)
class Answer:
    """What is sent: a body, or an open file of which `size` bytes go out."""

    status: int
    media: str = TEXT
    body: bytes = b""
    headers: _Headers = field(default_factory=list)
    file: files.Opened | None = None
    size: int = 0
    policy: bytes = policy.INERT


def refusal(status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    return Answer(status, TEXT, text.encode() + b"\n", [(b"cache-control", b"no-store"), *headers])


class App:
    """Serves one data folder, read only.

    Args:
        base: the data folder.
        hosts: the names it answers to.
        access: decides on tokens.
        read_window: reads a stretch of a series, None where this renderer cannot.
    """

    def __init__(self, base: Path, hosts: checks.Hosts, access: Access, read_window: window.Reader | None) -> None:
        self.base, self.hosts, self.access, self.read_window = base, hosts, access, read_window
        self._turns = asyncio.Semaphore(_READERS)
        self._queued = 0
        self._policies: dict[str, tuple[str, bytes]] = {}
        self._complained = -_COMPLAIN_EVERY_S
        self._told = time.monotonic()
        self._refused: Counter[str] = Counter()
        self._known: Counter[str] = Counter()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await self.answer(scope)
        except OSError as error:
            self._complain(error)
            answer = refusal(500, "the data folder cannot be read just now")
        if reason := _REASONS.get(answer.status):
            self._refused[reason] += 1
            self.tell_refused(every_s=_COMPLAIN_EVERY_S)
        try:
            if answer.size > _CHUNK:
                await asyncio.wait_for(_send(answer, send), _SEND_S)
            else:
                # In one piece it needs no deadline: it lies in the connection's buffer until the client takes it or goes.
                await _send(answer, send)
        except asyncio.TimeoutError:
            return  # with the answer unfinished, so the server closes the connection
        finally:
            if answer.file is not None:
                os.close(answer.file.fd)

    async def answer(self, scope: Scope) -> Answer:
        """Decide. The answer's file, if it has one, is the caller's to close."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return refusal(414, "the address is too long")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return refusal(431, "the headers are too large", [(b"connection", b"close")])
        headers: dict[bytes, bytes] = dict(scope["headers"])

        def header(name: bytes) -> str | None:
            value = headers.get(name)
            return None if value is None else value.decode("latin-1")

        host = header(b"host") or ""
        if not self.hosts.answers_to(host):
            return refusal(
                421, "this server does not answer to that host name; if the name is yours, start it with --allow-host NAME[:PORT]"
            )  # fmt: skip
        if scope["method"] != "GET":
            return refusal(405, "expected GET", [(b"allow", b"GET")])
        if b"transfer-encoding" in headers or header(b"content-length") not in (None, "0"):
            # Where a request ends must not be a matter of opinion between us and a proxy.
            return refusal(400, "expected a request without a body", [(b"connection", b"close")])
        query = scope["query_string"].decode("latin-1")
        target = routes.find(scope["raw_path"].decode("latin-1"), query)
        page = target is not None and target.kind in (routes.INDEX, routes.PAGE, routes.REPORT)
        site = (header(b"sec-fetch-site"), header(b"sec-fetch-mode"), header(b"sec-fetch-dest"))
        if why := checks.foreign(host, header(b"origin"), *site, page):
            return refusal(403, f"refused: {why}")
        verdict = self._judge(scope, header, query, page)
        if verdict is not None:
            return verdict
        if target is None:
            return refusal(404, "nothing here")
        if target.kind == routes.WINDOW:
            return await self._window(query)
        return self._file(target, header(b"if-none-match"))

    def _judge(self, scope: Scope, header: Callable[[bytes], str | None], query: str, page: bool) -> Answer | None:
        shown = parse_qs(query[:2000], max_num_fields=None).get("token", [""])[0] if page and "token=" in query else ""
        client = (scope.get("client") or ("", 0))[0]
        credentials = (header(b"cookie") or "", header(b"authorization") or "", shown)
        verdict = self.access.judge(client, *credentials, time.monotonic())
        if verdict == "token":
            secure = "; Secure" if scope.get("scheme") == "https" else ""
            cookie = f"{self.access.cookie_name}={self.access.cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000{secure}"
            path = html.escape(scope["raw_path"].decode("latin-1"))
            # A page that sends on, and no redirect: after a redirect from another site's link the cookie would not be sent yet.
            body = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={path}"><title>avaliacoes</title>'
            headers = [(b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
            return Answer(200, routes.HTML, body.encode(), headers, policy=policy.SENDING_ON)
        if verdict == "wait":
            return refusal(429, "too many wrong tokens; try again in a minute", [(b"retry-after", b"60")])
        if verdict == "wrong":
            how = "this server needs its token: open /?token=... once; it is in .avaliacoes/serve_token of the data folder, or in AVALIACOES_SERVE_TOKEN"
            return refusal(401, how, [(b"www-authenticate", b'Bearer realm="avaliacoes"')])
        if shown and self.access.token is None:
            return Answer(303, headers=[(b"location", scope["raw_path"]), (b"cache-control", b"no-store")])
        return None

    def _file(self, target: routes.Target, known: str | None) -> Answer:
        opened = files.open_below(self.base, target.parts)
        if opened is None:
            return self._index() if target.kind == routes.INDEX else refusal(404, "nothing here")
        try:
            headers = [(b"cache-control", target.keep.encode()), (b"etag", opened.tag.encode())]
            if known is not None and target.keep != routes.NEVER and opened.tag in known.replace("W/", "").split(", "):
                os.close(opened.fd)
                return Answer(304, target.media, b"", headers, policy=b"")
            size = opened.size
            if target.kind == routes.DOWNLOAD:
                size = files.whole_lines(opened.fd, size)
                headers.append((b"content-disposition", f'attachment; filename="{target.parts[-1]}"'.encode()))
            return Answer(200, target.media, b"", headers, opened, size, self._policy(target, opened))
        except OSError:
            os.close(opened.fd)
            raise

    def _policy(self, target: routes.Target, opened: files.Opened) -> bytes:
        if target.kind not in (routes.INDEX, routes.PAGE, routes.REPORT):
            return policy.INERT
        name = target.parts[-1]
        tag, found = self._policies.get(name, ("", b""))
        if tag != opened.tag:
            found = policy.of_page(target.kind, os.pread(opened.fd, policy.HEAD_BYTES, 0))
            if len(self._policies) > 1000:
                self._policies.clear()
            self._policies[name] = (opened.tag, found)
        return found

    def _index(self) -> Answer:
        """A plain list of pages, for a folder whose page of all runs has not been written."""
        found = sorted(
            folder.sessions(self.base).items(), key=lambda item: -max(file.mtime for file in item[1].values())
        )
        lines = [
            f'<li><a href="/dashboard_{html.escape(name)}.html">{html.escape(name)}</a>' for name, _ in found[:500]
        ]
        body = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>avaliacoes</title><h1>Runs</h1>'
            f"<ul>{''.join(lines)}</ul><p>{'' if lines else 'No run yet.'} Reload this page for newer ones.</p>"
        )
        own = policy.of_page(routes.INDEX, body.encode())
        return Answer(200, routes.HTML, body.encode(), [(b"cache-control", b"no-store")], policy=own)

    async def _window(self, query: str) -> Answer:
        if self.read_window is None:
            return refusal(501, "this renderer cannot read a stretch of a series")
        try:
            asked = window.parse(query)
        except window.QueryRefused as error:
            return refusal(400, str(error))
        if self._queued >= _READERS + _WAITING:
            return refusal(503, "too many are asking for records at once", [(b"retry-after", b"1")])
        self._queued += 1
        try:
            async with self._turns:
                block = await asyncio.to_thread(window.read, self.read_window, self.base, asked)
        except window.NotHere as error:
            return refusal(404, str(error))
        except ValueError as error:
            return refusal(400, str(error))
        finally:
            self._queued -= 1
        body = block if isinstance(block, bytes) else orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY)
        return Answer(200, "application/json", body, [(b"cache-control", b"no-store")])

    def tell_refused(self, every_s: float = 0.0) -> None:
        """Say how many requests were refused and why, if that is news and was not said in the last `every_s` seconds."""
        now = time.monotonic()
        if self._refused == self._known or now - self._told < every_s:
            return
        self._told, self._known = now, self._refused.copy()
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self._refused.items()))
        sys.stderr.write(f"server: requests refused so far: {counts}\n")
        sys.stderr.flush()

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if now - self._complained > _COMPLAIN_EVERY_S:
            self._complained = now
            sys.stderr.write(f"server: cannot read the data folder: {error.strerror or error}\n")
            sys.stderr.flush()


async def _send(answer: Answer, send: Send) -> None:
    size = answer.size if answer.file is not None else len(answer.body)
    headers = [*answer.headers, *policy.COMMON]
    if answer.policy:
        headers.append((b"content-security-policy", answer.policy))
    if answer.status != 304:
        headers += [(b"content-type", answer.media.encode()), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.file is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    at = 0
    while True:
        data = os.pread(answer.file.fd, min(_CHUNK, size - at), at)
        at += len(data)
        more = at < size and bool(data)
        # A file that was cut short meanwhile ends the connection: the client sees that something is missing.
        await send({"type": "http.response.body", "body": data, "more_body": more or at < size})
        if not more:
            return
