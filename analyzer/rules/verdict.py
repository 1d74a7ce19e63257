"""What a rule is given and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

Record = Mapping[str, Any]

#: The condition holds; it is gone; or neither: between the limit that fires and the one that clears.
HOLDS: Final = "holds"
BETWEEN: Final = "between"
CLEAR: Final = "clear"

ERROR: Final = "ERROR"
WARNING: Final = "WARNING"
INFO: Final = "INFO"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits of the six rules; names and meaning as in `contract.settings`, which also checks the values."""

    gradient_threshold_high: float = 10.0
    gradient_threshold_low: float = 1e-8
    zeros_ratio_threshold: float = 0.5
    convergence_window: int = 50
    stagnation_threshold: float = 0.01
    poor_performance_window: int = 20

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Thresholds:
        """From a `plot_config`, whose other keys are not the rules' business."""
        return cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule's answer to one record that it could judge.

    `message`, `threshold` and `level` matter only while `condition` is HOLDS. `value` and `threshold` are in the unit
    of the metric, `value` may be NaN or infinite.
    """

    condition: str
    metric: str
    value: float
    threshold: float | None = None
    level: str = ""
    message: str = ""


class Rule(Protocol):
    """A detector: constant work per record, no clock, no file, one instance per stream of records.

    A rule names itself, lists the metrics it understands (the first that a record holds is judged), and never loses
    what it has learned when `take` gives it new limits.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]

    def __init__(self, thresholds: Thresholds = ...) -> None: ...

    def take(self, thresholds: Thresholds) -> None:
        """Judge by these limits from now on."""
        ...

    def update(self, record: Record) -> Verdict | None:
        """The verdict on one record; None if it holds nothing to judge."""
        ...


def number_in(record: Record, metrics: tuple[str, ...]) -> tuple[str, float] | None:
    """The first of `metrics` that the record holds as a number (NaN and infinities included), with its value.

    >>> number_in({"step": 1, "total_loss": 2}, ("loss", "total_loss"))
    ('total_loss', 2.0)
    >>> number_in({"loss": "high"}, ("loss",)) is None
    True
    """
    for name in metrics:
        value = record.get(name)
        if isinstance(value, (float, int)) and not isinstance(value, bool):
            return name, float(value)
    return None


class Recent:
    """How many of the last `of` records crossed a limit, and since which step without a pause.

    >>> recent = Recent(of=3)
    >>> [recent.push(crossed, step) for step, crossed in enumerate([True, False, True, True])]
    [1, 1, 2, 2]
    >>> recent.since
    2
    """

    def __init__(self, of: int) -> None:
        self._of = of
        self._bits = 0
        self.since: int = 0

    def push(self, crossed: bool, step: Any) -> int:
        if crossed and not self._bits & 1:
            self.since = step if isinstance(step, int) else 0
        self._bits = ((self._bits << 1) | crossed) & ((1 << self._of) - 1)
        return self._bits.bit_count()
