"""The report of one session as a page that needs nothing else: no script, no other file, prints well, light and dark."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Sequence
from typing import Any, Final

from renderer import wording
from renderer.drawing import e
from renderer.report import charts, facts, findings, verdict
from renderer.report.analysis import Analysis

#: word of a verdict -> (class, sign): the colour never stands alone.
KINDS: Final = {
    verdict.LEARNING: ("good", "\u2197"),
    verdict.PLATEAU: ("good", "\u2713"),
    verdict.FELL_BACK: ("mild", "\u2198"),
    verdict.NO_LEARNING: ("mild", "\u2013"),
    verdict.NO_DATA: ("none", "?"),
    verdict.WORSE: ("poor", "\u2198"),
    verdict.UNSTABLE: ("poor", "!"),
    verdict.COLLAPSED: ("poor", "\u2717"),
    verdict.DIVERGED: ("poor", "\u2717"),
    "crashed": ("poor", "\u2717"),
    "stopped early": ("mild", "\u25a0"),
}
_LEVEL_WORDS: Final = {
    "ERROR": "\u2716 ERROR (critical)",
    "WARNING": "\u25b2 WARNING (moderate)",
    "INFO": "\u25cf INFO (worth knowing)",
}
_TONES: Final = (0, 4, 2, 0)


def page(made: Analysis) -> str:
    """The whole page."""
    n = made.numbers
    f = n["facts"]
    body = [
        _head(n),
        _tiles(n),
        _findings(n),
        _timeline(made),
        *(_panel(made, place) for place in range(len(made.panels))),
        "<h2>All metrics</h2>" + metric_table(n["metrics"]),
        f"<p class='soft'>{wording.count(f['series_not_followed'], 'more series is', 'more series are')} in the files.</p>"
        if f["series_not_followed"]
        else "",
        _facts(f),
    ]
    foot = f"Written {e(f['written'])}. The same numbers: report_{e(f['session'])}.json; as text: report_{e(f['session'])}.md."
    return document(f"Report {f['session']}", "".join(body), foot)


def document(title: str, body: str, foot: str) -> str:
    """A page around its content; `body` and `foot` are HTML, `title` is text."""
    style = (importlib.resources.files("renderer") / "static" / "report.css").read_text("utf-8")
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"><meta name='viewport' "
        f"content='width=device-width, initial-scale=1'><meta name='color-scheme' content='light dark'><title>{e(title)}</title>"
        f"<style>{style}</style></head><body><main>{body}</main><footer>{foot}</footer></body></html>\n"
    )


def badge(word: str) -> str:
    kind, sign = KINDS.get(word, ("none", "?"))
    return f"<span class='badge {kind}'><span aria-hidden='true'>{sign}</span> {e(word)}</span>"


def _head(n: dict[str, Any]) -> str:
    said = n["verdict"]
    running = (
        f" <span class='badge none'>{e(said['ending'])}</span>" if said["ending"] in ("running", "stalled") else ""
    )
    more = "".join(f"<li>{e(text)}</li>" for text in said["evidence"])
    return (
        f"<p class='eyebrow'>Training report</p><h1>{e(n['facts']['session'])}</h1><section class='verdict' aria-label='Verdict'>"
        f"<p class='badges'>{badge(said['word'])}{running}</p><p class='said'>{e(said['sentence'])}</p>{f'<ul>{more}</ul>' if more else ''}"
        f"<details><summary>How this was decided</summary><p>\u201c{e(said['course'])}\u201d: {e(said['rule'])}. Numbers after \u00b1 are standard "
        "errors of means, which allow for neighbouring values that resemble each other; a difference is clear when it is more than three of its own standard "
        "errors (four where the best of several windows is compared) and more than the smallest change that counts.</p></details></section>"
    )


def _tiles(n: dict[str, Any]) -> str:
    f, o, counts = n["facts"], n["objective"], n["alerts"]["counts"]
    tiles = [("Duration", wording.span(f["duration_s"]), f["state"])]
    if f["last_step"] is not None:
        tiles.append(("Last step", wording.step(f["last_step"]), wording.count(f["data_records"], "record")))
    if o and "last" in o:
        name = o["metric"]
        tiles.append(
            (
                f"{name}, last tenth",
                wording.measured(o["last"]["mean"], o["last"]["standard_error"]),
                wording.count(o["last"]["records"], "value"),
            )
        )
        around = wording.step(round((o["best"]["from_step"] + o["best"]["to_step"]) / 2))
        tiles.append(
            (
                f"{name}, best",
                wording.measured(o["best"]["mean"], o["best"]["standard_error"]),
                f"mean of {o['best']['records']:,} around step {around}",
            )
        )
    if n["alerts"]["source"] == "unknown":
        tiles.append(("Alerts", "not known", "nobody looked"))
    else:
        parts = [
            f"{counts[level]} {word}"
            for level, word in (("ERROR", "critical"), ("WARNING", "moderate"), ("INFO", "info"))
            if counts[level]
        ]
        tiles.append(("Alerts", str(sum(counts.values())), ", ".join(parts) or "none raised"))
    cells = "".join(
        f"<div><dt>{e(name)}</dt><dd>{e(value)}<small>{e(note)}</small></dd></div>" for name, value, note in tiles
    )
    return f"<dl class='tiles'>{cells}</dl>"


def _findings(n: dict[str, Any]) -> str:
    active = n["verdict"]["ending"] in ("running", "stalled")
    out = [f"<h2>Findings</h2><p class='soft'>{e(n['alerts']['said'])}</p>"]
    out += [_finding(one, active) for one in n["findings"]]
    if n["findings_left_out"]:
        out.append(
            f"<p class='soft'>{wording.count(n['findings_left_out'], 'more is', 'more are')} in the JSON beside this page.</p>"
        )
    return "".join(out)


def _finding(one: dict[str, Any], active: bool) -> str:
    where = " \u00b7 ".join(part for part in (one["metric"], one["component"]) if part)
    lines = [("When", findings.when(one)), ("Why it matters", one["why"]), ("What to do", one["action"])]
    numbers = ", ".join(f"{name} {value}" for name, value in findings.numbers(one))
    lines += [
        ("Numbers", numbers),
        ("Also", "; ".join(one["corroborating"])),
        ("Explained by", wording.rule_name(one["silenced_by"])),
        ("In the end", one["outcome"]),
        ("Rule", one["rule"] if one["alert"] else ""),
    ]
    told = "".join(f"<dt>{name}</dt><dd>{e(text)}</dd>" for name, text in lines if text)
    return (
        f"<article class='finding {one['worst']}'><div><h3><span class='level {one['worst']}'>{_LEVEL_WORDS[one['worst']]}</span> {e(one['title'])}"
        f"<small>{e(where)}</small> <span class='state'>{findings.state_text(one, active)}</span></h3><p>{e(one['message'])}</p><dl>{told}</dl></div>"
        f"{charts.evidence(one)}</article>"
    )


def _timeline(made: Analysis) -> str:
    told = [one for one in made.numbers["findings"] if one["onset_step"] is not None]
    rows = [row for place in (0, 2) for row in made.panels[place]["rows"] if row["id"] in ("loss", "reward")]
    drawn = next((svg for svg in (charts.timeline(row, told) for row in rows) if svg), "") if told else ""
    return f"<h2>Alerts over time</h2>{drawn}" if drawn else ""


def _panel(made: Analysis, place: int) -> str:
    panel = made.panels[place]
    drawn = "".join(charts.row(row, panel["marks"], _TONES[place] + i) for i, row in enumerate(panel["rows"]))
    body = drawn or f"<p class='soft'>{e(panel['empty'] or 'Nothing finite to draw.')}</p>"
    hint = f"<p class='soft'>{e(panel['hint'])}</p>" if drawn else ""
    return f"<h2>{e(panel['title'])}</h2>{hint}<div class='charts'>{body}</div>"


def metric_table(metrics: Sequence[dict[str, Any]]) -> str:
    """The table of metrics, those with values that were not finite marked in words."""

    def bad(m: dict[str, Any]) -> str:
        if not m["not_finite"]:
            return ""
        return f"\u00d7 {m['not_finite']:,} <small>first by step {wording.step(m['not_finite_first_step'])}</small>"

    def at(value: Any, step: Any) -> str:
        return "-" if value is None else f"{wording.number(value)} <small>at {wording.step(step)}</small>"

    def ends(value: Any) -> str:
        return e(value) if isinstance(value, str) else wording.number(value)

    def named(m: dict[str, Any]) -> str:
        return " \u00b7 ".join(e(part) for part in (m["metric"], m["component"]) if part)

    some_bad = any(m["not_finite"] for m in metrics)
    rows = [
        [f"{named(m)} <small>{e(m['category'])}</small>", f"{m['records']:,}",
         ends(m["first"]), ends(m["last"]), e(wording.measured(m["last_tenth"], m["last_tenth_error"])),
         f"{at(m['best'], m['best_step'])} <small>({'high' if m['better'] == 'higher' else 'low'})</small>" if m["best"] is not None else "",
         at(m["min"], m["min_step"]), at(m["max"], m["max_step"]), *([bad(m)] if some_bad else [])]
        for m in metrics
    ]  # fmt: skip
    heads: tuple[str, ...] = (
        "Metric",
        "Records",
        "First",
        "Last",
        "Mean of the last tenth",
        "Best mean of a twentieth",
        "Min",
        "Max",
    )
    heads += ("Not finite",) if some_bad else ()
    return (
        table("All metrics", heads, rows, "l" + "r" * 7 + "l" * some_bad)
        if rows
        else "<p class='soft'>No number was logged.</p>"
    )


def table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A table of cells that are HTML; `align` has l or r for each column, the first two columns are its row's headings."""
    head = "".join(f"<th scope='col' class='{side}'>{text}</th>" for text, side in zip(heads, align, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td class='{side}'>{cell}</td>" for cell, side in zip(row, align, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<div class='scroll' tabindex='0' role='region' aria-label='{e(label)}'><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"


def _facts(f: dict[str, Any]) -> str:
    out = "<h2>Facts of the run</h2><dl class='facts'>" + pairs(facts.shown(f)) + "</dl>"
    if f["config"]:
        settings = pairs((name, "none" if value is None else str(value)) for name, value in f["config"].items())
        out += f"<h2>Configuration</h2><dl class='facts config'>{settings}</dl>"
    if f["texts"]:
        out += f"<h2>Texts, as they were last logged</h2><dl class='facts config'>{pairs(f['texts'].items())}</dl>"
    return out


def pairs(found: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<dt>{e(name)}</dt><dd>{e(text)}</dd>" for name, text in found)
