"""The collector stands still without dying: frozen as a whole, or stuck in a disk that does not answer. The trainer does not notice."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audit import settle
from chaos_processes import LONG, Child, Service, Trainer
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

FROZEN_S = 30.0 if LONG else 10.0
BEFORE_S = 3.0
RATE = 1_000
#: No call may take longer, whatever else this machine does. The figures themselves are printed, not judged.
GROSS_S = 0.5


class Watched:
    """A trainer at a steady rate, whose calls are timed by epoch: 0 before the standstill, 1 during it, 2 after."""

    def __init__(self, one: Trainer, tally: Tally, times: Path) -> None:
        self.one, self.tally, self.times = one, tally, times
        self.rates: list[float] = []

    def watch(self, seconds: float) -> None:
        """Let one epoch last so long, then begin the next."""
        before, at = self.tally.total(), time.monotonic()
        time.sleep(seconds)
        self.rates.append((self.tally.total() - before) / (time.monotonic() - at))
        self.tally.epoch += 1

    def report(self, record: Callable[[str, object], None]) -> None:
        """Print what the calls cost in each epoch; fail only on a gross hang or a rate that broke down."""
        times = json.loads(self.times.read_text())
        p999 = {}
        for epoch, name in enumerate(("before", "during", "after")):
            found = sorted(times[str(epoch)])
            p999[name] = found[int(0.999 * len(found))] / 1e3
            slowest = found[-1] / 1e9
            print(f"{name}: {len(found)} calls, p50 {found[len(found) // 2] / 1e3:.1f} us, p99.9 {p999[name]:.1f} us, ")
            print(f"    slowest {slowest * 1e3:.2f} ms, {self.rates[min(epoch, 1)]:.0f} records/s")
            assert slowest < GROSS_S, f"a log call {name} the standstill took {slowest:.2f} s"
        record("p999_ratio", round(p999["during"] / p999["before"], 2))
        record("rate_ratio", round(self.rates[1] / self.rates[0], 3))
        print(f"p99.9 during / before: {p999['during'] / p999['before']:.2f}; rate {self.rates[1] / self.rates[0]:.3f}")
        assert self.rates[1] > 0.5 * self.rates[0], self.rates


@pytest.fixture
def watched(
    trainer: Callable[..., Trainer], place: Path, tally: Tally, tmp_path: Path, until: Callable[..., bool]
) -> Callable[[], Watched]:
    """`watched()`: the trainer, warm and connected."""

    def start() -> Watched:
        times = tmp_path / "times"
        records = int(RATE * (BEFORE_S + FROZEN_S + 4))
        options = ["--records", str(records), "--rate", str(RATE), "--times", str(times), "--timeout", "60"]
        one = trainer(0, *options, "--no-autostart", "--stats", str(tmp_path / "stats"))
        assert until(lambda: list(place.glob("training_*.jsonl")))
        return Watched(one, tally, times)

    return start


def _finish(watched: Watched, place: Path, tally: Tally, record: Callable[[str, object], None]) -> None:
    assert watched.one.wait(120) == 0 and watched.one.said[-1] == "closed", watched.one.errors
    settle(place, tally, 30, stats=[watched.times.parent / "stats"])
    watched.report(record)


def test_a_frozen_collector(
    collector: Callable[..., Service],
    watched: Callable[[], Watched],
    place: Path,
    tally: Tally,
    record_property: Callable[[str, object], None],
) -> None:
    """With the collector stopped by SIGSTOP for seconds, log calls cost what they cost before; then all is delivered."""
    running = collector()
    one = watched()
    one.watch(BEFORE_S)
    running.freeze()
    one.watch(FROZEN_S)
    running.thaw()
    _finish(one, place, tally, record_property)


def test_a_disk_that_does_not_answer_the_collector(
    broken_collector: Callable[..., Child],
    watched: Callable[[], Watched],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """With every write and sync of the collector hanging, log calls cost what they cost before; then all is delivered."""
    flag = tmp_path / "stalled"
    broken_collector(f"stall:{flag}")
    one = watched()
    one.watch(BEFORE_S)
    flag.touch()
    one.watch(FROZEN_S)
    flag.unlink()
    _finish(one, place, tally, record_property)


@pytest.fixture
def freezable(place: Path, tmp_path: Path) -> Iterator[Path]:
    """The data folder on a file system of its own that can be frozen (`fsfreeze`), trainer's spool and all."""
    if not shutil.which("fsfreeze") or not shutil.which("mkfs.ext4"):
        pytest.skip("fsfreeze and mkfs.ext4 are needed")
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["fsfreeze", "--unfreeze", str(place)], capture_output=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_frozen_file_system(
    freezable: Path,
    collector: Callable[..., Service],
    watched: Callable[[], Watched],
    place: Path,
    tally: Tally,
    record_property: Callable[[str, object], None],
) -> None:
    """With the whole file system frozen, the trainer's spool included, log calls cost what they cost before."""
    collector()
    one = watched()
    one.watch(BEFORE_S)
    subprocess.run(["fsfreeze", "--freeze", str(place)], check=True)
    try:
        one.watch(FROZEN_S)
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(place)], check=True)
    _finish(one, place, tally, record_property)


def test_a_freeze_that_outlasts_the_buffer(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """Frozen for longer than the memory lasts, the trainer spools; a trainer that starts and ends meanwhile spools too."""
    running = collector()
    tally.allowance = 500
    slow = trainer(0, "--records", "150000", "--buffer", "2000", "--no-autostart", "--timeout", "90", "--session", "a")
    running.freeze()
    tally.allowance = 150_000
    short = trainer(1, "--records", "20000", "--no-autostart", "--timeout", "1", "--session", "b")
    assert short.wait(60) == 0 and short.said[-1] == "left"
    assert list((place / ".avaliacoes" / "spool").glob("*.spool"))
    running.thaw()
    assert slow.wait(120) == 0 and slow.said[-1] == "closed", slow.errors
    settle(place, tally, 60)
