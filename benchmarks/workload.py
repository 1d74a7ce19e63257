"""What is logged: a training step of eight float metrics, and the least that writing it down can cost."""

from __future__ import annotations

import random
from typing import Any

#: Metrics of one record. Full-precision floats, as a loss is: their digits are what a writer spends its time on.
NAMES = (
    "loss",
    "policy_loss",
    "value_loss",
    "entropy",
    "learning_rate",
    "explained_variance",
    "approx_kl",
    "clip_fraction",
)


def steps(count: int = 1000, seed: int = 7) -> list[dict[str, Any]]:
    """`count` sets of metrics, different ones."""
    draw = random.Random(seed)
    return [{name: draw.gauss(0.0, 1.0) for name in NAMES} for _ in range(count)]
