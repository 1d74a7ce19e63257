"""A trainer that forks: children that log are producers of their own, whatever becomes of their parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import settle, state_of
from chaos_processes import HERE, Child, Service
from fork_child import RECORDS
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


@pytest.mark.parametrize(("how", "logging"), [("os-fork", 5), ("os-fork-close", 5), ("mp-fork", 4), ("mp-spawn", 4)])
def test_children_that_log(
    collector: Callable[..., Service], children: list[Child], place: Path, tally: Tally, how: str, logging: int
) -> None:
    """Parent and children log into one session, each once and in order, with and without a clean end of the child."""
    collector()
    children.append(parent := Child([str(HERE / "fork_child.py"), how, str(place), str(tally.path)]))
    assert parent.wait(90) == 0, parent.errors
    report = settle(place, tally, 30)
    assert report.total("returned") == RECORDS * logging
    assert list(report.lines) == ["forks"]
    assert state_of(place, "forks") == "finished"


def test_a_parent_killed_while_its_child_lives(
    collector: Callable[..., Service], children: list[Child], place: Path, tally: Tally, until: Callable[..., bool]
) -> None:
    """The parent's records are adopted although a child still holds its descriptors; the child's own go on arriving."""
    collector()
    children.append(parent := Child([str(HERE / "fork_child.py"), "orphaned", str(place), str(tally.path)]))
    parent.line()
    child = int(parent.line())
    try:
        # The child holds our end of the pipes, so the parent is waited for by its id alone.
        assert parent.process.wait(60) == -9
        assert until(lambda: not _alive(child), 60)
    finally:
        if _alive(child):
            os.kill(child, 9)
    report = settle(place, tally, 30)
    assert report.total("returned") == 11 * RECORDS


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
