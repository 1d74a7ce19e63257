"""The token: where it lies, how a browser shows that it has it, and how often one may guess.

A browser shows the token once, in the address (`/?token=...`), and gets a cookie for it, derived from the token so that
the address need not carry it again. Programs may send `Authorization: Bearer <token>`. The token is never printed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from contract.places import own_dir

ENV_TOKEN: Final = "AVALIACOES_SERVE_TOKEN"  # noqa: S105 - the name of a variable, no secret
#: A token that a person made up must not be guessable in the attempts that the limit lets through in a year.
MIN_TOKEN_CHARS: Final = 16
#: Wrong credentials that one address may show at once, and how long until it may show one more.
ATTEMPTS: Final = 10
REFILL_S: Final = 6.0
_ADDRESSES: Final = 1_000
_KNOWN_WRONG: Final = 16


class TokenRefused(ValueError):
    """No token where one is needed, or one that cannot be used; the text says what to do."""


def token_file(base: Path) -> Path:
    return own_dir(base) / "serve_token"


def load_token(base: Path, make: bool, environment: Mapping[str, str] = os.environ) -> str | None:
    """The token of a data folder: from the environment, else from its file; made there if `make`; None if there is none.

    Raises:
        TokenRefused: it is too short, or its file can be read by others.
    """
    path = token_file(base)
    token = environment.get(ENV_TOKEN)
    if token is None:
        token = _read(path)
        if token is None and make:
            token = _make(path)
        if token is None:
            return None
        where = str(path)
    else:
        where = ENV_TOKEN
    token = token.strip()
    if len(token) < MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        raise TokenRefused(
            f"the token in {where} is not usable: expected at least {MIN_TOKEN_CHARS} printable ASCII characters, got {len(token)}. "
            'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return token


def _read(path: Path) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid():
            raise TokenRefused(f"{path} is not a file of yours; remove it and start with --token to make a new one")
        if info.st_mode & 0o077:
            raise TokenRefused(
                f"others can read {path}: remove it and start with --token to make a new one, or chmod 600"
            )
        return file.read(4096).decode("utf-8", "replace")


def _make(path: Path) -> str:
    """A new token in a file for this user alone; one that another process made meanwhile is taken."""
    token = secrets.token_urlsafe(32)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(token.encode() + b"\n")
        os.link(temporary, path)
    except FileExistsError:
        return _read(path) or token
    finally:
        temporary.unlink(missing_ok=True)
    return token


@dataclass(slots=True)
class Attempts:
    """How many wrong credentials each address has shown of late: `ATTEMPTS` at once, then one each `REFILL_S` seconds.

    The same wrong value again tells nobody anything, so it costs nothing: a tab left open with an old cookie locks no one out.
    """

    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _wrong: OrderedDict[str, OrderedDict[bytes, None]] = field(default_factory=OrderedDict)

    def known_wrong(self, address: str, credential: str) -> bool:
        return _digest(credential) in self._wrong.get(address, ())

    def may_try(self, address: str, now: float) -> bool:
        """Whether `address` may show a credential not seen yet, at monotonic time `now`."""
        return self._tokens(address, now) >= 1.0

    def failed(self, address: str, credential: str, now: float) -> None:
        """Note that `address` showed a wrong one."""
        self._left[address] = (self._tokens(address, now) - 1.0, now)
        self._left.move_to_end(address)
        wrong = self._wrong.setdefault(address, OrderedDict())
        wrong[_digest(credential)] = None
        for table in (wrong, self._wrong, self._left):
            while len(table) > (_KNOWN_WRONG if table is wrong else _ADDRESSES):
                table.popitem(last=False)

    def _tokens(self, address: str, now: float) -> float:
        left, at = self._left.get(address, (float(ATTEMPTS), now))
        return min(float(ATTEMPTS), left + (now - at) / REFILL_S)


@dataclass(slots=True)
class Access:
    """Decides on credentials. `token` None: everybody who reaches the server may read."""

    token: str | None
    port: int
    attempts: Attempts = field(default_factory=Attempts)

    @property
    def cookie_name(self) -> str:
        """Cookies know no ports, so the port is in the name: two servers of one host do not log each other out."""
        return f"avaliacoes_{self.port}"

    @property
    def cookie(self) -> str:
        """What the cookie holds: derived from the token, the same after a restart."""
        return hmac.new((self.token or "").encode(), b"avaliacoes cookie", hashlib.sha256).hexdigest()

    def judge(self, address: str, cookies: str, bearer: str, shown: str, now: float) -> str:
        """One of "open", "token" (the address carried the right one: hand out the cookie), "wrong", "wait".

        Args:
            address: of the client.
            cookies: the `Cookie` header, "" where absent; bearer: the `Authorization` header; shown: `token` of the query.
            now: monotonic seconds.
        """
        if self.token is None:
            return "open"
        given = [("token", shown, self.token)] if shown else []
        if bearer.lower().startswith("bearer "):
            given.append(("open", bearer[7:].strip(), self.token))
        if cookie := cookie_value(cookies, self.cookie_name):
            given.append(("open", cookie, self.cookie))
        for verdict, credential, wanted in given:
            if self.attempts.known_wrong(address, credential):
                continue
            if not self.attempts.may_try(address, now):
                return "wait"
            if hmac.compare_digest(credential.encode("utf-8", "replace"), wanted.encode()):
                return verdict
            self.attempts.failed(address, credential, now)
        return "wrong"


def cookie_value(header: str, name: str) -> str:
    """The value of one cookie of a `Cookie` header, "" if it is not there.

    >>> cookie_value("a=1; avaliacoes_80=xyz", "avaliacoes_80")
    'xyz'
    """
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _digest(credential: str) -> bytes:
    return hashlib.blake2b(credential.encode("utf-8", "replace"), digest_size=16).digest()
