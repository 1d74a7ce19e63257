"""How the log call wakes a sender that sleeps, at the price of one attribute while it does not."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Sized


class Nap:
    """`on` is true only while the sender sleeps long; then, and only then, the log call writes to a pipe."""

    __slots__ = ("_poll", "_writer", "news", "on", "reader", "relied")

    def __init__(self) -> None:
        self.on = False
        #: True while the sender sleeps and sends nothing (a collector takes the records, or there is none): a ring that fills wakes it.
        self.relied = False
        #: What waits to be told on the thread of the next log call; beside `on` because every call tests both.
        self.news: Sized = ()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self.reader, select.POLLIN)

    def wake(self) -> None:
        """End the sleep. From any thread, any number of times; never blocks."""
        self.on = self.relied = False
        with contextlib.suppress(OSError):
            os.write(self._writer, b"w")

    def pause(self, seconds: float) -> None:
        """Sleep at most `seconds`, less if woken."""
        if self._poll.poll(max(1, round(seconds * 1000))):
            self.clear()

    def clear(self) -> None:
        """Forget the calls to wake that have come."""
        with contextlib.suppress(OSError):
            os.read(self.reader, 4096)

    def close(self) -> None:
        for fd in (self.reader, self._writer):
            with contextlib.suppress(OSError):
                os.close(fd)
