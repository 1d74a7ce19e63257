"""Giving memory back: a flood that waited in ZeroMQ's queues leaves the C heap full of holes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: Resident memory may lie this far above the least that was seen before a trim is tried.
ROOM_BYTES: Final = 32 << 20
#: A trim of some hundred MiB takes tens of milliseconds, in which the loop stands still.
EVERY_S: Final = 5.0
#: After one that gave back little: the memory is in use.
VAIN_S: Final = 20.0
_STATM: Final = Path("/proc/self/statm")


class Trimmer:
    """Returns freed memory to the system when enough has gathered; does nothing where the C library cannot (only glibc can).

    With a thousand trainers on a busy machine the collector came from 190 to 330 MiB within two minutes; 91 were in use.
    """

    def __init__(self) -> None:
        self._trim = _malloc_trim()
        self._least = 1 << 62
        self._next = 0.0
        self.trims = 0

    def look(self, now: float) -> None:
        """To be called each second or so."""
        if self._trim is None or now < self._next:
            return
        size = _resident()
        self._least = min(self._least, size)
        if size < self._least + ROOM_BYTES:
            return
        self._trim(0)
        self.trims += 1
        self._next = now + (EVERY_S if size - _resident() > ROOM_BYTES // 4 else VAIN_S)


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return trim if _STATM.exists() else None


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
