"""What the analyzer may be told, complete and checked before anything opens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from contract.places import base_path

ENV_SCAN: Final = "AVALIACOES_ANALYZER_SCAN_S"
ENV_QUIET: Final = "AVALIACOES_ANALYZER_QUIET_S"
ENV_IDLE: Final = "AVALIACOES_ANALYZER_IDLE_S"


class SettingsRefused(ValueError):
    """A setting that cannot be, with what was expected."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds.

    Raises:
        SettingsRefused: a time that is not above 0 and at most a day.
    """

    base: Path
    #: Started on demand by a client: ends by itself when idle, gives way to one started by hand.
    auto: bool = False
    #: Between two looks at the folder. The feed makes alerts fast; this is what heals a missed message.
    scan_s: float = 0.5
    #: After the end of a session, how long its files must be still before it is put away.
    quiet_s: float = 5.0
    #: With `auto`: how long no session may be active before the service ends.
    idle_s: float = 30.0
    #: A session changed within this time is analysed at start even if nothing else says that it is alive.
    recent_s: float = 300.0
    #: Bytes read from one file before the others have their turn: about 15 ms of work.
    chunk: int = 1 << 17
    #: The configuration file; None for `avaliacoes.toml` in the data folder, if there is one.
    config: Path | None = None

    def __post_init__(self) -> None:
        for name in ("scan_s", "quiet_s", "idle_s", "recent_s"):
            value = getattr(self, name)
            if not 0 < value <= 86_400:
                raise SettingsRefused(f"{name} must be above 0 and at most 86400 seconds, got {value!r}")
        if self.chunk < 1:
            raise SettingsRefused(f"chunk must be at least 1 byte, got {self.chunk!r}")


def seconds(text: str, name: str) -> float:
    """A time in seconds from the command line or the environment.

    Raises:
        SettingsRefused: `text` is no number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise SettingsRefused(f"{name} must be a number of seconds, got {text!r:.60}") from error


def from_environment(
    base: str | None = None,
    auto: bool = False,
    environment: Mapping[str, str] = os.environ,
    config: str | None = None,
    **given: float | None,
) -> Settings:
    """Settings from the environment, and over it what was given (None: not given).

    Raises:
        SettingsRefused: as `Settings`, naming the variable.
    """
    chosen: dict[str, float] = {}
    for name, variable in (("scan_s", ENV_SCAN), ("quiet_s", ENV_QUIET), ("idle_s", ENV_IDLE)):
        value = given.get(name)
        if value is None and environment.get(variable):
            value = seconds(environment[variable], variable)
        if value is not None:
            chosen[name] = value
    file = Path(config).absolute() if config else None
    return replace(Settings(base=base_path(base), auto=auto, config=file), **chosen)  # type: ignore[arg-type]
