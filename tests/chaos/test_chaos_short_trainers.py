"""Very many very short trainings in a row, sharing collectors that come and go by themselves."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import settle
from chaos_processes import LONG, Trainer
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

TRAININGS = 300 if LONG else 100
AT_ONCE = 4
ENDS = ("close", "close", "fall", "osexit", "kill")


def test_short_trainings_in_a_row(
    trainer: Callable[..., Trainer], place: Path, tally: Tally, chance: random.Random, until: Callable[..., bool]
) -> None:
    """Hundreds of trainings of a few records each, with no service started by hand, closed or killed: all is stored."""
    alive: list[Trainer] = []
    total = 0
    for slot in range(TRAININGS):
        while len(alive) >= AT_ONCE:
            assert until(lambda: any(not one.alive() for one in alive), 60)
            for one in [one for one in alive if not one.alive()]:
                alive.remove(one)
                one.end()
        records = chance.randrange(1, 40)
        total += records
        end = chance.choice(ENDS)
        alive.append(trainer(slot, "--records", str(records), "--end", end, wait=False))
    for one in alive:
        one.wait(60)
    report = settle(place, tally, 60)
    assert report.total("returned") == total
    assert len(report.lines) == TRAININGS
    from contract import service

    assert until(lambda: not service.is_running(place, "collector"), 40), "the collector stays for ever"
