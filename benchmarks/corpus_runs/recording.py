"""Make one run: train in a process of its own, then bring its files into the corpus's form."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from avaliacoes.logger_integration import TrainingLoggerIntegration
from benchmarks.corpus_runs.outcome import Records, slowed
from benchmarks.corpus_runs.scenario import Run, Scenario

#: Digits that are kept of a float, so that the archive stays small.
DIGITS = 6
#: Fields left out for the same reason: a counter, and which of several environments an episode was from.
_LEFT_OUT = ("episode", "env")
_ADOPTION_S = 30.0
#: Fields that tell of the machine rather than of the run.
_PRIVATE = {"host": "host", "platform": "linux", "argv0": "train.py"}


def _child(scenario: Scenario, seed: int, data: Path, session_file: Path) -> None:
    torch.set_num_threads(1)
    with TrainingLoggerIntegration(data) as log:
        session_file.write_text(log.start_session(scenario.name))
        scenario.train(Run(log, seed))


def make(scenario: Scenario, seed: int, out: Path) -> dict[str, Any]:
    """Train, export and label one run; returns its label."""
    name = f"{scenario.name}_s{seed}"
    folder, data = out / name, out / ".data"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    session_file = folder / "session"
    child = multiprocessing.get_context("fork").Process(target=_child, args=(scenario, seed, data, session_file))
    child.start()
    child.join()
    session = session_file.read_text()
    session_file.unlink()
    if child.exitcode != 0:
        _wait_for_adoption(data / f"lifecycle_{session}.jsonl")
    _export(data, session, folder, name, scenario)
    return label(scenario, seed, folder, child.exitcode or None)


def _wait_for_adoption(lifecycle: Path) -> None:
    """The collector stores what a killed process has left, and says so."""
    deadline = time.monotonic() + _ADOPTION_S
    while time.monotonic() < deadline:
        if lifecycle.exists() and any(word in lifecycle.read_text() for word in ('"adopted"', '"end"')):
            return
        time.sleep(0.2)


def _export(data: Path, session: str, folder: Path, name: str, scenario: Scenario) -> None:
    for path in sorted(data.glob(f"*_{session}.jsonl")):
        category = path.name.removesuffix(f"_{session}.jsonl")
        if category == "lifecycle" and not scenario.processes:
            continue
        lines = [_tidy(json.loads(line), keep_ids=scenario.processes) for line in path.read_text().splitlines()]
        (folder / f"{category}_{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _tidy(record: dict[str, Any], keep_ids: bool) -> dict[str, Any]:
    if not keep_ids:
        record = {key: value for key, value in record.items() if key not in ("_p", "_q")}
    return {
        key: _PRIVATE[key] if key in _PRIVATE else _short(key, value)
        for key, value in record.items()
        if key not in _LEFT_OUT
    }


def _short(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 3) if key == "timestamp" else float(f"{value:.{DIGITS}g}")


def label(scenario: Scenario, seed: int, folder: Path, died: int | None) -> dict[str, Any]:
    """Judge a run by its files, write its `label.json` and return it."""
    name = folder.name
    records = Records.load(folder, name)
    as_meant, note = scenario.proof(records)
    also = [*scenario.also, *(["slowdown"] if "slowdown" not in scenario.expect and slowed(records) else [])]
    counts = {"training": 0, "gradients": 0, "rewards": 0}
    counts.update((category, len(lines)) for category, lines in records.by_category.items())
    made = {
        "name": name,
        "algo": scenario.algo,
        "expect": list(scenario.expect),
        "onset_step": scenario.onset if scenario.fault else None,
        "fault": scenario.fault or None,
        "why": scenario.why,
        "seed": seed,
        "died": died,
        "class": scenario.meant if as_meant else "ambiguous",
        "note": note if as_meant else f"meant to be {scenario.meant}, and is not by the outcome: {note}",
        "also_true": also,
        "records": counts,
    }
    (folder / "label.json").write_text(json.dumps(made, indent=1) + "\n")
    return made
