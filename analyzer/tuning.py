"""What the rules are told: profile, limits, levels, which are off, which are the user's own. Checked before anything runs.

From `avaliacoes.toml` (`contract.config`) and, for the documented thresholds, the profile and rules that are off, from `plot_config`
(`contract.settings`); where both speak, the file wins.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from analyzer.metrics import ADVERSARIAL, FINITE, FINITE_LATER, OF_RL, key_of
from analyzer.rules import RULES
from analyzer.rules.base import THRESHOLDS, Limit, Rule, defaults
from analyzer.rules.infinite_norm import InfiniteNorm
from contract import config as toml
from contract import settings as shared
from contract.alerts import LEVELS
from contract.config import ConfigRefused, unknown

CALIBRATED: Final = "calibrated"
DOCUMENTED: Final = "documented"
PROFILES: Final = (CALIBRATED, DOCUMENTED)
#: Rules that have no class of their own in `RULES`: facts, told by `immediate` and `presence`.
FACTS: Final = ("non_finite", "stalled", "crashed")
ENTRY_POINTS: Final = "avaliacoes.rules"
_OF_EVERY_RULE: Final = ("enabled", "level")


@dataclass(frozen=True)
class Tuning:
    """Settings of all rules, complete.

    profile: "calibrated" or "documented".  thresholds: the documented limits.  given: rule -> limits that were set.
    off: rules that are switched off.  caps: rule -> the worst level that its alerts may have.  own: the user's rules.
    """

    profile: str = CALIBRATED
    thresholds: Mapping[str, Any] = field(default_factory=lambda: dict(THRESHOLDS))
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    caps: Mapping[str, str] = field(default_factory=dict)
    own: tuple[Any, ...] = ()
    of_rl: frozenset[str] = OF_RL | ADVERSARIAL
    finite: frozenset[str] = FINITE

    def __post_init__(self) -> None:
        kinds: tuple[Any, ...] = (*((InfiniteNorm,) if self.documented else RULES), *self.own)
        rules = tuple((kind, self._limits(kind)) for kind in kinds if kind.name not in self.off)
        wanted = {metric for kind, _ in rules for metric in kind.metrics}
        wanted |= {
            "loss",
            "accuracy",
            "reward",
            "learning_rate",
            "grad_norm",
            "zeros",
            *FINITE,
            *FINITE_LATER,
            *self.of_rl,
        }
        wanted |= {key_of(metric) for metric in wanted}
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "_wanted", frozenset(wanted))

    def _limits(self, kind: Any) -> Any:
        return defaults(kind, self.given.get(kind.name), self.thresholds)

    @property
    def documented(self) -> bool:
        return self.profile == DOCUMENTED

    @property
    def rules(self) -> tuple[tuple[type[Rule], Any], ...]:
        """The rules of the second stage, with their limits."""
        return self._rules  # type: ignore[attr-defined, no-any-return]

    @property
    def wanted(self) -> frozenset[str]:
        """Keys and names of the metrics that are followed."""
        return self._wanted  # type: ignore[attr-defined, no-any-return]

    def limit_of(self, rule: str) -> Any:
        """The limits in force for a rule of the second stage; None where it is off or unknown."""
        return next((limit for kind, limit in self.rules if kind.name == rule), None)


def load(base: Path, given: Path | None = None) -> Tuning:
    """The settings in force for a data folder: defaults, `plot_config` over them, the configuration file over that.

    Raises:
        ConfigRefused: the file says what cannot be, with the nearest valid name.
    """
    return of(toml.load(base, given), shared.load(base), toml.config_file(base, given))


def of(sections: Mapping[str, Any], plot_config: Mapping[str, Any] | None = None, path: Path | None = None) -> Tuning:
    """The settings that a configuration file's sections and a `plot_config` give.

    Raises:
        ConfigRefused: as `load`.
    """
    told = plot_config or {}
    where = f"{path}: " if path is not None else ""
    profile = sections.get("profile", told.get("profile") or CALIBRATED)
    if profile not in PROFILES:
        raise ConfigRefused(where + unknown("profile", profile, PROFILES))
    own = _own(sections.get("plugins", {}), path, where)
    tables = sections.get("rules", {})
    if not isinstance(tables, Mapping):
        raise ConfigRefused(f"{where}[rules.NAME] must be tables, got {type(tables).__name__}")
    limits: dict[str, tuple[Limit, ...]] = dict.fromkeys(FACTS, ())
    limits.update({kind.name: tuple(getattr(kind, "limits", ())) for kind in (*RULES, *own)})
    off = {name.strip() for name in str(told.get("rules_off") or "").split(",") if name.strip() in limits}
    given: dict[str, dict[str, Any]] = {}
    caps: dict[str, str] = {}
    for name, table in tables.items():
        if name not in limits:
            raise ConfigRefused(where + unknown("rule", name, limits))
        if not isinstance(table, Mapping):
            raise ConfigRefused(f"{where}[rules.{name}] must be a table, got {table!r:.60}")
        for key, value in table.items():
            given.setdefault(name, {})
            if key == "enabled":
                if not isinstance(value, bool):
                    raise ConfigRefused(f"{where}rules.{name}.enabled must be true or false, got {value!r:.60}")
                (off.discard if value else off.add)(name)
            elif key == "level":
                if value not in LEVELS:
                    raise ConfigRefused(where + unknown(f"level of rules.{name}", value, LEVELS))
                caps[name] = value
            else:
                given[name][key] = _checked(where, name, key, value, limits[name])
    thresholds = {key: told.get(key, value) for key, value in THRESHOLDS.items()}
    for table in given.values():
        thresholds.update({key: value for key, value in table.items() if key in THRESHOLDS})
    return Tuning(str(profile), thresholds, given, frozenset(off), caps, own)


def _checked(where: str, rule: str, key: str, value: Any, limits: tuple[Limit, ...]) -> float:
    known = {limit.name: limit for limit in limits}
    if key not in known:
        raise ConfigRefused(where + unknown(f"setting of rules.{rule}", key, (*known, *_OF_EVERY_RULE)))
    limit = known[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not limit.low <= value <= limit.high:
        raise ConfigRefused(
            f"{where}rules.{rule}.{key} ({limit.why}) must be a number from {limit.low:g} to {limit.high:g}, got {value!r:.60}"
        )
    return value


def _own(plugins: Any, path: Path | None, where: str) -> tuple[Any, ...]:
    """The user's rules: those named in `[plugins]`, and those of installed packages (entry points `avaliacoes.rules`)."""
    if not isinstance(plugins, Mapping):
        raise ConfigRefused(f'{where}[plugins] must be a table of name = "module:Class", got {plugins!r:.60}')
    found: dict[str, Any] = {}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            found[point.name] = _rule(point.load(), point.name, f"entry point {point.value}: ")
        except ConfigRefused:
            raise
        except Exception as error:  # a package of somebody's own
            raise ConfigRefused(
                f"entry point {point.value} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
    for name, target in plugins.items():
        module, colon, attribute = str(target).partition(":")
        if not isinstance(target, str) or not colon or not module or not attribute:
            raise ConfigRefused(f'{where}plugins.{name} must be "module:Class", got {target!r:.60}')
        try:
            loaded = getattr(_module(module, path), attribute)
        except Exception as error:  # the user's code runs here
            raise ConfigRefused(f"{where}plugins.{name} = {target!r}: {type(error).__name__}: {error}") from error
        found[name] = _rule(loaded, name, f"{where}plugins.{name}: ")
    return tuple(found.values())


def _module(name: str, path: Path | None) -> Any:
    """A module from the folder `plugins` beside the configuration file, else one that is installed."""
    file = path.parent / "plugins" / f"{name}.py" if path is not None else None
    if file is None or not file.is_file():
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"avaliacoes_plugin_{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _rule(kind: Any, name: str, where: str) -> Any:
    """`kind` if it can be a rule."""
    rule: Any = kind
    if not isinstance(kind, type) or not callable(getattr(kind, "judge", None)):
        raise ConfigRefused(f"{where}expected a class with `metrics` and `judge(series, run)`, got {kind!r:.80}")
    metrics = getattr(kind, "metrics", None)
    if isinstance(metrics, str) or not metrics or not all(isinstance(metric, str) for metric in metrics):
        raise ConfigRefused(f"{where}`metrics` must be a tuple of names, got {metrics!r:.80}")
    if not isinstance(getattr(rule, "name", None), str):
        rule.name = name
    if rule.name in FACTS or any(rule.name == known.name for known in RULES):
        raise ConfigRefused(f"{where}the name {rule.name!r} is that of a rule which is there already")
    return rule
