"""How soon a killed collector serves again on a gigabyte of sessions: its ready line, and the first acknowledgement.

Each round kills the collector (SIGKILL) after fresh records, so that files end beyond their last checkpoints, starts it
again, and has every trainer go on. The same is done on an empty folder: what is left is what the gigabyte costs.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.ground import Ground, Service
from benchmarks.harness import Child, Plan, Row, Samples

_SESSIONS = 8
_BATCH = 100
_BYTES_PER_RECORD = 270


def measure(plan: Plan) -> list[Row]:
    megabytes, rounds = plan.pick(100, 1000), plan.pick(3, 7)
    each = megabytes * 1_000_000 // _BYTES_PER_RECORD // _SESSIONS
    samples = Samples()
    with Ground() as ground:
        full, empty = ground.folder / "full", ground.folder / "empty"
        collector = ground.collector(full)
        with Child("benchmarks.swarm", collector.info()["ingest"], str(_SESSIONS), "full") as swarm:
            swarm.ask("wait_up")
            for _ in range(10):
                swarm.ask("full_speed", records=each // 10, batch=_BATCH)
            size = sum(path.stat().st_size for path in full.glob("*.jsonl"))
            for _ in range(rounds):
                swarm.ask("full_speed", records=2_000, batch=_BATCH)
                collector.kill()
                swarm.ask("wait_down")
                begin = time.perf_counter()
                collector = ground.collector(full)
                swarm.ask("full_speed", records=_BATCH, batch=_BATCH)
                samples.add(
                    {"full": collector.ready_s, "served": time.perf_counter() - begin, "empty": _empty(ground, empty)}
                )
    ratio = samples.ratio("full", "empty")
    return [
        Row(
            f"collector restart on {size / 1e9:.2f} GB of sessions: ready line",
            f"{samples.median('full'):.2f} s",
            f"on an empty folder {samples.median('empty'):.2f} s",
            str(ratio),
            "< 1 s",
            samples.median("full") < 1.0,
        ),
        Row(
            "the same: every killed-off session acknowledged again",
            f"{samples.median('served'):.2f} s",
            f"ready line {samples.median('full'):.2f} s",
            str(samples.ratio("served", "full")),
        ),
    ]


def _empty(ground: Ground, base: Path) -> float:
    started: Service = ground.collector(base)
    started.end()
    return started.ready_s
