"""Every way a training process ends: all that was logged is stored, and the session says how it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audit import ends_of, settle, state_of
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

#: how it ends -> (exit code, state of the session, status of its `end` record or None for none)
ENDINGS = {
    "close": (0, "finished", "finished"),
    "fall": (0, "finished", "finished"),
    "exception": (1, "crashed", "failed"),
    "exit": (3, "finished", "finished"),
    "interrupt": (-2, "finished", "interrupted"),
    "osexit": (4, "crashed", None),
    "term": (-15, "crashed", None),
    "kill": (-9, "crashed", None),
    "segfault": (-11, "crashed", None),
}


def test_every_ending_with_a_collector_there(
    collector: Callable[..., Any], trainer: Callable[..., Any], place: Path, tally: Tally
) -> None:
    """With a collector running: close, end of script, exception, sys.exit, Ctrl-C, os._exit, SIGTERM, SIGKILL, SIGSEGV."""
    collector()
    _all_endings(trainer, place, tally)


def test_every_ending_with_no_service_running(
    trainer: Callable[..., Any], place: Path, tally: Tally, until: Callable[..., bool]
) -> None:
    """The same where the first trainer starts the collector itself, which ends by itself when all is stored."""
    _all_endings(trainer, place, tally)
    from contract import service

    assert until(lambda: not service.is_running(place, "collector"), 40), "the collector stays for ever"


def _all_endings(trainer: Callable[..., Any], place: Path, tally: Tally) -> None:
    started = {
        how: trainer(slot, "--records", "3000", "--end", how, "--session", how, wait=False)
        for slot, how in enumerate(ENDINGS)
    }
    for how, one in started.items():
        one.wait_ready()
        assert one.wait(40) == ENDINGS[how][0], one.errors
    report = settle(place, tally, 40)
    assert report.total("returned") == 3000 * len(ENDINGS)
    for how, (_, state, status) in ENDINGS.items():
        assert state_of(place, how) == state, how
        ends = [(event["event"], event.get("status")) for event in ends_of(place, how)]
        if status:  # a process that had to end before all was delivered left the rest to be adopted
            ends = [end for end in ends if end != ("adopted", None)]
        assert ends == ([("end", status)] if status else [("adopted", None)]), how
