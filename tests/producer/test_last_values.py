"""The newest record of a category, which `stats()` looks up in its block."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from contract.blocks import BLOCK_BYTES
from producer import Producer

pytestmark = pytest.mark.usefixtures("way")


def last(producer: Producer) -> int | None:
    found = producer.stats()["last_values"].get("training")
    return None if found is None else found["n"]


def test_the_last_value_is_the_newest_through_blocks_and_rotation(place: Path) -> None:
    producer = Producer(place, autostart=False, lifecycle=False)
    try:
        log = producer.stream("training")
        assert last(producer) is None
        padding = "x" * 1000
        for n in range(3 * BLOCK_BYTES // 1000):
            log(n, n=n, text=padding)
            if n % 7 == 0:
                assert last(producer) == n
        stream = producer._by_category["training"]
        stream.rotate()
        assert last(producer) == n
        log(0, n=-1)
        assert last(producer) == -1
    finally:
        producer.close(0.0)


def test_looking_while_another_thread_logs_never_tells_nonsense(place: Path) -> None:
    """Blocks are filled, stored and given to the next records all the time: what is told is always a record, and never an older one."""
    producer = Producer(place)
    ended = threading.Event()

    def write() -> None:
        log = producer.stream("training")
        for n in range(60_000):
            log(n, n=n, text="x" * (n % 300))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    before, looks = -1, 0
    while not ended.is_set():
        found = producer.stats()["last_values"].get("training")
        if found is not None:
            assert len(found["text"]) == found["n"] % 300 and before <= found["n"]
            before, looks = found["n"], looks + 1
    thread.join()
    assert producer.close() and looks > 10
    assert last(producer) == 59_999
