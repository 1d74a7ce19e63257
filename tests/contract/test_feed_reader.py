"""Readers of a collector's feed, and of its acks, that stand still in the middle of a flood."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: A flood, a reader that takes nothing for longer than its heartbeats allow, three times; then it must still be there.
FLOOD = """
import os, sys, threading, time
from pathlib import Path
import zmq
from contract import feed
from producer.link import Link

endpoint = "ipc://" + sys.argv[2]
beats = ((zmq.LINGER, 0), (zmq.HEARTBEAT_IVL, 300), (zmq.HEARTBEAT_TIMEOUT, 900))

def server(kind):
    socket = zmq.Context().socket(kind)
    for option, value in beats:
        socket.setsockopt(option, value)
    socket.bind(endpoint)
    return socket

if sys.argv[1] == "feed":
    source, parts = server(zmq.XPUB), [b"tm1/x", b"h", b"l" * 500]
    reader = feed.join(zmq.Context(), Path(sys.argv[2]), endpoint, {}, [b"tm1/"])
else:
    source, parts = server(zmq.XSUB), [b"A" + b"a" * 500]
    source.send(b"\\x01tm1/")
    link = Link()
    link.connect(endpoint)
    reader = link.socket

ending = threading.Event()

def flood():
    while not ending.is_set():
        for _ in range(200):
            try:
                source.send_multipart(parts, zmq.NOBLOCK)
            except zmq.Again:
                pass
        while source.poll(0):
            source.recv_multipart()
        time.sleep(0.02)

thread = threading.Thread(target=flood)
thread.start()
for _ in range(3):
    time.sleep(4.5)
    got, until = 0, time.monotonic() + 1.5
    while time.monotonic() < until:
        if reader.poll(50):
            reader.recv_multipart()
            got += 1
    assert got > 1000, got
ending.set()
thread.join()
print("alive", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("what", ["feed", "acks"])
def test_a_reader_that_stood_still_goes_on(what: str, tmp_path: Path, place: Path) -> None:
    """A process whose reader takes nothing for seconds, while thousands of messages come, is not aborted by libzmq."""
    runtime = place.parent / "s"
    done = subprocess.run(
        [sys.executable, "-c", FLOOD, what, str(runtime)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
