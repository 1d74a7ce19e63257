"""Who may ask, told from the headers of a request. Pure.

A web page that the user happens to visit can make their browser ask this server: under a name of its own that it lets
point at 127.0.0.1 (DNS rebinding), or by including our addresses as scripts. The first shows in `Host`, the second in
`Origin` and `Sec-Fetch-Site`. A program of the user's own sends none of the last two and is let in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_AUTHORITY: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_.-]{1,253}))(?::(?P<port>[0-9]{1,5}))?\Z")  # fmt: skip


class AddressRefused(ValueError):
    """A host or port that cannot be served or allowed; the text says what was expected."""


def split_authority(text: str) -> tuple[str, int | None] | None:
    """`(name in lower case, port or None)` of a `Host` header or `NAME[:PORT]`; None if it is neither.

    >>> split_authority("LocalHost:8765"), split_authority("[::1]:80"), split_authority("a b")
    (('localhost', 8765), ('::1', 80), None)
    """
    found = _AUTHORITY.match(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65_536:
        return None
    return (found["six"] or found["name"]).lower().rstrip("."), port


def address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `name` is, if it is one and no name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`. Names other than `localhost` are not trusted to be."""
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names under which this server answers.

    Args:
        host: what it listens on.
        port: on which port.
        allowed: `(name, port or None for any)` that the user added.
    """

    host: str
    port: int
    allowed: tuple[tuple[str, int | None], ...] = ()

    def answers_to(self, header: str) -> bool:
        """Whether a request with this `Host` header is meant for us.

        An address in place of a name cannot be rebound, so any address will do when more than loopback is served.
        """
        split = split_authority(header)
        if split is None:
            return False
        name, port = split
        if any(name == known and wanted in (None, port) for known, wanted in self.allowed):
            return True
        if (port or 80) != self.port:
            return False
        if name in LOOPBACK_NAMES or name == self.host.lower():
            return True
        return address_of(name) is not None and not is_loopback(self.host)


def parse_allowed(given: Iterable[str]) -> tuple[tuple[str, int | None], ...]:
    """`NAME` or `NAME:PORT`, as the user gave them.

    Raises:
        AddressRefused: neither of the two.
    """
    found = []
    for text in given:
        split = split_authority(text.strip())
        if split is None:
            raise AddressRefused(f"expected NAME or NAME:PORT as a host to allow, got {text!r:.100}")
        found.append(split)
    return tuple(found)


def foreign(host: str, origin: str | None, site: str | None, mode: str | None, dest: str | None, page: bool) -> str:
    """Why a request comes from another site's page, "" when it does not.

    Args:
        host: the `Host` header, already accepted.
        origin, site, mode, dest: `Origin`, `Sec-Fetch-Site`, `-Mode`, `-Dest`, None where absent.
        page: whether a whole page is asked for: other sites may link to those.
    """
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return "its Origin is another site"
    if site in (None, "same-origin", "none"):
        return ""
    if page and mode == "navigate" and dest == "document":
        return ""
    return "another site's page asks for it"
