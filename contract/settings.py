"""Settings that more than one process reads: the monitor's `plot_config`, kept in `.avaliacoes/monitor.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from contract.config import unknown
from contract.places import monitor_file

#: name -> (default, smallest, largest, why this default)
_NUMBERS: Final[dict[str, tuple[int | float, float, float, str]]] = {
    "gradient_threshold_high": (10.0, 1e-12, 1e300, "grad_norm above it is an explosion (the older system's limit)"),
    "gradient_threshold_low": (1e-8, 0.0, 1e300, "grad_norm below it is a vanished gradient"),
    "zeros_ratio_threshold": (0.5, 0.0, 1.0, "share of zero gradients above it is too much"),
    "convergence_window": (50, 5, 100_000, "records over which a trend of the loss is judged"),
    "stagnation_threshold": (0.01, 0.0, 1.0, "relative change of the loss over the window that still counts as change"),
    "poor_performance_window": (20, 3, 100_000, "episodes over which rewards are judged"),
    "alert_retention_minutes": (30, 0.0, 525_600, "how long an alert stays on the page after its condition has ended"),
    "moving_average_window": (20, 1, 100_000, "records in the moving averages on the page"),
    "refresh_interval": (1.0, 0.05, 3600.0, "seconds between two states of the page"),
    "history_window": (1000, 10, 1_000_000, "points per series on the page"),
}
#: name -> (default, what it may be, why this default); checked where it is used, except that it must be text
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "profile": (
        "",
        'which rules: "calibrated" or "documented" (the six thresholds to the letter); empty: as in avaliacoes.toml',
    ),
    "rules_off": ("", "rules that are switched off, with commas between"),
}
_PROFILES: Final = ("", "calibrated", "documented")
_INTEGERS: Final = frozenset(
    {"convergence_window", "poor_performance_window", "moving_average_window", "history_window"}
)


class SettingRefused(ValueError):
    """A setting that does not exist, or whose value cannot be."""


def describe() -> dict[str, str]:
    """Every key of `plot_config` and what it means."""
    return {
        **{name: why for name, (_, _, _, why) in _NUMBERS.items()},
        **{name: why for name, (_, why) in _TEXTS.items()},
    }


def defaults() -> dict[str, Any]:
    return {
        **{name: default for name, (default, _, _, _) in _NUMBERS.items()},
        **{name: default for name, (default, _) in _TEXTS.items()},
    }


def check(name: str, value: Any) -> Any:
    """`value` if setting `name` may take it.

    Raises:
        SettingRefused: unknown name (the nearest known ones are named), wrong type, or out of range.
    """
    if name in _TEXTS:
        return _text(name, value)
    if name not in _NUMBERS:
        raise SettingRefused(unknown("setting", name, (*_NUMBERS, *_TEXTS)))
    _, low, high, why = _NUMBERS[name]
    wanted = "an integer" if name in _INTEGERS else "a number"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (name in _INTEGERS and int(value) != value):
        raise SettingRefused(f"{name} ({why}) must be {wanted}, got {type(value).__name__} {value!r:.60}")
    if not low <= value <= high:
        raise SettingRefused(f"{name} ({why}) must lie between {low:g} and {high:g}, got {value!r}")
    return int(value) if name in _INTEGERS else value


def _text(name: str, value: Any) -> str:
    if name == "rules_off" and isinstance(value, (list, tuple, set, frozenset)):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise SettingRefused(f"{name} ({_TEXTS[name][1]}) must be text, got {type(value).__name__} {value!r:.60}")
    if name == "profile" and value not in _PROFILES:
        raise SettingRefused(unknown("profile", value, _PROFILES[1:]))
    return value


def load(base: Path) -> dict[str, Any]:
    """The settings in force for a data folder: defaults, and over them what the monitor wrote. Never raises on content."""
    config = defaults()
    try:
        found = orjson.loads(monitor_file(base).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return config
    if isinstance(found, dict):
        for name, value in found.items():
            try:
                config[name] = check(name, value)
            except SettingRefused:
                continue
    return config


def save(base: Path, config: Mapping[str, Any]) -> None:
    """Write the settings atomically; running services pick them up within a refresh."""
    path = monitor_file(base)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps({name: check(name, value) for name, value in config.items()}))
    os.replace(temporary, path)
