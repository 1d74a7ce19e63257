"""What the client costs a trainer in memory over a million records, and in time to import.

Memory is resident memory, the flight recorder's shared pages included, beside the same loop in the same interpreter
without the client: once as fast as the loop goes (the worst there is), once at 20,000 records a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.ground import Ground, memory_mib
from benchmarks.harness import Child, Plan, Row, interleaved, serve
from benchmarks.workload import steps

_MODULE = "avaliacoes.real_time_logger"
_PACED = 20_000


def measure(plan: Plan) -> list[Row]:
    records = plan.pick(200_000, 1_000_000)
    paced = plan.pick(40_000, 300_000, 1_000_000)
    rows = []
    with Ground() as ground:
        ground.collector()
        for count, rate, how in ((records, 0, "full speed"), (paced, _PACED, f"{_PACED:,}/s")):
            with Child("benchmarks.footprint", "") as without, Child("benchmarks.footprint", str(ground.base)) as ours:
                bare = without.ask("run", count=count, rate=rate)
                found = ours.ask("run", count=count, rate=rate)
            added = found["after"] - bare["after"]
            rows.append(
                Row(
                    f"trainer memory, {count:,} records at {how}",
                    f"+{added:.1f} MiB",
                    f"without the client {bare['after']:.1f} MiB; at most +{found['most'] - bare['most']:.1f} MiB on the way; "
                    f"dropped {found['dropped']}",
                    f"{found['after'] / bare['after']:.2f}",
                    "< 30 MiB",
                    added < 30 and not found["dropped"],
                )
            )
        rows.append(_imports(plan))
    return rows


def _imports(plan: Plan) -> Row:
    samples = interleaved(
        {
            "ours": lambda: {"ours": _start(f"import {_MODULE}")},
            "asyncio": lambda: {"asyncio": _start("import asyncio")},
            "bare": lambda: {"bare": _start("pass")},
        },
        plan.pick(5, 15),
    )
    bare = samples.median("bare")
    ours, other = samples.median("ours") - bare, samples.median("asyncio") - bare
    return Row(
        f"import {_MODULE}",
        f"{ours:.0f} ms",
        f"import asyncio {other:.0f} ms; starting Python {bare:.0f} ms",
        f"{ours / other:.1f}",
        "< 150 ms",
        ours < 150,
    )


def _start(code: str) -> float:
    """Milliseconds of a Python process that runs `code`."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/", env=os.environ)
    return 1000 * (time.perf_counter() - begin)


def main(base: str) -> None:
    sets = steps()
    log = logger = None
    if base:
        from avaliacoes.real_time_logger import RealTimeLogger

        logger = RealTimeLogger(base)
        log = logger.log_training_step

    def run(count: int, rate: int) -> dict[str, float]:
        begin = time.monotonic()
        for step in range(count):
            metrics = sets[step % len(sets)]
            if log is not None:
                log(step, **metrics)
            if rate and step % 20 == 19:
                time.sleep(max(0.0, begin + step / rate - time.monotonic()))
        highest = memory_mib(os.getpid(), peak=True)
        if logger is not None and not logger.flush(120):
            raise RuntimeError("not everything was stored within 120 s")
        dropped = logger.get_real_time_stats()["dropped"] if logger is not None else 0
        return {"after": memory_mib(os.getpid()), "most": highest, "dropped": dropped}

    serve({"run": run})
    if logger is not None:
        logger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
