"""Back to the trainer: from an alert's being published until its callback runs, and what asking costs the log call.

The trainer logs 1,000 records a second and notes, in its callback, how long ago the alert was handed to the publisher: in
this figure are the publisher's sending, the collector's writing, the feed, the listener, and the wait for the next log call.
For the cost two callers take turns in one process: a logger that nobody asked of, and one with a callback registered.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

from benchmarks.clock import time_ours
from benchmarks.ground import Ground, cpu_seconds
from benchmarks.harness import Child, Plan, Row, interleaved, percentile, serve
from benchmarks.workload import steps

SESSION = "feedback_20250101_000000"


def measure(plan: Plan) -> list[Row]:
    alerts = plan.pick(100, 400)
    with Ground() as ground:
        ground.collector()
        with Child("benchmarks.feedback", str(ground.base)) as trainer:
            delays, missing = _delays(ground, trainer, alerts)
            idle = trainer.ask("idle", seconds=plan.pick(2.0, 10.0))
            callers = {name: lambda name=name: trainer.ask(name, count=calls) for name in ("plain", "asked")}  # type: ignore[misc]
            calls = plan.pick(5_000, 20_000)
            samples = interleaved(callers, plan.pick(7, 25))
    asked = samples.ratio("asked p50", "plain p50")
    tail = percentile(delays, 0.99)
    return [
        Row(
            "alert published to trainer told, p50",
            f"{percentile(delays, 0.5):.1f} ms",
            f"p99 {tail:.1f} ms, worst {max(delays):.1f} ms; {alerts} alerts, {missing} not told",
            f"{tail / 100:.2f}",
            "all, p99 < 100 ms",
            tail < 100 and not missing,
        ),
        Row(
            "log call with a callback registered: median",
            f"{samples.median('asked p50'):.2f} us",
            f"without {samples.median('plain p50'):.2f} us",
            str(asked),
            "<= 1.05x",
            asked.value <= 1.05,
        ),
        Row("the listener's thread, nothing happening", f"{100 * idle['listener']:.2f} % of a core"),
    ]


def _delays(ground: Ground, trainer: Child, alerts: int) -> tuple[list[float], int]:
    """Milliseconds from handing each alert over until it was told, and how many never were."""
    from producer import Producer

    trainer.ask("first")
    publisher = Producer(ground.base, session=SESSION, claim=False, lifecycle=False, autostart=False, buffer_size=1000)
    try:
        trainer.tell("run", seconds=alerts * 0.03 + 3.0)
        time.sleep(1.0)
        for number in range(alerts):
            fields = {"id": f"{number:016x}", "fires": f"{number:016x}", "rule": "non_finite", "level": "ERROR"}
            publisher.log("alerts", number, {**fields, "state": "firing", "message": "m", "sent": time.time()})
            time.sleep(0.02 + 0.013 * (number % 2))
        told: list[float] = trainer.answer()
    finally:
        publisher.close(timeout=5)
    return told, alerts - len(told)


def main(base: str) -> None:
    from avaliacoes.real_time_logger import RealTimeLogger

    sets = steps()
    numbers = itertools.count(0, 100_000)
    told: list[float] = []
    asked = RealTimeLogger(base, session=SESSION)
    plain = RealTimeLogger(base, prefix="plain")
    asked.on_alert(lambda alert: told.append(1000 * (time.time() - alert["sent"])))

    def first() -> bool:
        for logger in (asked, plain):
            logger.log_training_step(0, **sets[0])
        return asked.flush(30)

    def run(seconds: float) -> list[float]:
        """Log 1,000 records a second."""
        due = begin = time.monotonic()
        step = 0
        while due < begin + seconds:
            step += 1
            asked.log_training_step(step, **sets[step % len(sets)])
            due += 0.001
            time.sleep(max(0.0, due - time.monotonic()))
        return told

    def idle(seconds: float) -> dict[str, float]:
        import os

        from avaliacoes.alert_listener import listener

        thread = listener()._thread.native_id
        path = f"/proc/{os.getpid()}/task/{thread}/schedstat"

        def spent() -> float:
            with open(path) as file:
                return int(file.read().split()[0]) / 1e9

        try:
            before = spent()
        except OSError:  # no Linux: the whole process then
            before, spent = cpu_seconds(os.getpid()), lambda: cpu_seconds(os.getpid())  # type: ignore[assignment]
        time.sleep(seconds)
        return {"listener": (spent() - before) / seconds}

    def timed(call: Any, name: str, count: int) -> dict[str, float]:
        found = time_ours(call, itertools.islice(itertools.cycle(sets), count), next(numbers))
        if not (asked.flush(60) and plain.flush(60)):
            raise RuntimeError("not everything was stored within 60 s")
        return {key.replace("ours", name): figure for key, figure in found.items()}

    calls = {"plain": plain.log_training_step, "asked": asked.log_training_step}
    with asked, plain:
        serve(
            {"first": first, "run": run, "idle": idle}
            | {name: lambda count, name=name: timed(calls[name], name, count) for name in calls}  # type: ignore[misc]
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
