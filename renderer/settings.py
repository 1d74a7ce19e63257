"""What the renderer needs to know before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contract import places
from contract import settings as shared

ENV_REFRESH: Final = "AVALIACOES_REFRESH_INTERVAL"
ENV_WINDOW: Final = "AVALIACOES_HISTORY_WINDOW"


@dataclass(frozen=True, slots=True)
class Settings:
    """Checked settings of one renderer.

    Attributes:
        base: the data folder.
        refresh_interval: seconds between two states of a page; None leaves it to the monitor's settings.
        history_window: points per series; None leaves it to the monitor's settings.
        auto: started on demand: ends when no session has been active for `idle_s` seconds.
        once: bring every page (and report) that is behind up to date, then end.
        idle_s: 30 s: longer than a trainer takes from its import to its first record, short enough not to linger.
    """

    base: Path
    refresh_interval: float | None = None
    history_window: int | None = None
    auto: bool = False
    once: bool = False
    idle_s: float = 30.0

    def over(self, config: dict[str, Any]) -> dict[str, Any]:
        """The monitor's settings `config` with what was given on the command line put over them."""
        own = {"refresh_interval": self.refresh_interval, "history_window": self.history_window}
        return {**config, **{name: value for name, value in own.items() if value is not None}}


def make(
    base_path: str | None,
    refresh_interval: float | None,
    history_window: int | None,
    auto: bool,
    environment: Mapping[str, str] = os.environ,
    once: bool = False,
) -> Settings:
    """Settings from arguments, then from the environment.

    Raises:
        contract.settings.SettingRefused: a value out of range, or a variable that is no number.
    """
    refresh = _given("refresh_interval", refresh_interval, environment.get(ENV_REFRESH), float, ENV_REFRESH)
    window = _given("history_window", history_window, environment.get(ENV_WINDOW), int, ENV_WINDOW)
    return Settings(places.base_path(base_path), refresh, window, auto or once, once)


def _given(name: str, argument: Any, variable: str | None, kind: type[int] | type[float], source: str) -> Any:
    if argument is None and variable:
        try:
            argument = kind(variable)
        except ValueError as error:
            raise shared.SettingRefused(f"{source} must be a number, got {variable!r:.60}") from error
    return None if argument is None else shared.check(name, argument)
