"""One analyzer over 200 sessions at once beside 8: its CPU, its memory per session, and how late its alerts are.

Every session gets 10 records a second of eight metrics, as a healthy training has them, from two processes that speak the
wire protocol to a real collector. Meanwhile one session more has components whose gradient explodes, ten a second; an alert's
delay is from that log call until it is read from the collector's feed, so after it was stored.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import time
from typing import Any

import msgpack
import orjson
import zmq

from benchmarks.ground import Ground, cpu_seconds, memory_mib, until
from benchmarks.harness import Child, Plan, Row, percentile, serve
from benchmarks.swarm import Trainer
from contract import wire

_RATE = 10.0
_FEW = 8
_MANY = 200
SICK = "sick_20250101_000000"


def measure(plan: Plan) -> list[Row]:
    seconds = plan.pick(6.0, 20.0, 120.0)
    found = {count: _sessions(count, seconds) for count in (_FEW, _MANY)}
    few, many = found[_FEW], found[_MANY]
    per_session = (many["memory"] - few["memory"]) / (_MANY - _FEW)
    cost = {count: 1e6 * found[count]["cpu"] / (count * _RATE) for count in found}
    return [
        Row(
            f"analyzer, {_MANY} sessions at {_RATE:g} records/s: CPU",
            f"{100 * many['cpu']:.1f} % of a core",
            f"{_FEW} sessions {100 * few['cpu']:.1f} %; per record {cost[_MANY]:.0f} us, {cost[_FEW]:.0f} us",
            f"{cost[_MANY] / cost[_FEW]:.2f}",
            "< 50 % of a core",
            many["cpu"] < 0.5,
        ),
        Row(
            f"analyzer, {_MANY} sessions: memory per session",
            f"{1024 * per_session:.0f} KiB",
            f"{_FEW} sessions {few['memory']:.0f} MiB in all, {_MANY} {many['memory']:.0f} MiB",
            "",
            "< 512 KiB",
            1024 * per_session < 512,
        ),
        Row(
            f"log call to alert published, {_MANY} sessions: p50",
            f"{many['p50']:.1f} ms, p99 {many['p99']:.1f} ms",
            f"{_FEW} sessions {few['p50']:.1f} ms, p99 {few['p99']:.1f} ms; {many['missing']:.0f} of "
            f"{many['alerts']:.0f} not seen",
            f"{many['p50'] / few['p50']:.2f}",
            "all, p99 < 250 ms",
            many["p99"] < 250 and not many["missing"],
        ),
    ]


def _sessions(count: int, seconds: float) -> dict[str, float]:
    """CPU seconds per second, MiB, and delays of the analyzer of a folder with so many running sessions."""
    with Ground() as ground, contextlib.ExitStack() as stack:
        collector = ground.collector()
        analyzer = ground.service("analyzer")
        endpoint = collector.info()["ingest"]
        writers = [
            stack.enter_context(Child("benchmarks.many_sessions", endpoint, str(count // 2), f"{name}{count}-"))
            for name in ("a", "b")
        ]
        warm = 10.0  # young streams are judged record by record: the most that a session ever costs
        for writer in writers:
            writer.ask("wait_up")
            writer.tell("paced", seconds=warm + seconds)
        until(lambda: len(list(ground.base.glob("training_*.jsonl"))) >= count)
        time.sleep(warm)
        before = cpu_seconds(analyzer.pid)
        begin = time.monotonic()
        delays, alerts = _delays(ground, collector.info()["feed"], seconds - 1.0)
        spent = (cpu_seconds(analyzer.pid) - before) / (time.monotonic() - begin)
        memory = memory_mib(analyzer.pid)
        for writer in writers:
            writer.answer()
    return {
        "cpu": spent,
        "memory": memory,
        "p50": percentile(delays or [math.inf], 0.5),
        "p99": percentile(delays or [math.inf], 0.99),
        "alerts": alerts,
        "missing": alerts - len(delays),
    }


def _delays(ground: Ground, feed: str, seconds: float) -> tuple[list[float], int]:
    """Milliseconds until the alert on each component, and how many components there were."""
    from producer import Producer

    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.SUB)
    trainer = Producer(ground.base, session=SICK, claim=False, autostart=False, buffer_size=1000)
    logged: dict[str, float] = {}
    seen: dict[str, float] = {}
    try:
        socket.linger = 0
        socket.connect(feed)
        socket.subscribe(wire.topic_of(SICK, "alerts"))
        trainer.log("gradients", 0, {"grad_norm": 1.0, "component": "none"})
        time.sleep(1.0)  # the analyzer finds the session, the subscription arrives
        end = time.monotonic() + seconds - 1.0
        due = time.monotonic()
        while (now := time.monotonic()) < end + 2.0:
            if due <= now < end:
                due += 0.1
                component = f"part{len(logged)}"
                logged[component] = time.time()
                trainer.log("gradients", len(logged), {"grad_norm": 1e6, "component": component})
            if socket.poll(max(1, min(50, round(1000 * (due - time.monotonic())))) if now < end else 50):
                lines = socket.recv_multipart()[2]
                at = time.time()
                for line in lines.splitlines():
                    seen.setdefault(str(orjson.loads(line).get("component")), at)
            elif now >= end and len(seen.keys() & logged.keys()) == len(logged):
                break
    finally:
        trainer.close(timeout=5)
        socket.close()
        context.term()
    return [1000 * (seen[name] - at) for name, at in logged.items() if name in seen], len(logged)


# The child: light trainers of healthy runs


def metrics_of(step: int, draw: random.Random) -> dict[str, float]:
    """Eight metrics of a training that goes well."""
    noise = draw.gauss
    return {
        "loss": 1.0 / (1.0 + step / 200) + abs(noise(0, 0.05)),
        "policy_loss": noise(-0.01, 0.003),
        "value_loss": 2.0 / (1.0 + step / 200) + abs(noise(0, 0.1)),
        "entropy": 0.69 - step * 1e-5 + noise(0, 0.003),
        "learning_rate": 3e-4,
        "explained_variance": min(0.95, 0.3 + step / 500) + noise(0, 0.01),
        "approx_kl": abs(noise(0.008, 0.002)),
        "grad_norm": abs(noise(0.5, 0.1)),
    }


class Healthy:
    """`count` trainers that each log `_RATE` records a second, evenly spread."""

    def __init__(self, endpoint: str, count: int, name: str) -> None:
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, max(1023, 2 * count))
        self.trainers = [Trainer(self._context, endpoint, f"{name}{n}_20250101_000000") for n in range(count)]
        self._by_socket = {trainer.socket: trainer for trainer in self.trainers}
        self._poller = zmq.Poller()
        for trainer in self.trainers:
            self._poller.register(trainer.socket, zmq.POLLIN)
        self._draw = random.Random(name)

    def wait_up(self, seconds: float = 60.0) -> bool:
        until(lambda: self._listen(20) or all(trainer.up for trainer in self.trainers), seconds)
        return True

    def _listen(self, milliseconds: int) -> None:
        now = time.monotonic()
        for socket, _ in self._poller.poll(milliseconds):
            self._by_socket[socket].receive(now)

    def paced(self, seconds: float) -> int:
        """Log for so long; the payload of a record that was lost on the way would be another one, so nothing is resent."""
        period = 1.0 / _RATE
        begin = time.monotonic()
        due = [begin + period * n / len(self.trainers) for n in range(len(self.trainers))]
        while (now := time.monotonic()) < begin + seconds:
            for number, trainer in enumerate(self.trainers):
                if due[number] <= now:
                    due[number] += period
                    record = (time.time(), trainer.total, metrics_of(trainer.total, self._draw))
                    trainer.total += 1
                    trainer.send(msgpack.packb(record), 1, now)
            self._listen(round(1000 * max(0.0, min(due) - time.monotonic())))
        return sum(trainer.total for trainer in self.trainers)

    def close(self) -> None:
        for trainer in self.trainers:
            trainer.socket.close(0)
        self._context.term()


def main(endpoint: str, count: str, name: str) -> None:
    healthy = Healthy(endpoint, int(count), name)
    serve({"wait_up": healthy.wait_up, "paced": healthy.paced})
    healthy.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
