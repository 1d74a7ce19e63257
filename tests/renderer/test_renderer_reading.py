"""What page and report both know of a session: its state, what was lost, and what its files hold, however they were written."""

from __future__ import annotations

import math
from pathlib import Path

from renderer_runs import Run, opened

from renderer import find
from renderer.live import describe
from renderer.live.model import Model
from renderer.session import Session


def test_states_are_honest(tmp_path: Path) -> None:
    """Waiting, running, crashed, stalled and failed sessions say what is known of them, and how."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start()
    assert "waiting for records" in opened(run, Model).reason(1005.0)
    run.write("training", 1, loss=1.0)
    assert opened(run, Model).state(1005.0) == "running"
    silent = opened(run, Model)
    assert silent.state(1030.0) == "crashed" and "no sign of life" in silent.reason(1030.0)
    run.at = 1080.0
    run.beat(dropped=3, waiting=2)
    stalled = opened(run, Model)
    assert stalled.state(1081.0) == "stalled" and stalled.dropped == 3
    assert describe.notes(stalled, 1081.0) == ["3 records were dropped by the trainer because its buffers were full"]
    run.end("failed", "ValueError: boom")
    failed = opened(run, Model)
    told = describe.state(failed, 1082.0)
    assert (told["name"], told["ended"]) == ("crashed", 1080.0) and "boom" in told["text"]
    assert "2 records were waiting at the last heartbeat" in describe.notes(failed, 1082.0)


def test_lines_without_producer_and_nested_metrics(tmp_path: Path) -> None:
    """Lines made by hand need no `_p`, `_q` nor step; nested dicts become dotted names; booleans are numbers."""
    (tmp_path / "training_hand.jsonl").write_text(
        '{"timestamp": 1, "step": 1, "loss": "NaN", "ok": true, "opt": {"beta": 0.9}, "note": "hi"}\n'
        '{"loss": "-Infinity"}\nnot json\n{"timestamp": 3, "step": 2, "loss": 0.5}\n'
    )
    found = opened(Run(tmp_path, "hand"), Model)
    series = {key.metric: one for key, one in found.series.items()}
    loss = series["loss"]
    assert loss.bad == 2 and loss.count == 3 and math.isnan(loss.first) and loss.last == 0.5
    assert set(series) == {"loss", "ok", "opt.beta"}
    assert found.texts == {"training.note": "hi"}
    assert found.broken_lines == 1 and describe.notes(found, 5.0) == ["1 broken line was skipped"]
    assert found.state(1000.0) == "finished"


def test_series_of_a_page_are_bounded_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    """More metrics than can be followed are counted and told; the metrics that everybody has get theirs all the same."""
    run = Run(tmp_path, "s")
    run.write("training", 1, **{f"m{i}": float(i) for i in range(2_100)})
    run.write("training", 2, loss=math.pi)
    found = opened(run, Model)
    assert [one.last for key, one in found.series.items() if key.metric == "loss"] == [math.pi]
    assert "100 more series are in the files" in " ".join(describe.notes(found, run.at))


def test_an_alert_that_is_over_says_since_when(tmp_path: Path) -> None:
    """A resolved row bears the time of its end, a firing one none, and all that fired are counted: a page decides what fades."""
    run = Run(tmp_path, "s", at=1000.0)
    run.alert("gradient_explosion", "ERROR", 5, "too big", source="gradients", metric="grad_norm")
    run.alert("stagnation", "INFO", 6, "no change")
    run.at += 50
    run.alert("gradient_explosion", "ERROR", 7, "over", state="resolved", source="gradients", metric="grad_norm")
    told = describe.alerts(opened(run, Model), 1, 120.0)
    assert {row["rule"]: row.get("resolved_at") for row in told["rows"]} == {
        "stagnation": None,
        "gradient_explosion": 1050.0,
    }
    assert told["total"] == {"ERROR": 1, "WARNING": 0, "INFO": 1} and told["retention_minutes"] == 120.0


def test_cut_and_replaced_files_are_read_anew(tmp_path: Path) -> None:
    """A truncated file counts once; a rotated one that goes on with later sequences keeps its history."""
    run = Run(tmp_path, "s")
    for step in range(10):
        run.write("training", step, loss=1.0)
    session = opened(run, Session)
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
