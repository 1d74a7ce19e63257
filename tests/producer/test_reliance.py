"""A sender that sleeps while a collector takes the records out of the ring, and goes on by itself when it does not."""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.live import NO, ORDERED, PAGE, RELIED, WELCOME, LiveWords, Mark
from producer import Producer
from producer.reliance import RELIED_ROUND_S, Reliance

sys.path.insert(0, str(Path(__file__).parent))
from peer import Peer

pytestmark = pytest.mark.usefixtures("way")

pytestmark = pytest.mark.skipif(not ORDERED, reason="this processor may reorder stores: rings are not read live")
SECOND = 1_000_000_000


def live_page() -> LiveWords:
    return LiveWords(memoryview(bytearray(PAGE)))


def steady(reliance: Reliance, rounds: int = 3, each: int = 250, **options: bool) -> list[bool]:
    """Decisions of rounds in which `each` records came."""
    return [
        reliance.decide(1 + n * RELIED_ROUND_S, SECOND, each * (n + 1), 10, options.get("hurried", False))
        for n in range(rounds)
    ]


def test_only_a_steady_stream_and_a_fresh_beat_let_the_sender_sleep() -> None:
    """Nothing is left to a collector that does not beat, nor few records, nor a flood, nor when somebody waits for the last."""
    live = live_page()
    assert steady(Reliance(live, 65_536, True)) == [False] * 3 and live.wish == WELCOME
    live.beat = SECOND
    assert steady(Reliance(live, 65_536, True))[-1] and live.wish == RELIED
    for each, options in ((5, {}), (10_000, {}), (250, {"hurried": True})):
        assert not steady(Reliance(live, 65_536, True), each=each, **options)[-1] and live.wish == NO
    assert not steady(Reliance(live, 400, True))[-1]
    assert not steady(Reliance(live, 65_536, False))[-1]


def test_a_flood_between_two_rounds_is_seen_at_once() -> None:
    """A sender that is woken because the ring fills does not wait for the quarter of a second to pass."""
    live = live_page()
    live.beat = SECOND
    reliance = Reliance(live, 65_536, True)
    assert steady(reliance)[-1]
    assert not reliance.decide(1 + 2 * RELIED_ROUND_S + 0.01, SECOND, 750 + 6_000, 6_000, False)
    assert live.wish == NO


@pytest.fixture
def peer(place: Path) -> Iterator[Peer]:
    place.parent.mkdir(parents=True, exist_ok=True)
    found = Peer(f"ipc://{os.environ['AVALIACOES_RUNTIME_DIR']}/peer.sock")
    yield found
    found.close()


class Taker(threading.Thread):
    """The collector's side of a ring, as far as it beats."""

    def __init__(self, ring: Path) -> None:
        super().__init__(daemon=True)
        with ring.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), PAGE)
        self.live = LiveWords(memoryview(self._map))
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.01):
            self.live.beat = time.monotonic_ns()


def test_the_sender_sends_nothing_while_it_is_relieved_and_all_of_it_afterwards(place: Path, peer: Peer) -> None:
    """While the ring is taken from, no record goes through the socket; what was not acknowledged by then is sent, once, in order."""
    endpoint = f"ipc://{os.environ['AVALIACOES_RUNTIME_DIR']}/peer.sock"
    producer = Producer(place, endpoint=endpoint, lifecycle=False)
    assert producer.ring.path is not None
    taker = Taker(producer.ring.path)
    taker.start()
    logged = 0

    def log_until(condition: object, seconds: float = 20.0) -> bool:
        nonlocal logged
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            producer.log("training", logged, {"loss": 0.5})
            logged += 1
            peer.take(0.004)
            if condition():  # type: ignore[operator]
                return True
        return False

    try:
        quiet = [0, 0]  # records that have come, records logged by then

        def nothing_comes() -> bool:
            """A hundred records, twenty times the usual delay, of which none came through the socket."""
            if taker.live.wish != RELIED or len(peer.steps("training")) != quiet[0]:
                quiet[:] = [len(peer.steps("training")), logged]
            return logged - quiet[1] >= 100

        assert log_until(nothing_comes, 60)
        enough = logged
        # The acknowledgement in the ring counts: nobody sends those records any more.
        position = sum(len(data) for data in _packed(logged - 20))
        taker.live.note_stored(1, Mark(logged - 20, position))
        known = peer.records[producer.producer_id, "training"]
        sent = len(known)
        known.extend([None] * (logged - 20 - sent))
        assert log_until(lambda: producer.stats()["persisted"] >= enough - 20)
        taker.done.set()
        taker.join(5)
        assert log_until(lambda: len(known) >= logged - 5)
        thread = threading.Thread(target=producer.close)
        thread.start()
        peer.take(20, until=lambda: not thread.is_alive())
        assert peer.steps("training") == [*range(sent), *range(enough - 20, logged)]
        assert producer.stats()["resent"] == 0
    finally:
        taker.done.set()
        producer.close(0)


def _packed(count: int) -> Iterator[bytes]:
    import msgpack

    for step in range(count):
        yield msgpack.packb((1.0, step, {"loss": 0.5}))
