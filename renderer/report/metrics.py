"""The table of metrics, and the one curve by which a run is judged. Pure, but for what `reading` has read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from renderer import panels, wording
from renderer.gather import Key
from renderer.report.reading import Material
from renderer.report.stats import Curve, Floats, curve
from renderer.series import Series
from renderer.session import number

#: Names whose direction everybody agrees on. Policy and entropy losses have none: their value has little meaning.
_UP = re.compile(r"reward|return$|accuracy|(^|_)acc$|success|win_rate|explained_variance|(^|_)f1|(^|_)auc|score$")
_DOWN = re.compile(r"(^|_)loss$|perplexity|(^|_)(mse|rmse|mae|error)$")
_NEITHER = re.compile(r"policy|actor|entropy|surrogate|(^|_)(std|var|scale|weight|coef)($|_)")
#: A positive curve over more than this factor is judged by its logarithm.
_WIDE: Final = 100.0
#: Curves whose not being finite ends a training.
CORE: Final = frozenset(
    (*panels.LOSSES, *panels.NORMS, *panels.REWARDS, "value_loss", "policy_loss", "policy_gradient_loss", "actor_loss", "critic_loss")
)  # fmt: skip


def direction(metric: str) -> bool | None:
    """True if higher is better, False if lower is, None where the name does not tell.

    >>> [direction(name) for name in ("episode_reward", "val/accuracy", "value_loss", "policy_loss", "reward_std", "fps")]
    [True, True, False, None, None, None]
    """
    name = metric.rsplit("/", 1)[-1].rsplit(".", 1)[-1].lower()
    if _NEITHER.search(name):
        return None
    return False if _DOWN.search(name) else True if _UP.search(name) else None


@dataclass(frozen=True, slots=True)
class Objective:
    """What a run is judged by: its reward, or where there is none its loss.

    `curve` has the numbers that are shown; `judged` is the curve that is tested, of logarithms where `log`. Both are None
    where there are too few finite values (`finite`) to say anything.
    """

    key: Key
    kind: str
    finite: int
    curve: Curve | None
    judged: Curve | None
    log: bool


def objective(made: Material) -> Objective | None:
    """The reward if any was logged, else the loss, of the whole model and of the producer that logged most of it."""
    for kind, names, categories in (
        ("reward", panels.REWARDS, ("rewards",)),
        ("loss", panels.LOSSES, ("training", "convergence", "performance")),
    ):
        for name in names:
            keys = [
                key for key in made.series if key.metric == name and key.category in categories and not key.component
            ]
            if keys:
                key = max(keys, key=lambda one: made.series[one].count)
                return _objective(made, key, kind)
    return None


def _objective(made: Material, key: Key, kind: str) -> Objective:
    one = made.series[key]
    x, y, n = one.means()
    head = made.heads.get(key)
    shown = curve(x, y, n, kind == "reward", head)
    log = kind == "loss" and len(y) > 0 and bool(one.low > 0) and one.high / one.low > _WIDE
    judged = shown
    if log:
        judged = curve(x, np.log10(y), n, False, (head[0], np.log10(head[1])) if head else None)
    return Objective(key, kind, one.finite, shown or judged, judged, log)


def table(made: Material) -> list[dict[str, Any]]:
    """One row per series: first, last, best, mean of the last tenth, extremes, and what was not finite."""
    return [_row(made, key, one) for key, one in sorted(made.series.items())]


def _row(made: Material, key: Key, one: Series) -> dict[str, Any]:
    up = direction(key.metric)
    x, y, n = one.means()
    found = curve(x, y, n, bool(up), made.heads.get(key))
    bad = one.bad_steps()
    late = found.last if found else None
    mean, records = (late.mean, late.n) if late else _late(y, n)
    best = found.best if found and up is not None else None
    return {
        "category": key.category, "metric": key.metric, "component": key.component, "producer": key.producer,
        "records": one.count, "first": _said(one.first), "last": _said(one.last), "mean": number(one.mean),
        "min": number(one.low), "min_step": number(one.low_x), "max": number(one.high), "max_step": number(one.high_x),
        "last_tenth": number(mean), "last_tenth_error": number(late.error) if late else None, "last_tenth_records": records,
        "better": None if up is None else "higher" if up else "lower",
        "best": number(best.mean) if best else None, "best_step": number(round((best.begin + best.end) / 2)) if best else None,
        "best_records": best.n if best else None,
        "core": key.metric in CORE, "not_finite": one.bad, "not_finite_first_step": bad[0] if bad else None, "not_finite_last_step": bad[-1] if bad else None,
        "not_finite_at_end": made.trailing.get(key, 0),
    }  # fmt: skip


def _late(y: Floats, n: Floats) -> tuple[float, int]:
    """Mean over about the last tenth, at least one record, of a curve too short for more."""
    if not len(y):
        return math.nan, 0
    behind = np.cumsum(n[::-1])
    upto = int(np.searchsorted(behind, max(1.0, behind[-1] / 10))) + 1
    with np.errstate(over="ignore", invalid="ignore"):
        weights = n[::-1][:upto]
        return float((y[::-1][:upto] * weights).sum() / weights.sum()), int(weights.sum())


def _said(value: float) -> float | str | None:
    """A value for JSON in which what is not finite keeps its name."""
    return value if math.isfinite(value) else wording.short(value)


def jump(made: Material, key: Key) -> tuple[float, float] | None:
    """How many times its median the largest value of a curve was, and at which step."""
    one = made.series[key]
    _, y, _ = one.means()
    usual = float(np.median(y)) if len(y) else math.nan
    return (one.high / usual, one.high_x) if usual > 0 and math.isfinite(one.high / usual) else None
