"""A thousand light trainers on one collector beside eight busy ones: the same records per second, nothing lost.

A light trainer logs 10 records a second, so each message holds one record; a busy one logs 1,250 and sends six or so at a
time, as the client might each 5 ms. Every trainer is a session, every line of every file is counted afterwards.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import orjson

from benchmarks.ground import Ground, cpu_seconds, memory_mib
from benchmarks.harness import Child, Plan, Row, Samples, ratio_of

_RATE = 10_000
_BUSY = 8


def measure(plan: Plan) -> list[Row]:
    light, processes = plan.pick(200, 1000), plan.pick(2, 4)
    seconds, rounds = plan.pick(3.0, 5.0), plan.pick(1, 8, 24)
    samples = Samples()
    with Ground() as ground, contextlib.ExitStack() as stack:
        bases = {"light": ground.folder / "light", "busy": ground.folder / "busy"}
        collectors = {name: ground.collector(base) for name, base in bases.items()}

        def swarm(name: str, count: int, number: int) -> Child:
            endpoint = collectors[name].info()["ingest"]
            return stack.enter_context(Child("benchmarks.swarm", endpoint, str(count), f"{name}{number}-"))

        swarms = {
            "light": [swarm("light", light // processes, number) for number in range(processes)],
            "busy": [swarm("busy", _BUSY, 0)],
        }
        for children in swarms.values():
            _all(children, "wait_up")
        memory: list[float] = []
        for number in range(rounds + 1):
            figures = {}
            for name in ("light", "busy") if number % 2 else ("busy", "light"):
                count = light if name == "light" else _BUSY
                rate = _RATE * light / 1000 / count
                before = cpu_seconds(collectors[name].pid)
                _all(swarms[name], "paced", rate=rate, seconds=seconds)
                spent = cpu_seconds(collectors[name].pid) - before
                figures[name] = spent / (rate * count * seconds) * 1e6
            if number:  # the first round opens the sessions
                memory.append(memory_mib(collectors["light"].pid))
                samples.add(figures)
        totals = {name: _all(children, "totals") for name, children in swarms.items()}
        acked = {name: sum(t["acked"] for t in found) for name, found in totals.items()}
        resent = sum(t["resent"] for t in totals["light"])
        wrong = {name: _wrong(bases[name], totals[name]) for name in bases}
    ratio = (
        samples.ratio("light", "busy") if rounds > 1 else ratio_of([samples.median("light") / samples.median("busy")])
    )
    lost = sum(wrong.values())
    # Queues breathe by a hundred MiB from round to round; what would grow is the floor under them.
    half = max(1, len(memory) // 2)
    floor, later = min(memory[:half]), min(memory[half:] or memory)
    return [
        Row(
            f"collector: CPU per record, {light:,} light trainers",
            f"{samples.median('light'):.1f} us",
            f"{_BUSY} trainers, same records/s {samples.median('busy'):.1f} us",
            str(ratio),
            "<= 2x",
            ratio.value <= 2,
        ),
        Row(
            f"collector: {light:,} light trainers, records lost",
            f"{lost} of {acked['light']:,}",
            f"resent {resent:,}; memory floor {floor:.0f} -> {later:.0f} MiB, most {max(memory):.0f}",
            f"{later / floor:.2f}",
            "0, no growth",
            lost == 0 and later - floor < 16,
        ),
    ]


def _all(children: list[Child], command: str, **arguments: Any) -> list[Any]:
    """Ask all at once."""
    for child in children:
        child.tell(command, **arguments)
    return [child.answer() for child in children]


def _wrong(base: Path, totals: list[dict[str, Any]]) -> int:
    """Acknowledged records that are not on disk, plus lines out of sequence."""
    acked = sum(found["acked"] for found in totals)
    stored = disorder = 0
    for found in totals:
        for session in found["sessions"]:
            expected = 0
            for line in (base / f"training_{session}.jsonl").read_bytes().splitlines():
                disorder += orjson.loads(line)["_q"] != expected
                expected += 1
            stored += expected
    return abs(acked - stored) + disorder
