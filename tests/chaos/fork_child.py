"""A training process that forks and logs on both sides. `python fork_child.py HOW BASE TALLY`; see `main`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from typing import Any

from chaos_trainer import log_records
from tally import Tally

from avaliacoes.real_time_logger import RealTimeLogger

RECORDS = 2_000


def in_child(logger: Any, path: str, slot: int) -> None:
    log_records(logger, Tally(path), slot, RECORDS)


def silent(logger: Any) -> None:
    """A child that inherits a logger and never logs."""


def fork(logger: Any, tally: Tally, children: int, end: str) -> list[int]:
    """`os.fork` in the middle of the parent's own logging; the children end by `os._exit`, which runs nothing."""
    pids = []
    for number in range(children):
        log_records(logger, tally, 0, RECORDS * (number + 1) // children)
        pid = os.fork()
        if pid == 0:
            log_records(logger, tally, 1 + number, RECORDS)
            if end == "close":
                logger.close(20)
            os._exit(0)
        pids.append(pid)
    return pids


def main() -> None:
    how, base, path = sys.argv[1:4]
    tally = Tally(path)
    logger = RealTimeLogger(base, session="forks", autostart=False)
    print(logger.session, logger.get_real_time_stats()["producer"], flush=True)
    if how in ("os-fork", "os-fork-close"):
        for pid in fork(logger, tally, 4, "close" if how == "os-fork-close" else "exit"):
            os.waitpid(pid, 0)
    elif how in ("mp-fork", "mp-spawn"):
        log_records(logger, tally, 0, RECORDS // 2)
        context = multiprocessing.get_context(how[3:])
        some = [context.Process(target=in_child, args=(logger, path, 1 + k)) for k in range(3)]
        some.append(context.Process(target=silent, args=(logger,)))
        for one in some:
            one.start()
        log_records(logger, tally, 0, RECORDS)
        for one in some:
            one.join(60)
            assert one.exitcode == 0, one.exitcode
    elif how == "orphaned":
        log_records(logger, tally, 0, RECORDS)
        if os.fork() == 0:
            print(os.getpid(), flush=True)
            log_records(logger, tally, 1, 10 * RECORDS, rate=5 * RECORDS)
            logger.close(20)
            os._exit(0)
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
    logger.close(30)


if __name__ == "__main__":
    main()
