"""The disk fills up, the folder turns read-only, files are moved or deleted under the collector."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audit import check, settle
from chaos_processes import Service, Trainer
from tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

Until = Callable[..., bool]


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """The data folder on a file system of 24 MiB."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(place: Path) -> Path:
    """Fill the file system to the last byte with a file of somebody else's."""
    ballast = place / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


@pytest.mark.parametrize("kill", [False, True], ids=["alive", "killed"])
def test_a_full_disk(
    small_disk: Path,
    collector: Callable[..., Service],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    until: Until,
    kill: bool,
) -> None:
    """Filled by another file and freed again: nothing is acknowledged meanwhile, then everything is stored once."""
    running = collector()
    tally.allowance = 2_000
    options = ["--records", "30000", "--categories", "3", "--no-autostart", "--timeout", "90"]
    some = [trainer(k, *options, "--session", f"run{k}") for k in range(2)]
    assert until(lambda: sum(path.stat().st_size for path in place.glob("training_*.jsonl")) > 100_000)
    ballast = _fill(place)
    tally.allowance = 30_000
    if kill:
        # A collector that starts on a full disk has to cope, too.
        time.sleep(1.0)
        running.kill()
        running = collector()
    assert until(lambda: any("cannot write" in line or "No space" in line for line in running.errors), 30)
    assert until(lambda: tally.total() == 60_000, 30), "the trainers wait for the disk"
    ballast.unlink()
    for one in some:
        assert one.wait(120) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)


def test_a_disk_that_is_full_at_the_start(
    small_disk: Path, collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally
) -> None:
    """A trainer that starts on a full disk logs all the same; its records are stored when there is room."""
    place.joinpath(".avaliacoes").mkdir(mode=0o700)
    ballast = _fill(place)
    one = trainer(0, "--records", "2000", "--end", "wait")
    assert one.line(30) == "waiting"
    ballast.unlink()
    collector()
    one.kill()
    settle(place, tally, 60)


def _read_only(folder: Path) -> Callable[[], None]:
    """Make a folder and all in it unwritable even for descriptors that are open; returns what undoes it."""
    if os.geteuid() != 0:
        paths = [folder, folder / ".avaliacoes", *(folder / ".avaliacoes").iterdir()]
        folders = [path for path in paths if path.is_dir()]
        for path in folders:
            path.chmod(0o500)
        return lambda: [path.chmod(0o700) for path in folders] and None
    if not shutil.which("chattr"):
        pytest.skip("root may write anywhere, and there is no chattr to forbid it")
    done = subprocess.run(["chattr", "-R", "+i", str(folder)], capture_output=True)
    if done.returncode:
        subprocess.run(["chattr", "-R", "-i", str(folder)], capture_output=True)
        pytest.skip(f"this file system knows no immutable files: {done.stderr.decode().strip()[:200]}")
    return lambda: subprocess.run(["chattr", "-R", "-i", str(folder)], check=True) and None


@pytest.mark.parametrize("kill", [False, True], ids=["alive", "killed"])
def test_a_folder_that_turns_read_only(
    collector: Callable[..., Service],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    until: Until,
    kill: bool,
) -> None:
    """Nothing can be written for a while, old files nor new: trainers go on, and once it can be all of it is stored."""
    running = collector()
    tally.allowance = 1_000
    some = [
        trainer(k, "--records", "8000", "--no-autostart", "--timeout", "90", "--session", f"run{k}") for k in (0, 1)
    ]
    assert until(lambda: len(list(place.glob("training_run*.jsonl"))) == 2)
    if kill:
        running.kill()
    undo = _read_only(place)
    try:
        tally.allowance = 8_000
        assert until(lambda: tally.total() == 16_000, 30), "the trainers wait for the folder"
        if kill:
            refused = collector(wait=False)
            assert refused.wait(30) == 4, "a collector cannot start there"
            assert any(str(place) in line for line in refused.errors), refused.errors
        elif os.geteuid() == 0:
            assert until(lambda: any("cannot write" in line for line in running.errors), 30)
    finally:
        undo()
    if kill:
        collector()
    for one in some:
        assert one.wait(120) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30)


@pytest.mark.parametrize("kill", [False, True], ids=["alive", "restarted"])
def test_files_rotated_under_the_collector(
    collector: Callable[..., Service],
    trainer: Callable[..., Trainer],
    place: Path,
    tally: Tally,
    tmp_path: Path,
    until: Until,
    kill: bool,
) -> None:
    """Data files moved away, as logrotate does, again and again: old and new files together hold each record once."""
    running = collector()
    one = trainer(0, "--records", "12000", "--rate", "3000", "--no-autostart", "--timeout", "60")
    rotated: dict[str, list[Path]] = {}
    for turn in range(5):
        for category in ("training", "gradients"):
            path = place / f"{category}_{one.session}.jsonl"
            assert until(lambda path=path: path.exists() and path.stat().st_size > 5_000)  # type: ignore[misc]
            away = tmp_path / f"{path.name}.{turn}"
            path.rename(away)
            rotated.setdefault(path.name, []).append(away)
        time.sleep(0.3)
        if kill and turn == 2:
            running.process.terminate()
            assert running.wait(10) == 0
            running = collector()
    assert one.wait(90) == 0 and one.said[-1] == "closed", one.errors
    settle(place, tally, 30, rotated=rotated)
    running.process.terminate()
    assert running.wait(10) == 0
    from avaliacoes.account import account_of

    account = account_of(place, one.session, time.time())
    assert (account.logged, account.lost) == (12_000, 0), "what was moved away is not lost"


def test_a_file_deleted_under_the_collector(
    collector: Callable[..., Service], trainer: Callable[..., Trainer], place: Path, tally: Tally, until: Until
) -> None:
    """What somebody deletes is gone; everything after it goes to a new file, without a gap and without a repeat."""
    collector()
    one = trainer(0, "--records", "6000", "--rate", "3000", "--no-autostart", "--timeout", "60", "--categories", "1")
    path = place / f"training_{one.session}.jsonl"
    assert until(lambda: path.exists() and path.stat().st_size > 50_000)
    with path.open("rb") as deleted:
        path.unlink()
        assert one.wait(60) == 0 and one.said[-1] == "closed", one.errors
        old = deleted.read().splitlines()
    last_deleted = json.loads(old[-1])["n"]
    assert until(path.exists)
    first_kept = json.loads(path.read_bytes().splitlines()[0])["n"]
    assert first_kept <= last_deleted + 1, "records between the deleted file and the new one are missing"
    report = check(place, tally, gone={(0, "training"): first_kept}, running=False)
    assert report.total("stored") == 6_000 - first_kept
