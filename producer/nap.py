"""How the log call wakes a sender that sleeps, at the price of a look at two bytes while it does not.

`os.write` gives the interpreter away, and the sender that it wakes takes it for a whole round before the log call goes on:
a trainer that logs seldom paid up to milliseconds a call. The same system call through `ctypes.PyDLL` keeps the interpreter.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
from collections.abc import Callable


def _writing() -> Callable[[int, bytes, int], int]:
    """write(2), without giving the interpreter away where that can be had."""
    try:
        write = ctypes.PyDLL(None).write
    except (OSError, AttributeError, TypeError):
        return _os_write
    write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    write.restype = ctypes.c_ssize_t
    return write


def _os_write(fd: int, data: bytes, _size: int) -> int:
    try:
        return os.write(fd, data)
    except OSError:
        return -1


_write = _writing()


#: Which of the two signs says what: the sender sleeps long; something waits to be told on the thread of a log call.
SLEEPING, NEWS = 0, 1


class Nap:
    """`signs` are what every log call looks at: while the sender sleeps long, and only then, it writes to a pipe."""

    __slots__ = ("_poll", "_writer", "reader", "relied", "signs")

    def __init__(self) -> None:
        self.signs = bytearray(2)
        #: True while the sender sleeps and sends nothing (a collector takes the records, or there is none): a ring that fills wakes it.
        self.relied = False
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self.reader, select.POLLIN)

    def wake(self) -> None:
        """End the sleep. From any thread, any number of times; never blocks."""
        self.signs[SLEEPING] = self.relied = False
        _write(self._writer, b"w", 1)  # a full pipe wakes as well

    def pause(self, seconds: float) -> None:
        """Sleep at most `seconds`, less if woken."""
        if self._poll.poll(max(1, round(seconds * 1000))):
            self.clear()

    def clear(self) -> None:
        """Forget the calls to wake that have come."""
        with contextlib.suppress(OSError):
            os.read(self.reader, 4096)

    def close(self) -> None:
        fds, self.reader, self._writer = (self.reader, self._writer), -1, -1
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
