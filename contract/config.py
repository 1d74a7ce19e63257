"""`avaliacoes.toml`: what analyzer and notifier are told in a file, in the data folder or where `--config` says.

    profile = "calibrated"              # or "documented"

    [rules.gradient_explosion]          # one table per rule: its limits, `enabled`, `level`
    enabled = true

    [plugins]                           # name = "module:Class", rules of the user's own
    my_rule = "my_package.rules:MyRule"

    [notify]                            # where alerts are sent, see the notifier

This file knows the sections; what may stand in a section is known by the part that reads it, which refuses the rest with
`unknown`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE: Final = "avaliacoes.toml"
SECTIONS: Final = ("profile", "rules", "plugins", "notify")


class ConfigRefused(ValueError):
    """A configuration file that cannot be read, or that says what nobody knows; the text names file, key and remedy."""


def config_file(base: Path, given: Path | None = None) -> Path:
    """The file in force for a data folder: the one given, else `avaliacoes.toml` in it."""
    return given if given is not None else base / FILE


def load(base: Path, given: Path | None = None) -> dict[str, Any]:
    """The sections of the configuration file; empty when the folder has none.

    Raises:
        ConfigRefused: no file where `given` says, no TOML, or an unknown section.
    """
    path = config_file(base, given)
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if given is None:
            return {}
        raise ConfigRefused(f"{path}: no such file; expected a configuration in TOML") from error
    except OSError as error:
        raise ConfigRefused(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        found: dict[str, Any] = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigRefused(f"{path}: not TOML: {error}") from error
    for name in found:
        if name not in SECTIONS:
            raise ConfigRefused(f"{path}: {unknown('section', name, SECTIONS)}")
    return found


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Words that refuse a name: the nearest valid one if one is near, and all of them.

    >>> unknown("rule", "gradient_explosions", ["gradient_explosion", "stagnation"])
    "unknown rule 'gradient_explosions'; did you mean 'gradient_explosion'? Known are gradient_explosion, stagnation"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f"; did you mean {near[0]!r}? Known" if near else "; known"
    return f"unknown {what} {str(name)[:60]!r}{hint} are {', '.join(names)}"
