"""What the collector may be told, checked before anything opens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract import endpoints, keys, places

ENV_BIND: Final = "AVALIACOES_BIND"
ENV_FEED: Final = "AVALIACOES_FEED"
ENV_DURABILITY: Final = "AVALIACOES_DURABILITY"

#: "written": acknowledged once the kernel has it (survives any process's death), synced each second.
#: "power": acknowledged once the disk has it (survives a power cut), slower.
DURABILITIES: Final = ("written", "power")
#: Long enough for the next of a row of short trainings to find the collector still there.
AUTO_IDLE_EXIT_S: Final = 5.0
_MAX_IPC_PATH: Final = 107


class SettingsRefused(ValueError):
    """Settings that cannot be, with what was expected and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a collector needs to know.

    Attributes:
        base: the data folder, absolute.
        bind: endpoint for producers, `ipc://...` or `tcp://...`.
        feed: endpoint for those who follow live.
        durability: one of `DURABILITIES`; "written" because a training should not wait for a disk.
        idle_exit: leave this many seconds after the last producer has gone; None to stay for ever.
        auto: started on demand by a client, gives way to one that a person starts.
        keys: folder of the keys that both sockets ask for; None where the folder's privacy is the protection.
    """

    base: Path
    bind: str
    feed: str
    durability: str = "written"
    idle_exit: float | None = None
    auto: bool = False
    keys: Path | None = None

    def __post_init__(self) -> None:
        if self.durability not in DURABILITIES:
            raise SettingsRefused(
                f"durability {self.durability!r} refused: expected {' or '.join(DURABILITIES)} "
                f"(--durability or {ENV_DURABILITY})"
            )
        if self.idle_exit is not None and not 0 <= self.idle_exit < 1e9:
            raise SettingsRefused(f"idle exit of {self.idle_exit!r} refused: expected seconds, 0 or more")
        for name, endpoint in (("bind", self.bind), ("feed", self.feed)):
            check_endpoint(name, endpoint, self.keys is not None)
        if self.bind == self.feed and not self.bind.endswith(":*"):
            raise SettingsRefused(f"bind and feed are both {self.bind}: they need an endpoint each")


def check_endpoint(name: str, endpoint: str, with_keys: bool = False) -> None:
    """Refuse what cannot be bound, or would open the data to a network without keys.

    Raises:
        SettingsRefused: saying what is allowed.
    """
    if endpoint.startswith("ipc://"):
        path = endpoint.removeprefix("ipc://")
        if not path.startswith("/") or len(os.fsencode(path)) > _MAX_IPC_PATH:
            raise SettingsRefused(
                f"{name} endpoint {endpoint!r:.200} refused: expected ipc:// and an absolute path of at most "
                f"{_MAX_IPC_PATH} bytes"
            )
        return
    try:
        private = endpoints.is_private(endpoint)
    except endpoints.EndpointRefused as error:
        raise SettingsRefused(f"{name}: {error}") from error
    if not private and not with_keys:
        raise SettingsRefused(f"{name} endpoint {endpoint} refused: other machines can reach it. {endpoints.KEYS_HELP}")


def feed_for(bind: str) -> str:
    """Where the feed is when nobody says: beside the ingest (the next port, or the same path and `.feed`)."""
    if bind.startswith("tcp://"):
        head, _, port = bind.rpartition(":")
        return f"{head}:*" if port == "*" else f"{head}:{int(port) + 1}"
    return f"{bind}.feed"


def make(
    base_path: str | os.PathLike[str] | None = None,
    bind: str | None = None,
    feed: str | None = None,
    durability: str | None = None,
    idle_exit: float | None = None,
    auto: bool = False,
    environment: Mapping[str, str] = os.environ,
    keys_folder: str | os.PathLike[str] | None = None,
) -> Settings:
    """Settings from arguments, then from the environment, then from the defaults.

    Raises:
        SettingsRefused: a value that cannot be.
        contract.places.PlaceRefused: no private folder for the sockets.
    """
    base = places.base_path(base_path)
    given_bind = bind or environment.get(ENV_BIND) or None
    given_feed = feed or environment.get(ENV_FEED) or None
    with_keys = _keys_folder(base, keys_folder, environment)
    if given_bind is not None:
        check_endpoint("bind", given_bind, with_keys is not None)
    return Settings(
        base=base,
        bind=given_bind or places.ipc_endpoint(base, "ingest"),
        feed=given_feed or (feed_for(given_bind) if given_bind else places.ipc_endpoint(base, "feed")),
        durability=durability or environment.get(ENV_DURABILITY) or "written",
        idle_exit=AUTO_IDLE_EXIT_S if auto and idle_exit is None else idle_exit,
        auto=auto,
        keys=with_keys,
    )


def _keys_folder(base: Path, given: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> Path | None:
    """The folder whose keys are asked for: the argument, else the environment, else the data folder's own if there is one.

    A trainer's environment names a client folder there; a collector that is started from it has no use for that.
    """
    if given is not None:
        return Path(given).expanduser().absolute()
    named = keys.given_folder(environment)
    if named is not None and not keys.is_client_folder(named):
        return named
    own = keys.folder_of(base)
    return own if own.exists() else None
