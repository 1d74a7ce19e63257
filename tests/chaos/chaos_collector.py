"""A collector that breaks at a chosen moment, in a way that a signal from outside cannot be timed for.

    torn:N:K    the N-th write to a data file puts K bytes of it on disk, then the process is gone
    call:N      gone before its N-th call of the operating system's file functions (start-up is full of them)
    clock:S:N   its clock jumps by S seconds after it was read N times
    stall:FILE  each write to a data file, and each sync, hangs while FILE exists: a disk that does not answer

Everything else on the command line is the collector's own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def is_data(fd: int) -> bool:
    return os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl")


def torn(at: int, keep: int) -> None:
    true_write = os.write
    seen = 0

    def write(fd: int, data: bytes) -> int:
        nonlocal seen
        if is_data(fd):
            seen += 1
            if seen == at:
                true_write(fd, bytes(data)[: min(keep, len(data) - 2)])
                die()
        return true_write(fd, data)

    os.write = write


def call(at: int) -> None:
    seen = 0

    def counted(true: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == at:
                die()
            return true(*arguments, **named)

        return wrapper

    import fcntl

    for name in ("open", "write", "replace", "unlink", "ftruncate", "mkdir", "close", "pread", "scandir", "lseek"):
        setattr(os, name, counted(getattr(os, name)))
    fcntl.flock = counted(fcntl.flock)


def stall(flag: str) -> None:
    true_write, true_sync = os.write, os.fdatasync

    def hang() -> None:
        while os.access(flag, os.F_OK):
            time.sleep(0.01)

    def write(fd: int, data: bytes) -> int:
        if is_data(fd):
            hang()
        return true_write(fd, data)

    def sync(fd: int) -> None:
        hang()
        true_sync(fd)

    os.write, os.fdatasync = write, sync


def clock(jump: float, after: int) -> None:
    true_time = time.time
    seen = 0

    def moved() -> float:
        nonlocal seen
        seen += 1
        return true_time() + (jump if seen > after else 0.0)

    time.time = moved


def main() -> int:
    how, _, rest = sys.argv[1].partition(":")
    if how == "torn":
        at, keep = rest.split(":")
        torn(int(at), int(keep))
    elif how == "call":
        call(int(rest))
    elif how == "clock":
        jump, after = rest.split(":")
        clock(float(jump), int(after))
    else:
        stall(rest)
    from collector.__main__ import main as collect

    return collect(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
