"""The collector is killed: again and again, in the middle of a line, while it starts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import check, settle
from chaos_processes import LONG
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

TRAINERS = 8
RECORDS = 2_000_000 if LONG else 200_000
KILLS = 100 if LONG else 20


def test_killed_twenty_times_while_eight_trainers_log(
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    chance: random.Random,
) -> None:
    """8 trainers log 200,000 records while the collector is killed 20 times, each time at a random moment."""
    each = RECORDS // TRAINERS
    tally.allowance = each // (KILLS + 1)
    running = collector()
    options = ["--records", str(each), "--categories", "3", "--no-autostart", "--timeout", "120"]
    trainers = [
        trainer(k, *options, "--session", f"run{k}", "--stats", str(tmp_path / f"stats{k}"), wait=False)
        for k in range(TRAINERS)
    ]
    for one in trainers:
        one.wait_ready()
    for kill in range(1, KILLS + 1):
        if kill % 4:
            running.wait_ready() if kill > 1 else None
        time.sleep(chance.uniform(0.0, 0.35))
        running.kill()
        running = collector(wait=False)
        # The next share of the records may be logged from here on, so that every kill finds work under way.
        tally.allowance = each * (kill + 1) // (KILLS + 1)
    tally.allowance = each
    for one in trainers:
        assert one.wait(120) == 0, one.errors
        assert one.said[-1] == "closed"
    report = settle(place, tally, 30, stats=[tmp_path / f"stats{k}" for k in range(TRAINERS)])
    assert report.total("returned") == each * TRAINERS


@pytest.mark.parametrize("turn", range(8 if LONG else 4))
def test_killed_in_the_middle_of_a_line(
    broken_collector: Callable[..., Any],
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    place: Path,
    tally: Tally,
    chance: random.Random,
    turn: int,
) -> None:
    """A write that ends in the middle of a line, and the collector with it: the next one cuts the line and has it sent again."""
    tally.allowance = 200
    broken = broken_collector(f"torn:{chance.randrange(3, 40)}:{chance.randrange(1, 400)}")
    one = trainer(0, "--records", "20000", "--no-autostart", "--timeout", "60", "--rate", "5000")
    tally.allowance = 20_000
    assert broken.wait(30) == -9
    torn = [path for path in place.glob("*.jsonl") if not path.read_bytes().endswith(b"\n")]
    collector()
    assert one.wait(90) == 0 and one.said[-1] == "closed"
    settle(place, tally, 30)
    kept = place / ".avaliacoes" / "quarantine.jsonl"
    assert not torn or "torn line" in kept.read_text()


def test_killed_at_each_step_of_its_start(
    broken_collector: Callable[..., Any],
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    place: Path,
    tally: Tally,
    chance: random.Random,
) -> None:
    """Killed before its 1st, 2nd, ... system call of a start on a folder with a torn file and trainers that wait."""
    # It never ends by itself: each start must find work, however long the ones before took.
    one = trainer(0, "--records", "1000000000", "--rate", "300", "--no-autostart")
    running = collector()
    deadline = time.monotonic() + 30
    while tally.total() < 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.kill()
    steps = range(1, 120, 3 if LONG else 12)
    for step in steps:
        with (place / f"training_{one.session}.jsonl").open("ab") as file:
            file.write(b'{"_p":"' + one.producer.encode()[: step % 12])
        broken = broken_collector(f"call:{step + chance.randrange(12)}", wait=False)
        assert broken.wait(60) == -9
    collector()
    one.kill()
    settle(place, tally, 60)
    check(place, tally)
