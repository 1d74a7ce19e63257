"""What a rule is, what it is given and what it answers. A user's own rule needs this file and no other.

class WinRate(Rule):
    name = "win_rate_low"
    metrics = ("win_rate",)                              # names as logged, or keys of `analyzer.metrics`
    limits = (Limit("low", 0.4, 0.0, 1.0, "we lose money below it"),)
    action = "Look at the last opponents"

    def judge(self, series, run):
        if series.n < 50 or series.mean >= self.limit.low:
            return CLEAR
        return Finding(WARNING, f"win rate {series.mean:.2f} is below {self.limit.low:g}", series.mean, self.limit.low)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, Final

from analyzer.context import Run
from analyzer.series import Series

ERROR: Final = "ERROR"
WARNING: Final = "WARNING"
INFO: Final = "INFO"

#: The condition is gone; or neither here nor gone: between the limit that fires and the one that clears.
CLEAR: Final = "clear"
BETWEEN: Final = "between"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of a rule that users may set: `[rules.NAME]` in `avaliacoes.toml`, key `name`."""

    name: str
    default: float
    low: float
    high: float
    why: str


@dataclass(slots=True)
class Finding:
    """A condition that holds.

    value, threshold, baseline: in the unit of the metric.  window: records looked at.
    onset: (step, time) where it began, None for the first record of this condition.
    reasons: sentences about other signals.  patience: records that it must have held before it is told.
    crossed: a documented threshold is crossed, which is told at once, as INFO, whatever the patience.
    metric: series whose values are shown, None for the one being judged.  action: over the rule's own.
    """

    level: str
    message: str
    value: float
    threshold: float | None = None
    baseline: float | None = None
    window: int | None = None
    onset: tuple[int, float] | None = None
    reasons: list[str] = field(default_factory=list)
    patience: int = 0
    crossed: bool = False
    metric: Series | None = None
    action: str = ""


Answer = Finding | str | None


class Rule:
    """A detector: judges one block of values at a time. No clock, no file; bounded state; one instance per producer and component.

    name: the alerts' `rule`.  metrics: keys of the series it wants to see.  limits: what users may set; the values in force are
    attributes of `self.limit`, the thresholds of `plot_config` among them.  group: which rules explain each other, see `life`.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    limits: ClassVar[tuple[Limit, ...]] = ()
    action: ClassVar[str] = ""
    group: ClassVar[str] = ""

    def __init__(self, limit: SimpleNamespace | None = None) -> None:
        self.limit = limit if limit is not None else defaults(type(self))

    def sign(self, run: Run, words: str) -> None:
        """Note a strong symptom (or, with "", that it is gone), which other rules may count as corroboration."""
        if words:
            run.signs[self.name] = words
        else:
            run.signs.pop(self.name, None)

    def judge(self, series: Series, run: Run) -> Answer:
        """Say what the block that `series` has just taken shows: a `Finding`, `CLEAR`, `BETWEEN`, or None for nothing at all."""
        raise NotImplementedError


#: The documented limits, which `plot_config` sets: they are in every rule's `limit`.
THRESHOLDS: Final[Mapping[str, float]] = {
    "gradient_threshold_high": 10.0,
    "gradient_threshold_low": 1e-8,
    "zeros_ratio_threshold": 0.5,
    "convergence_window": 50,
    "stagnation_threshold": 0.01,
    "poor_performance_window": 20,
}


def defaults(kind: type, given: Mapping[str, Any] | None = None, thresholds: Mapping[str, Any] | None = None) -> Any:
    """The limits of a rule: its own defaults, over them the documented ones in force, over them what was `given`."""
    values: dict[str, Any] = {limit.name: limit.default for limit in getattr(kind, "limits", ())}
    values.update(THRESHOLDS)
    values.update(thresholds or {})
    values.update(given or {})
    return SimpleNamespace(**values)
