"""The live page's cost: a refresh beside one of a short history, first page, memory and bytes of ten million points, CPU at a live rate.

Histories are written as the collector writes them; a refresh is one round of the renderer's loop after ten new records of 20
metrics, in CPU time of its process. The long and the short history take turns, round by round, each in a process of its own.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.ground import Ground, cpu_seconds, memory_mib, until
from benchmarks.harness import Child, Plan, Row, Samples, serve
from benchmarks.workload import steps

_METRICS = 20
_SHORT = 500
_NEW = 10
_SESSION = "bench_20250101_000000"
_PER_S = 1_000


class _Writer:
    """Writes one session's files as the collector does."""

    def __init__(self, base: Path, metrics: int) -> None:
        self.path = base / f"training_{_SESSION}.jsonl"
        self._life = base / f"lifecycle_{_SESSION}.jsonl"
        sets = steps(4_000)
        width = len(sets[0])
        self._sets = [
            {f"metric_{n}": list(sets[(i + n // width) % len(sets)].values())[n % width] for n in range(metrics)}
            for i in range(len(sets))
        ]
        self.count = 0
        #: Seconds that the clock of what is written is ahead: rounds that follow each other quickly play whole seconds.
        self.ahead = 0.0

    def life(self, event: str) -> None:
        with open(self._life, "ab") as file:
            told = {
                "_p": "0123456789ab",
                "_q": 0,
                "timestamp": time.time() + self.ahead,
                "step": 0,
                "event": event,
                "host": "box",
            }
            file.write(orjson.dumps(told, None, orjson.OPT_APPEND_NEWLINE))

    def records(self, count: int, spread_s: float) -> None:
        """Append records whose times end now and lie over `spread_s` seconds."""
        begin = time.time() + self.ahead - spread_s
        with open(self.path, "ab", buffering=1 << 20) as file:
            for number in range(count):
                head = {"_p": "0123456789ab", "_q": self.count, "timestamp": begin + spread_s * number / count, "step": self.count}  # fmt: skip
                metrics = self._sets[self.count % len(self._sets)]
                file.write(orjson.dumps({**head, **metrics}, None, orjson.OPT_APPEND_NEWLINE))
                self.count += 1


class _Side:
    """A renderer on a history of so many records, in a process of its own."""

    def __init__(self, base: str, count: int) -> None:
        from contract import places

        self.base = places.prepare_base(Path(base))
        self.writer = _Writer(self.base, _METRICS)
        self.writer.records(count, 3600.0)
        self.writer.life("start")

    def open(self) -> dict[str, float]:
        """Read the history and write its page."""
        from renderer.loop import Renderer
        from renderer.settings import Settings

        begin, work = time.perf_counter(), time.process_time()
        self.renderer = Renderer(Settings(self.base), complain=lambda text: None)
        self.renderer.step(time.time(), last=False)
        while self.renderer.catching_up:
            self.renderer.step(time.time(), last=False)
        return {"wall": time.perf_counter() - begin, "cpu": time.process_time() - work}

    def refresh(self) -> dict[str, float]:
        """Take `_NEW` records; milliseconds of CPU."""
        self.writer.ahead += 1
        self.writer.life("heartbeat")
        self.writer.records(_NEW, 0.05)
        work = time.process_time()
        self.renderer.step(time.time() + self.writer.ahead)
        return {"cpu": 1000 * (time.process_time() - work)}

    def size(self) -> dict[str, float]:
        from renderer import page
        from renderer.live import folder

        files = [path for path in folder.live_dir(self.base).rglob("*") if path.is_file()]
        pages = [page.page_file(self.base, _SESSION), page.all_page_file(self.base)]
        return {"bytes": float(sum(path.stat().st_size for path in [*files, *pages]))}


def measure(plan: Plan) -> list[Row]:
    # Ten million points take half a gigabyte of lines and a minute to write: not for a quick look.
    records = plan.pick(50_000, 500_000)
    return [*_histories(records, plan.pick(40, 200)), *_live_rate(plan.pick(8.0, 30.0))]


def _histories(records: int, rounds: int) -> list[Row]:
    points = f"{records * _METRICS / 1e6:g} million points"
    with (
        Ground() as ground,
        Child("benchmarks.render") as long,
        Child("benchmarks.render") as short,
    ):
        long.ask("make", base=str(ground.folder / "long"), count=records)
        short.ask("make", base=str(ground.folder / "short"), count=_SHORT)
        opened = long.ask("open")
        short.ask("open")
        samples = Samples()
        for turn in range(rounds + 10):
            took = {}
            for name, child in (("long", long), ("short", short)) if turn % 2 else (("short", short), ("long", long)):
                took[name] = child.ask("refresh")["cpu"]
            if turn >= 10:
                samples.add(took)
        ratio = samples.ratio("long", "short")
        whole = sum(samples.by_name["long"]) / sum(samples.by_name["short"])
        peak = memory_mib(long.pid, peak=True)
        size = long.ask("size")["bytes"] / 1e6
    return [
        Row(
            f"refresh, {_NEW} new records, {points}",
            f"{samples.median('long'):.1f} ms CPU",
            f"10 thousand points {samples.median('short'):.1f} ms",
            f"{ratio} (sums {whole:.2f})",
            "<= 1.5 times",
            max(ratio.value, whole) <= 1.5,
        ),
        Row(f"first page of {points}", f"{opened['wall']:.1f} s", f"of CPU {opened['cpu']:.1f} s", "", "< 5 s", opened["wall"] < 5),
        Row(f"renderer's memory, {points}", f"{peak:.0f} MiB at most", "", "", "< 300 MB", peak * 1.048576 < 300),
        Row(f"page's files of {points}, plotly apart", f"{size:.1f} MB", "", "", "< 8 MB", size < 8),
    ]  # fmt: skip


def _live_rate(seconds: float) -> list[Row]:
    """A renderer as people run it, and a file that gains a thousand records a second."""
    with Ground() as ground:
        writer = _Writer(ground.base, 8)
        writer.life("start")
        writer.records(_PER_S, 1.0)
        service = ground.service("renderer")
        live = ground.base / ".avaliacoes" / "live" / _SESSION
        until((live / "manifest.js").exists)
        begin, end, beat = time.monotonic() + 2, time.monotonic() + 2 + seconds, 0.0
        cpu = written = -1.0
        first = writer.count
        while (now := time.monotonic()) < end:
            if cpu < 0 and now >= begin:
                cpu, written, begin, first = cpu_seconds(service.pid), _written(service.pid), now, writer.count
            if now - beat >= 5:
                writer.life("heartbeat")
                beat = now
            writer.records(_PER_S // 20, 0.05)
            time.sleep(max(0.0, now + 0.05 - time.monotonic()))
        span = time.monotonic() - begin
        share = (cpu_seconds(service.pid) - cpu) / span
        volume = (_written(service.pid) - written) / span / 1e3
        rate = (writer.count - first) / span
        segments = [path.stat().st_size for path in live.glob("segment-*.js")]
    middle = sorted(segments)[len(segments) // 2] / 1e3 if segments else 0.0
    return [
        Row(f"renderer's CPU at {rate:,.0f} records/s", f"{share:.1%} of a core", "", "", "< 5 %", share < 0.05),
        Row("written for it", f"{volume:.0f} kB/s", f"a segment {middle:.1f} kB"),
    ]


def _written(pid: int) -> float:
    """Bytes that a process has written to files."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("wchar:")))


def _child() -> None:
    held: dict[str, _Side] = {}

    def make(**arguments: Any) -> bool:
        held["it"] = _Side(**arguments)
        return True

    serve({
        "make": make,
        "open": lambda: held["it"].open(),
        "refresh": lambda: held["it"].refresh(),
        "size": lambda: held["it"].size(),
    })  # fmt: skip


if __name__ == "__main__":
    _child()
