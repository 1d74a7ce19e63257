"""The clock jumps: order, counts and delivery do not hang on the time of day."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from audit import settle, state_of
from chaos_processes import Service, Trainer
from compiling import compiler
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

HOUR = 3600


@pytest.fixture
def clock(way: str, tmp_path: Path) -> dict[str, str]:
    """Environment of a trainer whose clock can be moved: the compiled log call asks the C library, not Python."""
    if way == "python":
        return {}
    library = tmp_path / "moved_clock.so"
    program = compiler()
    if program is None:
        pytest.skip("no C compiler")
    source = Path(__file__).with_name("moved_clock.c")
    subprocess.run([program, "-shared", "-fPIC", "-O1", str(source), "-o", str(library), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "ahead"])
def test_the_trainers_clock_jumps_an_hour(
    collector: Callable[..., Service],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    jump: int,
    clock: dict[str, str],
) -> None:
    """Half-way through its records the trainer's clock jumps: each is stored once, in order, with the time it was given."""
    collector()
    options = ["--records", "6000", "--rate", "3000", "--clock-jump", str(jump), "--no-autostart"]
    ending = [
        trainer(0, *options, "--session", "closed", **clock),
        trainer(1, *options, "--session", "killed", "--end", "kill", **clock),
    ]
    assert ending[0].wait(60) == 0 and ending[0].said[-1] == "closed", ending[0].errors
    assert ending[1].wait(60) == -9
    settle(place, tally, 30)
    assert state_of(place, "closed") == "finished"
    assert state_of(place, "killed") == "crashed"

    from avaliacoes.real_time_logger import LogReader

    times = [record["timestamp"] for record in LogReader(place, "closed").read_stream("training")]
    leaps = [after - before for before, after in pairwise(times)]
    assert sum(abs(leap) > HOUR / 2 for leap in leaps) == 1 and len(times) == 3_000


def test_the_collectors_clock_jumps_an_hour_back(
    broken_collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """The collector's clock jumps while it works, and it is killed afterwards: recovery does not look at the time."""
    running = broken_collector(f"clock:{-HOUR}:200")
    options = ["--records", "12000", "--rate", "4000", "--no-autostart", "--timeout", "60"]
    some = [trainer(k, *options, "--session", f"run{k}") for k in range(2)]
    assert some[0].wait(60) == 0 and some[0].said[-1] == "closed"
    running.kill()
    broken_collector(f"clock:{-2 * HOUR}:0")
    assert some[1].wait(60) == 0 and some[1].said[-1] == "closed"
    settle(place, tally, 30)
