"""The report as Markdown, for tickets and chats: the same words and numbers, without the charts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from renderer import wording
from renderer.report import facts, findings

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")


def text(value: object) -> str:
    """Text from outside on one line, harmless in Markdown and in the HTML that it becomes."""
    return (
        _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))
        .replace("\\&", "&amp;")
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
    )


def page(n: dict[str, Any]) -> str:
    """The numbers of `renderer.report.analysis` as Markdown."""
    f, said = n["facts"], n["verdict"]
    active = said["ending"] in ("running", "stalled")
    out = [
        f"# Training report: {text(f['session'])}",
        "",
        f"**{text(said['word'])}** ({text(said['ending'])})",
        "",
        text(said["sentence"]),
        "",
    ]
    out += [f"- {text(one)}" for one in said["evidence"]]
    out += ["", f"Rule: {text(said['rule'])}.", "", "## Findings", "", text(n["alerts"]["said"]), ""]
    for one in n["findings"]:
        out += _finding(one, active)
    if n["findings_left_out"]:
        out += [f"{wording.count(n['findings_left_out'], 'more is', 'more are')} in the JSON.", ""]
    out += ["## Metrics", "", *metric_table(n["metrics"]), "", "## Facts of the run", ""]
    out += table(("Fact", "Value"), facts.shown(f))
    if f["config"]:
        out += [
            "",
            "## Configuration",
            "",
            *table(("Setting", "Value"), ((name, str(value)) for name, value in f["config"].items())),
        ]
    return "\n".join([*out, "", f"Written {f['written']}."]) + "\n"


def _finding(one: dict[str, Any], active: bool) -> list[str]:
    where = ", ".join(text(part) for part in (one["metric"], one["component"]) if part)
    lines = [
        f"### {one['worst']}: {text(one['title'])}{f' ({where})' if where else ''}, {findings.state_text(one, active)}",
        "",
    ]
    if one["message"]:
        lines += [text(one["message"]), ""]
    numbers = ", ".join(f"{name} {value}" for name, value in findings.numbers(one))
    told = [
        ("When", findings.when(one)),
        ("Why it matters", one["why"]),
        ("What to do", one["action"]),
        ("Numbers", numbers),
    ]
    told += [("Also", said) for said in one["corroborating"]]
    told += [
        ("Explained by", wording.rule_name(one["silenced_by"])),
        ("In the end", one["outcome"]),
        ("Rule", one["rule"] if one["alert"] else ""),
    ]
    return [*lines, *(f"- {name}: {text(said)}" for name, said in told if said), ""]


def metric_table(metrics: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        (m["category"], " ".join(part for part in (m["metric"], m["component"]) if part), f"{m['records']:,}", _ends(m["first"]), _ends(m["last"]),
         wording.measured(m["last_tenth"], m["last_tenth_error"]),
         f"{wording.number(m['best'])} at {wording.step(m['best_step'])}" if m["best"] is not None else "",
         wording.number(m["min"]), wording.number(m["max"]), f"{m['not_finite']:,}" if m["not_finite"] else "")
        for m in metrics
    ]  # fmt: skip
    return table(
        (
            "Category",
            "Metric",
            "Records",
            "First",
            "Last",
            "Mean of the last tenth",
            "Best mean of a twentieth",
            "Min",
            "Max",
            "Not finite",
        ),
        rows,
    )


def _ends(value: Any) -> str:
    return value if isinstance(value, str) else wording.number(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; cells are text."""
    out = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return out + ["| " + " | ".join(text(cell) for cell in row) + " |" for row in rows]
