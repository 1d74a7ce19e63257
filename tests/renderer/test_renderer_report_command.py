"""`avaliacoes report` and `export_analysis_report()` as users run them: paths, exit codes, and reports at every time of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from renderer_runs import Run, realistic

from avaliacoes.real_time_logger import create_real_time_logger
from avaliacoes.real_time_monitor import create_monitor


def report(base: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "avaliacoes", "report", *words, "--base-path", str(base)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_the_path_alone_is_on_stdout(place: Path) -> None:
    """By default the newest session, its page's path on standard output and nothing else; --output and --format are heeded."""
    realistic(Run(place, "old", at=1000.0), 50)
    realistic(Run(place, "new"), 50)
    done = report(place)
    assert done.stdout == f"{place / 'report_new.html'}\n" and "running the rules" in done.stderr
    assert (place / "report_new.json").is_file() and (place / "report_new.md").is_file()
    out = place.parent / "here.md"
    assert report(place, "old", "--format", "md", "--output", str(out)).stdout == f"{out}\n"
    assert out.read_text().startswith("# Training report: old")


def test_json_prints_and_writes_nothing(place: Path) -> None:
    """--json gives the numbers of one session or of a comparison on standard output, and no file."""
    realistic(Run(place, "one"), 50)
    realistic(Run(place, "two"), 50)
    assert json.loads(report(place, "one", "--json").stdout)["facts"]["session"] == "one"
    both = json.loads(report(place, "one", "two", "--json").stdout)
    assert [found["session"] for found in both["sessions"]] == ["one", "two"]
    assert not list(place.glob("report_*"))


def test_several_sessions_make_one_comparison(place: Path) -> None:
    """The path of the comparison; a session named twice counts once."""
    realistic(Run(place, "one"), 60)
    realistic(Run(place, "two"), 60, seed=9)
    done = report(place, "one", "two", "one", "--no-rules")
    assert done.stdout == f"{place / 'report_compare_one_vs_two.html'}\n" and not done.stderr
    assert "report_one.html" not in {path.name for path in place.iterdir()}


def test_rules_are_run_only_where_nobody_looked(place: Path) -> None:
    """A session with a stored alert keeps it as it is; one without is judged, and the report says which."""
    run = Run(place, "bad", at=1000.0)
    for step in range(1200):
        run.write("gradients", step, grad_norm=1e12)
        run.write("training", step, loss=1.0)
    found = json.loads(report(place, "bad", "--json").stdout)
    assert found["alerts"]["source"] == "computed" and found["alerts"]["judged_records"] == 2400
    assert "gradient_explosion" in {one["rule"] for one in found["findings"]}
    assert json.loads(report(place, "bad", "--json", "--no-rules").stdout)["alerts"]["source"] == "unknown"
    run.alert("stagnation", "INFO", 9, "no change")
    done = report(place, "bad", "--json")
    assert [one["rule"] for one in json.loads(done.stdout)["findings"]] == ["stagnation"] and not done.stderr


def test_refusals_say_what_to_do(place: Path) -> None:
    """Unknown sessions name the nearest (1), impossible names and formats are wrong arguments (2), a missing folder is named (1)."""
    realistic(Run(place, "cartpole_1"), 10)
    assert "did you mean 'cartpole_1'" in report(place, "cartpol_1", code=1).stderr
    assert "did you mean" in report(place, "cartpole_1", "cartpole_2", code=1).stderr
    assert "refused" in report(place, "../x", code=2).stderr
    assert "choose from" in report(place, "cartpole_1", "--format", "pdf", code=2).stderr
    assert "make it first" in report(place, "cartpole_1", "--output", str(place / "no" / "x.html"), code=1).stderr
    assert "no session in" in report(place.parent / "empty", code=1).stderr


def test_a_picture_without_matplotlib_is_refused_in_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where matplotlib cannot be imported the other formats work, and png says what to install."""
    realistic(Run(place, "s"), 10)
    hidden = place.parent / "hidden"
    (hidden / "matplotlib").mkdir(parents=True)
    (hidden / "matplotlib" / "__init__.py").write_text("raise ImportError('No module named matplotlib')")
    monkeypatch.setenv("PYTHONPATH", f"{hidden}:{Path(__file__).resolve().parents[2]}")
    assert "pip install matplotlib" in report(place, "s", "--format", "png", code=1).stderr
    report(place, "s")


def test_monitor_reports_before_during_and_after(place: Path, until: Callable[..., bool]) -> None:
    """export_analysis_report() gives a page before any session, of a run that goes on, and of one that has ended."""
    monitor = create_monitor(place, refresh_interval=0.2)
    try:
        before = Path(monitor.export_analysis_report())
        assert "No records" in before.read_text("utf-8")
        monitor.start_monitoring()
        logger = create_real_time_logger(place)
        for step in range(200):
            logger.log_training_step(step, loss=2.0 / (step + 1))
        assert until(lambda: logger.get_real_time_stats()["persisted"] >= 200, 20)
        during = Path(monitor.export_analysis_report())
        assert during.name == f"report_{logger.session}.html"
        numbers = json.loads(during.with_suffix(".json").read_text())
        assert numbers["verdict"]["ending"] == "running" and numbers["verdict"]["sentence"].startswith("So far, ")
        assert numbers["facts"]["data_records"] == 200 and "still going on" in during.read_text("utf-8")
        logger.close()
    finally:
        monitor.stop_monitoring()
    after = Path(monitor.export_analysis_report())
    assert after == during
    numbers = json.loads(after.with_suffix(".json").read_text())
    assert numbers["verdict"]["ending"] == "finished" and numbers["facts"]["reason"] == "ended normally"
    assert after.with_suffix(".md").read_text().startswith("# Training report")
