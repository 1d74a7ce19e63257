"""A running collector with keys: who gets in, who does not, and that the good ones never notice."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from keyed import Follower, KeyedProducer, Running, denied, start, stranger, totals
from raw_producer import numbers, read_lines, status

from avaliacoes import key_folders
from contract import keys, names, service
from producer import Producer

Connect = Callable[..., KeyedProducer]
Follow = Callable[..., Follower]
Until = Callable[..., bool]
SESSION = "run_20250101_000000"


def let_in(folder: Path, name: str, role: str = keys.WRITERS) -> keys.ClientKeys:
    made = key_folders.add_client(folder, name, role)
    assert made is not None
    return keys.client_keys(made)


def test_strangers_are_refused_and_counted_while_the_good_ones_go_on(
    collector: Running, folder: Path, connect: Connect, until: Until
) -> None:
    """Wrong key, no key, wrong collector's key and a reader's key are refused and counted; a training loses nothing."""
    reader = let_in(folder, "desk", keys.READERS)
    server = keys.read_public(folder / "collector.key")
    local = keys.client_keys(folder)
    good = Producer(collector.base, session="good_20250101_000000", autostart=False)
    done = threading.Event()

    def train() -> None:
        step = 0
        while not done.wait(0.001):
            for _ in range(5):
                good.log("training", step, {"n": step})
                step += 1

    thread = threading.Thread(target=train)
    thread.start()
    try:
        bad = [
            connect(collector.ingest, found)
            for found in (stranger(server), None, keys.ClientKeys(local.own, key_folders.make_pair().public), reader)
        ]
        assert not any(client.gets_in(2.0) for client in bad)
        assert until(lambda: totals(collector.base).get("stored", 0) > 1000)
        assert until(
            lambda: (
                denied(status(collector.base), "ingest").get("unknown key", 0) >= 2
                and denied(status(collector.base), "ingest").get("no key", 0) >= 1
                and denied(status(collector.base), "ingest").get("wrong key of the collector", 0) >= 1
            )
        )
        for client in bad:
            for seq in range(50):
                client.numbered("training", seq, 1)
    finally:
        done.set()
        thread.join()
    assert good.close(20)
    stats = good.stats()
    assert stats["dropped"] == 0 and stats["persisted"] == stats["logged"]
    assert numbers(collector.base, "training", "good_20250101_000000") == list(range(stats["logged"]))
    assert not (collector.base / names.file_name("training", SESSION)).exists()
    assert collector.process.poll() is None


def test_a_raw_reader_without_the_right_key_hears_nothing(
    collector: Running, folder: Path, follow: Follow, until: Until
) -> None:
    """The feed is for readers: no key, a stranger's and a writer's hear nothing and are counted, a reader's hears."""
    good = follow(collector.feed, let_in(folder, "desk", keys.READERS))
    server = keys.read_public(folder / "collector.key")
    bad = [follow(collector.feed, found) for found in (None, stranger(server), let_in(folder, "gpu1"))]
    with_records = Producer(collector.base, session=SESSION, autostart=False)
    with_records.log("training", 0, {"loss": 1.0})
    assert with_records.flush(20)
    assert good.hears(10)
    assert not any(follower.hears(0.7) for follower in bad)
    assert with_records.close(20)
    assert until(
        lambda: (
            denied(status(collector.base), "feed").get("unknown key", 0) >= 2
            and denied(status(collector.base), "feed").get("no key", 0) >= 1
        )
    )
    assert denied(status(collector.base), "ingest") == {}, status(collector.base)["keys"]


def test_a_key_let_in_and_taken_away_while_the_collector_runs(
    collector: Running, folder: Path, connect: Connect, follow: Follow, until: Until
) -> None:
    """Adding a key needs no restart; removing it cuts its live connections within seconds, and nobody else loses a record."""
    gone, stays = let_in(folder, "gpu1"), let_in(folder, "gpu2")
    assert key_folders.add_client(folder, "gpu1", keys.READERS) is None
    first = connect(collector.ingest, gone, session="gone_20250101_000000")
    second = connect(collector.ingest, stays, session="stays_20250101_000000")
    watching = follow(collector.feed, gone)
    for client in (first, second):
        client.wait_up()
        client.numbered("training", 0, 10)
        client.wait_acked("training", 10)
    assert watching.hears(10)
    assert key_folders.remove_client(folder, "gpu1") == ["writers", "readers"]

    def cut_off() -> bool:
        first.poll(0.05)
        return not first.up

    assert until(cut_off)
    watching.drain()
    second.deliver("training", 3000)
    first.numbered("training", 10, 10)
    assert not first.gets_in(1.5)
    watching.drain()
    assert not watching.hears(1.5)
    assert numbers(collector.base, "training", "gone_20250101_000000") == list(range(10))
    assert numbers(collector.base, "training", "stays_20250101_000000") == list(range(3000))
    assert until(lambda: denied(status(collector.base), "ingest").get("unknown key", 0) >= 1)


def test_a_producer_survives_the_cut_of_another(collector: Running, folder: Path, until: Until) -> None:
    """A real training whose connection is cut because another key was removed, again and again, stores each record once."""
    good = Producer(collector.base, session=SESSION, autostart=False)
    step = 0
    for turn in range(4):
        key_folders.add_client(folder, f"gpu{turn}", keys.WRITERS)
        for _ in range(1500):
            good.log("training", step, {"n": step})
            step += 1
        before = status(collector.base).get("keys") or {}
        assert until(lambda: (status(collector.base).get("keys") or {}).get("writers") == 2), before
        key_folders.remove_client(folder, f"gpu{turn}")
        for _ in range(1500):
            good.log("training", step, {"n": step})
            step += 1
        assert until(lambda: (status(collector.base).get("keys") or {}).get("writers") == 1)
    assert good.close(30)
    assert numbers(collector.base, "training", SESSION) == list(range(step))


def test_nobody_forges_anothers_records(
    collector: Running, folder: Path, connect: Connect, until: Until, spawn: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A batch for another key's producer id, or its children's, is refused as forged, also after a restart of the collector."""
    honest, forger = let_in(folder, "gpu1"), let_in(folder, "gpu2")
    victim = connect(collector.ingest, honest)
    victim.wait_up()
    victim.numbered("training", 0, 10)
    victim.wait_acked("training", 10)

    def forge(endpoint: str, expected: int) -> None:
        for producer in (victim.producer, names.new_producer(victim.producer)):
            attacker = connect(endpoint, forger, producer=producer)
            attacker.wait_up()
            attacker.send("training", 10, [[1.0, 10, {"n": 666}]], floor=0)
            attacker.send("training", 0, [[1.0, 0, {"n": 666}]])
            attacker.send("rewards", 0, [[1.0, 0, {"n": 666}]])
            attacker.send("lifecycle", 0, [[1.0, 0, {"event": "end", "status": "finished"}]])
        assert until(lambda: totals(collector.base)["rejected"].get("forged", 0) >= expected)

    forge(collector.ingest, 8)
    victim.numbered("training", 10, 10)
    victim.wait_acked("training", 20)
    assert numbers(collector.base, "training", SESSION) == list(range(20))
    assert read_lines(collector.base, "rewards", SESSION) == []
    collector.process.kill()
    collector.process.wait(10)
    again = start(spawn, collector.base, "--bind", "tcp://127.0.0.1:*")
    forge(again.ingest, 8)
    back = connect(again.ingest, honest, producer=victim.producer)
    back.wait_up()
    back.numbered("training", 20, 10)
    back.wait_acked("training", 30)
    assert numbers(collector.base, "training", SESSION) == list(range(30))
    assert read_lines(collector.base, "lifecycle", SESSION) == []


def test_a_machine_with_a_new_key_under_its_old_name_goes_on(
    collector: Running, folder: Path, connect: Connect, until: Until
) -> None:
    """The name owns the producer id, so that what a machine left behind can still be sent after its key was changed."""
    first = connect(collector.ingest, let_in(folder, "gpu1"))
    first.wait_up()
    first.numbered("training", 0, 10)
    first.wait_acked("training", 10)
    key_folders.remove_client(folder, "gpu1")
    second = connect(collector.ingest, let_in(folder, "gpu1"), producer=first.producer)
    second.wait_up()
    second.numbered("training", 10, 10)
    second.wait_acked("training", 20)
    assert numbers(collector.base, "training", SESSION) == list(range(20))


def test_a_folder_that_becomes_writable_for_others_lets_nobody_in(
    collector: Running, folder: Path, connect: Connect, until: Until
) -> None:
    """Fails closed, and says so: with the folder open to others no key is believed until it is private again."""
    found = let_in(folder, "gpu1")
    (folder / "writers").chmod(0o777)
    assert until(lambda: "chmod 700" in ((status(collector.base).get("keys") or {}).get("trouble") or ""))
    client = connect(collector.ingest, found)
    assert not client.gets_in(1.5)
    (folder / "writers").chmod(0o700)
    assert until(lambda: (status(collector.base).get("keys") or {}).get("trouble", "") is None)
    again = connect(collector.ingest, found)
    again.wait_up()


def test_services_and_trainings_of_this_machine_find_their_key(
    spawn: Callable[..., subprocess.Popen[bytes]], folder: Path, place: Path, until: Until
) -> None:
    """With keys on, analyzer and trainer on the collector's machine need no configuration: alerts come through."""
    start(spawn, place)
    spawn("-m", "analyzer", "--base-path", str(place), "--worker")
    assert until(lambda: service.find(place, "analyzer"))
    good = Producer(place, session=SESSION, autostart=False)
    for step in range(300):
        good.log("gradients", step, {"grad_norm": 1.0 if step < 100 else 1e6})
        good.log("training", step, {"loss": 0.5})
    assert good.flush(20)
    assert until(lambda: read_lines(place, "alerts", SESSION), 40)
    assert good.close(20)
    assert totals(place)["rejected"] == {}


def test_a_collector_that_gets_keys_later_is_found_again(
    spawn: Callable[..., subprocess.Popen[bytes]], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that began without keys goes on when its collector is started again with them: nothing is lost."""
    monkeypatch.delenv(keys.ENV_KEYS, raising=False)
    before = start(spawn, place)
    good = Producer(place, session=SESSION, autostart=False)
    for step in range(1000):
        good.log("training", step, {"n": step})
    assert good.flush(20)
    before.process.terminate()
    before.process.wait(10)
    key_folders.make_folder(keys.folder_of(place))
    for step in range(1000, 2000):
        good.log("training", step, {"n": step})
    start(spawn, place)
    assert good.flush(40)
    assert good.close(20)
    assert numbers(place, "training", SESSION) == list(range(2000))


def test_a_keys_folder_elsewhere(
    spawn: Callable[..., subprocess.Popen[bytes]], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --keys elsewhere the announcement names the folder, and a client folder reaches the same collector by endpoint."""
    monkeypatch.delenv(keys.ENV_KEYS, raising=False)
    folder = tmp_path / "elsewhere"
    key_folders.make_folder(folder)
    client = key_folders.add_client(folder, "gpu1", keys.WRITERS)
    running = start(spawn, place, "--keys", str(folder), "--bind", "tcp://127.0.0.1:*")
    near = Producer(place, session="near_20250101_000000", autostart=False)
    near.log("training", 0, {"n": 0})
    assert near.close(20)
    monkeypatch.setenv(keys.ENV_KEYS, str(client))
    far = Producer(tmp_path / "other machine", session="far_20250101_000000", endpoint=running.ingest)
    far.log("training", 0, {"n": 0})
    assert far.close(20)
    assert (
        numbers(place, "training", "near_20250101_000000") == numbers(place, "training", "far_20250101_000000") == [0]
    )
