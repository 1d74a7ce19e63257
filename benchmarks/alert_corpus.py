"""How the analyzer's rules do on labelled training runs: false alarms on healthy ones, broken ones caught.

    python benchmarks/alert_corpus.py --corpus DIR [--json] [--runs]

DIR holds one folder per run with `training_<run>.jsonl`, `gradients_<run>.jsonl`, `rewards_<run>.jsonl` and a
`label.json` of `{"class": "healthy" | "broken" | "ambiguous", "expect": [rule, ...], "onset_step": int | null, ...}`.
A healthy run should show no WARNING and no ERROR. A broken run is caught when a rule of `expect` fires at or after
`onset_step`. Ambiguous runs do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analyzer import check_session
from analyzer.rules import RULES, Thresholds
from contract.tail import read_all

#: A value that is no number is an alert of the rule that met it; the labels call it by a name of its own.
ALIAS = "non_finite"


def expected(alert: dict[str, Any], names: list[str]) -> bool:
    """Whether an alert is one of those that the label names."""
    return alert["rule"] in names or (ALIAS in names and not math.isfinite(alert["value"]))


def literal_error(folder: Path) -> bool:
    """Whether the documented limits, read to the letter, give an ERROR: one grad_norm > 10, or one window of 50 losses
    whose least-squares slope is above 0, or a value that is no number."""
    norms = [r["grad_norm"] for r in read_all(folder / f"gradients_{folder.name}.jsonl") if "grad_norm" in r]
    if any(not norm <= 10.0 for norm in norms):
        return True
    losses = np.array([r["loss"] for r in read_all(folder / f"training_{folder.name}.jsonl") if "loss" in r], float)
    if len(losses) < 50:
        return not bool(np.isfinite(losses).all())
    slopes = np.lib.stride_tricks.sliding_window_view(losses, 50) @ (np.arange(50) - 24.5)
    return not bool((slopes <= 0).all())


def judge(folder: Path) -> dict[str, Any]:
    """One run: its class, its firing alerts, and whether an expected rule fired in time."""
    label = json.loads((folder / "label.json").read_text())
    alerts = [alert for alert in check_session(folder, folder.name, Thresholds()) if alert["state"] == "firing"]
    onset = label.get("onset_step") or 0
    caught = {
        level: any(
            expected(alert, label["expect"]) and alert["step"] >= onset and alert["level"] in levels for alert in alerts
        )
        for level, levels in (("any", ("ERROR", "WARNING", "INFO")), ("serious", ("ERROR", "WARNING")))
    }
    return {
        "run": folder.name,
        "class": label["class"],
        "answerable": bool({ALIAS, *(rule.name for rule in RULES)} & set(label["expect"])),
        "levels": sorted({alert["level"] for alert in alerts}),
        "serious": sorted({alert["rule"] for alert in alerts if alert["level"] != "INFO"}),
        "fired": [f"{alert['rule']}:{alert['level']}@{alert['step']}" for alert in alerts],
        "literal": literal_error(folder),
        "caught": caught["any"],
        "caught_serious": caught["serious"],
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the whole corpus."""
    healthy = [run for run in runs if run["class"] == "healthy"]
    broken = [run for run in runs if run["class"] == "broken"]
    return {
        "healthy": len(healthy),
        "healthy with ERROR, limits to the letter": sum(run["literal"] for run in healthy),
        "healthy with ERROR": sum("ERROR" in run["levels"] for run in healthy),
        "healthy with WARNING or ERROR": sum(bool(run["serious"]) for run in healthy),
        "healthy, by rule": dict(Counter(rule for run in healthy for rule in run["serious"])),
        "firing alerts per healthy run": round(sum(len(run["fired"]) for run in healthy) / max(1, len(healthy)), 1),
        "broken": len(broken),
        "broken caught": sum(run["caught"] for run in broken),
        "broken caught at WARNING or ERROR": sum(run["caught_serious"] for run in broken),
        "broken with an expected rule among the six": sum(run["answerable"] for run in broken),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder with one folder per run")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.add_argument("--runs", action="store_true", help="every run, too")
    options = parser.parse_args()
    begin = time.perf_counter()
    runs = [judge(path.parent) for path in sorted(options.corpus.glob("*/label.json"))]
    if not runs:
        print(f"no */label.json under {options.corpus}", file=sys.stderr)
        return 2
    figures = summary(runs)
    if options.json:
        print(json.dumps({**figures, "runs": runs} if options.runs else figures, indent=1))
        return 0
    if options.runs:
        for run in runs:
            mark = {"healthy": "FALSE" if run["serious"] else "ok", "broken": "ok" if run["caught"] else "MISSED"}
            print(f"{mark.get(run['class'], '-'):7}{run['run']:30} {' '.join(run['fired'][:8])}")
    for name, value in figures.items():
        print(f"{name:45} {value}")
    print(f"{len(runs)} runs in {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
