"""The four panels of report and picture as plain data: rows are asserted, not HTML."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from renderer_runs import ROOT_ID, Run, opened, realistic

from contract import settings as shared
from renderer import panels
from renderer.report.facts import facts
from renderer.report.reading import read
from renderer.session import Session

CHILD = f"{ROOT_ID}-1a2b3c4d"


def described(run: Run, **config: Any) -> list[dict[str, Any]]:
    return panels.panels(opened(run, Session), {**shared.defaults(), **config})


def test_four_panels_hold_the_metrics_users_know(tmp_path: Path) -> None:
    """Loss and rate, norm and zeros, reward and length, and the usual training metrics open before the others."""
    run = Run(tmp_path, "s")
    run.start()
    realistic(run, 120)
    found = described(run)
    rows = {p["id"]: [r["id"] for r in p["rows"]] for p in found}
    assert rows["loss"] == ["loss", "rate"]
    assert rows["gradients"] == ["norm", "zeros"]
    assert rows["rewards"] == ["reward", "length"]
    assert [r["id"] for r in found[3]["rows"] if r["open"]] == [
        "training/policy_loss", "training/value_loss", "training/entropy_loss", "training/explained_variance",
    ]  # fmt: skip
    norm = found[1]["rows"][0]
    assert [s["name"] for s in norm["series"]] == ["grad_norm", "actor", "critic"]
    assert norm["log"] and norm["lines"][0]["y"] == 10.0
    assert [a["name"] for a in found[2]["rows"][0]["series"][0]["averages"]] == [
        "average of 20",
        "average of 100",
    ]


def test_components_are_found_however_they_are_logged(tmp_path: Path) -> None:
    """`component=`, `grad_norm_<part>` and nested `components` all become lines beside the whole model's norm."""
    run = Run(tmp_path, "s")
    run.write("gradients", 1, grad_norm=1.0, grad_norm_max=4.0, grad_norm_actor=2.0, grad_zeros_ratio_actor=0.5)
    run.write("gradients", 2, component="critic", grad_norm=3.0)
    run.write("gradients", 3, components={"head": {"grad_norm": 0.5}})
    gradients, metrics = described(run)[1::2]
    assert [s["name"] for s in gradients["rows"][0]["series"]] == ["grad_norm", "actor", "critic", "head"]
    assert [s["name"] for s in gradients["rows"][1]["series"]] == ["actor"]
    assert [r["label"] for r in metrics["rows"]] == ["grad_norm_max (gradients)"]


def test_settings_change_windows_and_limits(tmp_path: Path) -> None:
    """The gradient limits of the monitor are the lines of the panel."""
    run = Run(tmp_path, "s")
    run.write("gradients", 1, grad_norm=1.0, grad_zeros_ratio=0.1)
    lines = described(run, gradient_threshold_high=8.0)[1]["rows"][0]["lines"]
    assert [line["y"] for line in lines] == [8.0, 1e-8]


def test_nothing_logged_is_said_in_words(tmp_path: Path) -> None:
    """A session that has only started has sentences, no empty axes."""
    run = Run(tmp_path, "s")
    run.start()
    assert all(p["empty"] and not p["rows"] for p in described(run))


def test_several_producers_get_a_line_each(tmp_path: Path) -> None:
    """A forked child's loss is a series of its own, named as a child, after the trainer's."""
    run = Run(tmp_path, "s")
    run.start()
    for step in range(5):
        run.write("training", step, CHILD, loss=2.0)
        run.write("training", step, loss=1.0)
    row = described(run)[0]["rows"][0]
    assert [s["name"] for s in row["series"]] == ["loss", "loss · child 3c4d"]


def test_alerts_are_marked_where_they_fired(tmp_path: Path) -> None:
    """Each is a mark in the panel of what it speaks of, and its end is none."""
    run = Run(tmp_path, "s", at=1000.0)
    run.write("gradients", 5, grad_norm=20.0)
    run.alert("gradient_explosion", "ERROR", 5, "too big", source="gradients", metric="grad_norm")
    run.alert("stagnation", "INFO", 6, "no change")
    run.alert("gradient_explosion", "ERROR", 7, "over", state="resolved", source="gradients", metric="grad_norm")
    assert [[(m["x"], m["level"]) for m in p["marks"]] for p in described(run)] == [
        [(6, "INFO")],
        [(5, "ERROR")],
        [],
        [],
    ]


def test_series_are_bounded_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    """A thousand metrics do not make a thousand series; the metrics of the panels get theirs all the same."""
    run = Run(tmp_path, "s")
    run.write("training", 1, **{f"m{i}": float(i) for i in range(999)})
    run.write("training", 2, loss=math.pi)
    found = described(run)
    assert found[0]["rows"][0]["series"][0]["y"].tolist() == [np.float32(math.pi)]
    assert len(found[3]["rows"]) <= panels.MAX_OTHER_ROWS and "more are in the table below" in found[3]["hint"]
    assert facts(read(tmp_path, "s"), run.at)["series_not_followed"] > 700
