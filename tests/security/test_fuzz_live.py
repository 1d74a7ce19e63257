"""Mutated messages against a running collector, and beside them a training that must not notice.

`AVALIACOES_FUZZ` is how many messages are sent (default 100,000), `AVALIACOES_FUZZ_SEED` which ones; what came of them is
printed (pytest -s), and so is the seed when the test fails.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from keyed import start, totals
from mutate import Mutator
from zmtp import HandMadePeer, message

from contract import names
from producer import Producer

COUNT = int(os.environ.get("AVALIACOES_FUZZ", "100000"))
SEED = int(os.environ.get("AVALIACOES_FUZZ_SEED", "0")) or secrets.randbits(32)
GOOD = "good_20250101_000000"
#: Sessions, producers and file handles that broken names happen to make are kept, bounded; what grew beyond is a leak.
GROWTH_BYTES = 100 << 20
SETTLED = 0.2


def check_files(base: Path) -> tuple[int, int]:
    """Every file is where and what it may be, every line a JSON object with its two keys; (files, lines)."""
    lines = 0
    found = [path for path in base.iterdir() if path.name != ".avaliacoes"]
    for path in found:
        split = names.split_file_name(path.name)
        assert split is not None, path
        names.check_category(split[0])
        names.check_session(split[1])
        data = path.read_bytes()
        assert not data or data.endswith(b"\n"), path
        for line in data.splitlines():
            record = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} in a line of JSON"))
            assert list(record)[:2] == ["_p", "_q"], line[:200]
            assert isinstance(record["timestamp"], (int, float)) and isinstance(record["step"], int), line[:200]
            names.check_producer(record["_p"])
            lines += 1
    return len(found), lines


@pytest.mark.timeout(3600)
def test_mutated_messages_do_no_harm(
    spawn: Callable[..., subprocess.Popen[bytes]], place: Path, until: Callable[..., bool]
) -> None:
    """The collector lives, does not grow, writes no invalid line, counts each reject by reason, and serves its trainings."""
    running = start(spawn, place)
    process = psutil.Process(running.process.pid)
    print(f"\nfuzz: seed {SEED}, {COUNT} messages")
    mutator = Mutator(SEED)
    outside = sorted(path.name for path in place.parent.iterdir())
    good = Producer(place, session=GOOD, autostart=False)
    peer = HandMadePeer(running.ingest)
    settled = 0
    step = 0
    begin = time.monotonic()
    try:
        sent = 0
        while sent < COUNT:
            batch = [message(mutator.message()) for _ in range(min(200, COUNT - sent))]
            peer.send(b"".join(batch))
            sent += len(batch)
            good.log("training", step, {"n": step})
            step += 1
            if not settled and sent >= SETTLED * COUNT:
                settled = process.memory_info().rss
        assert good.close(60), good.stats()
    finally:
        peer.close()
    seconds = time.monotonic() - begin
    assert running.process.poll() is None, running.errors[-5:]

    def judged() -> int:
        found = totals(place)
        return sum(found["rejected"].values()) + found.get("received_batches", 0)

    # What is broken off in the middle of a message at the end is no message.
    assert until(lambda: judged() >= COUNT + 1, 120), (judged(), COUNT)
    grown = process.memory_info().rss - settled
    found = totals(place)
    files, lines = check_files(place)
    print(
        f"fuzz: {COUNT / seconds:,.0f} messages/s; memory {settled >> 20} MiB at {SETTLED:.0%}, {grown / (1 << 20):+.1f} MiB "
        f"at the end; {files} files, {lines} lines\nfuzz: "
        + json.dumps({k: v for k, v in found.items() if v}, ensure_ascii=False)
    )
    assert grown < GROWTH_BYTES
    assert sum(found["rejected"].values()) > COUNT * 0.1
    assert {"parts", "topic", "header", "range", "name", "oversize"} <= set(found["rejected"])
    assert sorted(path.name for path in place.parent.iterdir()) == outside
    kept = [json.loads(line) for line in (place / names.file_name("training", GOOD)).read_bytes().splitlines()]
    assert [record["n"] for record in kept] == list(range(step))
    assert running.process.poll() is None
