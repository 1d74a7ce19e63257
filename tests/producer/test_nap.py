"""Waking the sender out of a log call."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from producer import nap


@pytest.mark.skipif(nap._write is nap._os_write, reason="the C library cannot be called here")
def test_a_call_that_wakes_the_sender_does_not_give_the_interpreter_away(until: Callable[..., bool]) -> None:
    """The woken thread runs when the waker lets go, not in the middle of its call."""
    bell = nap.Nap()
    ended = threading.Event()
    woken: list[float] = []

    def sleeper() -> None:
        while not ended.is_set():
            bell.pause(30.0)
            woken.append(time.monotonic())

    thread = threading.Thread(target=sleeper, daemon=True)
    thread.start()
    interval = sys.getswitchinterval()
    try:
        for turn in range(10):
            assert until(lambda turn=turn: len(woken) == turn, 10)
            time.sleep(0.02)  # it goes back to sleep
            sys.setswitchinterval(60.0)
            bell.wake()
            deadline = time.monotonic() + 0.02
            while time.monotonic() < deadline:
                pass
            seen = len(woken)
            sys.setswitchinterval(interval)
            assert seen == turn
            assert until(lambda turn=turn: len(woken) == turn + 1, 10)
    finally:
        sys.setswitchinterval(interval)
        ended.set()
        bell.wake()
        thread.join(10)
        bell.close()


def test_a_nap_that_is_over_can_be_woken_without_harm() -> None:
    """A log call after `close()` writes nowhere, whatever file has the number of the pipe by then."""
    bell = nap.Nap()
    bell.close()
    bell.wake()
    bell.clear()
