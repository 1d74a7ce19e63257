"""Finished runs from anywhere: folders, lines, CSV; and the presence of the trainer in them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analyzer import check_session
from analyzer.check import check_files, judge_files
from analyzer.engine import Engine
from analyzer.sources import Unreadable, find
from analyzer.tuning import Tuning
from contract import lines, places

P = "aaaaaaaaaaaa"


def write(path: Path, *rows: dict[str, Any], start: float = 1000.0, every: float = 1.0, producer: str = P) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        for i, row in enumerate(rows):
            file.write(lines.encode_line(producer, i, row.pop("at", start + every * i), i, row) + b"\n")
    return path


def cli(*arguments: object, code: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "avaliacoes", "check", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def losses(count: int, broken: int | None = None) -> list[dict[str, Any]]:
    return [{"loss": math.nan if broken is not None and i >= broken else 2.0 / (1 + i / 20)} for i in range(count)]


def test_exit_codes_tell_clean_warnings_errors_and_usage_apart(place: Path, tmp_path: Path) -> None:
    """0 clean, 1 warnings, 2 errors, 64 for arguments, configuration and files that cannot be."""
    write(place / "training_good.jsonl", *losses(200))
    write(place / "training_bad.jsonl", *losses(200, broken=150))
    frozen = [{"loss": 2.3, "learning_rate": 0.0} for _ in range(200)]
    write(place / "training_warned.jsonl", *frozen)
    cli(place / "training_good.jsonl", code=0)
    done = cli(place / "training_bad.jsonl", code=2)
    (line,) = [line for line in done.stdout.splitlines() if "\tERROR\t" in line]
    assert line.split("\t")[:5] == ["bad", "ERROR", "ended", "non_finite", "150"]
    cli(place / "training_warned.jsonl", code=1)
    assert len(cli(place, "--level", "ERROR", code=2).stdout.splitlines()) == 1
    cli("bad", "--base-path", place, code=2)
    cli("--nonsense", code=64)
    cli(tmp_path / "nothing.jsonl", code=64)
    (place / "avaliacoes.toml").write_text("[rules.stagnatoin]\nenabled = false\n")
    assert "did you mean 'stagnation'" in cli(place, code=64).stderr
    other = tmp_path / "other.toml"
    other.write_text('[rules.non_finite]\nlevel = "WARNING"\n')
    cli(place / "training_bad.jsonl", "--config", other, code=1)


def test_json_has_the_alert_records(place: Path) -> None:
    """--json prints every event with all its fields, under the run's name."""
    write(place / "training_bad.jsonl", *losses(200, broken=150))
    found = json.loads(cli(place, "--json", code=2).stdout)["bad"]
    assert next(event for event in found if event["rule"] == "non_finite")["evidence"]["metric"] == "loss"
    assert {"id", "row", "fires", "message", "action", "onset_step", "baseline"} <= set(found[0])


def test_a_csv_with_a_step_column(tmp_path: Path) -> None:
    """Any training's CSV is judged: names of SB3's logger, empty cells, no time."""
    rows = ["time/total_timesteps,train/loss,train/approx_kl,rollout/ep_rew_mean"]
    rows += [f"{i * 100},{2 / (1 + i / 20)},{0.01 if i < 60 else 9.0},{'' if i % 2 else i}" for i in range(120)]
    file = tmp_path / "progress.csv"
    file.write_text("\n".join(rows) + "\n")
    events = check_files({"training": file}, Tuning())
    (first, *_) = [event for event in events if event["rule"] == "policy_instability"]
    assert first["metric"] == "train/approx_kl" and 6000 <= first["step"] <= 6600
    (tmp_path / "names.csv").write_text("name,age\nann,5\n")
    with pytest.raises(Unreadable, match="a column of steps"):
        check_files({"training": tmp_path / "names.csv"}, Tuning())


def test_files_of_one_session_are_judged_together_wherever_they_lie(place: Path, tmp_path: Path) -> None:
    """A folder of folders, a data folder, single files: the same sessions; lines without producer and sequence too."""
    for name in ("one", "two"):
        folder = tmp_path / "runs" / name
        write(folder / f"training_{name}.jsonl", *losses(50))
        write(folder / f"gradients_{name}.jsonl", *[{"grad_norm": 1.0}] * 50)
    found = find([tmp_path / "runs"])
    assert [(run.name, sorted(run.files)) for run in found] == [
        ("one", ["gradients", "training"]),
        ("two", ["gradients", "training"]),
    ]
    one = tmp_path / "runs" / "one"
    (together,) = find([one / "training_one.jsonl", one / "gradients_one.jsonl"])
    assert sorted(together.files) == ["gradients", "training"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match="expected a data folder"):
        find([tmp_path / "empty"])
    with pytest.raises(Unreadable, match="no such file"):
        find([place / "nowhere"])


def test_broken_lines_and_a_torn_end_are_passed_over(place: Path) -> None:
    """What is no record is skipped; half a last line is none yet."""
    path = write(place / "training_s1.jsonl", *losses(30))
    with open(path, "ab") as file:
        file.write(b'{"broken\n[1, 2]\n\n{"loss": ')
    engine = Engine()
    judge_files({"training": path}, engine)
    assert engine.records == 30


def heartbeats(*times: float, **last: Any) -> list[dict[str, Any]]:
    rows = [{"event": "start", "pid": 1, "config": {"total_timesteps": 5000}, "at": times[0]}]
    rows += [{"event": "heartbeat", "at": at} for at in times[1:]]
    return [*rows, {**last}] if last else rows


def test_a_trainer_that_stands_still(place: Path) -> None:
    """Heartbeats without records for more than a minute are a stall, over with the next record; slow ones are not."""
    places.prepare_base(place)
    beats = [1000.0 + 5 * i for i in range(60)]
    write(place / "lifecycle_s1.jsonl", *heartbeats(*beats))
    write(
        place / "training_s1.jsonl",
        *[{"loss": 1.0, "at": 1000.0 + i} for i in range(100)],
        *[{"loss": 1.0, "at": 1250.0 + i} for i in range(40)],
    )
    events = [event for event in check_session(place, "s1") if event["rule"] == "stalled"]
    assert [(event["state"], event["level"]) for event in events] == [("firing", "WARNING"), ("resolved", "WARNING")]
    assert 1159 <= events[0]["timestamp"] <= 1170 and 1250 <= events[1]["timestamp"] <= 1256
    write(place / "lifecycle_s2.jsonl", *heartbeats(*[1000.0 + 5 * i for i in range(200)]))
    write(place / "training_s2.jsonl", *[{"loss": 1.0, "at": 1000.0 + 40 * i} for i in range(25)])
    assert [event for event in check_session(place, "s2") if event["rule"] == "stalled"] == []


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"event": "end", "status": "failed", "error": "ValueError: no more memory", "at": 1031.0}, "no more memory"),
        ({"event": "end", "status": "finished", "at": 1031.0}, ""),
    ],
)
def test_a_trainer_that_ends(place: Path, last: dict[str, Any], words: str) -> None:
    """An end with an error is a crash that names it; an ordinary end is none."""
    write(place / "lifecycle_s1.jsonl", *heartbeats(*[1000.0 + 5 * i for i in range(6)], **last))
    write(place / "training_s1.jsonl", *losses(20))
    crashed = [event for event in check_session(place, "s1") if event["rule"] == "crashed"]
    assert bool(crashed) == bool(words)
    if words:
        assert crashed[0]["level"] == "ERROR" and words in crashed[0]["message"]


def test_what_a_dead_trainer_left_says_that_it_crashed(place: Path) -> None:
    """An adoption of the root's ring is a crash, told once, however it was told before."""
    write(place / "lifecycle_s1.jsonl", *heartbeats(*[1000.0 + 5 * i for i in range(6)]))
    write(place / "lifecycle_s1.jsonl", {"event": "adopted", "producer": P, "at": 1040.0}, producer="bbbbbbbbbbbb")
    write(place / "training_s1.jsonl", *losses(20))
    (event,) = [
        event for event in check_session(place, "s1") if event["rule"] == "crashed" and event["state"] == "firing"
    ]
    engine = Engine()
    engine.feed("lifecycle", [{"_p": P, "_q": 0, "timestamp": 1000.0, "step": 0, "event": "start"}])
    engine.advance()
    (by_clock,) = engine.gone()
    assert by_clock["id"] == event["id"] and event["level"] == "ERROR"
