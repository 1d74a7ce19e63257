"""What one log call of eight float metrics costs the caller, beside the limit, csv, and other trackers.

The limit is `orjson.dumps` and a buffered file write, inlined in the loop; there the metrics are named one by one, as in a
training loop. Peers and ours beside them take the metrics from a dict. Each contender lives in a process of its own
(other trackers bring threads and processes along) and gets its turn each round.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.clock import line_writer, time_calls, time_limit, time_ours
from benchmarks.ground import Ground
from benchmarks.harness import Child, Plan, Row, interleaved, percentile, serve
from benchmarks.workload import steps


def measure(plan: Plan) -> list[Row]:
    rounds = plan.pick(5, 25)
    calls = plan.pick(5_000, 20_000)
    with Ground() as ground, contextlib.ExitStack() as stack:
        collector = ground.collector()
        ours = stack.enter_context(Child("benchmarks.log_call", str(ground.base), str(ground.folder)))
        contenders = {
            name: lambda name=name: ours.ask(name, count=calls)  # type: ignore[misc]
            for name in ("ours", "limit", "dict")
        }
        missing = {}
        for peer, count in peers.CALLS.items():
            python = sys.executable if peer == "csv" else plan.peers_python
            child = stack.enter_context(peers.child(peer, ground.folder, python))
            try:
                child.ask("open")
            except RuntimeError as error:
                missing[peer] = str(error)
                continue
            contenders[peer] = lambda child=child, count=count: child.ask("round", count=count)  # type: ignore[misc]
        samples = interleaved(contenders, rounds)

        def frozen() -> dict[str, float]:
            with collector.frozen():
                found = ours.ask("ours", count=4_000, flush=False)
            return {f"frozen {name}": figure for name, figure in found.items()}

        seldom = ours.ask("seldom", seconds=plan.pick(6.0, 30.0))
        tails = interleaved({"frozen": frozen, "alive": lambda: ours.ask("ours", count=4_000)}, plan.pick(4, 15))
    median = samples.median
    to_limit = samples.ratio("ours p50", "limit p50")
    tail = samples.ratio("ours p99", "ours p50")
    rows = [
        Row(
            "log call, 8 float metrics: median",
            f"{median('ours p50'):.2f} us",
            f"orjson + buffered write {median('limit p50'):.2f} us",
            str(to_limit),
            "<= 2x",
            to_limit.value <= 2,
        ),
        Row(
            "log call: p99",
            f"{median('ours p99'):.2f} us",
            f"its own median {median('ours p50'):.2f} us",
            str(tail),
            "< 5x",
            tail.value < 5,
        ),
        Row(
            "log call, collector frozen: p99.9",
            f"{tails.median('frozen ours p999'):.1f} us",
            f"collector alive {tails.median('ours p999'):.1f} us",
            str(tails.ratio("frozen ours p999", "ours p999")),
        ),
    ]
    rows.append(
        Row(
            "log call, 20 a second beside numpy work (the sender sleeps and is woken)",
            "{:.0f} us, p99 {:.0f} us".format(*seldom["ours"]),
            "orjson + buffered write there {:.0f} us, p99 {:.0f} us".format(*seldom["limit"]),
            f"{seldom['ours'][0] / seldom['limit'][0]:.1f}",
        )
    )
    targets = {"csv": ("< 1x", 1.0), "trackio": ("<= 1/4", 0.25)}
    for peer in peers.CALLS:
        if peer in missing:
            rows.append(Row(f"log call beside {peers.TITLES[peer]}", "", missing[peer]))
            continue
        ratio = samples.ratio("dict p50", f"{peer} p50")
        target, most = targets.get(peer, ("", None))
        rows.append(
            Row(
                f"log call beside {peers.TITLES[peer]}",
                f"{median('dict p50'):.2f} us",
                f"median {median(f'{peer} p50'):.1f} us, p99 {median(f'{peer} p99'):.0f} us",
                f"{ratio.value:.3f} ± {ratio.mad:.3f}",
                target,
                None if most is None else ratio.value <= most,
            )
        )
    return rows


def main(base: str, folder: str) -> None:
    """The child: our logger and the limit, in one process and loop."""
    from avaliacoes.real_time_logger import RealTimeLogger

    sets = steps()
    numbers = itertools.count(0, 100_000)
    logger = RealTimeLogger(base)
    logger.log_training_step(0, **sets[0])
    logger.flush(30)
    file = open(Path(tempfile.mkdtemp(dir=folder)) / "limit.jsonl", "wb")

    def some(count: int) -> Any:
        return itertools.islice(itertools.cycle(sets), count)

    def ours(count: int, flush: bool = True) -> dict[str, float]:
        found = time_ours(logger.log_training_step, some(count), next(numbers))
        if flush and not logger.flush(60):
            raise RuntimeError("not everything was stored within 60 s")
        return found

    def limit(count: int) -> dict[str, float]:
        return time_limit(file.write, some(count), next(numbers))

    def from_dict(count: int) -> dict[str, float]:
        """As the peers are called: `log(step, **metrics)` with the metrics in a dict."""
        found = time_calls(logger.log_training_step, some(count), next(numbers), "dict ")
        logger.flush(60)
        return found

    def seldom(seconds: float) -> dict[str, tuple[float, float]]:
        """Medians and 99th percentiles of calls some 50 ms apart, each contender in its turn of a second."""
        import numpy as np

        some_work = np.random.default_rng(0).standard_normal((100, 100))
        times: dict[str, list[float]] = {"ours": [], "limit": []}
        clock, end, step = time.perf_counter, time.perf_counter() + seconds, next(numbers)
        while clock() < end:
            for name, log in (("ours", logger.log_training_step), ("limit", line_writer(file.write))):
                for _ in range(20):
                    due = clock() + 0.05
                    while clock() < due:
                        some_work @ some_work
                    step += 1
                    metrics = sets[step % len(sets)]
                    called = clock()
                    log(step, **metrics)
                    times[name].append(1e6 * (clock() - called))
        return {name: (percentile(found, 0.5), percentile(found, 0.99)) for name, found in times.items()}

    with logger, file:
        serve({"ours": ours, "limit": limit, "dict": from_dict, "seldom": seldom})


if __name__ == "__main__":
    main(*sys.argv[1:])
