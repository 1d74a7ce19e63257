"""Where the promise ends, it says so: what had to be given up is counted, to the record."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import audit
from chaos_processes import Service, Trainer, environment
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


def test_a_spool_that_reaches_its_limit(
    collector: Callable[..., Service],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    until: Callable[..., bool],
) -> None:
    """More records than memory and spool may hold: the oldest are given up, and statistics, lifecycle and status say how many."""
    stats = tmp_path / "stats"
    tally.allowance = 400_000
    options = ["--records", "400100", "--rate", "200000", "--buffer", "2000", "--no-autostart", "--timeout", "60"]
    one = trainer(0, *options, "--stats", str(stats), AVALIACOES_SPOOL_BYTES="9000000")
    assert until(lambda: tally.total() == 400_000, 60)
    time.sleep(1.0)
    collector()
    assert until(lambda: list(place.glob("training_*.jsonl")), 30)
    tally.allowance = 401_000
    assert one.wait(90) == 0 and one.said[-1] == "closed", one.errors
    _all_agree(place, tally, stats, until)


def test_spool_files_that_somebody_deletes(
    collector: Callable[..., Service],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    until: Callable[..., bool],
) -> None:
    """What lay in deleted spool files is counted as dropped, and everything before and after it is stored once."""
    stats = tmp_path / "stats"
    tally.allowance = 1_000
    options = ["--records", "120000", "--buffer", "2000", "--no-autostart", "--timeout", "60", "--categories", "3"]
    first = collector()
    one = trainer(0, *options, "--stats", str(stats))
    assert until(lambda: list(place.glob("training_*.jsonl")), 30)
    time.sleep(1.0)  # what is stored is acknowledged, so that it is not counted as dropped below
    first.kill()
    tally.allowance = 110_000
    assert until(lambda: tally.total() == 110_000, 60)
    assert until(lambda: list((place / ".avaliacoes" / "spool").glob("*.spool")), 20)
    time.sleep(1.0)
    for path in (place / ".avaliacoes" / "spool").glob("*.spool"):
        path.unlink()
    collector()
    tally.allowance = 120_000
    assert one.wait(90) == 0 and one.said[-1] == "closed", one.errors
    _all_agree(place, tally, stats, until)


def _all_agree(place: Path, tally: Tally, stats: Path, until: Callable[..., bool]) -> None:
    """What is not on disk is what the trainer, its lifecycle, the collector and `avaliacoes status` say was dropped."""
    dropped = json.loads(stats.read_text())["stats"]["dropped"]
    assert 0 < dropped < tally.total()

    def agree() -> bool:
        report = audit(place, tally, running=False)
        status = json.loads((place / ".avaliacoes" / "status.json").read_text())["sessions"].get("chaos", {})
        # What the trainer gave up while it closed, only the collector could still note.
        said = max(status.get("dropped", 0), status.get("skipped", 0))
        return report.total("lost") == dropped == said and report.total("doubled") == 0

    assert until(agree, 20, 0.5), (dropped, audit(place, tally, running=False).text())
    life = [json.loads(line) for line in (place / "lifecycle_chaos.jsonl").read_bytes().splitlines()]
    told = sum(record["dropped"] for record in life if record["event"] == "gap")
    noted = sum(record["count"] for record in life if record["event"] == "skipped")
    assert max(told, noted) == dropped
    command = [sys.executable, "-m", "avaliacoes", "status", "--json", "--base-path", str(place)]
    done = subprocess.run(command, capture_output=True, env=environment())
    assert done.returncode == 1 and json.loads(done.stdout)["lost"] == dropped, done.stderr
