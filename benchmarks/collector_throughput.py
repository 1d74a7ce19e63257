"""How fast records reach the disk, beside the least that could be done with them.

    bare     unpack msgpack, dump with orjson, append the same lines to files: no checks, no ledger, no repairs, no acks
    ingest   the collector's own `Ingest`, fed with the frames that producers send
    process  a collector process and raw-socket producers, from the first send to the last acknowledgement

The three run in turn, several times; the table shows medians. Run: python benchmarks/collector_throughput.py
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgpack
import orjson
import zmq

from collector.__main__ import _tune_process
from collector.counts import Counts
from collector.ingest import Ingest
from collector.people import People
from contract import names, places, service, wire

Frames = list[list[bytes]]
ROUND = 64


def records(first: int, count: int) -> list[Any]:
    """Records with 8 float metrics, as a training step logs them."""
    return [
        (
            1_700_000_000.0 + seq * 0.001,
            seq,
            {
                "loss": 1.0 / (seq + 1),
                "policy_loss": 0.1234567 + seq * 1e-6,
                "value_loss": 0.7654321 + seq * 1e-6,
                "entropy_loss": 0.0345678,
                "learning_rate": 2.5e-4,
                "clip_fraction": 0.1875,
                "explained_variance": 0.87654321,
                "approx_kl": 0.0123456789,
            },
        )
        for seq in range(first, first + count)
    ]


def frames_of(producer: str, session: str, total: int, batch: int) -> Frames:
    """What one producer sends for `total` records."""
    pack = msgpack.Packer().pack
    topic = wire.topic_of(session, "training")
    return [
        [topic, wire.pack_header(producer, "training", first, batch, 0), b"".join(map(pack, records(first, batch)))]
        for first in range(0, total, batch)
    ]


def interleaved(producers: int, total: int, batch: int) -> Frames:
    """The messages of several producers in turn, as they come out of the socket."""
    streams = [
        frames_of(names.new_producer(), f"run{k}_20250101_000000", total // producers, batch) for k in range(producers)
    ]
    return [frames for together in zip(*streams, strict=True) for frames in together]


def bare(base: Path, frames: Frames, batch: int) -> tuple[float, float]:
    """Records per second, of wall time and of CPU time, of the least that could be done."""
    head = b"\xdd" + batch.to_bytes(4, "big")  # the batch as one array: the fastest way msgpack has
    base.mkdir(parents=True)
    topics = {parts[0] for parts in frames}
    files = {topic: os.open(base / topic.decode().split("/")[1], os.O_WRONLY | os.O_CREAT) for topic in topics}
    count = 0
    begin, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(frames), ROUND):
        chunks: dict[bytes, list[bytes]] = {}
        for topic, header, payload in frames[at : at + ROUND]:
            producer, _, first, _, _ = msgpack.unpackb(header)
            chunks.setdefault(topic, []).extend(
                orjson.dumps({"_p": producer, "_q": seq, "timestamp": timestamp, "step": step, **metrics})
                for seq, (timestamp, step, metrics) in enumerate(msgpack.unpackb(head + payload, use_list=False), first)
            )
            count += batch
        for topic, lines in chunks.items():
            os.write(files[topic], b"\n".join(lines) + b"\n")
    took, cpu = time.perf_counter() - begin, time.process_time() - cpu
    for fd in files.values():
        os.close(fd)
    return count / took, count / cpu


def ingest(base: Path, frames: Frames) -> tuple[float, float]:
    """Records per second, of wall time and of CPU time, through the collector's own path, the sync in its thread included."""
    places.prepare_base(base)
    counts = Counts(say=lambda _text: None)
    heart = Ingest(base, counts, People())
    begin, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(frames), ROUND):
        for parts in frames[at : at + ROUND]:
            heart.take(parts)
        heart.commit()
        heart.acks(list(heart.to_ack))
        heart.to_ack.clear()
    heart.store.sync()
    took, cpu = time.perf_counter() - begin, time.process_time() - cpu
    heart.close(5.0)
    return counts.stored / took, counts.stored / cpu


def produce(endpoint: str, number: int, total: int, batch: int, start: Any) -> None:
    """One producer process: go-back-N with a window of 64 batches."""
    producer = names.new_producer()
    frames = frames_of(producer, f"run{number}_20250101_000000", total, batch)
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    for option, value in ((zmq.IMMEDIATE, 1), (zmq.XPUB_NODROP, 1), (zmq.LINGER, 0), (zmq.SNDHWM, 256)):
        socket.set(option, value)
    socket.connect(endpoint)
    socket.recv()
    start.wait()
    sent = acked = 0
    moved = time.monotonic()
    while acked < len(frames):
        while sent < min(len(frames), acked + 64):
            socket.send_multipart(frames[sent])
            sent += 1
        if socket.poll(200):
            found = wire.unpack_ack(socket.recv(), producer).get("training", 0) // batch
            if found > acked:
                acked, moved = found, time.monotonic()
        if time.monotonic() - moved > 1.0:
            sent, moved = acked, time.monotonic()
    socket.close(0)
    context.term()


def process(base: Path, producers: int, total: int, batch: int) -> tuple[float, float, float]:
    """Records per second of wall time, and of the collector's own CPU time, and its memory in MB."""
    argv = [sys.executable, "-m", "collector", "--base-path", str(base), "--worker"]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        running.stdout.readline()
        info = service.find(base, "collector")
        assert info is not None
        start = multiprocessing.Barrier(producers + 1)
        arguments = [(info["ingest"], k, total // producers, batch, start) for k in range(producers)]
        workers = [multiprocessing.Process(target=produce, args=a, daemon=True) for a in arguments]
        for worker in workers:
            worker.start()
        start.wait()
        cpu, begin = cpu_of(running.pid), time.perf_counter()
        for worker in workers:
            worker.join()
        took, cpu = time.perf_counter() - begin, cpu_of(running.pid) - cpu
        return total / took, total / cpu, memory_of(running.pid)
    finally:
        running.terminate()
        running.wait(10)


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """The most memory a process has had, in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=200_000, help="records per measurement")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--batch", type=int, default=100, help="records per message")
    options.add_argument("--producers", type=int, default=8)
    given = options.parse_args()
    if not 1 <= given.batch <= 300:
        options.error(f"--batch {given.batch}: expected 1 to 300 records, so that a message stays under the limit")
    per = given.producers * given.batch
    total = max(per, given.records // per * per)
    rates: dict[str, list[tuple[float, float]]] = {"bare": [], "ingest": [], "process": []}
    memory = 0.0
    _tune_process()
    with tempfile.TemporaryDirectory(prefix="av-") as folder, contextlib.ExitStack() as stack:
        os.environ[places.ENV_RUNTIME] = stack.enter_context(tempfile.TemporaryDirectory(prefix="av-"))
        for repeat in range(given.repeats):
            frames = interleaved(given.producers, total, given.batch)
            rates["bare"].append(bare(Path(folder) / f"bare{repeat}", frames, given.batch))
            rates["ingest"].append(ingest(Path(folder) / f"ingest{repeat}", frames))
            del frames
            wall, cpu, memory = process(Path(folder) / f"process{repeat}", given.producers, total, given.batch)
            rates["process"].append((wall, cpu))
    base = [statistics.median(column) for column in zip(*rates["bare"], strict=True)]
    print(
        f"{total:,} records of 8 metrics, batches of {given.batch}, {given.producers} producers, {given.repeats} runs"
    )
    print(f"{'':10}{'records/s':>12}{'of bare':>10}{'records/CPU s':>16}{'of bare':>10}")
    for name, found in rates.items():
        wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:10}{wall:>12,.0f}{wall / base[0]:>10.0%}{cpu:>16,.0f}{cpu / base[1]:>10.0%}")
    print(
        f"memory of the collector process, at most: {memory:.0f} MB (the producers share the machine's cores with it)"
    )


if __name__ == "__main__":
    main()
