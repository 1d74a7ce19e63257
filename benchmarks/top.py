"""What `avaliacoes top` costs while twenty runs log, and what a first look at a gigabyte costs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from avaliacoes.terminal.runs import Folder
from benchmarks.ground import Ground, cpu_seconds, memory_mib
from benchmarks.harness import ROOT, Plan, Row

_RUNS = 20


def measure(plan: Plan) -> list[Row]:
    with Ground() as ground:
        rows = [_running(ground.base, rate, plan.pick(8.0, 30.0)) for rate in (10, 100)]
    with Ground() as ground:
        rows.append(_big(ground.base, plan.pick(100, 1000)))
    return rows


def _running(base: Path, rate: int, seconds: float) -> Row:
    """The share of a core while each run writes `rate` steps a second, two records a step."""
    stop = threading.Event()
    writer = threading.Thread(target=_write, args=(base, rate, stop))
    writer.start()
    try:
        with _top(base) as (process, shown):
            time.sleep(2.0)
            before, began, drawn = cpu_seconds(process.pid), time.perf_counter(), len(shown)
            time.sleep(seconds)
            span = time.perf_counter() - began
            share = (cpu_seconds(process.pid) - before) / span
            figure = f"{100 * share:.2f} % of a core, {memory_mib(process.pid):.0f} MiB"
            sent = (len(shown) - drawn) / span / 1000
    finally:
        stop.set()
        writer.join()
    return Row(
        f"top: {_RUNS} runs, {2 * rate} records/s each",
        figure,
        f"{sent:.1f} KB/s to the terminal",
        "",
        "< 2 %",
        share < 0.02,
    )


@contextmanager
def _top(base: Path) -> Iterator[tuple[subprocess.Popen[bytes], bytearray]]:
    """`avaliacoes top` in a terminal of 80 by 24, and all that it has sent there."""
    main, side = pty.openpty()
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "COLUMNS": "80",
        "LINES": "24",
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "avaliacoes", "top", "--base-path", str(base)]
    process = subprocess.Popen(argv, stdin=side, stdout=side, stderr=side, env=environment, start_new_session=True)
    shown = bytearray()

    def read() -> None:
        while True:
            try:
                shown.extend(os.read(main, 1 << 16))
            except OSError:
                return

    threading.Thread(target=read, daemon=True).start()
    try:
        yield process, shown
    finally:
        process.terminate()
        process.wait(10)
        os.close(side)
        os.close(main)


def _write(base: Path, rate: int, stop: threading.Event) -> None:
    """Lines as the collector writes them, ten times a second."""
    base.mkdir(exist_ok=True)
    names = [
        f"{category}_r{run:02d}_20250101_000000.jsonl" for run in range(_RUNS) for category in ("training", "gradients")
    ]
    files = [open(base / name, "ab") for name in names]
    step = 0
    due = time.perf_counter()
    while not stop.is_set():
        for file in files:
            lines = []
            for number in range(step, step + rate // 10):
                record = {"_p": "0123456789ab", "_q": number, "timestamp": time.time(), "step": number, "loss": 1 / (1 + number),
                          "grad_norm": 1.5, "learning_rate": 1e-3, "policy_loss": 0.1, "entropy": 0.5}  # fmt: skip
                lines.append(orjson.dumps(record) + b"\n")
            file.write(b"".join(lines))
            file.flush()
        step += rate // 10
        due += 0.1
        stop.wait(max(0.0, due - time.perf_counter()))
    for file in files:
        file.close()


def _big(base: Path, megabytes: int) -> Row:
    """Time of the first look at one large file, and of the second."""
    base.mkdir(exist_ok=True)
    with open(base / "training_big_20250101_000000.jsonl", "wb", buffering=1 << 20) as file:
        line = b'{"_p":"0123456789ab","_q":%d,"timestamp":1735689600.5,"step":%d,"loss":0.25,"learning_rate":0.001,"entropy":0.5}\n'
        number = 0
        while file.tell() < megabytes * 1_000_000:
            file.write(line % (number, number))
            number += 1
    folder = Folder(base)
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        view = folder.look(time.time()).runs[0]
        times.append(1000 * (time.perf_counter() - begin))
    if abs(view.records - number) > 0.05 * number or view.step != number - 1:
        raise RuntimeError(f"{view.records} records at step {view.step}, there are {number}")
    return Row(f"top: first look at {megabytes:,} MB", f"{times[0]:.0f} ms", f"the next {times[1]:.0f} ms")
