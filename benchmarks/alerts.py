"""How right the alerts are: false alarms, recall, delay and cost on labelled runs, per profile, beside a plain z-score.

    python -m benchmarks.alerts                       # the corpus in benchmarks/corpus
    python -m benchmarks.alerts --corpus PATH ...     # tar archives or folders of the same format, see benchmarks/corpus/README.md

A healthy run should show no ERROR and no WARNING. A broken one is detected when one of the rules it expects has fired at WARNING or above
at or after the onset. Alerts per incident are the rows of WARNING or above of a broken run. Ambiguous runs are not scored.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from analyzer.check import judge_files
from analyzer.engine import Engine
from analyzer.rules import RULES
from analyzer.tuning import FACTS, Tuning
from contract.tail import read_all

HERE = Path(__file__).resolve().parent
CATEGORIES = ("training", "gradients", "rewards")
LOUD = ("ERROR", "WARNING")
#: Which limits are levels and which are durations, for the cross-validation: both are scaled by a factor that the other tasks choose.
LEVELS = ("decades", "undone", "climbing", "kl", "most", "corroborated", "nothing", "share", "rise", "much", "half")
DURATIONS = ("patience", "never", "never_corroborated", "same", "in_a_row", "experience")
FACTORS = (0.6, 1.0, 1.6)
#: Task of a run by a part of its name, the first that fits; a label may name its `task` or `env` itself.
TASKS = (
    ("acrobot", "acrobot"), ("pendulum", "pendulum"), ("sac_", "pendulum"), ("td3_", "pendulum"), ("mountaincar", "mountaincar"),
    ("lunar", "lunar"), ("negative_entropy", "lunar"), ("no_clip", "lunar"), ("constant_reward", "lunar"), ("x1e5", "lunar"),
    ("cartpole", "cartpole"), ("ppo_", "cartpole"), ("a2c_", "cartpole"), ("dqn_", "cartpole"),
    ("text", "text"), ("gru", "text"), ("rnn", "text"), ("transformer", "text"), ("regression", "regression"),
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One labelled run: its files, and what is known of it."""

    name: str
    label: dict[str, Any]
    files: dict[str, Path]
    records: int
    last_step: int

    @property
    def healthy(self) -> bool:
        return self.label["class"] == "healthy"

    @property
    def onset(self) -> int:
        return int(self.label.get("onset_step") or 0)

    @property
    def task(self) -> str:
        told = self.label.get("task") or self.label.get("env")
        return str(told) if told else next((task for part, task in TASKS if part in self.name), "digits")


@dataclass
class Score:
    """What came of one run: events at WARNING and above, the first that was expected, and its delay."""

    loud: list[dict[str, Any]] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    hit: dict[str, Any] | None = None
    hit_any_level: bool = False
    by_rule: set[str] = field(default_factory=set)
    delay_records: int = 0
    delay_run: float = math.inf

    @property
    def rows(self) -> int:
        return len({event["row"] for event in self.loud})


def load(path: Path) -> list[Run]:
    """The runs of an unpacked corpus, ambiguous ones left out."""
    runs = []
    for file in sorted(path.rglob("label.json")):
        label = orjson.loads(file.read_bytes())
        name = file.parent.name
        files = {path.name[: -len(name) - 7]: path for path in sorted(file.parent.glob(f"*_{name}.jsonl"))}
        if label["class"] == "ambiguous" or not files:
            continue
        last, records = 0, 0
        for found in files.values():
            for record in read_all(found):
                records += 1
                last = max(last, record.get("step", 0))
        runs.append(Run(name, label, files, records, last))
    return runs


def score(run: Run, events: Iterable[dict[str, Any]]) -> Score:
    made = Score()
    expected = set(run.label.get("expect") or ())
    neither = set(run.label.get("also_true") or ()) - expected
    for event in events:
        if event["state"] != "firing" or event["rule"] in neither:
            continue
        made.fired.add(event["rule"])
        late_enough = event["step"] >= run.onset
        wanted = event["rule"] in expected and late_enough
        made.hit_any_level = made.hit_any_level or wanted
        if event["level"] not in LOUD:
            continue
        made.loud.append(event)
        if late_enough:
            made.by_rule.add(event["rule"])
        if wanted and made.hit is None:
            made.hit = event
            made.delay_run = (event["step"] - run.onset) / max(1, run.last_step)
            made.delay_records = _records_between(run, event)
    return made


def _records_between(run: Run, event: dict[str, Any]) -> int:
    """Records of the alert's own category from the onset to the alert."""
    path = run.files.get(event["source"])
    return sum(run.onset <= record.get("step", 0) <= event["step"] for record in read_all(path)) if path else 0


def judge(runs: Sequence[Run], tuning: Tuning) -> tuple[dict[str, Score], float]:
    """A score per run, and the microseconds of processor time per record, reading and decoding included."""
    scores, spent, records = {}, 0.0, 0
    for run in runs:
        begin = time.process_time()
        events = judge_files(run.files, Engine(tuning))
        spent += time.process_time() - begin
        records += run.records
        scores[run.name] = score(run, events)
    return scores, 1e6 * spent / max(1, records)


def zscore(run: Run, window: int = 30, limit: float = 3.0) -> list[dict[str, Any]]:
    """A WARNING whenever a metric leaves `limit` standard deviations of its last `window` values: what trackers offer."""
    events = []
    for category, path in run.files.items():
        past: dict[str, deque[float]] = {}
        firing: dict[str, bool] = {}
        for record in read_all(path):
            for name, value in record.items():
                if name in ("timestamp", "step") or not isinstance(value, (int, float)):
                    continue
                values = past.setdefault(name, deque(maxlen=window))
                if len(values) == window and math.isfinite(value):
                    mean = sum(values) / window
                    spread = math.sqrt(sum((x - mean) ** 2 for x in values) / (window - 1))
                    out = abs(value - mean) > limit * spread if spread else value != mean
                    if out and not firing.get(name):
                        row = f"{category}.{name}"
                        rule = (run.label.get("expect") or ["any"])[0]
                        events.append(
                            {
                                "state": "firing",
                                "rule": rule,
                                "level": "WARNING",
                                "step": record["step"],
                                "row": row,
                                "source": category,
                            }
                        )
                    firing[name] = out
                if math.isfinite(value):
                    values.append(value)
    return sorted(events, key=lambda event: event["step"])


def table(
    title: str, runs: Sequence[Run], scores: dict[str, Score], cost: float, by_rule: bool = True, named: bool = True
) -> None:
    healthy, broken = [run for run in runs if run.healthy], [run for run in runs if not run.healthy]
    print(f"\n{title}: {len(healthy)} healthy runs, {len(broken)} broken")
    if by_rule:
        print(
            f"{'rule':22}{'healthy ERROR':>14}{'healthy WARN.':>14}{'broken, loud':>14}{'expected by':>12}{'found':>7}"
        )
        names = sorted({*FACTS, *(kind.name for kind in RULES)})
        for name in names:
            worst = [{e["level"] for e in scores[run.name].loud if e["rule"] == name} for run in healthy]
            errors = sum("ERROR" in levels for levels in worst)
            warned = sum(levels == {"WARNING"} for levels in worst)
            loud = sum(name in scores[run.name].by_rule for run in broken)
            wanted = [run for run in broken if name in (run.label.get("expect") or ())]
            found = sum(name in scores[run.name].by_rule for run in wanted)
            if errors or warned or loud or wanted:
                print(f"{name:22}{errors:14}{warned:14}{loud:14}{len(wanted):12}{found:7}")
    errors = sum(any(e["level"] == "ERROR" for e in scores[run.name].loud) for run in healthy)
    warned = sum(bool(scores[run.name].loud) for run in healthy)
    hits = [scores[run.name] for run in broken if scores[run.name].hit is not None]
    quiet = sum(scores[run.name].hit_any_level for run in broken)
    rows = [scores[run.name].rows for run in broken]
    print(f"healthy runs with an ERROR             {errors} of {len(healthy)}")
    print(f"healthy runs with a WARNING or worse   {warned} of {len(healthy)} ({_percent(warned, len(healthy))})")
    print(
        f"broken runs detected, WARNING or worse {len(hits)} of {len(broken)} ({_percent(len(hits), len(broken))}); at any level {quiet}"
    )
    if hits:
        missed = [math.inf] * (len(broken) - len(hits))
        delay = statistics.median([hit.delay_run for hit in hits] + missed)
        records = statistics.median([float(hit.delay_records) for hit in hits] + missed)
        print(f"median delay, misses counted as never  {records:.0f} records, {100 * delay:.1f} % of the run")
        print(f"alerts of WARNING+ per broken run      {statistics.mean(rows):.2f} on average, {max(rows)} at most")
    if cost == cost:
        print(f"cost, reading and decoding included    {cost:.2f} us per record")
    for run in runs if named else ():
        made = scores[run.name]
        if (run.healthy and made.loud) or (not run.healthy and made.hit is None):
            what = ", ".join(f"{e['rule']} {e['level']} at {e['step']}" for e in made.loud[:4]) or "nothing loud"
            print(f"  {'false alarm' if run.healthy else 'missed'}: {run.name}: {what}")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def scaled(levels: float, durations: float) -> Tuning:
    """The calibrated profile with every level and every duration multiplied, within their bounds."""
    given: dict[str, dict[str, float]] = {}
    for kind in RULES:
        for limit in kind.limits:
            factor = levels if limit.name in LEVELS else durations if limit.name in DURATIONS else 1.0
            if factor != 1.0:
                value = min(limit.high, max(limit.low, limit.default * factor))
                given.setdefault(kind.name, {})[limit.name] = value
    return Tuning(given=given)


def cross_validate(runs: Sequence[Run]) -> None:
    """Leave out one task after the other; the factors are those that do best on all the others."""
    results = {factors: judge(runs, scaled(*factors))[0] for factors in product(FACTORS, FACTORS)}

    def loss(scores: dict[str, Score], among: Sequence[Run]) -> float:
        healthy, broken = [r for r in among if r.healthy], [r for r in among if not r.healthy]
        errors = sum(any(e["level"] == "ERROR" for e in scores[r.name].loud) for r in healthy)
        warned = sum(bool(scores[r.name].loud) for r in healthy)
        missed = sum(scores[r.name].hit is None for r in broken)
        slow = sum(min(1.0, scores[r.name].delay_run) for r in broken)
        return (
            5 * errors / max(1, len(healthy))
            + 2 * warned / max(1, len(healthy))
            + (missed + 0.5 * slow) / max(1, len(broken))
        )

    tasks = sorted({run.task for run in runs})
    chosen: dict[str, Score] = {}
    print("\nleave one task out: factors on levels and durations chosen on the other tasks")
    for task in tasks:
        others, own = [r for r in runs if r.task != task], [r for r in runs if r.task == task]
        best = min(
            results, key=lambda factors: (loss(results[factors], others), sum(abs(math.log(f)) for f in factors))
        )
        chosen.update({run.name: results[best][run.name] for run in own})
        healthy, broken = [r for r in own if r.healthy], [r for r in own if not r.healthy]
        print(
            f"  {task:12} levels x{best[0]:g}, durations x{best[1]:g}: healthy with a WARNING "
            f"{sum(bool(chosen[r.name].loud) for r in healthy)} of {len(healthy)}, detected "
            f"{sum(chosen[r.name].hit is not None for r in broken)} of {len(broken)}"
        )
    table("all tasks, each judged by what the others chose", runs, chosen, math.nan, by_rule=False)


def speed(records: int = 200_000) -> None:
    """Records per second over one long finished run, beside the bare cost of decoding its lines."""
    with tempfile.TemporaryDirectory() as folder:
        files = _long_run(Path(folder), records // 2)
        lines = [line for path in files.values() for line in path.read_bytes().split(b"\n") if line]
        gc.collect()
        gc.disable()
        bare, ours = [], []
        for _ in range(3):
            begin = time.process_time()
            for line in lines:
                orjson.loads(line)
            bare.append(time.process_time() - begin)
            begin = time.process_time()
            judge_files(files, Engine(Tuning()))
            ours.append(time.process_time() - begin)
        gc.enable()
        n = len(lines)
        print(
            f"\na finished run of {n} records, one core: {n / min(ours):.0f} records/s ({1e6 * min(ours) / n:.2f} us per record); "
            f"orjson.loads of the same lines alone {1e6 * min(bare) / n:.2f} us, {min(ours) / min(bare):.1f} times that"
        )


def _long_run(base: Path, steps: int) -> dict[str, Path]:
    """A training that learns, with its gradients and a reward every tenth step."""
    import random

    chance = random.Random(1)
    files = {category: base / f"{category}_long.jsonl" for category in CATEGORIES}
    rows: dict[str, list[bytes]] = {category: [] for category in CATEGORIES}
    for i in range(steps):
        head = {"_p": "aaaaaaaaaaaa", "_q": i, "timestamp": 1.79e9 + 0.01 * i, "step": i}
        loss = 2 / (1 + i / 5000) + chance.gauss(0, 0.1)
        rows["training"].append(
            orjson.dumps({**head, "loss": loss, "learning_rate": 3e-4, "entropy_loss": chance.gauss(-0.6, 0.01)})
        )
        rows["gradients"].append(
            orjson.dumps({**head, "grad_norm": chance.lognormvariate(0, 0.5), "grad_zeros_ratio": 0.2})
        )
        if i % 10 == 0:
            reward = {**head, "_q": i // 10, "episode_reward": min(500.0, i / 100) + chance.gauss(0, 20)}
            rows["rewards"].append(orjson.dumps(reward))
    for category, path in files.items():
        path.write_bytes(b"\n".join(rows[category]) + b"\n")
    return files


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.alerts", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--corpus", type=Path, action="append", help="archive or folder (default: benchmarks/corpus/dev.tar.xz)"
    )
    parser.add_argument("--brief", action="store_true", help="no table per rule, no cross-validation, no speed")
    parser.add_argument("--no-validation", action="store_true", help="no cross-validation")
    options = parser.parse_args(argv)
    for path in options.corpus or [HERE / "corpus" / "dev.tar.xz"]:
        print(f"corpus: {path.name}")
        with tempfile.TemporaryDirectory() as folder:
            if path.is_file():
                with tarfile.open(path) as archive:
                    archive.extractall(folder, filter="data")
            runs = load(path if path.is_dir() else Path(folder))
            for profile in ("calibrated", "documented"):
                scores, cost = judge(runs, Tuning(profile))
                table(f"profile {profile}", runs, scores, cost, not options.brief, profile == "calibrated")
            begin = time.process_time()
            scores = {run.name: score(run, zscore(run)) for run in runs}
            cost = 1e6 * (time.process_time() - begin) / sum(run.records for run in runs)
            table(
                "z-score, window 30, 3 sigma (any metric counts as the expected rule)", runs, scores, cost, False, False
            )
            if not (options.brief or options.no_validation):
                cross_validate(runs)
    if not options.brief:
        speed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
