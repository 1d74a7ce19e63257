"""The receivers: each URL by apprise, each for itself, so that one that is down keeps nothing from the others.

A URL may hold a password, and what apprise says may hold the URL. So apprise's own log is kept to ourselves, and of a
failure only what is known to be harmless is passed on: the scheme, the number in the list, an HTTP status.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analyzer.notify.message import Message
from analyzer.notify.settings import NotifyRefused

MISSING: Final = (
    "notifications need the package apprise, which is not installed: pip install 'avaliacoes[notify]' in the environment "
    "of the analyzer; alerts are watched for and kept without it"
)
_STATUS: Final = re.compile(r"error=(\d{3})\b")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}\Z")


class AppriseMissing(RuntimeError):
    """apprise is not installed; the text says how to install it."""


class NotTaken(RuntimeError):
    """A receiver did not take a message; the text has no secret."""


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver.

    Attributes:
        key: 16 hex digits of its URL, for the state file.
        name: what to call it in words, without secrets: "urls[0] (slack)".
        send: delivers a message; raises `NotTaken`.
    """

    key: str
    name: str
    send: Callable[[Message], None] = field(repr=False)


def key_of(url: str) -> str:
    return hashlib.blake2b(url.encode(), digest_size=8).hexdigest()


def name_of(number: int, url: str) -> str:
    scheme = url.partition("://")[0].lower()
    return f"urls[{number}] ({scheme if _SCHEME.match(scheme) else 'no scheme'})"


def open_targets(urls: Sequence[str]) -> list[Target]:
    """The receivers behind URLs; loads apprise, which takes about half a second and 36 MiB, if there are any.

    Raises:
        AppriseMissing: it is not installed.
        NotifyRefused: a URL that apprise cannot use; the text has its number and scheme, not more.
    """
    if not urls:
        return []
    try:
        apprise = importlib.import_module("apprise")
    except ImportError as error:
        raise AppriseMissing(MISSING) from error
    _hush()
    found = []
    for number, url in enumerate(urls):
        name = name_of(number, url)
        try:
            plugin = apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(app_id="avaliacoes"))
            box = apprise.Apprise()
            known = plugin is not None and box.add(plugin)
        except Exception:  # plugins are many; what they raise may hold the URL
            known = False
        if not known:
            raise NotifyRefused(
                f"notify.{name}: apprise cannot use this URL: unknown service, or something missing in it; "
                "its wiki shows the form for each service, https://github.com/caronc/apprise/wiki"
            )
        found.append(Target(key_of(url), name, _sender(box)))
    return found


def _hush() -> None:
    """What apprise logs may hold URLs: it goes nowhere but to `_sender`."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def _sender(box: Any) -> Callable[[Message], None]:
    def send(message: Message) -> None:
        said = io.StringIO()
        listening = logging.StreamHandler(said)
        log = logging.getLogger("apprise")
        log.addHandler(listening)
        try:
            taken = box.notify(body=message.text, title=message.title, notify_type=message.kind, body_format="text")
        except Exception as error:  # plugins are many; what they raise may hold the URL
            raise NotTaken(f"failed with {type(error).__name__}") from None
        finally:
            log.removeHandler(listening)
        if not taken:
            raise NotTaken(_harmless(said.getvalue()))

    return send


def _harmless(said: str) -> str:
    """What may be passed on of apprise's words."""
    status = _STATUS.search(said)
    if status is not None:
        return f"it answered with HTTP status {status[1]}"
    if "onnection error" in said or "Connection" in said:
        return "it could not be reached, or did not answer in time"
    return "it did not take the message"
