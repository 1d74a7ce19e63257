"""Two trainings of the same name at the same time: two sessions, never one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from audit import audit, settle
from chaos_processes import Service, Trainer
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


def _sessions(place: Path, tally: Tally) -> set[str]:
    return {session for session, found in audit(place, tally).lines.items() if found.get("training")}


def test_on_one_machine(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """Started at the same moment on one folder, each gets a name of its own and knows it."""
    collector()
    some = [trainer(k, "--records", "3000", "--session", "same", "--no-autostart", wait=False) for k in range(4)]
    for one in some:
        one.wait_ready()
        assert one.wait(60) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)
    assert {one.session for one in some} == _sessions(place, tally) == {"same", "same_2", "same_3", "same_4"}


def test_of_two_machines_with_the_collector_killed(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally, tmp_path: Path
) -> None:
    """Folders that cannot see each other send the same name to one collector, which keeps them apart, also after a kill."""
    running = collector("--bind", "tcp://127.0.0.1:*")
    endpoint = running.said[0].removeprefix("collector: ready on ").split(",")[0]
    options = ["--records", "9000", "--rate", "3000", "--session", "same", "--endpoint", endpoint, "--timeout", "60"]
    some = [trainer(k, *options, base=tmp_path / f"machine{k}", wait=False) for k in range(3)]
    for one in some:
        one.wait_ready()
        assert one.session == "same"
    for _ in range(3):
        running.kill()
        running = collector("--bind", endpoint)
    for one in some:
        assert one.wait(60) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)
    assert _sessions(place, tally) == {"same", "same_2", "same_3"}
