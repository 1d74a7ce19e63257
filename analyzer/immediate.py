"""What one stream alone proves and must not wait: values that are no numbers, and the documented thresholds to the letter. Pure.

`Immediate` looks at the columns of one stream as they come. A column without anything to tell costs a sum, a minimum and a
maximum; only where something is to be told, or is to be resolved, does it go record by record.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from analyzer.batch import Batch
from analyzer.life import Cause, Event, Row
from analyzer.metrics import FINITE
from analyzer.rules.base import ERROR, INFO, WARNING, Finding
from analyzer.series import Series
from analyzer.stats import SlidingSlope
from contract.alerts import EVIDENCE

#: The category in which a key is usual: rows of other categories are rows of their own.
_USUAL: Final = {"grad_norm": "gradients", "zeros": "gradients", "update_ratio": "gradients", "reward": "rewards"}
#: An infinite loss (not a NaN) is normal for single samples of some losses, CTC say; this many of `_OF` are not.
_INFINITE: Final = 3
_OF: Final = 20
_OF_MASK: Final = (1 << _OF) - 1
ACTIONS: Final = {
    "non_finite": "Stop and go back to the last good checkpoint; look for NaN in the data, a division by zero, a rate too high",
    "gradient_explosion": "Lower the learning rate, clip gradients, or scale rewards and targets down",
    "vanishing_gradient": "Look at activations and initialisation; check that the loss reaches the parameters",
    "zero_gradients": "Look for dead ReLUs, frozen layers or a mask that hides everything; try another initialisation",
    "loss_divergence": "Lower the learning rate; check the data that came when the loss began to rise",
    "stagnation": "Raise the learning rate, or check that data, labels and optimiser are what they should be",
    "poor_performance": "Check that rewards reach the agent and that it explores; try another seed or learning rate",
}


@dataclass(slots=True)
class _Followed:
    """One series of the stream, as far as this stage needs its past."""

    finite: bool = False
    #: Which of the last `_OF` values were not finite, one bit each, since the first that was not.
    infinite: int = 0
    ring: deque[float] = field(default_factory=lambda: deque(maxlen=EVIDENCE))
    steps: deque[int] = field(default_factory=lambda: deque(maxlen=EVIDENCE))
    slope: SlidingSlope | None = None
    levels: deque[float] = field(default_factory=deque)
    first: list[float] = field(default_factory=list)


class Immediate:
    """The alerts of one stream that need nothing but it.

    Args:
        documented: judge by the six documented thresholds too (the profile of that name).
        limits: the documented thresholds, a mapping that may change while the stream goes on.
        off: rules that are switched off.  caps: rule -> worst level that it may have.
    """

    def __init__(
        self, documented: bool, limits: Mapping[str, Any], off: frozenset[str], caps: Mapping[str, str]
    ) -> None:
        self._documented, self._limits, self._off, self._caps = documented, limits, off, caps
        self._followed: dict[str, _Followed] = {}
        self._rows: dict[tuple[str, str], Row] = {}
        #: Series whose last value was no number, and the one that was so last.
        self._sick: set[str] = set()
        self._sickest = ""

    @property
    def rows(self) -> list[Row]:
        """Every alert of this stream, fired or not."""
        return list(self._rows.values())

    def look(self, columns: Sequence[tuple[Series, Sequence[float | None], bool]], batch: Batch) -> list[Event]:
        """The events that follow from a batch: (series, its values, whether they are all finite numbers) per metric."""
        mine = [
            column for column in columns if column[0].key in FINITE or (self._documented and column[0].key in _CHECKS)
        ]
        if not self._documented and not self._sickest and all(whole for _, _, whole in mine):
            for series, values, _ in mine:
                followed = self._follow(series)
                followed.finite = True
                if followed.infinite:
                    followed.infinite = (followed.infinite << min(len(values), _OF)) & _OF_MASK
                followed.ring.extend(values[-EVIDENCE:])  # type: ignore[arg-type]
                followed.steps.extend(batch.steps[-EVIDENCE:])
            return []
        events: list[Event] = []
        for index, (seq, step, time) in enumerate(zip(batch.seqs, batch.steps, batch.times, strict=True)):
            for series, values, _ in mine:
                x = values[index]
                if x is not None:
                    events += self._one(series, float(x), Cause(series.category, seq, step, time))
        return events

    def _follow(self, series: Series) -> _Followed:
        followed = self._followed.get(series.name)
        if followed is None:
            followed = self._followed[series.name] = _Followed()
        return followed

    def _one(self, series: Series, x: float, cause: Cause) -> list[Event]:
        followed = self._follow(series)
        followed.ring.append(x)
        followed.steps.append(cause.step)
        events: list[Event] = []
        if series.key in FINITE and "non_finite" not in self._off:
            events += self._non_finite(followed, series, x, cause)
        if self._documented and math.isfinite(x):
            for rule in _CHECKS.get(series.key, ()):
                if rule not in self._off:
                    events += self._tell(rule, followed, series, _judge(rule, followed, series, x, self._limits), cause)
        return events

    def _non_finite(self, followed: _Followed, series: Series, x: float, cause: Cause) -> list[Event]:
        """One row for all metrics of the stream: over when the one that was no number last has been one again, and all the others."""
        if math.isfinite(x):
            followed.finite = True
            followed.infinite = (followed.infinite << 1) & _OF_MASK
            self._sick.discard(series.name)
            if self._sick or series.name != self._sickest:
                return []
            events = self._tell("non_finite", followed, series, "clear", cause)
            if events:
                self._sickest = ""
            return events
        if series.key == "reward" and not followed.finite:
            return []  # the mean over no episodes at all
        self._sick.add(series.name)
        self._sickest = series.name
        followed.infinite = ((followed.infinite << 1) | 1) & _OF_MASK
        text = f"{series.name} is {'infinite' if x == x else 'not a number'} at step {cause.step}, expected a finite number"
        count = followed.infinite.bit_count()
        gentle = x == x and count < _INFINITE
        if gentle:
            text += "; some losses are infinite by design for single samples"
        return self._tell(
            "non_finite", followed, series, Finding(INFO if gentle else ERROR, text, x, window=_OF), cause
        )

    def _tell(
        self, rule: str, followed: _Followed, series: Series, found: Finding | str | None, cause: Cause
    ) -> list[Event]:
        if found is None:
            return []
        name = "" if rule == "non_finite" else series.name
        row = self._rows.get((rule, name))
        if row is None:
            plain = series.category == _USUAL.get(series.key, "training") if name else series.category == "training"
            plain = plain and not any(known == rule for known, _ in self._rows)
            row = self._rows[rule, name] = Row(
                rule, series.producer, series.component, "" if plain else f"{series.category}.{name}".rstrip(".")
            )
        if isinstance(found, str):
            return row.clear(cause)
        cap = self._caps.get(rule)
        if cap is not None and _ORDER.index(cap) > _ORDER.index(found.level):
            found.level = cap
        events = row.hold(found, None, cause, action=ACTIONS[rule])
        for event in events:
            event["metric"] = series.name
            event["evidence"] = {"metric": series.name, "steps": list(followed.steps), "values": list(followed.ring)}
        return events


_ORDER: Final = (ERROR, WARNING, INFO)
_CHECKS: Final = {
    "grad_norm": ("gradient_explosion", "vanishing_gradient"),
    "zeros": ("zero_gradients",),
    "loss": ("loss_divergence", "stagnation"),
    "reward": ("poor_performance",),
}


def _judge(rule: str, followed: _Followed, series: Series, x: float, limits: Mapping[str, Any]) -> Finding | str | None:
    """One documented threshold, to the letter, at the record's value; "clear" where it is not crossed."""
    name, base = series.name, "the documented threshold"
    if rule == "gradient_explosion":
        high = limits["gradient_threshold_high"]
        return Finding(ERROR, f"{name} {x:.4g} is above {base} of {high:g}", x, high) if x > high else "clear"
    if rule == "vanishing_gradient":
        low = limits["gradient_threshold_low"]
        return Finding(WARNING, f"{name} {x:.4g} is below {base} of {low:g}", x, low) if x < low else "clear"
    if rule == "zero_gradients":
        most = limits["zeros_ratio_threshold"]
        text = f"{100 * x:.3g} % of the gradient is exactly zero, above {base} of {100 * most:g} %"
        return Finding(WARNING, text, x, most) if x > most else "clear"
    if rule == "poor_performance":
        return _poor(followed, x, int(limits["poor_performance_window"]))
    window = int(limits["convergence_window"])
    if rule == "loss_divergence":
        if followed.slope is None or followed.slope.values.maxlen != window:
            followed.slope = SlidingSlope(window)
        slope = followed.slope.push(x)
        if slope is None:
            return None
        text = f"{name} rises over the last {window} records ({slope:.3g} per record)"
        return Finding(ERROR, text, x, 0.0, window=window) if slope > 0 else "clear"
    levels = followed.levels
    levels.append(x)
    while len(levels) > window:
        levels.popleft()
    if len(levels) < window:
        return None
    least = limits["stagnation_threshold"]
    half = window // 2
    values = list(levels)
    before, after = sum(values[:half]) / half, sum(values[half:]) / (window - half)
    change = abs(after - before) / max(abs(before), 1e-300)
    text = f"{name} changed by {100 * change:.2g} % over the last {window} records, less than {100 * least:g} %"
    return Finding(INFO, text, x, least, before, window) if change < least else "clear"


def _poor(followed: _Followed, x: float, window: int) -> Finding | str | None:
    """Rewards consistently low: the mean of the last `window` episodes is not above that of the first `window`."""
    if len(followed.first) < window:
        followed.first.append(x)
        return None
    followed.levels.append(x)
    while len(followed.levels) > window:
        followed.levels.popleft()
    if len(followed.levels) < window:
        return None
    start, now = sum(followed.first) / window, sum(followed.levels) / window
    if now > start:
        return "clear"
    text = f"the mean reward of the last {window} episodes, {now:.4g}, is not above that of the first {window}, {start:.4g}"
    return Finding(WARNING, text, now, start, start, window)
