"""All the CPU time that the client adds to the trainer's process: log call, sender thread, ZeroMQ's own threads.

At full speed: bursts of 50,000 records, from the first call until the collector has acknowledged the last. At 1,000
and 10,000 records a second: a paced loop with the client beside the same loop that only builds the metrics; there the
figure that matters is the share of a core, since a sender that wakes costs the same for one record as for twenty; how often
threads wake is told beside it, since a training loop pays for each of them (Linux).
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ground import Ground, Service, cpu_seconds, switches
from benchmarks.harness import Child, Plan, Row, interleaved, serve
from benchmarks.workload import steps

_MODULE = "benchmarks.client_cpu"


def measure(plan: Plan) -> list[Row]:
    burst, rounds = plan.pick(20_000, 50_000), plan.pick(4, 15)
    seconds = plan.pick(1.5, 4.0)
    with Ground() as ground:
        collector = ground.collector()
        with Child(_MODULE, str(ground.base), str(ground.folder)) as child:
            full = interleaved(
                {"ours": lambda: child.ask("burst", count=burst), "limit": lambda: child.ask("limit", count=burst)},
                rounds,
            )
        with (
            Child(_MODULE, str(ground.base), str(ground.folder)) as with_client,
            Child(_MODULE, "", str(ground.folder)) as without,
        ):
            paced = {
                rate: interleaved(
                    {
                        "ours": lambda rate=rate: _paced(with_client, "ours", rate, seconds, collector),  # type: ignore[misc]
                        "none": lambda rate=rate: _paced(without, "none", rate, seconds, collector),  # type: ignore[misc]
                    },
                    plan.pick(2, 4),
                )
                for rate in (1_000, 10_000)
            }
    ratio = full.ratio("ours", "limit")
    rows = [
        Row(
            "client CPU per record, full speed",
            f"{full.median('ours'):.2f} us",
            f"orjson + buffered write {full.median('limit'):.2f} us",
            str(ratio),
            "<= 3x",
            ratio.value <= 3,
        )
    ]
    for rate, samples in paced.items():
        added = samples.median("ours") - samples.median("none")
        woken = samples.median("ours switches") - samples.median("none switches")
        rows.append(
            Row(
                f"client CPU at {rate:,} records/s",
                f"{added:.2f} us a record",
                f"limit {full.median('limit'):.2f} us; share of a core {added * rate / 1e4:.2f} %",
                f"{added / full.median('limit'):.1f}",
            )
        )
        rows.append(
            Row(
                f"context switches at {rate:,} records/s",
                f"{woken:.0f} a second more in the trainer",
                f"collector {samples.median('ours collector switches'):.0f}, {samples.median('ours collector'):.1f} % of a core",
            )
        )
    return rows


def _paced(child: Child, name: str, rate: int, seconds: float, collector: Service) -> dict[str, float]:
    """CPU of a record, and per second: context switches of the child, CPU (per cent) and switches of the collector."""
    before = switches(child.pid), switches(collector.pid), cpu_seconds(collector.pid)
    found: dict[str, float] = child.ask("paced", rate=rate, seconds=seconds, name=name)
    after = switches(child.pid), switches(collector.pid), cpu_seconds(collector.pid)
    own, theirs, cpu = ((b - a) / seconds for a, b in zip(before, after, strict=True))
    return {**found, f"{name} switches": own, f"{name} collector switches": theirs, f"{name} collector": 100 * cpu}


def main(base: str, folder: str) -> None:
    import orjson

    from producer import Producer

    sets = steps()
    file = open(Path(tempfile.mkdtemp(dir=folder)) / "limit.jsonl", "wb")
    producer = Producer(base) if base else None
    from avaliacoes.real_time_logger import RealTimeLogger

    logger = RealTimeLogger(_producer=producer) if producer else None
    log = logger.log_training_step if logger else None

    def stored() -> None:
        while producer and producer.stats()["waiting"]:
            time.sleep(0.02)

    def burst(count: int) -> dict[str, float]:
        assert log is not None
        begin = time.process_time()
        for step, metrics in enumerate(itertools.islice(itertools.cycle(sets), count)):
            log(step, **metrics)
        stored()
        return {"ours": (time.process_time() - begin) / count * 1e6}

    def limit(count: int) -> dict[str, float]:
        write, dumps, now, newline = file.write, orjson.dumps, time.time, orjson.OPT_APPEND_NEWLINE
        begin = time.process_time()
        for step, metrics in enumerate(itertools.islice(itertools.cycle(sets), count)):
            write(dumps({"timestamp": now(), "step": step, **metrics}, None, newline))
        file.flush()
        return {"limit": (time.process_time() - begin) / count * 1e6}

    def paced(rate: int, seconds: float, name: str) -> dict[str, float]:
        """CPU microseconds per record of a loop that wakes each millisecond and logs what is due."""
        nothing = _nothing if log is None else log
        cycle = itertools.cycle(sets)
        at_once = rate // 1000
        begin, due = time.process_time(), time.monotonic()
        done = 0
        while done < rate * seconds:
            for _ in range(at_once):
                nothing(done, **next(cycle))
                done += 1
            due += 0.001
            time.sleep(max(0.0, due - time.monotonic()))
        return {name: (time.process_time() - begin) / done * 1e6}

    serve({"burst": burst, "limit": limit, "paced": paced})
    if producer:
        producer.close()


def _nothing(step: int, **metrics: Any) -> None:
    pass


if __name__ == "__main__":
    main(*sys.argv[1:])
