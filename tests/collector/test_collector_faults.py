"""What breaks: processes killed, lines torn, disks full, files moved. On disk exactly once, all the same."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest
from raw_producer import RawProducer, numbers, read_lines, status

from collector.counts import Counts
from collector.store import Store
from contract import places

S = "run_20250101_000000"


def test_a_torn_tail_is_cut_kept_apart_and_sent_again(collector, raw, place: Path) -> None:
    """Half a line at the end of a file disappears at the restart, and its record is stored once."""
    running = collector()
    one = raw(running.ingest)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    running.kill()
    path = place / f"training_{S}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:30])
    collector()
    assert path.read_bytes() == whole
    assert "torn line" in (place / ".avaliacoes" / "quarantine.jsonl").read_text()
    one.resend("training", 9, 3)
    assert numbers(place, "training", S) == list(range(12))


def test_a_line_that_only_lacks_its_feed_counts_as_stored(collector, raw, place: Path) -> None:
    """A whole last line without its line feed is ended, not doubled; a stranger's unfinished text is left alone."""
    running = collector()
    one = raw(running.ingest)
    one.numbered("training", 0, 10)
    one.wait_acked("training", 10)
    running.kill()
    path = place / f"training_{S}.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    stranger = place / "training_by_hand.jsonl"
    stranger.write_bytes(b'{"step": 1}\nnotes of mine')
    collector()
    one.resend("training", 5, 10)
    assert numbers(place, "training", S) == list(range(15))
    assert stranger.read_bytes() == b'{"step": 1}\nnotes of mine\n'


@pytest.mark.chaos
def test_kill_and_restart_in_mid_stream_stores_exactly_once(collector, place: Path, until) -> None:
    """Killed five times while two producers send, the collector has every record once and in order."""
    running = collector()
    total, chance = 20_000, random.Random(7)
    ones = [RawProducer(running.ingest, f"run{k}_20250101_000000") for k in range(2)]
    threads = [threading.Thread(target=one.deliver, args=("training", total, 50, 100.0)) for one in ones]
    for thread in threads:
        thread.start()
    kills = 0
    try:
        while kills < 5 and any(thread.is_alive() for thread in threads):
            time.sleep(chance.uniform(0.05, 0.4))
            running.kill()
            kills += 1
            running = collector()
        for thread in threads:
            thread.join(100)
        for one in ones:
            assert one.acked["training"] == total
            assert numbers(place, "training", one.session) == list(range(total))
    finally:
        for one in ones:
            one.close()
    assert kills >= 1


def test_restart_without_checkpoint_reads_the_file(collector, raw, place: Path) -> None:
    """Checkpoints only save time: without them the files tell what is stored."""
    running = collector()
    one = raw(running.ingest)
    one.numbered("training", 0, 100)
    one.wait_acked("training", 100)
    running.terminate()
    places.checkpoint_file(place, S).unlink()
    collector()
    one.resend("training", 50, 100)
    assert numbers(place, "training", S) == list(range(150))


@pytest.fixture
def small_disk(place: Path, tmp_path: Path):
    """A file system of 512 KiB, mounted at the data folder."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_waited_for(collector, small_disk: Path, until) -> None:
    """Nothing is acknowledged that did not fit; once there is room all of it is stored exactly once."""
    place = small_disk
    running = collector()
    one = RawProducer(running.ingest, S)
    thread = threading.Thread(target=one.deliver, args=("training", 8_000, 50, 100.0))
    ballast = place / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    thread.start()
    try:
        assert until(lambda: any("cannot write" in line for line in running.errors), 30)
        assert one.acked.get("training", 0) < 8_000
        path = place / f"training_{S}.jsonl"
        assert until(lambda: path.read_bytes().endswith(b"\n"), 5), "a torn line stays in sight"
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        thread.join(60)
        assert one.acked.get("training") == 8_000
        assert numbers(place, "training", S) == list(range(8_000))
        assert until(
            lambda: status(place).get("totals", {}).get("write_errors", 0) > 0 and not status(place)["failing"]
        )
    finally:
        subprocess.run(["mount", "-o", "remount,size=8m", str(place)], check=True)
        thread.join(60)
        one.close()
        running.terminate()


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_file_taken_away_is_begun_anew(collector, raw, place: Path, until, how: str) -> None:
    """After a data file is moved or deleted the stream goes on in a new one, also across a restart, and it is said."""
    running = collector()
    one = raw(running.ingest)
    one.numbered("training", 0, 100)
    one.wait_acked("training", 100)
    path = place / f"training_{S}.jsonl"
    old = place / "old.log"
    if how == "moved":
        path.rename(old)
    else:
        path.unlink()
    time.sleep(0.3)  # longer than the collector goes without looking at the path
    one.numbered("training", 100, 100)
    one.wait_acked("training", 200)
    assert numbers(place, "training", S) == list(range(100, 200))
    if how == "moved":
        assert old.read_bytes().count(b"\n") == 100
    assert until(lambda: any("going on in a new file" in line for line in running.errors))
    running.terminate()
    path.unlink()
    collector()
    one.resend("training", 150, 100)
    assert numbers(place, "training", S) == list(range(200, 250))


def test_records_for_a_deleted_file_are_not_lost_even_at_once(tmp_path: Path) -> None:
    """A write that went into a file nobody can reach any more is done again in a new one."""
    store = Store(tmp_path, Counts(say=lambda _text: None))
    file = store.file("training_x.jsonl")
    assert store.append(file, b"1\n") == 2
    (tmp_path / file.name).unlink()
    assert store.append(file, b"2\n") == 2
    assert (tmp_path / file.name).read_bytes() == b"2\n"
    store.close()


def test_a_short_write_keeps_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits in whole lines stays, the rest is cut; the file rests, then goes on by itself."""
    store = Store(tmp_path, Counts(say=lambda _text: None))
    file = store.file("training_x.jsonl")
    store.append(file, b"{}\n")
    true_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: true_write(fd, data[: len(data) - 2]))
    assert store.append(file, b"aaa\nbbb\nccc\n") == 8
    assert (tmp_path / file.name).read_bytes() == b"{}\naaa\nbbb\n"
    assert store.waits(file, time.monotonic()) and "fitted" in str(file.error)
    monkeypatch.undo()
    assert store.append(file, b"ccc\n") == 4
    assert (tmp_path / file.name).read_bytes() == b"{}\naaa\nbbb\nccc\n" and file.error is None
    store.close()


def test_a_sync_that_fails_undoes_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With durability "power" a write whose sync fails does not count, and its bytes are taken back."""
    store = Store(tmp_path, Counts(say=lambda _text: None), power=True)
    file = store.file("training_x.jsonl")
    assert store.append(file, b"aaa\n") == 4

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("collector.store.sync_data", broken)
    assert store.append(file, b"bbb\n") == 0
    assert (tmp_path / file.name).read_bytes() == b"aaa\n"
    assert "Input/output error" in str(file.error)
    store.close()


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    """Files beyond the bound are closed and opened again as needed."""
    store = Store(tmp_path, Counts(say=lambda _text: None), max_open=8)
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(3):
        for number in range(40):
            assert store.append(store.file(f"training_{number}.jsonl"), b"%d\n" % turn)
    assert len(os.listdir("/proc/self/fd")) < before + 60
    store.close()
    assert all((tmp_path / f"training_{n}.jsonl").read_bytes() == b"0\n1\n2\n" for n in range(40))
    assert len(os.listdir("/proc/self/fd")) <= before


def test_two_trainers_of_one_session_name_get_a_file_each(collector, raw, place: Path) -> None:
    """The second trainer is stored under a suffix, the same one after a crash, and nothing is doubled."""
    running = collector()
    first = raw(running.ingest)
    first.numbered("training", 0, 10)
    first.wait_acked("training", 10)
    second = raw(running.ingest)
    second.numbered("training", 0, 10)
    second.send("lifecycle", 0, [[1.0, 0, {"event": "start"}]])
    second.wait_acked("training", 10)
    second.wait_acked("lifecycle", 1)
    running.kill()
    collector()
    for one in (second, first):
        one.resend("training", 5, 10)
    assert {line["_p"] for line in read_lines(place, "training", S)} == {first.producer}
    assert {line["_p"] for line in read_lines(place, "training", f"{S}_2")} == {second.producer}
    assert numbers(place, "training", S) == numbers(place, "training", f"{S}_2") == list(range(15))
    assert len(read_lines(place, "lifecycle", f"{S}_2")) == 1
    assert not (place / f"training_{S}_3.jsonl").exists()
