"""Several sessions side by side: rows and numbers first, then the page and the picture."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from renderer_runs import Run

from renderer.report import compare_numbers, comparison_file, write_comparison


def rewards(
    base: Path,
    name: str,
    level: float,
    noise: float = 10.0,
    config: dict[str, Any] | None = None,
    n: int = 300,
    metric: str = "episode_reward",
) -> None:
    """A session whose reward rises to `level`."""
    random = np.random.default_rng(len(name) + int(level))
    run = Run(base, name, at=1000.0)
    run.start(**({"config": config} if config else {}))
    for step in range(n):
        value = level * min(1.0, step / (0.5 * n)) + random.normal(0, noise)
        run.write("rewards" if metric == "episode_reward" else "training", 10 * step, **{metric: value})
    run.end()


def test_settings_that_differ_and_seeds(tmp_path: Path) -> None:
    """Only differing settings are listed; runs that differ in the seed alone are a group with mean and sample deviation."""
    for seed, level in ((1, 100.0), (2, 110.0), (3, 120.0)):
        rewards(tmp_path, f"a_s{seed}", level, config={"lr": 1e-3, "gamma": 0.99, "seed": seed})
    rewards(tmp_path, "b_s1", 300.0, config={"lr": 1e-2, "gamma": 0.99, "seed": 1, "extra": True})
    n = compare_numbers(tmp_path, ["a_s1", "a_s2", "a_s3", "b_s1"])
    assert {row["setting"]: row["values"] for row in n["settings_that_differ"]} == {
        "lr": [1e-3, 1e-3, 1e-3, 1e-2], "seed": [1, 2, 3, 1], "extra": [None, None, None, True],
    }  # fmt: skip
    (group,) = n["seeds"]
    ends = [one["last"]["mean"] for one in n["sessions"][:3]]
    assert group["group"] == "a" and group["sessions"] == ["a_s1", "a_s2", "a_s3"] and group["runs"] == 3
    assert group["last_mean"] == pytest.approx(np.mean(ends)) and group["last_spread"] == pytest.approx(
        np.std(ends, ddof=1)
    )
    assert n["metric"] == "episode_reward" and n["better"] == "higher"
    assert n["said"].startswith("b_s1 ended with the highest episode_reward") and "another seed" in n["said"]


def test_a_difference_within_noise_is_no_winner(tmp_path: Path) -> None:
    """Two runs that end alike are said to, and none is put ahead."""
    rewards(tmp_path, "one", 100.0, 30.0)
    rewards(tmp_path, "two", 102.0, 30.0)
    said = compare_numbers(tmp_path, ["one", "two"])["said"]
    assert "no clear difference" in said and "ahead of" not in said


def test_groups_by_name_where_no_settings_were_logged(tmp_path: Path) -> None:
    """Without settings the names tell: the same but for a seed at the end; a lone run makes no group."""
    for name in ("dqn_seed1", "dqn_seed2", "sac_20250101_120000"):
        rewards(tmp_path, name, 50.0)
    (group,) = compare_numbers(tmp_path, ["dqn_seed1", "dqn_seed2", "sac_20250101_120000"])["seeds"]
    assert group["sessions"] == ["dqn_seed1", "dqn_seed2"]


def test_sessions_without_the_common_metric_are_shown_apart(tmp_path: Path) -> None:
    """What most are judged by is compared; a session with only a loss, or nothing, keeps its line and is not drawn."""
    rewards(tmp_path, "one", 100.0)
    rewards(tmp_path, "two", 200.0)
    rewards(tmp_path, "supervised", 2.0, 0.1, metric="loss")
    Run(tmp_path, "empty").start()
    n = compare_numbers(tmp_path, ["one", "supervised", "two", "empty"])
    assert [one["compared"] for one in n["sessions"]] == [True, False, True, False]
    assert n["sessions"][1]["metric"] == "loss" and n["sessions"][3]["first"] is None
    path = write_comparison(tmp_path, ["one", "supervised", "two", "empty"])
    keys = re.findall(r"<span class='key[^>]*>([^<]*)</span>", path.read_text())
    assert keys == ["one", "two"]


def test_files_of_a_comparison(tmp_path: Path) -> None:
    """Page, JSON and Markdown under one name, inert and small; a PNG of its size; a long list of sessions has a short name."""
    hostile = {"<img src=x>": "</script><b>", "lr": 1}
    rewards(tmp_path, "one", 100.0, config=hostile)
    rewards(tmp_path, "two", 200.0)
    path = write_comparison(tmp_path, ["one", "two"])
    assert path.name == "report_compare_one_vs_two.html" and path.stat().st_size < 200_000
    text = path.read_text()
    assert not {"script", "img", "b", "a"} & set(re.findall(r"<\s*([a-zA-Z]+)", text)) - {
        "b"
    } and "<b>" not in text.replace("<b>one</b>", "").replace("<b>two</b>", "")
    assert json.loads(path.with_suffix(".json").read_text())["sessions"][1]["session"] == "two"
    assert path.with_suffix(".md").read_text().startswith("# Comparison")
    many = [f"session_number_{i:03d}" for i in range(50)]
    assert len(comparison_file(tmp_path, many).name) < 200
    assert comparison_file(tmp_path, many) != comparison_file(tmp_path, [*many[:-1], "other"])
    pytest.importorskip("matplotlib")
    data = write_comparison(tmp_path, ["one", "two"], form="png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (1400, 860)
