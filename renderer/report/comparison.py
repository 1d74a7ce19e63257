"""Several sessions side by side: one line each, what differs in their settings, their curves over one axis, and, where some
differ in nothing but the seed, mean and spread over the seeds. Says of a difference only what noise leaves of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from renderer import wording
from renderer.drawing import Points, e
from renderer.report import charts, html, markdown, stats
from renderer.report.analysis import Analysis
from renderer.report.stats import Floats

#: A setting with such a name is the seed; so is the end of such a session name.
_SEED: Final = re.compile(r"(^|[._-])(random_?)?seed$", re.IGNORECASE)
_SEED_IN_NAME: Final = re.compile(r"[_.-]?(?:seed|s)[_-]?\d+$", re.IGNORECASE)
_DATE: Final = re.compile(r"[_-]?\d{8}_\d{6}(_\d+)?$")
_GRID: Final = 200
_MOST_SETTINGS: Final = 60


@dataclass(slots=True)
class Comparison:
    """`numbers` is what JSON holds; `curves` the smoothed curve of each session; `bands` of each group of seeds."""

    numbers: dict[str, Any]
    title: str
    metric: str
    curves: list[tuple[str, Points]]
    means: list[tuple[str, Points]] = field(default_factory=list)
    bands: list[tuple[str, list[float], list[float], list[float]]] = field(default_factory=list)

    def lines(self) -> list[tuple[str, list[float], list[float]]]:
        """Name, steps and values of each session's curve, NaN where it has none."""
        return [
            (name, [x for x, _ in line], [math.nan if y is None else y for _, y in line]) for name, line in self.curves
        ]


def compare(found: Sequence[Analysis]) -> Comparison:
    """Compare sessions by the reward if all that have an objective have that, else by the loss, each as far as it has it."""
    kind, metric = _measure(found)
    same = [
        one
        for one in found
        if one.objective is not None and one.objective.kind == kind and one.objective.key.metric == metric
    ]
    groups = _groups(found)
    sessions = [_session(one, one in same) for one in found]
    made = Comparison(
        {},
        f"Comparison of {len(found)} sessions",
        metric,
        [(one.numbers["facts"]["session"], _points(one)) for one in same],
    )
    seeds = [
        _group(name, members, [one for one in members if one in same])
        for name, members in groups.items()
        if len(members) > 1
    ]
    for group, (name, members) in zip(seeds, [item for item in groups.items() if len(item[1]) > 1], strict=True):
        band = _band([one.curve for one in members if one in same and one.curve is not None])
        if band is not None:
            x, mean, spread = band
            made.means.append(
                (f"{name} (n = {group['runs']})", [(a, b) for a, b in zip(x.tolist(), mean.tolist(), strict=True)])
            )
            made.bands.append((name, x.tolist(), (mean - spread).tolist(), (mean + spread).tolist()))
    settings, left_out = _differences(found)
    made.numbers = {
        "sessions": sessions,
        "metric": metric or None,
        "better": {"reward": "higher", "loss": "lower"}.get(kind),
        "said": _said(same, kind, metric),
        "settings_that_differ": settings,
        "settings_left_out": left_out,
        "settings_logged": any(one.numbers["facts"]["config"] for one in found),
        "seeds": seeds,
        "written": found[0].numbers["facts"]["written"] if found else "-",
    }
    return made


def _measure(found: Sequence[Analysis]) -> tuple[str, str]:
    """Kind and metric that most of the sessions are judged by."""
    kinds = [
        (one.objective.kind, one.objective.key.metric)
        for one in found
        if one.objective is not None and one.objective.curve is not None
    ]
    return max(dict.fromkeys(kinds), key=kinds.count) if kinds else ("", "")


def _session(one: Analysis, same: bool) -> dict[str, Any]:
    n = one.numbers
    f, o = n["facts"], n["objective"] or {}
    return {
        "session": f["session"], "verdict": n["verdict"]["word"], "sentence": n["verdict"]["sentence"], "state": f["state"],
        "started": f["started"], "duration_s": f["duration_s"], "last_step": f["last_step"], "records": f["data_records"],
        "dropped": f["dropped"], "metric": o.get("metric"), "compared": same, "first": o.get("first"), "last": o.get("last"),
        "best": o.get("best"), "not_finite": sum(m["not_finite"] for m in n["metrics"]), "alerts": n["alerts"]["counts"],
        "alerts_source": n["alerts"]["source"],
    }  # fmt: skip


def _said(same: Sequence[Analysis], kind: str, metric: str) -> str:
    """Which session ended best, and whether the next one is clearly behind."""
    ended = [
        (one.numbers["facts"]["session"], one.objective.curve)
        for one in same
        if one.objective is not None and one.objective.curve is not None
    ]
    if len(ended) < 2:
        return "Fewer than two of the sessions have enough of one reward or loss to be compared."
    up = kind == "reward"
    ended.sort(key=lambda item: item[1].last.mean, reverse=up)
    (name, best), (other, second) = ended[:2]
    word = "highest" if up else "lowest"
    numbers = f"{wording.measured(best.last.mean, best.last.error)} against {wording.measured(second.last.mean, second.last.error)}"
    if stats.clear(best.last, second.last, 0.0):
        return (
            f"{name} ended with the {word} {metric} over its last tenth, ahead of {other}: {numbers}. That is more than the noise within the two runs; "
            "what another seed would do it does not say."
        )
    return f"{name} and {other} ended with the {word} {metric} over their last tenths: {numbers}, no clear difference within the noise of the two runs."


def _groups(found: Sequence[Analysis]) -> dict[str, list[Analysis]]:
    """Sessions that differ in nothing but the seed: by their settings where they have any, else by their names."""
    groups: dict[str, list[Analysis]] = {}
    names: dict[str, str] = {}
    for one in found:
        f = one.numbers["facts"]
        stem = _SEED_IN_NAME.sub("", _DATE.sub("", f["session"])) or f["session"]
        rest = {name: value for name, value in f["config"].items() if not _SEED.search(name)}
        mark = repr(sorted(rest.items(), key=lambda item: item[0])) if rest else f"name {stem}"
        if mark not in names:
            taken = [other for other in names.values() if other == stem or other.startswith(f"{stem} (")]
            names[mark] = f"{stem} ({len(taken) + 1})" if taken else stem
        groups.setdefault(names[mark], []).append(one)
    return groups


def _group(name: str, members: Sequence[Analysis], same: Sequence[Analysis]) -> dict[str, Any]:
    """Mean and sample standard deviation over the runs of a group, of what each had at the end and at best."""
    curves = [one.objective.curve for one in same if one.objective is not None and one.objective.curve is not None]
    plain: dict[str, Any] = {
        "group": name,
        "sessions": [one.numbers["facts"]["session"] for one in members],
        "runs": len(curves),
    }
    for what in ("last", "best"):
        values = np.array([getattr(curve, what).mean for curve in curves])
        plain[f"{what}_mean"] = float(values.mean()) if len(values) else None
        plain[f"{what}_spread"] = float(values.std(ddof=1)) if len(values) > 1 else None
    return plain


def _band(curves: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats, Floats] | None:
    """Steps, mean and standard deviation of curves over the steps that all of them have; None for fewer than two."""
    rising = [(x, y) for x, y in curves if len(x) > 1 and bool((np.diff(x) >= 0).all())]
    if len(rising) < 2:
        return None
    begin, end = max(x[0] for x, _ in rising), min(x[-1] for x, _ in rising)
    if not end > begin:
        return None
    grid = np.linspace(begin, end, _GRID)
    values = np.stack([np.interp(grid, x, y) for x, y in rising])
    return grid, values.mean(0), values.std(0, ddof=1)


def _points(one: Analysis) -> Points:
    if one.curve is None:
        return []
    x, y = one.curve
    again = np.flatnonzero(np.diff(x) < 0) + 1
    pairs = [(float(a), float(b) if math.isfinite(b) else None) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    for at in again[::-1].tolist():
        pairs.insert(at, (pairs[at][0], None))
    return pairs


def _differences(found: Sequence[Analysis]) -> tuple[list[dict[str, Any]], int]:
    """Settings that are not the same in all sessions, with each session's value; a setting that is not there is None."""
    configs = [one.numbers["facts"]["config"] for one in found]
    names = dict.fromkeys(name for config in configs for name in config)
    rows = [{"setting": name, "values": [config.get(name) for config in configs]} for name in names]
    rows = [
        row for row in rows if len({(type(v).__name__ if isinstance(v, bool) else "", v) for v in row["values"]}) > 1
    ]
    return rows[:_MOST_SETTINGS], max(0, len(rows) - _MOST_SETTINGS)


HEADS: Final = (
    "Session",
    "Verdict",
    "Duration",
    "Last step",
    "Records",
    "First",
    "Last tenth",
    "Best",
    "Not finite",
    "Alerts (E/W/I)",
)


def rows(n: dict[str, Any]) -> list[list[str]]:
    """The table of sessions as texts, a column of `HEADS` each."""
    return [
        [s["session"], s["verdict"], wording.span(s["duration_s"]), wording.step(s["last_step"]), f"{s['records']:,}", _mean(s["first"]),
         _mean(s["last"]) + ("" if s["compared"] or not s["metric"] else f" ({s['metric']})"), _best(s["best"]), f"{s['not_finite']:,}",
         "/".join(str(count) for count in s["alerts"].values()) if s["alerts_source"] != "unknown" else "not known"]
        for s in n["sessions"]
    ]  # fmt: skip


def seed_rows(n: dict[str, Any]) -> list[list[str]]:
    return [
        [g["group"], f"{g['runs']}", wording.number(g["last_mean"]), wording.number(g["last_spread"]), wording.number(g["best_mean"]), wording.number(g["best_spread"])]
        for g in n["seeds"]
    ]  # fmt: skip


SEED_HEADS: Final = ("Group", "Runs", "Last tenth: mean", "standard deviation", "Best: mean", "standard deviation")


def _mean(window: dict[str, Any] | None) -> str:
    return wording.measured(window["mean"], window["standard_error"]) if window else "-"


def _best(window: dict[str, Any] | None) -> str:
    return f"{_mean(window)} at {wording.step(round((window['from_step'] + window['to_step']) / 2))}" if window else "-"


def page(made: Comparison) -> str:
    """The comparison as a page that needs nothing else."""
    n = made.numbers
    out = [f"<p class='eyebrow'>Comparison</p><h1>{e(wording.listed((s['session'] for s in n['sessions']), 3))}</h1>"]
    out.append(f"<section class='verdict'><p class='said'>{e(n['said'])}</p></section>")
    if made.curves:
        out.append(f"<h2>{e(made.metric)}, smoothed</h2>" + charts.overlay(made.metric, made.curves))
    table = [[e(row[0]), html.badge(row[1]), *(e(cell) for cell in row[2:])] for row in rows(n)]
    out.append("<h2>Sessions</h2>" + html.table("Sessions", HEADS, table, "ll" + "r" * 8))
    out.append(
        "<ul class='soft'>"
        + "".join(f"<li><b>{e(s['session'])}</b> {e(s['sentence'])}</li>" for s in n["sessions"])
        + "</ul>"
    )
    if n["seeds"]:
        out.append("<h2>Over seeds</h2><p class='soft'>Runs that differ in nothing but the seed, as far as their settings, or where there are none their names, tell. "
                   f"The band is one standard deviation between runs to each side of their mean.</p>{charts.overlay(made.metric, made.means, made.bands)}"
                   + html.table("Over seeds", SEED_HEADS, [[e(cell) for cell in row] for row in seed_rows(n)], "lrrrrr"))  # fmt: skip
    out.append("<h2>What differs in the settings</h2>" + _settings(n))
    foot = f"Written {e(n['written'])}. The same numbers are in the JSON and the Markdown beside this page."
    return html.document(made.title, "".join(out), foot)


def _same(n: dict[str, Any]) -> str:
    return "Nothing, in the settings that were logged." if n["settings_logged"] else "No settings were logged."


def _settings(n: dict[str, Any]) -> str:
    found = n["settings_that_differ"]
    if not found:
        return f"<p class='soft'>{_same(n)}</p>"
    cells = [[e(row["setting"]), *("-" if value is None else e(value) for value in row["values"])] for row in found]
    more = (
        f"<p class='soft'>{wording.count(n['settings_left_out'], 'more is', 'more are')} in the facts of the sessions.</p>"
        if n["settings_left_out"]
        else ""
    )
    return (
        html.table(
            "Settings", ("Setting", *(e(s["session"]) for s in n["sessions"])), cells, "l" * (1 + len(n["sessions"]))
        )
        + more
    )


def text_page(n: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    out = ["# Comparison", "", markdown.text(n["said"]), "", "## Sessions", "", *markdown.table(HEADS, rows(n)), ""]
    out += [f"- {markdown.text(s['session'])}: {markdown.text(s['sentence'])}" for s in n["sessions"]]
    if n["seeds"]:
        out += ["", "## Over seeds", "", *markdown.table(SEED_HEADS, seed_rows(n))]
    out += ["", "## What differs in the settings", ""]
    found = n["settings_that_differ"]
    heads = ("Setting", *(markdown.text(s["session"]) for s in n["sessions"]))
    values = ([row["setting"], *("-" if value is None else str(value) for value in row["values"])] for row in found)
    out += markdown.table(heads, values) if found else [_same(n)]
    return "\n".join([*out, "", f"Written {n['written']}."]) + "\n"
