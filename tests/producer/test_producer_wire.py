"""What a producer does on the wire, against a peer that the test plays."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract import blocks, names
from producer import Producer

sys.path.insert(0, str(Path(__file__).parent))
from peer import Peer

pytestmark = pytest.mark.usefixtures("way")


@pytest.fixture
def endpoint(place: Path) -> str:
    place.parent.mkdir(parents=True, exist_ok=True)
    return f"ipc://{os.environ['AVALIACOES_RUNTIME_DIR']}/peer.sock"


@pytest.fixture
def peer(endpoint: str) -> Iterator[Peer]:
    found = Peer(endpoint)
    yield found
    found.close()


def make(place: Path, endpoint: str, **options: object) -> Producer:
    return Producer(place, endpoint=endpoint, lifecycle=False, **options)  # type: ignore[arg-type]


def closing(producer: Producer, peer: Peer, seconds: float = 10.0) -> bool:
    """Close while the peer goes on taking."""
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(producer.close(seconds)))
    thread.start()
    peer.take(seconds + 5, until=lambda: not thread.is_alive())
    thread.join(5)
    return bool(done and done[0])


def test_every_record_arrives_once_and_in_order(place: Path, endpoint: str, peer: Peer) -> None:
    """20,000 records in two categories arrive exactly once, in order, and close() says so."""
    producer = make(place, endpoint)
    for step in range(10_000):
        producer.log("training", step, {"loss": 1.0 / (step + 1)})
        producer.log("rewards", step, {"episode_reward": float(step)})
    assert closing(producer, peer)
    assert peer.steps("training") == list(range(10_000))
    assert peer.steps("rewards") == list(range(10_000))
    assert producer.stats()["persisted"] == 20_000
    assert producer.ring.path is not None and not producer.ring.path.exists()


def test_unacknowledged_batches_are_sent_again(place: Path, endpoint: str, peer: Peer) -> None:
    """A collector that takes and never acknowledges gets everything again once it does."""
    producer = make(place, endpoint)
    for step in range(1000):
        producer.log("training", step, {"loss": 0.5})
    peer.take(10, ack=False, until=lambda: len(peer.steps("training")) == 1000)
    assert producer.stats()["persisted"] == 0
    peer.records.clear()
    assert closing(producer, peer, 20)
    assert peer.steps("training") == list(range(1000))
    assert producer.stats()["resent"] >= 1000


def test_a_new_collector_gets_what_the_old_one_did_not_acknowledge(place: Path, endpoint: str) -> None:
    """When the collector goes and another comes, the producer starts again from the last acknowledged record."""
    producer = make(place, endpoint)
    first = Peer(endpoint)
    for step in range(500):
        producer.log("training", step, {"loss": 0.5})
    first.take(10, until=lambda: producer.stats()["persisted"] == 500)
    first.close()
    for step in range(500, 1500):
        producer.log("training", step, {"loss": 0.5})
    second = Peer(endpoint)
    second.records["x", "y"] = []
    try:
        second.records[producer.producer_id, "training"] = [None] * 500
        assert closing(producer, second, 20)
        assert second.steps("training") == list(range(500, 1500))
    finally:
        second.close()


def test_overflow_goes_to_the_spool_and_comes_back(place: Path, endpoint: str) -> None:
    """Without a collector, more than buffer_size records spill to disk, none is dropped, all arrive later."""
    producer = make(place, endpoint, buffer_size=2_000)
    for step in range(60_000):
        producer.log("training", step, {"loss": 0.5, "value_loss": 1.5})
        if step % 5_000 == 0:
            time.sleep(0.05)
    deadline = time.monotonic() + 20
    while producer.stats()["spooled"] < 50_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    stats = producer.stats()
    assert stats["spooled"] >= 50_000 and stats["dropped"] == 0 and stats["waiting"] == 60_000
    peer = Peer(endpoint)
    try:
        assert closing(producer, peer, 30)
        assert peer.steps("training") == list(range(60_000))
        assert not list((place / ".avaliacoes" / "spool").iterdir())
    finally:
        peer.close()


def test_past_the_spools_limit_the_oldest_go_counted(
    place: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, until: object
) -> None:
    """A full spool gives up its oldest file, counts it, and the collector is told where to go on."""
    monkeypatch.setenv("AVALIACOES_SPOOL_BYTES", str(20 << 20))
    producer = make(place, endpoint, buffer_size=1_000)
    text = "x" * 2000
    for step in range(30_000):
        producer.log("training", step, {"note": text})
        if step % 500 == 0:
            time.sleep(0.02)
    assert until(lambda: producer.stats()["dropped"] > 0, 20)  # type: ignore[operator]
    dropped = producer.stats()["dropped"]
    peer = Peer(endpoint)
    try:
        assert closing(producer, peer, 30)
        steps = peer.steps("training")
        final = producer.stats()["dropped"]
        assert final >= dropped and steps == list(range(30_000 - len(steps), 30_000)) and len(steps) == 30_000 - final
    finally:
        peer.close()


def test_values_of_every_kind_survive(place: Path, endpoint: str, peer: Peer) -> None:
    """Numpy, nested, non-finite, huge and hopeless values are kept or become text; no record is lost."""

    class Hopeless:
        def __repr__(self) -> str:
            raise RuntimeError("no")

        def __float__(self) -> float:
            raise RuntimeError("no")

    class Scalar:
        def item(self) -> float:
            return 2.5

    deep: list[object] = []
    for _ in range(700):
        deep = [deep]
    producer = make(place, endpoint)
    producer.log("training", np.int64(7), {"a": np.float32(1.5), "b": np.arange(3), "c": np.bool_(True), "d": Scalar()})
    producer.log("training", 8, {"nan": math.nan, "inf": -math.inf, "huge": 10**30, "none": None})
    producer.log("training", 9, {"bad": Hopeless(), "deep": deep, "surrogate": "\ud800", "set": {1}})
    producer.log("training", "nine", {"loss": 1.0})
    producer.log("training", 1.5, {"loss": 1.0})
    producer.log("training", 10.0, {"many": {str(i): i for i in range(5000)}})
    producer.log("training", 11, {"long": "x" * 200_000, "loss": 0.25, "array": np.zeros(100_000)})
    producer.log("training", 12, {f"m{i}": i for i in range(3000)})
    assert closing(producer, peer)
    records = peer.records[producer.producer_id, "training"]
    assert [record[1] for record in records] == [7, 8, 9, 9, 9, 10, 11, 12]
    assert records[0][2] == {"a": 1.5, "b": (0, 1, 2), "c": True, "d": 2.5}
    assert math.isnan(records[1][2]["nan"]) and records[1][2]["huge"] == str(10**30)
    assert "Hopeless" in records[2][2]["bad"] and records[2][2]["set"] == (1,)
    assert records[3][2]["step_given"] == "'nine'" and records[4][2]["step_given"] == 1.5
    assert records[6][2]["loss"] == 0.25 and len(records[6][2]["long"]) <= 202
    assert len(records[7][2]) <= names.MAX_METRICS_PER_RECORD
    assert producer.stats()["values_replaced"] >= 6 and producer.stats()["dropped"] == 0


def test_bad_categories_are_renamed_not_lost(place: Path, endpoint: str, peer: Peer) -> None:
    """A category that may not be gets a name that may, counted; paths cannot be escaped."""
    producer = make(place, endpoint)
    producer.log("Train Loss", 1, {"x": 1})
    producer.log("../../etc/passwd", 2, {"x": 1})
    producer.log("", 3, {"x": 1})
    producer.log(None, 4, {"x": 1})  # type: ignore[arg-type]
    assert closing(producer, peer)
    assert {category for _, category in peer.records} == {"train_loss", "etc_passwd", "other", "none"}
    assert producer.stats()["categories_renamed"] == 4


def test_threads_log_without_losing(place: Path, endpoint: str, peer: Peer) -> None:
    """Eight threads logging at once lose nothing and never break a record."""
    producer = make(place, endpoint)

    def work(number: int) -> None:
        for step in range(2_000):
            producer.log("training", step, {"thread": number, "loss": 0.5})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert closing(producer, peer)
    records = peer.records[producer.producer_id, "training"]
    for number in range(8):
        assert [r[1] for r in records if r[2]["thread"] == number] == list(range(2_000))


def test_a_log_call_inside_a_log_call_is_stored(place: Path, endpoint: str, peer: Peer) -> None:
    """A value that logs while it is being logged neither deadlocks nor loses either record."""
    producer = make(place, endpoint)

    class Chatty:
        def item(self) -> float:
            producer.log("training", 2, {"inner": True})
            return 1.0

    producer.log("training", 1, {"outer": Chatty()})
    assert closing(producer, peer)
    assert sorted(peer.steps("training")) == [1, 2]


def test_a_forked_child_is_a_producer_of_its_own(place: Path, endpoint: str, peer: Peer) -> None:
    """A child that logs gets an id of the same root, its records arrive; a silent child costs nothing and exits."""
    producer = make(place, endpoint)
    producer.log("training", 0, {"who": "parent"})
    silent = os.fork()
    if silent == 0:
        os._exit(0)
    child = os.fork()
    if child == 0:
        for step in range(100):
            producer.log("training", step, {"who": "child"})
        ok = producer.close(15)
        os._exit(0 if ok else 7)
    ended: dict[int, int] = {}

    def gone() -> bool:
        for pid in (silent, child):
            if pid not in ended:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    ended[pid] = status
        return len(ended) == 2

    peer.take(20, until=gone)
    assert ended == {silent: 0, child: 0}
    producer.log("training", 1, {"who": "parent"})
    assert closing(producer, peer)
    ids = {who for who, _ in peer.records}
    assert len(ids) == 2 and {names.root_of(who) for who in ids} == {producer.producer_id}
    mine = [r[2]["who"] for r in peer.records[producer.producer_id, "training"]]
    assert mine == ["parent", "parent"]
    assert len(peer.steps("training")) == 102


def test_a_killed_process_leaves_a_ring_that_the_next_producer_sends(
    place: Path, endpoint: str, peer: Peer, spawn: object
) -> None:
    """SIGKILL right after the last log call: the next producer of the folder delivers every record, under the old id."""
    code = (
        "import os, signal\n"
        "from producer import Producer\n"
        f"p = Producer({str(place)!r}, endpoint={endpoint + '.nobody'!r}, lifecycle=False)\n"
        "for step in range(5000): p.log('training', step, {'loss': 0.5})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    dead = spawn("-c", code)  # type: ignore[operator]
    assert dead.wait(30) == -signal.SIGKILL
    orphans = list(blocks.find_orphans(place))
    assert len(orphans) == 1 and sum(block.count for block in orphans[0].blocks()) == 5000
    dead_id = orphans[0].producer
    orphans[0].release()
    heir = make(place, endpoint)
    heir.log("training", 1, {"loss": 0.25})
    peer.take(20, until=lambda: len(peer.steps("training", dead_id)) == 5000)
    assert peer.steps("training", dead_id) == list(range(5000))
    peer.take(10, until=lambda: not list(blocks.find_orphans(place, {heir.producer_id})))
    assert closing(heir, peer)


def test_ending_without_close_delivers_or_spools(place: Path, endpoint: str, spawn: object) -> None:
    """A script that just ends, with no collector anywhere, is gone within seconds and leaves its records in the spool."""
    code = (
        "from producer import Producer\n"
        f"p = Producer({str(place)!r}, endpoint={endpoint!r}, lifecycle=False)\n"
        "for step in range(3000): p.log('training', step, {'loss': 0.5})\n"
    )
    process = spawn("-c", code)  # type: ignore[operator]
    assert process.wait(30) == 0
    left = [block for orphan in blocks.find_orphans(place) for block in orphan.blocks()]
    assert sum(block.count for block in left) == 3000


def test_start_up_refuses_what_cannot_be(place: Path, tmp_path: Path) -> None:
    """Wrong names, sizes, endpoints and folders raise at once, with what to do."""
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(names.NameRefused, match="expected"):
        Producer(place, session="../escape")
    with pytest.raises(ValueError, match="buffer_size"):
        Producer(place, buffer_size=0)
    with pytest.raises(TypeError, match="flush_interval"):
        Producer(place, flush_interval="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="avaliacoes keys"):
        Producer(place, endpoint="tcp://192.0.2.1:5555")
    with pytest.raises(ValueError, match="expected tcp"):
        Producer(place, endpoint="http://localhost:80")
    with pytest.raises(OSError, match="data folder"):
        Producer(file / "below")


def test_two_sessions_of_one_name_get_two_names(place: Path, endpoint: str) -> None:
    """A session name that is taken gets a suffix."""
    first = make(place, endpoint, session="run")
    second = make(place, endpoint, session="run")
    try:
        assert (first.session, second.session) == ("run", "run_2")
    finally:
        first.close(0)
        second.close(0)


def test_without_shared_memory_or_fallocate_it_still_works(
    place: Path, endpoint: str, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No posix_fallocate (as on macOS): the ring is written out instead."""
    monkeypatch.delattr(os, "posix_fallocate")
    producer = make(place, endpoint)
    assert producer.ring.protected
    producer.log("training", 1, {"loss": 0.5})
    assert closing(producer, peer)
    assert peer.steps("training") == [1]


def test_no_folder_for_the_ring_is_no_reason_not_to_log(
    place: Path, endpoint: str, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no ring file can be made, records live in memory, and the statistics say that they are unprotected."""
    monkeypatch.setattr("producer.ring.ring_dirs", lambda base: [Path("/proc/nowhere")])
    producer = make(place, endpoint)
    assert producer.stats()["protected"] is False
    producer.log("training", 1, {"loss": 0.5})
    assert closing(producer, peer)
    assert peer.steps("training") == [1]


def test_logging_after_close_is_counted_and_harmless(place: Path, endpoint: str, peer: Peer) -> None:
    """A record logged after close() is dropped and counted; nothing is raised."""
    producer = make(place, endpoint)
    producer.log("training", 1, {"loss": 0.5})
    assert closing(producer, peer)
    producer.log("training", 2, {"loss": 0.5})
    producer.log("rewards", 2, {"x": 0.5})
    assert producer.stats()["dropped"] == 2
    assert producer.close()


def test_reconnecting_sends_only_what_is_not_acknowledged(place: Path, endpoint: str) -> None:
    """After a reconnection the producer goes on behind the last acknowledged batch, not at the start of its block."""
    producer = make(place, endpoint)
    first = Peer(endpoint)
    for step in range(300):
        producer.log("training", step, {"loss": 0.5})
    first.take(10, until=lambda: producer.stats()["persisted"] == 300)
    first.close()
    producer.log("training", 300, {"loss": 0.5})
    second = Peer(endpoint)
    try:
        second.records[producer.producer_id, "training"] = [None] * 300
        assert closing(producer, second, 20)
        assert second.steps("training") == [300] and second.duplicates == 0
        assert producer.stats()["resent"] <= 1
    finally:
        second.close()


def test_a_collector_that_forgot_gets_what_is_still_here(place: Path, endpoint: str) -> None:
    """A collector that lost acknowledged records (a power cut) and asks for them gets those that are still in memory."""
    producer = make(place, endpoint)
    first = Peer(endpoint)
    for step in range(300):
        producer.log("training", step, {"loss": 0.5})
    first.take(10, until=lambda: producer.stats()["persisted"] == 300)
    first.close()
    second = Peer(endpoint)
    try:
        second.records[producer.producer_id, "training"] = [None] * 100
        producer.log("training", 300, {"loss": 0.5})
        second.take(10, until=lambda: 300 in second.steps("training"))
        assert second.steps("training") == list(range(100, 301))
        assert closing(producer, second, 20)
    finally:
        second.close()
