"""Records per second that one collector process stores from eight producers, and its memory over millions of them.

The limit is a bare loop: unpack a batch with msgpack, dump each record with orjson as the very same line, write the
batch. Producers are raw sockets with packed batches of 100 records, in one process, so that two cores suffice.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time

import msgpack
import orjson

from benchmarks.ground import Ground, cpu_seconds, memory_mib
from benchmarks.harness import Child, Plan, Row, interleaved, serve
from benchmarks.swarm import payload_of

PRODUCERS = 8
BATCH = 100


def measure(plan: Plan) -> list[Row]:
    each = plan.pick(5_000, 25_000)
    rounds = plan.pick(3, 10)
    total = plan.pick(300_000, 2_000_000, 10_000_000)
    with Ground() as ground:
        collector = ground.collector()
        endpoint = collector.info()["ingest"]
        with (
            Child("benchmarks.swarm", endpoint, str(PRODUCERS), "speed") as swarm,
            Child("benchmarks.throughput", str(ground.folder)) as bare,
        ):
            swarm.ask("wait_up")

            def ours() -> dict[str, float]:
                cpu = cpu_seconds(collector.pid)
                seconds = swarm.ask("full_speed", records=each, batch=BATCH)["seconds"]
                records = each // BATCH * BATCH * PRODUCERS
                return {"ours": records / seconds, "ours cpu": records / (cpu_seconds(collector.pid) - cpu)}

            samples = interleaved({"ours": ours, "bare": lambda: bare.ask("bare", count=each * PRODUCERS)}, rounds)
            before = memory_mib(collector.pid)
            done = (rounds + 1) * each * PRODUCERS
            first = done
            while done < total:
                swarm.ask("full_speed", records=each, batch=BATCH)
                done += each * PRODUCERS
            after, peak = memory_mib(collector.pid), memory_mib(collector.pid, peak=True)
            lost = done - swarm.ask("totals")["acked"]
    wall, cpu = samples.ratio("ours", "bare"), samples.ratio("ours cpu", "bare cpu")
    return [
        Row(
            "collector: records/s stored, 8 producers",
            f"{samples.median('ours') / 1e3:,.0f} k/s",
            f"bare loop {samples.median('bare') / 1e3:,.0f} k/s",
            str(wall),
            ">= 50 %",
            wall.value >= 0.5,
        ),
        Row(
            "collector: records per second of its CPU time",
            f"{samples.median('ours cpu') / 1e3:,.0f} k/s",
            f"bare loop {samples.median('bare cpu') / 1e3:,.0f} k/s",
            str(cpu),
        ),
        Row(
            f"collector: memory over {done / 1e6:.1f} million records",
            f"{after:.0f} MiB, at most {peak:.0f} MiB",
            f"after {first / 1e6:.1f} million {before:.0f} MiB; lost {lost}",
            f"{after / before:.2f}",
            "flat",
            after - before < 8 and lost == 0,
        ),
    ]


def main(folder: str) -> None:
    payload = payload_of(BATCH)
    head = b"\xdd" + BATCH.to_bytes(4, "big")
    fd, _ = tempfile.mkstemp(dir=folder)

    def bare(count: int) -> dict[str, float]:
        unpack, dumps, numbers = msgpack.unpackb, orjson.dumps, itertools.count()
        begin, cpu = time.perf_counter(), time.process_time()
        for _ in range(count // BATCH):
            lines = [
                dumps({"_p": "0123456789ab", "_q": next(numbers), "timestamp": timestamp, "step": step, **metrics})
                for timestamp, step, metrics in unpack(head + payload, use_list=False)
            ]
            lines.append(b"")
            os.write(fd, b"\n".join(lines))
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        return {"bare": count / took, "bare cpu": count / cpu}

    serve({"bare": bare})


if __name__ == "__main__":
    main(*sys.argv[1:])
