"""How much slower a CPU-bound numpy training loop gets by logging 1,000 records a second.

One process learns a small network; an iteration takes about a millisecond and logs eight metrics, or does not. Short
stretches with and without alternate (ABBA), each pair gives a ratio, and the highest 2 % of the iterations of each
stretch are left out: those are the machine's, while the sender's thread wakes in 20 % of them and stays in.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from benchmarks.ground import Ground
from benchmarks.harness import Child, Plan, Ratio, Row, percentile, ratio_of, serve, trimmed_mean

_DROPPED = 0.02
#: The sender goes to sleep half a second after the last record; the stretch without logging begins after that.
_DOZES_AFTER_S = 0.7


def measure(plan: Plan) -> list[Row]:
    pairs, seconds = plan.pick(5, 24), plan.pick(0.4, 0.8)
    with Ground() as ground:
        collector = ground.collector()
        with Child("benchmarks.training_loop", str(ground.base)) as child:
            child.ask("warm")
            noise, _ = _compare(child, plan.pick(3, 10), seconds, with_log=False)
            alive, calls = _compare(child, pairs, seconds)
            with collector.frozen():
                frozen, frozen_calls = _compare(child, pairs, seconds)
    return [
        Row(
            "numpy training loop logging 1,000 records/s",
            f"{100 * (alive.value - 1):+.2f} % ± {100 * alive.mad:.2f}",
            f"without logging; without against without {100 * (noise.value - 1):+.2f} % ± {100 * noise.mad:.2f}",
            f"{alive.value:.4f}",
            "< 1 %",
            alive.value < 1.01,
        ),
        Row(
            "the same, collector frozen",
            f"{100 * (frozen.value - 1):+.2f} % ± {100 * frozen.mad:.2f}",
            "without logging",
            f"{frozen.value:.4f}",
            "< 1 %",
            frozen.value < 1.01,
        ),
        Row(
            "log call inside that loop (cold caches): median, p99",
            f"{percentile(calls, 0.5):.1f} us, {percentile(calls, 0.99):.1f} us",
            f"collector frozen {percentile(frozen_calls, 0.5):.1f} us, {percentile(frozen_calls, 0.99):.1f} us",
        ),
    ]


def _compare(child: Child, pairs: int, seconds: float, with_log: bool = True) -> tuple[Ratio, list[float]]:
    ratios, calls = [], []
    for number in range(pairs):
        means = {}
        for logging in (True, False) if number % 2 else (False, True):
            time.sleep(_DOZES_AFTER_S)
            found = child.ask("stretch", seconds=seconds, logging=logging and with_log)
            means[logging] = trimmed_mean(found["iterations"], _DROPPED)
            calls += found["calls"]
        ratios.append(means[True] / means[False])
    return ratio_of(ratios), calls


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

    def stretch(seconds: float, logging: bool) -> dict[str, Any]:
        iterations, calls = [], []
        clock = time.perf_counter
        end = clock() + seconds
        step = 0
        while (begin := clock()) < end:
            loss, norm1, norm2 = learn()
            if logging:
                called = clock()
                logger.log_training_step(
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
                calls.append(1e6 * (clock() - called))
            iterations.append(clock() - begin)
            step += 1
        return {"iterations": iterations, "calls": calls}

    def warm() -> float:
        """Choose the size of an iteration: about a millisecond."""
        nonlocal inner
        found = statistics.median(stretch(0.3, False)["iterations"])
        inner = max(1, round(0.001 / found))
        stretch(0.3, True)
        return statistics.median(stretch(0.3, False)["iterations"])

    with RealTimeLogger(base) as logger:
        serve({"warm": warm, "stretch": stretch})


if __name__ == "__main__":
    main(*sys.argv[1:])
