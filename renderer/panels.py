"""The four panels of a session as plain data: what report and pictures draw is decided here.

A panel is a list of rows (charts stacked over one axis of steps); a row is a list of series; a series has its line,
its moving averages and the steps at which it was not finite. No HTML and no colours: those are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

from contract.alerts import ENDED, LEVELS, RESOLVED
from contract.names import root_of
from renderer.gather import Key
from renderer.series import Series, plain
from renderer.session import Session
from renderer.wording import count

Plain = dict[str, Any]

LOSSES: Final = (
    "loss",
    "total_loss",
    "train_loss",
    "training_loss",
    "val_loss",
    "validation_loss",
    "eval_loss",
    "test_loss",
)
RATES: Final = ("learning_rate", "lr")
NORMS: Final = ("grad_norm", "gradient_norm")
ZEROS: Final = ("grad_zeros_ratio", "zeros_ratio", "zero_ratio")
REWARDS: Final = ("episode_reward", "reward", "mean_reward", "episode_return")
LENGTHS: Final = ("episode_length",)
#: Rows of the fourth panel that are open before the reader chooses, in this order.
USUAL: Final = ("policy_loss", "policy_gradient_loss", "value_loss", "entropy", "entropy_loss", "explained_variance")
MAX_OPEN_ROWS: Final = 5
MAX_OTHER_ROWS: Final = 24
MAX_SERIES_PER_ROW: Final = 12
MAX_MARKS: Final = 100

_PANEL_OF_SOURCE: Final = {"gradients": "gradients", "rewards": "rewards"}


def panels(session: Session, config: Plain) -> list[Plain]:
    """The four panels, in the order of the page."""
    rest = dict(sorted(session.series.items(), key=lambda item: session.producers().index(item[0].producer)))
    take = _Taker(session, rest)
    window = session.window
    high, low = float(config["gradient_threshold_high"]), float(config["gradient_threshold_low"])
    loss = _row("loss", "Loss", take(LOSSES, ("training", "convergence", "performance")), session)
    over = 0
    for item in loss["series"][:1]:
        # On a long run the last few records would be a dot: the trend covers a twentieth of the run at least.
        over = max(int(config["convergence_window"]), take.found[0].finite // 20)
        item["trend"] = _trend(take.found[0], over)
    rate = _row("rate", "Learning rate", take(RATES, ("training",)), session, averaged=False, small=True)
    norm = _row("norm", "Norm", take(NORMS, ("gradients", "training")), session, log=True)
    norm["lines"] = [{"y": high, "text": f"high {high:g}"}, *([{"y": low, "text": f"low {low:g}"}] if low > 0 else [])]
    zeros = _row("zeros", "Zeros", take(ZEROS, ("gradients", "training")), session, small=True)
    zeros |= {"percent": True, "lines": [{"y": float(config["zeros_ratio_threshold"]), "text": "limit"}]}
    reward = _row("reward", "Reward", take(REWARDS, ("rewards",)), session, averages=(0, 1))
    length = _row("length", "Length", take(LENGTHS, ("rewards",)), session, small=True, averaged=False)
    others, left_out = _other_rows(rest, session)
    many = f"moving average over {window} records" if window > 1 else "no moving average"
    return [
        _panel("loss", "Loss and learning rate", f"{many}; dashed: trend of the last {over}" if over else many,
               [loss, rate], "No loss or learning rate has been logged yet.", session),
        _panel("gradients", "Gradient health", "norm before clipping where the trainer gives it, share of zeros",
               [norm, zeros], "No gradient information has been logged yet.", session),
        _panel("rewards", "Reward per episode", f"moving averages over {window} and {5 * window} episodes",
               [reward, length], "No episode has been logged yet.", session),
        _panel("metrics", "Training metrics", f"{count(left_out, 'more is', 'more are')} in the table below" if left_out else many,
               others, "No other metric has been logged yet.", session) | {"choose": True},
    ]  # fmt: skip


class _Taker:
    """Takes series out of those that no panel has claimed yet."""

    def __init__(self, session: Session, rest: dict[Key, Series]) -> None:
        self._session, self._rest = session, rest
        self.found: list[Series] = []

    def __call__(self, metrics: Iterable[str], categories: Iterable[str]) -> list[tuple[Key, Series]]:
        order = {name: place for place, name in enumerate(metrics)}
        allowed = set(categories)
        keys = [key for key in self._rest if key.metric in order and key.category in allowed]
        keys.sort(key=lambda key: (bool(key.component), order[key.metric]))
        chosen = [(key, self._rest.pop(key)) for key in keys]
        self.found = [series for _, series in chosen]
        return chosen


def _row(
    name: str,
    label: str,
    chosen: list[tuple[Key, Series]],
    session: Session,
    *,
    averages: tuple[int, ...] = (0,),
    averaged: bool = True,
    small: bool = False,
    log: bool = False,
) -> Plain:
    metrics = {key.metric for key, _ in chosen}
    series = []
    for key, one in chosen[:MAX_SERIES_PER_ROW]:
        # Parts of a model and child processes accompany the whole: their averages alone, or they would bury it.
        faint = bool(key.component) or _is_child(key, session)
        item: Plain = {
            "name": _name(key, session, len(metrics) > 1),
            "faint": faint,
            **plain(*(one.average(0) if faint and averaged and session.window > 1 else one.points())),
            "averages": [],
            "bad": one.bad_steps()[-200:],
            "bad_count": one.bad,
            "positive": one.low > 0,
        }
        if averaged and session.window > 1 and not faint:
            names = [f"average of {session.windows[i]}" for i in averages]
            item["averages"] = [{"name": n, **plain(*one.average(i))} for n, i in zip(names, averages, strict=True)]
        series.append(item)
    left = len(chosen) - len(series)
    return {"id": name, "label": label, "small": small, "log": log, "lines": [], "series": series, "left_out": left}


def _is_child(key: Key, session: Session) -> bool:
    producers = session.producers()
    return len(producers) > 1 and key.producer != producers[0]


def _name(key: Key, session: Session, with_metric: bool) -> str:
    parts = [key.metric] if with_metric or not key.component else []
    if key.component:
        parts.append(key.component)
    if _is_child(key, session):
        same = root_of(key.producer) == session.life.root
        parts.append(f"{'child' if same else 'producer'} {key.producer[-4:] or '?'}")
    return " · ".join(part[:80] for part in parts)


def _other_rows(rest: dict[Key, Series], session: Session) -> tuple[list[Plain], int]:
    """Rows of the fourth panel, one per metric: the usual ones first and open, then the others by category."""
    grouped: dict[tuple[str, str], list[tuple[Key, Series]]] = {}
    for key, series in rest.items():
        grouped.setdefault((key.category, key.metric), []).append((key, series))
    usual: Callable[[str], int] = lambda metric: USUAL.index(metric) if metric in USUAL else len(USUAL)  # noqa: E731
    order = sorted(grouped, key=lambda at: (usual(at[1]), at[0] != "training"))
    rows = []
    known = sum(metric in USUAL for _, metric in order)
    for place, (category, metric) in enumerate(order[:MAX_OTHER_ROWS]):
        label = metric if category == "training" else f"{metric} ({category})"
        row = _row(f"{category}/{metric}", label[:120], grouped[category, metric], session)
        row["open"] = place < min(MAX_OPEN_ROWS, max(known, 3))
        rows.append(row)
    return rows, max(0, len(order) - MAX_OTHER_ROWS)


def _panel(name: str, title: str, hint: str, rows: list[Plain], empty: str, session: Session) -> Plain:
    rows = [row for row in rows if row["series"]]
    marks = [mark for mark in (_mark(alert, name) for alert in session.alerts) if mark]
    return {
        "id": name,
        "title": title,
        "hint": hint,
        "rows": rows,
        "marks": marks[-MAX_MARKS:],
        "empty": "" if rows else empty,
        "choose": False,
    }


def _mark(alert: Plain, panel: str) -> Plain | None:
    if alert.get("state") in (RESOLVED, ENDED) or not isinstance(alert.get("step"), int):
        return None
    metric, source = str(alert.get("metric")), str(alert.get("source"))
    default = "loss" if metric in LOSSES or metric in RATES else "metrics"
    if _PANEL_OF_SOURCE.get(source, "gradients" if metric in NORMS + ZEROS else default) != panel:
        return None
    level = alert.get("level")
    text = f"{str(alert.get('rule'))[:60]}: {str(alert.get('message', ''))[:160]}"
    return {"x": alert["step"], "level": level if level in LEVELS else "INFO", "text": text}


def _trend(series: Series, records: int) -> Plain | None:
    line = series.trend(records)
    if line is None:
        return None
    x0, y0, x1, y1 = line
    return plain(np.array([x0, x1]), np.array([y0, y1]))
