"""From the log call to the line on disk, and to the alert published, while a trainer logs 1,000 records a second.

The line is seen by reading what was appended to the file each fifth of a millisecond; the alert by subscribing to the
collector's feed, so after it has been stored. The collector looks at the ring each 10 ms: 5 ms of waiting on average.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import orjson
import zmq

from benchmarks.ground import Ground, until
from benchmarks.harness import Child, Plan, Row, percentile, serve
from benchmarks.workload import steps
from contract import wire

SESSION = "latency_20250101_000000"
_POLL_S = 0.0002


def measure(plan: Plan) -> list[Row]:
    seconds = plan.pick(3.0, 15.0)
    with Ground() as ground:
        collector = ground.collector()
        ground.service("analyzer")
        with Child("benchmarks.latency", str(ground.base)) as trainer:
            path = ground.base / f"training_{SESSION}.jsonl"
            trainer.ask("first")
            until(path.exists)
            trainer.tell("run", seconds=seconds, alerts=0)
            disk = _lines(str(path), seconds)
            trainer.answer()
            context = zmq.Context()
            feed = context.socket(zmq.SUB)
            try:
                feed.linger = 0
                feed.connect(collector.info()["feed"])
                feed.subscribe(wire.topic_of(SESSION, "alerts"))
                time.sleep(1.5)  # the analyzer finds the session, the subscription arrives
                trainer.tell("run", seconds=seconds, alerts=int(seconds * 20))
                seen = _alerts(feed, seconds + 2.0)
                logged = trainer.answer()
            finally:
                feed.close()
                context.term()
    delays = [1000 * (seen[name] - at) for name, at in logged.items() if name in seen]
    missing = len(logged) - len(delays)
    return [
        _row("log call to line on disk, 1,000 records/s", disk, "the collector looks each 10 ms", 10.0),
        _row("log call to alert published, 1,000 records/s", delays, f"{len(logged)} alerts, {missing} not seen", 20.0),
    ]


def _row(what: str, delays: list[float], beside: str, target: float) -> Row:
    if not delays:
        return Row(what, "nothing seen", beside, "", f"< {target:g} ms", False)
    middle = percentile(delays, 0.5)
    figure = f"{middle:.1f} ms, p99 {percentile(delays, 0.99):.1f} ms"
    return Row(what, figure, beside, f"{middle / target:.2f}", f"p50 < {target:g} ms", middle < target)


def _lines(path: str, seconds: float) -> list[float]:
    """Milliseconds from each record's log call until its line could be read."""
    delays = []
    fd = os.open(path, os.O_RDONLY)
    try:
        at = os.fstat(fd).st_size
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data = os.pread(fd, 1 << 20, at)
            now = time.time()
            whole = data[: data.rfind(b"\n") + 1]
            at += len(whole)
            delays += [1000 * (now - orjson.loads(line)["timestamp"]) for line in whole.splitlines()]
            time.sleep(_POLL_S)
    finally:
        os.close(fd)
    return delays


def _alerts(feed: zmq.Socket[Any], seconds: float) -> dict[str, float]:
    """When the first alert about each component was published."""
    seen: dict[str, float] = {}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not feed.poll(round(1000 * left)):
            continue
        lines = feed.recv_multipart()[2]
        now = time.time()
        for line in lines.splitlines():
            component = orjson.loads(line).get("component")
            if component:
                seen.setdefault(str(component), now)
    return seen


def main(base: str) -> None:
    from avaliacoes.real_time_logger import RealTimeLogger

    sets = steps()
    logger = RealTimeLogger(base, session=SESSION)
    step = 0

    def first() -> bool:
        logger.log_training_step(0, **sets[0])
        logger.log_gradient_info(0, grad_norm=1.0, component="none")
        return logger.flush(30)

    def run(seconds: float, alerts: int) -> dict[str, float]:
        """Log 1,000 records a second; `alerts` of them are of a component whose gradient has just exploded."""
        nonlocal step
        logged: dict[str, float] = {}
        due = begin = time.monotonic()
        each = seconds / alerts if alerts else 2 * seconds
        next_alert = begin + each / 2
        while due < begin + seconds:
            step += 1
            logger.log_training_step(step, **sets[step % len(sets)])
            if time.monotonic() > next_alert:
                next_alert += each
                component = f"part{len(logged)}"
                logged[component] = time.time()
                logger.log_gradient_info(step, grad_norm=1e6, component=component)
            due += 0.001
            time.sleep(max(0.0, due - time.monotonic()))
        logger.flush(30)
        return logged

    with logger:
        serve({"first": first, "run": run})


if __name__ == "__main__":
    main(*sys.argv[1:])
