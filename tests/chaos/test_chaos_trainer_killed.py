"""The trainer is killed: its last records are in the flight recorder, and somebody finds them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import ends_of, settle, state_of
from chaos_processes import LONG
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600), pytest.mark.usefixtures("way")]

FOREVER = "1000000000"
TRAINERS = 40 if LONG else 8


def test_killed_at_random_moments(
    collector: Callable[..., Any], trainer: Callable[..., Any], place: Path, tally: Tally, chance: random.Random
) -> None:
    """Trainers that log as fast as they can are killed with SIGKILL: every record whose call returned is stored."""
    collector()
    started = []
    for slot in range(TRAINERS):
        one = trainer(slot, "--records", FOREVER, "--categories", "4", "--session", f"run{slot}", "--no-autostart")
        started.append(one)
        time.sleep(chance.uniform(0.0, 0.25))
        one.kill()
    report = settle(place, tally, 60)
    assert report.total("returned") > 0
    for one in started:
        assert state_of(place, one.session) == "crashed"
        assert [event["event"] for event in ends_of(place, one.session)] == ["adopted"]


def test_killed_between_start_and_first_records(
    collector: Callable[..., Any], trainer: Callable[..., Any], place: Path, tally: Tally, chance: random.Random
) -> None:
    """Killed while it starts, a trainer leaves nothing behind that stays for ever, and takes nobody with it."""
    collector()
    for slot in range(TRAINERS):
        one = trainer(slot, "--records", FOREVER, "--rate", "2000", "--session", f"run{slot}", wait=False)
        time.sleep(chance.uniform(0.1, 0.5))
        one.kill()
    settle(place, tally, 60)


def test_a_segmentation_fault(
    collector: Callable[..., Any], trainer: Callable[..., Any], place: Path, tally: Tally
) -> None:
    """A segmentation fault right after the last log call loses none of the records before it."""
    collector()
    some = [
        trainer(k, "--records", "5000", "--end", "segfault", "--session", f"run{k}", "--no-autostart") for k in range(3)
    ]
    for one in some:
        assert one.wait(30) == -11
    report = settle(place, tally, 30)
    assert report.total("returned") == 15_000
    assert [state_of(place, one.session) for one in some] == ["crashed"] * 3


def test_adopted_by_the_next_producer(
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    chance: random.Random,
) -> None:
    """Where the collector is elsewhere and cannot see the rings, the next producer of that folder delivers what is left."""
    far = collector("--bind", "tcp://127.0.0.1:*")
    endpoint = far.said[0].removeprefix("collector: ready on ").split(",")[0]
    here = tmp_path / "here"
    options = ["--endpoint", endpoint, "--categories", "3"]
    for slot in range(4):
        one = trainer(slot, "--records", FOREVER, *options, "--session", f"run{slot}", base=here)
        time.sleep(chance.uniform(0.0, 0.2))
        one.kill()
    last = trainer(9, "--records", "20000", "--rate", "2000", *options, "--session", "last", base=here)
    assert last.wait(60) == 0 and last.said[-1] == "closed"
    settle(place, tally, 30)
    settle(here, Tally(tmp_path / "none"), 10, running=False)


def test_collector_and_trainer_die_together(
    collector: Callable[..., Any], trainer: Callable[..., Any], place: Path, tally: Tally, chance: random.Random
) -> None:
    """Both killed at once, again and again: the next collector finds what neither had put on disk."""
    for turn in range(10 if LONG else 3):
        running = collector()
        pair = [
            trainer(10 * turn + k, "--records", FOREVER, "--session", f"run{turn}_{k}", "--no-autostart")
            for k in range(2)
        ]
        time.sleep(chance.uniform(0.0, 0.3))
        for one in chance.sample([running, *pair], 3):
            one.kill()
    collector()
    settle(place, tally, 60)


def test_killed_with_records_in_the_spool(
    collector: Callable[..., Any], trainer: Callable[..., Any], place: Path, tally: Tally, until: Callable[..., bool]
) -> None:
    """A trainer killed while spool files and ring both hold records: both are adopted, each record once."""
    one = trainer(0, "--records", "120000", "--buffer", "2000", "--no-autostart", "--end", "wait", "--categories", "3")
    assert one.line(60) == "waiting"
    assert until(lambda: list((place / ".avaliacoes" / "spool").glob("*.spool")), 20)
    one.kill()
    collector()
    report = settle(place, tally, 60)
    assert report.total("returned") == 120_000


@pytest.mark.parametrize("buffer", [2_000, 65_536])
def test_killed_in_a_flood_without_a_collector(
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    place: Path,
    tally: Tally,
    chance: random.Random,
    buffer: int,
) -> None:
    """A loop that does nothing but log, with nobody to take it, fills memory at once: killed in that very moment it loses nothing."""
    for slot in range(8 if LONG else 2):
        options = ["--buffer", str(buffer), "--categories", "3", "--session", f"run{slot}", "--no-autostart"]
        one = trainer(slot, "--records", FOREVER, *options)
        time.sleep(chance.uniform(0.1, 0.8))
        one.kill()
    collector()
    settle(place, tally, 60)
