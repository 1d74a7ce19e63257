"""How much slower a CPU-bound numpy training loop gets by logging 1,000 records a second.

Two processes learn the same small network in turn, 5 ms each: an iteration takes about a millisecond and logs eight
metrics, or does not. Each turn gives a ratio; thousands of them, and as many in which neither logs to take out what the
two processes differ by anyway, find a tenth of a per cent on a machine that wavers by five. (A machine's speed drifts within
tens of milliseconds where it is shared: turns of 50 ms had five times the error in the same time.)

Calls are timed one by one in turns of their own, for two looks at the clock cost a tenth of a per cent themselves.

The time of an iteration leaves out what the loop's thread spent ready to run but without a core (Linux tells): that is
the neighbours' doing. Waiting for the interpreter while the sender's thread has it counts in full; it is also told by itself,
because it can be measured exactly: time in which the loop's thread neither ran nor was ready to run.

The same loop that writes each record with orjson into a buffered file instead tells what the machine makes of the least that
any logger does. What a collector's looks on another core cost falls on both processes; a row tells what a process that wakes
as often costs a loop that logs nothing.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.clock import line_writer
from benchmarks.ground import Ground
from benchmarks.harness import Child, Plan, Row, percentile, ratio_of, serve

_STRETCH_S, _FLOOR_STRETCH_S = 0.005, 0.05
#: How often a second the collector looks at the ring of a steady trainer.
_LOOKS = 100


def measure(plan: Plan) -> list[Row]:
    pairs = plan.pick(600, 4000)
    with (
        Ground() as ground,
        Child("benchmarks.training_loop", str(ground.base)) as ours,
        Child("benchmarks.training_loop", "") as other,
    ):
        collector = ground.collector()
        inner = other.ask("size")
        for child in (ours, other):
            child.ask("take_size", iterations=inner)
        before = _Phase(ours, other, pairs // 2, "")
        alive = _Phase(ours, other, pairs, "log")
        alive_calls = _Phase(ours, other, pairs // 4, "log", timed=True)
        time.sleep(0.7)  # the sender goes to sleep
        limit = _Phase(ours, other, pairs // 2, "limit")
        limit_calls = _Phase(ours, other, pairs // 4, "limit", timed=True)
        between = _Phase(ours, other, pairs // 2, "")
        with collector.frozen():
            frozen = _Phase(ours, other, pairs, "log")
            frozen_calls = _Phase(ours, other, pairs // 4, "log", timed=True)
        time.sleep(1.5)
        floor = _floor(other, plan.pick(40, 400))
    bare = before.ratios + between.ratios
    return [
        _row("numpy training loop logging 1,000 records/s", alive, bare, "< 1 %"),
        _row("the same, collector frozen", frozen, bare, "< 1 %"),
        _row("the same loop with orjson + buffered write instead", limit, bare),
        Row(
            "log call inside that loop (cold caches): median; share of the loop",
            f"{percentile(alive_calls.calls, 0.5):.1f} us, {alive_calls.share:.2f} %; frozen {frozen_calls.share:.2f} %",
            f"orjson + buffered write {percentile(limit_calls.calls, 0.5):.1f} us, {limit_calls.share:.2f} %",
            f"{alive_calls.share / limit_calls.share:.2f}",
        ),
        Row(
            "waiting for the interpreter inside that loop",
            f"{alive.blocked:.3f} % of it",
            f"collector frozen {frozen.blocked:.3f} %",
        ),
        Row(
            f"the loop without logging, beside a process that wakes {_LOOKS} times a second",
            f"{100 * (ratio_of(floor).value - 1):+.2f} %",
            f"without that process; standard error {100 * _error(floor):.2f} %",
        ),
    ]


def _floor(child: Child, pairs: int) -> list[float]:
    """Ratios of one process's own stretches, with and without another one that wakes."""
    ratios = []
    with _waking(_LOOKS) as wakes:
        for number in range(pairs):
            each = {}
            for running in (True, False) if number % 2 else (False, True):
                wakes(running)
                each[running] = child.ask("stretch", seconds=_FLOOR_STRETCH_S, what="")["each"]
            ratios.append(each[True] / each[False])
    return ratios


@contextmanager
def _waking(times: int) -> Iterator[Callable[[bool], None]]:
    """A process that sleeps and wakes so many times a second; it is stopped and let go on by what is given."""
    code = f"import time\nwhile True: time.sleep({1 / times})"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield lambda run: process.send_signal(signal.SIGCONT if run else signal.SIGSTOP)
    finally:
        process.kill()
        process.wait()


def _error(ratios: list[float]) -> float:
    """Standard error of a median, from its MAD (normal approximation)."""
    return 1.86 * ratio_of(ratios).mad / math.sqrt(len(ratios))


class _Phase:
    """Turns of the two processes: ratios of the time of an iteration, and the first one's log calls in microseconds."""

    def __init__(self, ours: Child, other: Child, pairs: int, what: str, timed: bool = False) -> None:
        self.ratios: list[float] = []
        self.calls: list[float] = []
        took = blocked = 0.0
        for number in range(pairs + 5):
            found = {}
            for child in (ours, other) if number % 2 else (other, ours):
                found[child] = child.ask("stretch", seconds=_STRETCH_S, what=what if child is ours else "", timed=timed)
            if number < 5:
                continue
            mine = found[ours]
            self.ratios.append(mine["each"] / found[other]["each"])
            self.calls += mine["calls"]
            took += mine["took"]
            blocked += mine["blocked"] - found[other]["blocked"]
        calling = sum(self.calls) / 1e6
        #: Per cent of the loop's time spent in log calls.
        self.share = 100 * calling / took
        #: Per cent of it in which the loop's thread was neither running nor ready to run; more than in the other process.
        self.blocked = 100 * blocked / took


def _row(what: str, phase: _Phase, bare: list[float], target: str = "") -> Row:
    own, neither = ratio_of(phase.ratios), ratio_of(bare)
    ratio = own.value / neither.value
    error = math.hypot(_error(phase.ratios), _error(bare))
    return Row(
        what,
        f"{100 * (ratio - 1):+.2f} %",
        f"without logging; standard error {100 * error:.2f} %",
        f"{ratio:.4f}",
        target,
        ratio < 1.01 if target else None,
    )


def _waited() -> float:
    """Seconds that this thread was ready to run and had no core; 0 where the kernel does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def main(base: str) -> None:
    import numpy as np

    from avaliacoes.real_time_logger import RealTimeLogger

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 64)), rng.standard_normal((64, 1))
    w1, w2 = rng.standard_normal((64, 128)) * 0.1, rng.standard_normal((128, 1)) * 0.1
    inner = 1

    def learn() -> tuple[float, float, float]:
        nonlocal w1, w2
        loss = norm1 = norm2 = 0.0
        for _ in range(inner):
            hidden = np.tanh(x @ w1)
            error = hidden @ w2 - y
            loss = float((error**2).mean())
            g2 = hidden.T @ error / len(x)
            g1 = x.T @ ((error @ w2.T) * (1 - hidden**2)) / len(x)
            w1, w2 = w1 - 1e-3 * g1, w2 - 1e-3 * g2
            norm1, norm2 = float(np.linalg.norm(g1)), float(np.linalg.norm(g2))
        return loss, norm1, norm2

    def stretch(seconds: float, what: str, timed: bool = False) -> dict[str, Any]:
        clock = time.perf_counter
        log = {"log": log_training_step, "limit": write_line}.get(what)
        # The other process had the caches: two iterations to take them back.
        step, calls = -2, list[float]()
        cpu, waited, begin, end = 0.0, 0.0, 0.0, math.inf
        while clock() < end:
            if not step:
                calls.clear()
                cpu, waited, begin = time.thread_time(), _waited(), clock()
                end = begin + seconds
            loss, norm1, norm2 = learn()
            if log is not None:
                called = clock() if timed else 0.0
                log(
                    step,
                    loss=loss,
                    policy_loss=norm1,
                    value_loss=norm2,
                    entropy=0.5 * loss,
                    learning_rate=1e-3,
                    explained_variance=1 - loss,
                    approx_kl=loss * 1e-2,
                    clip_fraction=0.1,
                )
                if timed:
                    calls.append(clock() - called)
            step += 1
        took, waited = clock() - begin, _waited() - waited
        return {
            "each": (took - waited) / step,
            "took": took,
            "blocked": took - waited - (time.thread_time() - cpu),
            "calls": [1e6 * call for call in calls],
        }

    def size() -> int:
        """Passes over the data that take about a millisecond."""
        each: float = statistics.median(stretch(0.1, "")["each"] for _ in range(5))
        return max(1, round(0.001 / each))

    def take_size(iterations: int) -> None:
        nonlocal inner
        inner = iterations
        stretch(0.2, "log")

    logger = RealTimeLogger(base) if base else None
    log_training_step: Any = logger.log_training_step if logger is not None else None
    with open(os.path.join(base, "limit.jsonl") if base else os.devnull, "wb", 1 << 16) as file:
        write_line = line_writer(file.write)
        serve({"size": size, "take_size": take_size, "stretch": stretch})
    if logger is not None:
        logger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
