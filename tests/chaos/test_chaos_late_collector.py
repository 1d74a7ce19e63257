"""There is no collector: it comes late, or never while the trainers live. Everything waits in ring and spool."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import settle
from chaos_processes import LONG, Service, Trainer
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

LATE_S = 10.0 if LONG else 3.0


def test_a_collector_that_comes_late(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """Started seconds after the trainers, more records logged than memory holds: all of it is delivered, once."""
    options = ["--records", "60000", "--rate", "12000", "--buffer", "4000", "--no-autostart", "--timeout", "60"]
    some = [trainer(k, *options, "--session", f"run{k}") for k in range(2)]
    time.sleep(LATE_S)
    collector()
    for one in some:
        assert one.wait(120) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)


def test_a_collector_that_never_comes(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """Trainers without a collector end in time and leave spool files; a collector that starts afterwards stores them."""
    options = ["--records", "30000", "--categories", "5", "--no-autostart", "--timeout", "0.5"]
    some = [trainer(k, *options, "--session", f"run{k}", wait=False) for k in range(4)]
    for one in some:
        one.wait_ready()
        assert one.wait(40) == 0 and one.said[-1] == "left", one.errors
    assert not list(place.glob("*.jsonl"))
    assert len(list((place / ".avaliacoes" / "spool").glob("*.spool"))) >= 4
    collector()
    report = settle(place, tally, 30)
    assert report.total("returned") == 120_000


def test_delivered_by_a_trainer_that_starts_later(trainer: Callable[..., Trainer], place: Path, tally: Tally) -> None:
    """Where nobody starts a collector by hand, the next trainer's own collector stores what the others left."""
    for slot, how in enumerate(("timeout", "kill", "osexit")):
        options = ["--records", "5000", "--session", how, "--no-autostart", "--timeout", "0.3"]
        one = trainer(slot, *options, "--end", how)
        one.wait(30)
    last = trainer(9, "--records", "100", "--session", "last")
    assert last.wait(60) == 0 and last.said[-1] == "closed", last.errors
    settle(place, tally, 40)


def test_a_collector_that_is_ended_and_started_by_turns(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """Ended cleanly again and again with pauses in between: trainers wait, spool and go on."""
    some = [
        trainer(k, "--records", "20000", "--rate", "3500", "--no-autostart", "--timeout", "60", "--session", f"run{k}")
        for k in range(2)
    ]
    for _ in range(6):
        running = collector()
        time.sleep(0.3)
        running.process.terminate()
        assert running.wait(10) == 0, running.errors
        time.sleep(0.2)
    collector()
    for one in some:
        assert one.wait(120) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)
