"""A training process made for dying: logs numbered records through `RealTimeLogger`, counts them in the tally, ends as told.

The first line on standard output is `<session> <producer>`, once it can be killed with something to lose.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tally import CATEGORIES, Tally

ENDS = ("close", "fall", "wait", "exception", "exit", "osexit", "segfault", "kill", "term", "interrupt", "timeout")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("tally")
    parser.add_argument("slot", type=int)
    parser.add_argument("--session", default="chaos")
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=0.0, help="records per second; 0 for as fast as it goes")
    parser.add_argument("--categories", type=int, default=2)
    parser.add_argument("--end", choices=ENDS, default="close")
    parser.add_argument("--timeout", type=float, help="of close()")
    parser.add_argument("--stats", help="file for the last statistics")
    parser.add_argument("--times", help="file for the duration of every call, by epoch of the tally")
    parser.add_argument("--endpoint")
    parser.add_argument("--buffer", type=int, default=65_536)
    parser.add_argument("--no-autostart", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="each counts in a slot of its own, from SLOT on")
    parser.add_argument("--clock-jump", type=float, default=0.0, help="seconds by which the time of day jumps half-way")
    return parser.parse_args()


class Clock:
    """A time of day that can be moved: the C library's where `moved_clock.c` is preloaded, else `time.time`, before anything imports it."""

    def __init__(self) -> None:
        self._true, self._moved = time.time, 0.0
        try:
            self._library: ctypes.c_long | None = ctypes.c_long.in_dll(ctypes.CDLL(None), "chaos_clock_moved")
        except ValueError:
            self._library = None
            time.time = self  # type: ignore[assignment]

    def __call__(self) -> float:
        return self._true() + self._moved

    def move(self, seconds: float) -> None:
        if self._library is not None:
            self._library.value = int(seconds)
        else:
            self._moved = seconds


def log_records(
    logger: object,
    tally: Tally,
    slot: int,
    records: int,
    rate: float = 0.0,
    categories: int = 2,
    times: dict[int, list[int]] | None = None,
    half_way: object = None,
) -> None:
    """Log `records` numbered records in turn over the first `categories` categories, no more than the tally allows."""
    calls = [getattr(logger, name) for name in LOG_CALLS[:categories]]
    at = [tally.index(slot, category) for category in CATEGORIES[:categories]]
    words = tally.words
    begin, clock = time.perf_counter(), time.perf_counter_ns
    done = sum(words[i] for i in at)
    start = done
    while done < records:
        while done >= words[0]:
            time.sleep(0.001)
            begin, start = time.perf_counter(), done
        if rate:
            due = start + int((time.perf_counter() - begin) * rate) + 1
            if done >= due:
                time.sleep(0.002)
                continue
        if done == records // 2 and callable(half_way):
            half_way()
        turn = done % categories
        i = at[turn]
        number = words[i]
        words[i] = number + 1
        if times is None:
            calls[turn](done, n=number, slot=slot, loss=1.0 / (number + 1), learning_rate=3e-4, grad_norm=0.5)
        else:
            before = clock()
            calls[turn](done, n=number, slot=slot, loss=1.0 / (number + 1), learning_rate=3e-4, grad_norm=0.5)
            times.setdefault(words[1], []).append(clock() - before)
        words[i + 1] = number + 1
        done += 1


LOG_CALLS = (
    "log_training_step",
    "log_gradient_info",
    "log_convergence_metrics",
    "log_reward_info",
    "log_performance_metrics",
)


def write_stats(path: str, slots: list[int], logger: object, closed: bool) -> None:
    stats = logger.get_real_time_stats()  # type: ignore[attr-defined]
    partial = Path(f"{path}.new")
    partial.write_text(json.dumps({"slots": slots, "closed": closed, "stats": stats}, default=str))
    partial.rename(path)


def main() -> None:
    given = arguments()
    clock = Clock() if given.clock_jump else None
    from avaliacoes.real_time_logger import RealTimeLogger

    tally = Tally(given.tally)
    logger = RealTimeLogger(
        given.base,
        given.buffer,
        session=given.session,
        endpoint=given.endpoint,
        autostart=not given.no_autostart,
    )
    print(logger.session, logger.get_real_time_stats()["producer"], flush=True)
    times: dict[int, list[int]] | None = {} if given.times else None

    def jump() -> None:
        if clock is not None:
            clock.move(given.clock_jump)

    extra = [
        threading.Thread(
            target=log_records, args=(logger, tally, given.slot + k, given.records, given.rate, given.categories)
        )
        for k in range(1, given.threads)
    ]
    for thread in extra:
        thread.start()
    log_records(logger, tally, given.slot, given.records, given.rate, given.categories, times, jump)
    for thread in extra:
        thread.join()
    if given.times:
        Path(given.times).write_text(json.dumps(times))
    end(given, logger)


def end(given: argparse.Namespace, logger: object) -> None:
    how = given.end
    if how in ("close", "timeout"):
        closed = logger.close(given.timeout)  # type: ignore[attr-defined]
        if given.stats:
            write_stats(given.stats, list(range(given.slot, given.slot + given.threads)), logger, closed)
        print("closed" if closed else "left", flush=True)
    elif how == "wait":
        print("waiting", flush=True)
        signal.pause()
    elif how == "exception":
        raise RuntimeError("the training failed")
    elif how == "exit":
        sys.exit(3)
    elif how == "osexit":
        os._exit(4)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how != "fall":
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "term": signal.SIGTERM, "interrupt": signal.SIGINT}[how])
        time.sleep(30)


if __name__ == "__main__":
    main()
