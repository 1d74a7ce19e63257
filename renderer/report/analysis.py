"""One session as the plain data of its report: verdict, facts, findings, metrics, and the charts to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from contract.lifecycle import CRASHED
from renderer import panels, wording
from renderer.report import facts as facts_of
from renderer.report import findings, metrics, verdict
from renderer.report.meanings import INSTABILITY
from renderer.report.metrics import Objective
from renderer.report.reading import COMPUTED, STORED, Material
from renderer.report.stats import Floats
from renderer.report.verdict import Symptom
from renderer.series import plain

#: Values at the end of a series that must not be finite for a run to have ended so: ten, or half of a short series.
_BAD_END: Final = 10
#: Times its usual size that a gradient must reach to be called a jump.
_JUMP: Final = 10.0


@dataclass(slots=True)
class Analysis:
    """`numbers` is what JSON holds; `panels` the four panels to draw; `curve` the smoothed course of the objective."""

    numbers: dict[str, Any]
    panels: list[dict[str, Any]]
    objective: Objective | None
    curve: tuple[Floats, Floats] | None


def analyse(made: Material, now: float) -> Analysis:
    """Everything that the report of a session says, as of unix time `now`."""
    f = facts_of.facts(made, now)
    active = made.session.is_active(now)
    table = metrics.table(made)
    span = (f["first_step"] or 0.0, f["highest_step"] or 0.0)
    found = findings.findings(made.rows, table, _cutter(made), span)
    judged = metrics.objective(made)
    case = verdict.Case(
        f["data_records"], judged, _ended_bad(table), _symptoms(made, found, table, judged),
        float(made.config["stagnation_threshold"]), active,
    )  # fmt: skip
    ending = "interrupted" if made.session.life.end_status == "interrupted" else f["state"]
    at = f" at step {wording.step(f['last_step'])}" if f["last_step"] is not None else ""
    how = (f["error"] or f["reason"]) if ending == CRASHED else ""
    said = verdict.verdict(case, ending, how, at)
    said["evidence"] = evidence(f, found, table, made)
    if judged is not None and judged.curve is not None and said["course"] in (verdict.LEARNING, verdict.PLATEAU):
        late, before = (wording.measured(w.mean, w.error) for w in (judged.curve.late, judged.curve.middle))
        said["evidence"].insert(
            0, f"{judged.key.metric} over the last sixth of the run: {late}; over the sixth before: {before}."
        )
    numbers = {
        "verdict": said,
        "facts": f,
        "objective": _objective(judged),
        "alerts": {
            "source": made.source,
            "judged_records": made.judged_records,
            "said": alerts_said(made.source, made.judged_records, f["data_records"], found),
            "counts": findings.counts(found),
            "rows": [_named(row) for row in made.rows],
        },
        "findings": found[: findings.MOST],
        "findings_left_out": max(0, len(found) - findings.MOST),
        "metrics": table,
    }
    course = None
    if judged is not None:
        course = smoothed(*made.series[judged.key].means())
    return Analysis(numbers, panels.panels(made.session, made.config), judged, course)


def alerts_said(source: str, judged: int | None, records: int, found: list[dict[str, Any]]) -> str:
    """What can be said of alerts, which depends on whether anybody looked."""
    totals = findings.counts(found)
    raised = [
        f"{totals[level]} {word}"
        for level, word in (("ERROR", "critical"), ("WARNING", "moderate"), ("INFO", "worth knowing"))
        if totals[level]
    ]
    text = wording.count(sum(totals.values()), "alert") + (f" ({', '.join(raised)})" if raised else "")
    if source == STORED:
        return f"{text[0].upper()}{text[1:]}, as the analyzer stored them."
    if source == COMPUTED and not records:
        return "There was nothing yet for an analyzer or for the rules to judge."
    if source == COMPUTED:
        what = text if raised else "nothing to report"
        rest = records - (judged or 0)
        since = f" The {wording.count(rest, 'record')} since then were not judged." if rest > 0 else ""
        return f"No analyzer had stored any alert; the rules were run over the records for this report and found {what}.{since}"
    return "Not known: no analyzer stored any alert of this session, and the rules were not run for this report."  # fmt: skip


def evidence(f: dict[str, Any], found: list[dict[str, Any]], table: list[dict[str, Any]], made: Material) -> list[str]:
    """Sentences under the verdict: what else a reader should know before believing it."""
    said = []
    worst = [one for one in found if one["alert"] and one["worst"] == "ERROR" and not one["silenced_by"]]
    if worst:
        named = dict.fromkeys(one["title"] for one in worst)
        said.append(
            f"{wording.count(len(worst), 'critical alert')}: {wording.listed(named)}; the first from step {wording.step(worst[0]['first_step'])}."
        )
    bad = {m["metric"]: m["not_finite"] for m in table if m["not_finite"]}
    if bad:
        said.append(
            f"{wording.count(sum(bad.values()), 'value')} not finite, in {wording.listed(bad)}: left out of all means, marked on the charts."
        )
    if made.resumed:
        said.append(
            f"The run was resumed {wording.count(len(made.attempts) - 1, 'time')}; it is told as one run, with gaps."
        )
    elif restarts(made):
        said.append("Steps fall back within the run: it began again, or several write to the session.")
    if f["dropped"]:
        said.append(
            f"{wording.count(f['dropped'], 'record')} were dropped by the trainer: what is said here rests on the others."
        )
    if f["series_not_followed"]:
        said.append(
            f"{wording.count(f['series_not_followed'], 'more series', 'more series')} are in the files but not in this report."
        )
    return said


def restarts(made: Material) -> bool:
    """Whether the steps of a series fall back anywhere."""
    return any(bool((np.diff(one.points()[0]) < 0).any()) for one in made.series.values())


def smoothed(x: Floats, y: Floats, n: Floats, parts: int = 50) -> tuple[Floats, Floats]:
    """A moving mean of blocks over a `parts`-th of the records, five at least, centred on each block; steps that fall back begin anew."""
    if not len(y):
        return x, y
    kept: list[Floats] = []
    wide = max(5.0, float(n.sum()) / parts)
    for piece in np.split(np.arange(len(x)), np.flatnonzero(np.diff(x) < 0) + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            weights = np.concatenate([[0.0], np.cumsum(n[piece])])
            sums = np.concatenate([[0.0], np.cumsum(y[piece] * n[piece])])
            middle = (weights[1:] + weights[:-1]) / 2
            low = np.searchsorted(weights[1:], middle - wide / 2, side="right")
            high = np.maximum(np.searchsorted(weights[:-1], middle + wide / 2, side="left"), low + 1)
            kept.append((sums[high] - sums[low]) / (weights[high] - weights[low]))
    return x, np.concatenate(kept)


def _named(value: Any) -> Any:
    """A row for JSON: numbers that are not finite by their names, as in the files."""
    if isinstance(value, dict):
        return {name: _named(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner) for inner in value]
    return wording.number(value) if isinstance(value, float) and not math.isfinite(value) else value


def _objective(judged: Objective | None) -> dict[str, Any] | None:
    if judged is None:
        return None
    c = judged.curve
    windows = (
        {name: getattr(c, name).as_dict() for name in ("first", "last", "best", "middle", "late")}
        if c is not None
        else {}
    )
    return {"metric": judged.key.metric, "category": judged.key.category, "kind": judged.kind, "judged_by_logarithm": judged.log,
            "finite": judged.finite, "better": "higher" if judged.kind == "reward" else "lower", **windows}  # fmt: skip


def _ended_bad(table: list[dict[str, Any]]) -> tuple[tuple[str, int, float | None], ...]:
    return tuple(
        (m["metric"], m["not_finite_at_end"], m["not_finite_first_step"])
        for m in table
        if m["core"] and m["not_finite_at_end"] >= min(_BAD_END, max(3, m["records"] // 2))
    )


def _symptoms(
    made: Material, found: list[dict[str, Any]], table: list[dict[str, Any]], judged: Objective | None
) -> tuple[Symptom, ...]:
    told = [one for one in found if one["alert"] and one["rule"] in INSTABILITY and not one["silenced_by"]]
    told.sort(key=lambda one: (one["worst"] != "ERROR", verdict.symptom_order(one["rule"])))
    symptoms = [seen for one in told if (seen := _symptom(made, one)) is not None]
    for m in table:
        if m["core"] and m["not_finite"]:
            were = "was" if m["not_finite"] == 1 else "were"
            where = f"first by step {wording.step(m['not_finite_first_step'])}"
            text = f"{wording.count(m['not_finite'], 'value')} of {m['metric']} {were} not finite, {where}"
            symptoms.append(Symptom(text, False, m["not_finite_last_step"]))
    return tuple(symptoms)


def _symptom(made: Material, one: dict[str, Any]) -> Symptom | None:
    """A sentence on an alert; for a gradient, how many times its usual size it reached, as its own numbers or the curve say.

    A moderate alert counts only if the gradient jumped tenfold.
    """
    at = f" at step {wording.step(one['onset_step'])}" if one["onset_step"] is not None else ""
    last = one["last_step"] if one["last_step"] is not None else one["onset_step"]
    critical = one["worst"] == "ERROR"
    if one["rule"] == "gradient_explosion" and one["worst"] != "INFO":
        top, usual = one["peak"] if one["peak"] is not None else one["value"], one["baseline"]
        if top is not None and usual is not None and usual > 0 and top / usual >= _JUMP:
            return Symptom(f"the gradient norm jumped {top / usual:,.3g}x{at}", critical, last)
        keys = [key for key in made.series if key.metric == one["metric"] and key.component == one["component"]]
        jumped = metrics.jump(made, keys[0]) if keys else None
        if jumped is not None and jumped[0] >= _JUMP:
            text = f"the gradient norm reached {jumped[0]:,.3g}x its median at step {wording.step(jumped[1])}"
            return Symptom(text, critical, max(jumped[1], last or jumped[1]))
    return Symptom(f"a critical alert of {one['title']}{at}", True, last) if critical else None


def _cutter(made: Material) -> findings.Cut:
    """Pieces of curves, from the points that the report has of them."""

    def cut(
        source: str, metric: str, component: str, begin: float, end: float
    ) -> tuple[list[float], list[float | None]] | None:
        keys = [key for key in made.series if key.metric == metric and key.component == component]
        keys.sort(key=lambda key: key.category != source)
        if not keys:
            return None
        x, y = made.series[keys[0]].points()
        inside = (x >= begin) & (x <= end)
        if not np.isfinite(y[inside]).any():
            return None
        line = plain(x[inside], y[inside])
        return line["x"].tolist(), [float(f"{v:.6g}") if math.isfinite(v) else None for v in line["y"].tolist()]

    return cut
