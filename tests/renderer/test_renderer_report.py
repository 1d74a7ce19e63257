"""The report: the numbers against the records, the page complete in itself."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from renderer_runs import Run, realistic

from contract import names
from renderer.report import NoSuchSession, write_report


def test_numbers_are_those_of_the_records(tmp_path: Path) -> None:
    """Counts, extremes, means and non-finite values in the JSON are those of the lines; the HTML names the verdict."""
    run = Run(tmp_path, "s", at=1000.0)
    run.start()
    losses = [3.0, 2.0, math.nan, 1.0, 0.5]
    for step, loss in enumerate(losses):
        run.at += 1
        run.write("training", step, loss=loss)
    for step in (1, 3):
        run.alert("gradient_explosion", "ERROR", step, "too <b>big</b>", source="gradients", metric="grad_norm")
    run.end()
    path = write_report(tmp_path, "s")
    found = json.loads(path.with_suffix(".json").read_text())
    (metric,) = found["metrics"]
    assert {k: metric[k] for k in ("first", "last", "min", "min_step", "max", "mean", "not_finite", "records")} == {
        "first": 3.0, "last": 0.5, "min": 0.5, "min_step": 4.0, "max": 3.0, "mean": 1.625, "not_finite": 1, "records": 5,
    }  # fmt: skip
    assert found["state"] == "finished" and found["duration_s"] == 5.0
    assert found["records"] == {"alerts": 2, "lifecycle": 2, "training": 5}
    (alert,) = found["alerts"]
    assert (alert["fired"], alert["first_step"], alert["last_step"]) == (2, 1, 3) and alert["explanation"]
    assert "Critical alerts: gradient explosion" in found["verdict"] and "1 values were" not in found["verdict"]
    text = path.read_text()
    assert "<svg" in text and "<script" not in text and "http" not in text.replace("http-equiv", "")
    assert "<b>big" not in text


def test_report_of_a_long_run_stays_small(tmp_path: Path) -> None:
    """A long file is read in bounded memory and drawn with at most a thousand points a series."""
    run = Run(tmp_path, "s", at=1000.0)
    realistic(run, 300)
    line = run.path("training").read_bytes()
    with open(run.path("training"), "ab") as file:
        for _ in range(130):
            file.write(line)
    tracemalloc.start()
    path = write_report(tmp_path, "s")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size < 500_000
    assert peak < 120e6
    assert json.loads(path.with_suffix(".json").read_text())["records"]["training"] == 131 * 300


def test_empty_and_unknown_sessions(tmp_path: Path) -> None:
    """A session without records has a report that says so; an unknown one or a bad name is refused by name."""
    run = Run(tmp_path, "s")
    run.start()
    assert "without a single record" in write_report(tmp_path, "s").read_text()
    with pytest.raises(NoSuchSession, match="the newest there: s"):
        write_report(tmp_path, "t")
    with pytest.raises(names.NameRefused):
        write_report(tmp_path, "../s")


def test_a_report_needs_no_chart_library(tmp_path: Path) -> None:
    """Importing and writing a report loads neither plotly nor matplotlib."""
    Run(tmp_path, "s").write("training", 1, loss=1.0)
    code = (
        "import sys; from pathlib import Path; from renderer.report import write_report\n"
        f"write_report(Path({str(tmp_path)!r}), 's')\n"
        "assert not {'plotly', 'matplotlib', 'zmq'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60)
