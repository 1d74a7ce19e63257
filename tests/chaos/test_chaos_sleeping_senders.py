"""Steady trainers, whose records the collector takes out of their rings while their senders sleep: everybody may die."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import settle, state_of
from chaos_processes import LONG
from tally import Tally

from contract import places
from contract.live import ORDERED, PAGE, RELIED, LiveWords

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not ORDERED, reason="this processor may reorder stores: rings are not read live"),
]

TRAINERS = 4
FAULTS = 60 if LONG else 12


def sleeping(base: Path) -> int:
    """How many trainers of a data folder leave their records to the collector."""
    found = 0
    for folder in places.ring_dirs(base):
        for path in folder.glob("*.ring"):
            with path.open("rb") as file:
                found += LiveWords(memoryview(bytearray(file.read(PAGE)))).wish == RELIED
    return found


def test_collectors_die_and_freeze_while_senders_sleep(
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    until: Callable[..., bool],
    place: Path,
    tally: Tally,
    chance: random.Random,
) -> None:
    """The collector is killed, frozen or ended at random moments while it takes records out of rings: none is lost or doubled."""
    running = collector()
    options = ["--records", "1000000000", "--rate", "700", "--categories", "3", "--no-autostart", "--timeout", "60"]
    trainers = [trainer(k, *options, "--session", f"run{k}") for k in range(TRAINERS)]
    for _ in range(FAULTS):
        assert until(lambda: sleeping(place) >= TRAINERS - 1, 60)
        time.sleep(chance.uniform(0.0, 0.3))
        fault = chance.choice(("kill", "end", "freeze"))
        if fault == "freeze":
            running.freeze()
            time.sleep(chance.uniform(0.1, 1.0))
            running.thaw()
            continue
        running.kill() if fault == "kill" else running.end()
        time.sleep(chance.uniform(0.0, 0.5))
        running = collector()
    for one in trainers:
        one.kill()
    report = settle(place, tally, 60)
    assert report.total("returned") > 1000


def test_trainers_die_while_their_senders_sleep(
    collector: Callable[..., Any],
    trainer: Callable[..., Any],
    until: Callable[..., bool],
    place: Path,
    tally: Tally,
    chance: random.Random,
) -> None:
    """A trainer is killed while its last records are only in the ring, half of them with the collector: all are stored once."""
    running = collector()
    for slot in range(8 if LONG else 4):
        one = trainer(slot, "--records", "1000000000", "--rate", "900", "--session", f"run{slot}", "--no-autostart")
        assert until(lambda: sleeping(place) == 1, 60)
        time.sleep(chance.uniform(0.0, 0.3))
        if slot % 2:
            running.kill()
            one.kill()
            running = collector()
        else:
            one.kill()
        assert until(lambda: sleeping(place) == 0, 60)
        assert until(lambda one=one: state_of(place, one.session) == "crashed", 30)
    settle(place, tally, 60)
