"""The report: its numbers against the records, the page complete in itself, the same words as Markdown, a PNG."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from renderer_runs import ROOT_ID, Run, realistic

from contract import names
from renderer.report import Judged, NoSuchSession, numbers, write_report

HOSTILE = "</script><img src=x onerror=\"alert(1)\"><a href='javascript:1'>x</a>\u2028[y](javascript:2) `<b>`"
ALERT: dict[str, Any] = {"rule": "loss_divergence", "level": "ERROR", "state": "firing", "message": "it rose", "metric": "loss", "value": 2.0,
                         "source": "training", "producer": ROOT_ID, "step": 3, "timestamp": 1003.0}  # fmt: skip


def written(base: Path, session: str = "s", **more: Any) -> dict[str, Any]:
    path = write_report(base, session, **more)
    found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return found


def test_numbers_are_those_of_the_records(tmp_path: Path) -> None:
    """Counts, extremes, means and non-finite values in the JSON are those of the lines."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start(config={"lr": 3e-4, "net": {"sizes": [64, 64]}}, python="3.11", version="0.1")
    losses = [3.0, 2.0, math.nan, 1.0, 0.5]
    for step, loss in enumerate(losses):
        run.at += 1
        run.write("training", step, loss=loss)
    for step in (1, 3):
        run.alert("gradient_explosion", "ERROR", step, "too <b>big</b>", source="gradients", metric="grad_norm")
    run.end()
    found = written(tmp_path)
    (metric,) = found["metrics"]
    assert {k: metric[k] for k in ("first", "last", "min", "min_step", "max", "mean", "not_finite", "records", "last_tenth")} == {
        "first": 3.0, "last": 0.5, "min": 0.5, "min_step": 4.0, "max": 3.0, "mean": 1.625, "not_finite": 1, "records": 5, "last_tenth": 0.5,
    }  # fmt: skip
    facts = found["facts"]
    assert (
        facts["state"] == "finished"
        and facts["duration_s"] == 5.0
        and facts["config"] == {"lr": 3e-4, "net.sizes": "[64, 64]"}
    )
    assert facts["records"] == {"alerts": 2, "lifecycle": 2, "training": 5} and (
        facts["first_step"],
        facts["last_step"],
    ) == (0.0, 4)
    alert = found["findings"][0]
    assert (alert["episodes"], alert["worst"], alert["first_step"]) == (1, "ERROR", 1.0)
    assert found["alerts"]["counts"] == {"ERROR": 1, "WARNING": 0, "INFO": 0}
    assert (
        found["verdict"]["word"] == "too little data to say"
        and "4 finite values of loss" in found["verdict"]["sentence"]
    )


def test_structure_of_json_and_markdown(tmp_path: Path) -> None:
    """The parts that programs and people look for are there, under their names and in their order."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start(config={"seed": 1})
    realistic(run, 400)
    run.write("alerts", 3, "bbbbbbbbbbbb", **{k: v for k, v in ALERT.items() if k not in ("step", "timestamp")})
    run.end()
    found = written(tmp_path)
    assert list(found) == ["verdict", "facts", "objective", "alerts", "findings", "findings_left_out", "metrics"]
    assert set(found["verdict"]) == {"word", "course", "ending", "rule", "sentence", "evidence"}
    assert found["objective"]["metric"] == "episode_reward" and set(found["objective"]["last"]) == {
        "from_step", "to_step", "records", "mean", "standard_error",
    }  # fmt: skip
    assert {"first", "last", "best", "best_step", "last_tenth", "min", "max", "not_finite", "better"} <= set(
        found["metrics"][0]
    )
    text = (tmp_path / "report_s.md").read_text()
    heads = re.findall(r"^#+ .*$", text, re.M)
    assert (
        heads[:2] == ["# Training report: s", "## Findings"]
        and "### ERROR: loss divergence (loss), not resolved when the run ended" in heads
    )
    assert heads[-3:] == ["## Metrics", "## Facts of the run", "## Configuration"]
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in table) and any("approx\\_kl" in line for line in table)


def test_mean_of_the_last_tenth_and_best_are_those_of_the_values(tmp_path: Path) -> None:
    """Against numpy over the values themselves, with and without a direction known by name."""
    random = np.random.default_rng(3)
    values = np.linspace(5, 1, 400) + random.normal(0, 0.2, 400)
    run = Run(tmp_path, "s", at=1000.0)
    for step, value in enumerate(values):
        run.write("training", 10 * step, loss=float(value), gadget=float(value))
    gadget, loss = written(tmp_path)["metrics"]
    assert loss["last_tenth"] == pytest.approx(values[-40:].mean()) == gadget["last_tenth"]
    means = values.reshape(20, 20).mean(1)
    assert loss["best"] == pytest.approx(means.min()) and loss["better"] == "lower"
    assert 10 * 20 * int(means.argmin()) <= loss["best_step"] <= 10 * 20 * (int(means.argmin()) + 1)
    assert gadget["best"] is None and gadget["better"] is None


def test_what_is_said_of_alerts_depends_on_who_looked(tmp_path: Path) -> None:
    """Stored, computed for the report, nothing found by the rules, and nobody looked are four different sentences."""
    run = Run(tmp_path, "s", at=1000.0)
    for step in range(30):
        run.write("training", step, loss=1.0)
    assert numbers(tmp_path, "s")["alerts"] | {"rows": []} == {
        "source": "unknown", "judged_records": None, "counts": {"ERROR": 0, "WARNING": 0, "INFO": 0}, "rows": [],
        "said": "Not known: no analyzer stored any alert of this session, and the rules were not run for this report.",
    }  # fmt: skip
    quiet = numbers(tmp_path, "s", Judged([]))["alerts"]
    assert (
        quiet["source"] == "computed"
        and "rules were run over the records for this report and found nothing" in quiet["said"]
    )
    found = numbers(tmp_path, "s", Judged([ALERT]))
    assert "found 1 alert (1 critical)" in found["alerts"]["said"] and found["findings"][0]["message"] == "it rose"
    run.alert("stagnation", "INFO", 9, "no change")
    stored = numbers(tmp_path, "s", Judged([ALERT]))
    assert stored["alerts"]["said"] == "1 alert (1 worth knowing), as the analyzer stored them."
    assert [one["rule"] for one in stored["findings"]] == ["stagnation"]


def test_a_report_that_is_written_again_keeps_what_the_rules_found(tmp_path: Path) -> None:
    """The renderer rewrites a report when its session has ended; alerts computed before are told again, up to where they were judged."""
    run = Run(tmp_path, "s")
    for step in range(30):
        run.write("training", step, loss=1.0)
    written(tmp_path, judged=Judged([ALERT, {**ALERT, "state": "resolved", "step": 9}]))
    for step in range(30, 50):
        run.write("training", step, loss=1.0)
    again = written(tmp_path)
    assert again["alerts"]["source"] == "computed" and again["alerts"]["judged_records"] == 30
    assert "The 20 records since then were not judged." in again["alerts"]["said"]
    assert again["findings"][0]["episodes"] == 1 and again["findings"][0]["state"] == "resolved"
    assert written(tmp_path)["findings"] == again["findings"]


def test_a_resumed_run_is_one_run(tmp_path: Path) -> None:
    """Two processes after one another: metrics joined with a gap, counts added up, the state that of the last."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start(config={"lr": 1.0})
    for step in range(100):
        run.at += 1
        run.write("training", step, loss=2.0)
    run.end("interrupted")
    second = Run(tmp_path, "s", producer="cccccccccccc", at=run.at + 50)
    second.start(config={"lr": 0.5})
    for step in range(80, 200):
        second.at += 1
        second.write("training", step, loss=1.0 if step < 199 else math.nan)
    second.end()
    found = written(tmp_path)
    (metric,) = found["metrics"]
    assert (metric["records"], metric["first"], metric["last"], metric["not_finite"]) == (220, 2.0, "NaN", 1)
    assert (metric["max"], metric["min"], metric["min_step"], metric["not_finite_at_end"]) == (2.0, 1.0, 80.0, 1)
    facts = found["facts"]
    assert (
        facts["state"] == "finished"
        and facts["resumed"]
        and facts["config"] == {"lr": 0.5}
        and facts["duration_s"] == 270.0
    )
    assert [one["status"] for one in facts["attempts"]] == ["interrupted", "finished"]
    assert found["verdict"]["word"] == "learned, then plateaued" and any(
        "resumed 1 time;" in said for said in found["verdict"]["evidence"]
    )


def test_processes_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    """Two trainers whose lives overlap are no resumed run: each keeps its metrics."""
    run, other = Run(tmp_path, "s", at=1000.0), Run(tmp_path, "s", producer="cccccccccccc", at=1001.0)
    run.start()
    other.start()
    for step in range(5):
        run.at = other.at = 1002.0 + step
        run.write("training", step, loss=1.0)
        other.write("training", step, loss=2.0)
    run.beat()
    other.beat()
    found = written(tmp_path)
    assert len(found["metrics"]) == 2 and not found["facts"]["resumed"] and len(found["facts"]["attempts"]) == 2


def test_text_from_outside_is_inert(tmp_path: Path) -> None:
    """Hostile metrics, hosts, errors, settings and alerts stay text in the page and in Markdown, and the page asks for nothing."""
    run = Run(tmp_path, "s")
    run.write("lifecycle", 0, event="start", host=HOSTILE, argv0=HOSTILE, config={HOSTILE: HOSTILE})
    for step in range(30):
        run.write("training", step, **{"loss": 1.0, HOSTILE: float(step), "note": HOSTILE})
        run.write("gradients", step, component=HOSTILE, grad_norm=2.0)
    run.write("alerts", 5, "bbbbbbbbbbbb", rule=HOSTILE, level="ERROR", state="firing", message=HOSTILE, action=HOSTILE, metric=HOSTILE,
              evidence={"metric": HOSTILE, "steps": [1, 2], "values": [HOSTILE, 2.0]}, corroborating=[HOSTILE], silenced_by=HOSTILE)  # fmt: skip
    run.end("failed", HOSTILE)
    path = write_report(tmp_path, "s")
    text = path.read_text("utf-8")
    tags = set(re.findall(r"<\s*([a-zA-Z]+)", text))
    assert not tags & {"script", "img", "a", "b", "iframe", "link", "object"}
    assert not re.search(r"(src|href|url)\s*[=(]", re.sub(r"&lt;.*?&gt;", "", text)) and "@import" not in text
    assert "default-src 'none'" in text and "http:" not in text and "https:" not in text
    markdown = path.with_suffix(".md").read_text("utf-8")
    assert not re.search(r"<[a-zA-Z/]", markdown) and "](javascript" not in markdown.replace("\\](", "")
    assert all(
        line.count("|") - line.count("\\|") == 3
        for line in markdown.split("## Configuration")[1].splitlines()
        if line.startswith("|")
    )


def test_charts_say_what_they_show(tmp_path: Path) -> None:
    """Each picture has a role and a text with its numbers, NaN included; marks of alerts and lanes are in it."""
    run = Run(tmp_path, "s", at=1000.0)
    realistic(run, 2700)
    run.alert("gradient_explosion", "ERROR", 2600, "too big", source="gradients", metric="grad_norm")
    text = write_report(tmp_path, "s").read_text("utf-8")
    pictures = re.findall(r"<svg[^>]*>.*?</svg>", text)
    assert len(pictures) > 8 and all(
        'role="img"' in one and re.search(r"<desc>[^<]{10,}</desc>", one) for one in pictures
    )
    loss = next(one for one in pictures if 'aria-label="Loss.' in one)
    assert "2 values not finite" in loss and "&times;" in loss and "lowest" in loss
    lanes = next(one for one in pictures if "Alerts over time" in one)
    assert "critical: gradient explosion from step 2,600" in lanes and 'class="bar ERROR"' in lanes


def test_report_of_a_long_run_stays_small(tmp_path: Path) -> None:
    """A long file is read in bounded memory and drawn with at most a thousand points a series, in less than 1 MB."""
    run = Run(tmp_path, "s", at=1000.0)
    realistic(run, 300)
    for category in ("training", "gradients"):
        lines = run.path(category).read_bytes()
        with open(run.path(category), "ab") as file:
            for _ in range(130):
                file.write(lines)
    tracemalloc.start()
    path = write_report(tmp_path, "s")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size < 1_000_000 and path.with_suffix(".md").stat().st_size < 100_000
    assert peak < 120e6
    assert json.loads(path.with_suffix(".json").read_text())["facts"]["records"]["training"] == 131 * 300
    longest = max(path.read_text().split("<path"), key=len)
    assert len(re.findall(r"[ML]", longest)) <= 1100


def test_empty_and_unknown_sessions(tmp_path: Path) -> None:
    """A session without records has a report that says so; an unknown one is refused with the nearest, a bad name with the rule."""
    run = Run(tmp_path, "cartpole_1")
    run.start()
    path = write_report(tmp_path, "cartpole_1", judged=Judged([]))
    assert (
        "nothing was logged" in path.read_text() and "nothing yet for an analyzer or for the rules" in path.read_text()
    )
    with pytest.raises(NoSuchSession, match=r"did you mean 'cartpole_1'\? the newest there: cartpole_1"):
        write_report(tmp_path, "cartpol_1")
    with pytest.raises(NoSuchSession, match=r"the newest there: none"):
        write_report(tmp_path / "no", "t")
    with pytest.raises(names.NameRefused):
        write_report(tmp_path, "../s")


def test_endings_are_told(tmp_path: Path) -> None:
    """A failure's error, an interruption and a run that goes on are in the first words of the sentence."""
    for name, ending, begin in (
        ("failed", ("failed", "ValueError: boom"), "Crashed at step 39 (ValueError: boom). Until then, "),
        ("stopped", ("interrupted", None), "Stopped early at step 39. Until then, "),
        ("live", None, "So far, "),
    ):
        run = Run(tmp_path, name, at=time.time() - 5)
        run.start()
        for step in range(40):
            run.write("training", step, loss=1.0)
        if ending:
            run.end(*ending)
        assert written(tmp_path, name)["verdict"]["sentence"].startswith(begin)


def test_a_picture_is_a_png_of_its_size(tmp_path: Path) -> None:
    """Format png gives a PNG of 1400 x 860 pixels, hostile names and values at the limits of floats included, and nothing else."""
    pytest.importorskip("matplotlib")
    run = Run(tmp_path, "s", at=1000.0)
    for step, value in enumerate([1e308, -1e308, math.nan, 0.0, 1e-320]):
        run.write("training", step, **{"loss": value, "$x_{": value, HOSTILE: value})
    path = write_report(tmp_path, "s", form="png")
    data = path.read_bytes()
    assert path.name == "report_s.png" and data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1400, 860)
    assert not list(tmp_path.glob("report_s.[hjm]*"))


def test_where_a_report_goes(tmp_path: Path) -> None:
    """A folder takes the usual names, a file its own; a session with dots keeps them; nothing temporary stays."""
    Run(tmp_path, "run.v1.5").write("training", 1, loss=1.0)
    out = tmp_path / "out"
    out.mkdir()
    assert write_report(tmp_path, "run.v1.5", target=out) == out / "report_run.v1.5.html"
    assert sorted(path.name for path in out.iterdir()) == [f"report_run.v1.5.{end}" for end in ("html", "json", "md")]
    assert (
        write_report(tmp_path, "run.v1.5", form="md", target=out / "x.txt").read_text().startswith("# Training report")
    )
    write_report(tmp_path, "run.v1.5", target=out / "y.html")
    assert {"x.txt", "y.html", "y.json", "y.md"} <= {path.name for path in out.iterdir()} and not list(out.glob(".*"))
    with pytest.raises(ValueError, match="expected one of html, md, json, png"):
        write_report(tmp_path, "run.v1.5", form="pdf")


def test_a_report_needs_no_chart_library(tmp_path: Path) -> None:
    """Importing and writing a report loads neither plotly nor matplotlib."""
    Run(tmp_path, "s").write("training", 1, loss=1.0)
    code = (
        "import sys; from pathlib import Path; from renderer.report import write_report\n"
        f"write_report(Path({str(tmp_path)!r}), 's')\n"
        "assert not {'plotly', 'matplotlib', 'zmq', 'analyzer'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60)


def test_examples_in_docstrings_hold() -> None:
    """The examples of the pure parts give what they say."""
    import doctest

    from renderer import wording
    from renderer.report import facts, metrics, stats

    for module in (facts, metrics, stats, wording):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed, module.__name__
