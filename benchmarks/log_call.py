"""What one log call of eight float metrics costs the caller, beside the limit, csv, and other trackers.

The limit is `orjson.dumps` and a buffered file write, inlined in the loop. Each contender lives in a process of its own
(other trackers bring threads and processes along) and gets its turn each round.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.clock import time_calls, time_limit
from benchmarks.ground import Ground
from benchmarks.harness import Child, Plan, Row, interleaved, serve
from benchmarks.workload import steps


def measure(plan: Plan) -> list[Row]:
    rounds = plan.pick(5, 25)
    calls = plan.pick(5_000, 20_000)
    with Ground() as ground, contextlib.ExitStack() as stack:
        collector = ground.collector()
        ours = stack.enter_context(Child("benchmarks.log_call", str(ground.base), str(ground.folder)))
        contenders = {"ours": lambda: ours.ask("ours", count=calls), "limit": lambda: ours.ask("limit", count=calls)}
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
        with collector.frozen():
            frozen = interleaved({"ours": lambda: ours.ask("ours", count=2000, flush=False)}, plan.pick(3, 8))
        alive = interleaved({"ours": lambda: ours.ask("ours", count=2000)}, plan.pick(3, 8))
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
            f"{frozen.median('ours p999'):.2f} us",
            f"collector alive {alive.median('ours p999'):.2f} us",
            f"{frozen.median('ours p999') / alive.median('ours p999'):.2f}",
        ),
    ]
    targets = {"csv": ("< 1x", 1.0), "trackio": ("<= 1/4", 0.25)}
    for peer in peers.CALLS:
        if peer in missing:
            rows.append(Row(f"log call beside {peers.TITLES[peer]}", "", missing[peer]))
            continue
        ratio = samples.ratio("ours p50", f"{peer} p50")
        target, most = targets.get(peer, ("", None))
        rows.append(
            Row(
                f"log call beside {peers.TITLES[peer]}",
                f"{median('ours p50'):.2f} us",
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
        found = time_calls(logger.log_training_step, some(count), next(numbers), "ours ")
        if flush and not logger.flush(60):
            raise RuntimeError("not everything was stored within 60 s")
        return found

    def limit(count: int) -> dict[str, float]:
        return time_limit(file.write, some(count), next(numbers))

    with logger, file:
        serve({"ours": ours, "limit": limit})


if __name__ == "__main__":
    main(*sys.argv[1:])
