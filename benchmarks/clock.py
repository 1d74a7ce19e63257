"""Timing single calls: the loops that measure, so that every contender is timed by the same code."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from time import perf_counter_ns, time
from typing import Any

from benchmarks.harness import percentile, settled
from benchmarks.workload import NAMES


def overhead_ns() -> float:
    """Median time that two readings of the clock take: part of every measured call."""
    found = []
    for _ in range(2000):
        begin = perf_counter_ns()
        found.append(perf_counter_ns() - begin)
    return statistics.median(found)


def figures(times: list[int], prefix: str) -> dict[str, float]:
    """Median, p99 and p99.9 in microseconds, without the clock's own time."""
    clock = overhead_ns()
    return {
        f"{prefix}p50": max(1.0, percentile(times, 0.5) - clock) / 1000,
        f"{prefix}p99": max(1.0, percentile(times, 0.99) - clock) / 1000,
        f"{prefix}p999": max(1.0, percentile(times, 0.999) - clock) / 1000,
    }


def time_calls(call: Callable[..., Any], steps: Iterable[dict[str, Any]], first: int, prefix: str) -> dict[str, float]:
    """Figures of `call(step, **metrics)`, one call for each of `steps`."""
    times: list[int] = []
    note, clock = times.append, perf_counter_ns
    with settled():
        for step, metrics in enumerate(steps, first):
            begin = clock()
            call(step, **metrics)
            note(clock() - begin)
    return figures(times, prefix)


def time_ours(call: Callable[..., Any], steps: Iterable[dict[str, Any]], first: int) -> dict[str, float]:
    """Figures of our call as a training loop writes it, the metrics named one by one."""
    times: list[int] = []
    note, clock = times.append, perf_counter_ns
    with settled():
        for step, (a, b, c, d, e, f, g, h) in enumerate(map(_values, steps), first):
            begin = clock()
            call(
                step,
                loss=a,
                policy_loss=b,
                value_loss=c,
                entropy=d,
                learning_rate=e,
                explained_variance=f,
                approx_kl=g,
                clip_fraction=h,
            )
            note(clock() - begin)
    return figures(times, "ours ")


def time_limit(write: Callable[[bytes], Any], steps: Iterable[dict[str, Any]], first: int) -> dict[str, float]:
    """Figures of the limit, without even a function call of its own: dump the record as a line, write it to a buffer."""
    import orjson

    times: list[int] = []
    note, clock, now, dumps, newline = times.append, perf_counter_ns, time, orjson.dumps, orjson.OPT_APPEND_NEWLINE
    with settled():
        for step, (a, b, c, d, e, f, g, h) in enumerate(map(_values, steps), first):
            begin = clock()
            record = {
                "timestamp": now(),
                "step": step,
                "loss": a,
                "policy_loss": b,
                "value_loss": c,
                "entropy": d,
                "learning_rate": e,
                "explained_variance": f,
                "approx_kl": g,
                "clip_fraction": h,
            }
            write(dumps(record, None, newline))
            note(clock() - begin)
    return figures(times, "limit ")


def line_writer(write: Callable[[bytes], Any]) -> Callable[..., None]:
    """The limit as a call, `log(step, **metrics)`: dump the record as a line, write it to a buffer."""
    import orjson

    dumps, newline = orjson.dumps, orjson.OPT_APPEND_NEWLINE

    def log(step: int, /, **metrics: float) -> None:
        write(dumps({"timestamp": time(), "step": step, **metrics}, None, newline))

    return log


def _values(metrics: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(metrics[name] for name in NAMES)
