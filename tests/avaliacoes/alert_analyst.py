"""Alerts published as the analyzer does, and a training that goes on until it has been told of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avaliacoes.logger_integration import TrainingLoggerIntegration
from producer import Producer


def event(number: int, level: str = "ERROR", rule: str = "non_finite", state: str = "firing") -> dict[str, Any]:
    """Metrics of an alert of its own row."""
    fires = f"{number:016x}"
    own = fires if state == "firing" else f"{number:08x}{state[:8]:>8}"
    return {
        "id": own,
        "fires": fires,
        "rule": rule,
        "level": level,
        "state": state,
        "message": f"alert {number}",
        "producer": "p",
        "component": f"c{number}",
    }


class Analyst:
    """Publishes alerts of a session as the analyzer does: as a producer of its own."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._producers: dict[str, Producer] = {}

    def say(self, session: str, number: int, **how: str) -> None:
        if session not in self._producers:
            self._producers[session] = Producer(
                self._base, session=session, claim=False, lifecycle=False, autostart=False, buffer_size=1000
            )
        self._producers[session].log("alerts", number, event(number, **how))

    def close(self) -> None:
        for producer in self._producers.values():
            producer.close(timeout=5)


def logging_until(integration: TrainingLoggerIntegration, condition: Callable[[], object], seconds: float = 20) -> bool:
    """Train until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        integration.log_training_step(loss=1.0)
        time.sleep(0.005)
    return True


def numbers(told: list[dict[str, Any]]) -> list[int]:
    return [int(alert["fires"], 16) for alert in told]
