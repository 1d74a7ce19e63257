"""One session as plain data: rows are asserted, not HTML."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from renderer_runs import ROOT_ID, Run, realistic

from contract import settings as shared
from renderer import find, panels
from renderer.session import Session

CHILD = f"{ROOT_ID}-1a2b3c4d"


def opened(run: Run, **more: Any) -> Session:
    session = Session(run.base, run.name, **more)
    for category, path in find.sessions(run.base)[run.name].files.items():
        session.add_file(category, path)
    while session.poll()[1]:
        pass
    return session


def described(run: Run, now: float | None = None, **config: Any) -> dict[str, Any]:
    return panels.describe(opened(run), {**shared.defaults(), **config}, run.at if now is None else now)


def test_four_panels_hold_the_metrics_users_know(tmp_path: Path) -> None:
    """Loss and rate, norm and zeros, reward and length, and the usual training metrics open before the others."""
    run = Run(tmp_path, "s")
    run.start()
    realistic(run, 120)
    data = described(run)
    rows = {p["id"]: [r["id"] for r in p["rows"]] for p in data["panels"]}
    assert rows["loss"] == ["loss", "rate"]
    assert rows["gradients"] == ["norm", "zeros"]
    assert rows["rewards"] == ["reward", "length"]
    assert [r["id"] for r in data["panels"][3]["rows"] if r["open"]] == [
        "training/policy_loss", "training/value_loss", "training/entropy_loss", "training/explained_variance",
    ]  # fmt: skip
    norm = data["panels"][1]["rows"][0]
    assert [s["name"] for s in norm["series"]] == ["grad_norm", "actor", "critic"]
    assert norm["log"] and norm["lines"][0]["y"] == 10.0
    assert [a["name"] for a in data["panels"][2]["rows"][0]["series"][0]["averages"]] == [
        "average of 20",
        "average of 100",
    ]
    assert data["header"]["state"] == "running" and data["header"]["step"] == 119


def test_components_are_found_however_they_are_logged(tmp_path: Path) -> None:
    """`component=`, `grad_norm_<part>` and nested `components` all become lines beside the whole model's norm."""
    run = Run(tmp_path, "s")
    run.write("gradients", 1, grad_norm=1.0, grad_norm_max=4.0, grad_norm_actor=2.0, grad_zeros_ratio_actor=0.5)
    run.write("gradients", 2, component="critic", grad_norm=3.0)
    run.write("gradients", 3, components={"head": {"grad_norm": 0.5}})
    gradients, metrics = described(run)["panels"][1::2]
    assert [s["name"] for s in gradients["rows"][0]["series"]] == ["grad_norm", "actor", "critic", "head"]
    assert [s["name"] for s in gradients["rows"][1]["series"]] == ["actor"]
    assert [r["label"] for r in metrics["rows"]] == ["grad_norm_max (gradients)"]


def test_settings_change_windows_and_limits(tmp_path: Path) -> None:
    """The gradient limits of the monitor are the lines of the panel."""
    run = Run(tmp_path, "s")
    run.write("gradients", 1, grad_norm=1.0, grad_zeros_ratio=0.1)
    lines = described(run, gradient_threshold_high=8.0)["panels"][1]["rows"][0]["lines"]
    assert [line["y"] for line in lines] == [8.0, 1e-8]


def test_nothing_logged_is_said_in_words(tmp_path: Path) -> None:
    """A session that has only started shows sentences, no empty axes."""
    run = Run(tmp_path, "s")
    run.start()
    data = described(run)
    assert all(p["empty"] and not p["rows"] for p in data["panels"])
    assert "waiting for records" in data["header"]["reason"]


def test_states_are_honest(tmp_path: Path) -> None:
    """Stalled, crashed, failed and interrupted sessions say what is known of them, and how."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start()
    run.write("training", 1, loss=1.0)
    assert described(run, 1005.0)["header"]["state"] == "running"
    assert described(run, 1030.0)["header"]["state"] == "crashed"
    run.at = 1080.0
    run.beat(dropped=3)
    stalled = described(run, 1081.0)["header"]
    assert stalled["state"] == "stalled" and stalled["dropped"] == 3 and "dropped" in stalled["notes"][0]
    run.end("failed", "ValueError: boom")
    failed = described(run, 1082.0)["header"]
    assert failed["state"] == "crashed" and "boom" in failed["reason"] and failed["ended"] == 1080.0


def test_several_producers_get_a_line_each(tmp_path: Path) -> None:
    """A forked child's loss is a series of its own, named as a child, after the trainer's."""
    run = Run(tmp_path, "s")
    run.start()
    for step in range(5):
        run.write("training", step, CHILD, loss=2.0)
        run.write("training", step, loss=1.0)
    row = described(run)["panels"][0]["rows"][0]
    assert [s["name"] for s in row["series"]] == ["loss", "loss · child 3c4d"]


def test_lines_without_producer_and_nested_metrics(tmp_path: Path) -> None:
    """Lines made by hand need no `_p`, `_q` nor step; nested dicts become dotted names; booleans are numbers."""
    (tmp_path / "training_hand.jsonl").write_text(
        '{"timestamp": 1, "step": 1, "loss": "NaN", "ok": true, "opt": {"beta": 0.9}, "note": "hi"}\n'
        '{"loss": "-Infinity"}\nnot json\n{"timestamp": 3, "step": 2, "loss": 0.5}\n'
    )
    session = opened(Run(tmp_path, "hand"))
    data = panels.describe(session, shared.defaults(), time.time())
    names = {t["name"]: t for t in data["table"]}
    assert names["loss"]["bad"] == 2 and names["loss"]["count"] == 3 and names["loss"]["first"] == "NaN"
    assert {"ok", "opt.beta"} <= set(names)
    assert data["texts"] == [{"name": "training.note", "text": "hi"}]
    assert session.broken_lines == 1 and "broken" in data["header"]["notes"][0]
    assert data["header"]["state"] == "finished"


def test_alerts_fade_when_over_and_stay_while_they_hold(tmp_path: Path) -> None:
    """A resolved alert leaves the page after its retention; a firing one does not; all are counted."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start()
    run.write("gradients", 5, grad_norm=20.0)
    run.alert("gradient_explosion", "ERROR", 5, "too big", source="gradients", metric="grad_norm")
    run.alert("stagnation", "INFO", 6, "no change")
    run.alert("gradient_explosion", "ERROR", 7, "over", state="resolved", source="gradients", metric="grad_norm")
    run.at += 4000
    run.beat()
    data = described(run, run.at)
    assert [a["rule"] for a in data["alerts"]["shown"]] == ["stagnation"]
    assert data["alerts"]["total"] == {"ERROR": 1, "WARNING": 0, "INFO": 1}
    assert [m["x"] for m in data["panels"][1]["marks"]] == [5]
    wide = described(run, run.at, alert_retention_minutes=120)
    assert {a["rule"]: a["resolved"] for a in wide["alerts"]["shown"]} == {
        "stagnation": None,
        "gradient_explosion": 1000.0,
    }


def test_series_are_bounded_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    """A thousand metrics do not make a thousand series; the metrics of the panels get theirs all the same."""
    run = Run(tmp_path, "s")
    run.write("training", 1, **{f"m{i}": float(i) for i in range(999)})
    run.write("training", 2, loss=math.pi)
    data = described(run)
    assert data["panels"][0]["rows"][0]["series"][0]["last"] == math.pi
    assert "more series" in " ".join(data["header"]["notes"])
    assert len(data["panels"][3]["rows"]) <= panels.MAX_OTHER_ROWS


def test_cut_and_replaced_files_are_read_anew(tmp_path: Path) -> None:
    """A truncated file counts once; a rotated one that goes on with later sequences keeps its history."""
    run = Run(tmp_path, "s")
    for step in range(10):
        run.write("training", step, loss=1.0)
    session = opened(run)
    run.path("training").rename(tmp_path / "old")
    run.write("training", 10, loss=2.0)
    session.poll()
    assert session.records["training"] == 11
    run.path("training").write_text('{"step": 1, "loss": 3.0}\n')
    session.poll()
    assert session.records["training"] == 1 and session.restarted_files == 2
    assert [s.last for s in session.series.values()] == [3.0]


def test_custom_categories_find_their_session(tmp_path: Path) -> None:
    """`my_own_<session>` belongs to a session known by its other files, whatever underscores both have."""
    run = Run(tmp_path, "cart_pole_20250101_000000")
    run.write("training", 1, loss=1.0)
    run.write("my_own", 1, depth=2.0)
    assert set(find.sessions(tmp_path)) == {"cart_pole_20250101_000000"}
    assert set(find.sessions(tmp_path)["cart_pole_20250101_000000"].files) == {"training", "my_own"}
