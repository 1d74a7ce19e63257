"""Sessions made by hand for the renderer's tests: files as the collector writes them, from a fixed seed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from contract.alerts import alert_id
from contract.lines import encode_line
from contract.names import file_name
from renderer import find
from renderer.reading import Reading

R = TypeVar("R", bound=Reading[Any])
ROOT_ID = "aaaaaaaaaaaa"


class Run:
    """Writes one session's files line by line; `at` is the time of the next record."""

    def __init__(self, base: Path, name: str, producer: str = ROOT_ID, at: float | None = None) -> None:
        self.base, self.name, self.producer = base, name, producer
        self.at = time.time() if at is None else at
        self._seq: dict[tuple[str, str], int] = {}
        base.mkdir(parents=True, exist_ok=True)

    def path(self, category: str) -> Path:
        return self.base / file_name(category, self.name)

    def write(self, category: str, step: int, producer: str | None = None, /, **metrics: Any) -> None:
        who = producer or self.producer
        seq = self._seq.get((who, category), 0)
        self._seq[who, category] = seq + 1
        with open(self.path(category), "ab") as file:
            file.write(encode_line(who, seq, self.at, step, metrics) + b"\n")

    def start(self, **more: Any) -> None:
        self.write("lifecycle", 0, event="start", host="box", pid=1, argv0="train.py", **more)

    def beat(self, **counters: Any) -> None:
        self.write("lifecycle", 0, event="heartbeat", **counters)

    def end(self, status: str = "finished", error: str | None = None) -> None:
        self.write("lifecycle", 0, event="end", status=status, error=error, logged=0)

    def alert(
        self,
        rule: str,
        level: str,
        step: int,
        message: str,
        state: str = "firing",
        source: str = "training",
        metric: str = "loss",
    ) -> None:
        found = alert_id(rule, state, self.producer, source, step)
        self.write("alerts", step, "bbbbbbbbbbbb", id=found, rule=rule, level=level, state=state, message=message, metric=metric,
                   value=1.0, threshold=0.5, source=source, producer=self.producer, seq=step, fires=found)  # fmt: skip


def opened(run: Run, kind: type[R]) -> R:
    """A run's files, read to their end."""
    found = kind(run.base, run.name)  # type: ignore[call-arg] - the subclasses say how many series are followed
    for category, path in find.sessions(run.base)[run.name].files.items():
        found.add_file(category, path)
    while found.poll()[1]:
        pass
    return found


def realistic(run: Run, steps: int, begin: int = 0, seed: int = 1, every_s: float = 0.02) -> None:
    """A run that learns, with noise, an explosion of gradients, a few NaN and episodes."""
    random = np.random.default_rng(seed + begin)
    episode = 0
    for step in range(begin, begin + steps):
        run.at += every_s
        done = step / 6000
        loss = 1.6 * math.exp(-2.2 * done) + 0.18 + random.normal(0, 0.07) * (1.2 - min(done, 1))
        burst = 14 * math.exp(-(((step - 2600) / 40) ** 2))
        run.write("training", step, loss=math.nan if step in (2610, 2611) else loss + burst * 0.05,
                  learning_rate=3e-4 * max(0.05, 1 - done), policy_loss=-0.02 * math.exp(-done) + random.normal(0, 0.006),
                  value_loss=loss * 30 + random.gamma(2, 3), entropy_loss=-0.69 * math.exp(-done) + random.normal(0, 0.01),
                  explained_variance=1 - math.exp(-3 * done) + random.normal(0, 0.05), approx_kl=random.gamma(2, 0.004),
                  clip_fraction=random.beta(2, 18))  # fmt: skip
        norm = float(random.lognormal(0.1 - done, 0.45)) + burst
        run.write("gradients", step, grad_norm=norm, grad_zeros_ratio=float(random.beta(2, 18)))
        if step % 5 == 0:
            for part, scale in (("actor", 0.6), ("critic", 0.8)):
                run.write("gradients", step, component=part, grad_norm=norm * scale * float(random.lognormal(0, 0.2)))
        if step % 20 == 0:
            episode += 1
            reward = 20 + 420 / (1 + math.exp(-(done * 8 - 3.5))) + random.normal(0, 45)
            run.write("rewards", step, episode_reward=max(9.0, reward), episode_length=int(max(9, reward)))
            run.write("performance", step, fps=float(random.normal(1900, 60)))
