"""Fixtures of the chaos tests: a tally, collectors, trainers; all processes end with their test."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_processes import Child, Service, Trainer, Wrapped
from tally import Tally


@pytest.fixture
def tally(tmp_path: Path) -> Tally:
    """The independent counter of this test."""
    return Tally(tmp_path / "tally")


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Every process put in this list is thawed, ended and waited for at the end of the test."""
    started: list[Child] = []
    yield started
    for child in reversed(started):
        child.end()


Start = Callable[..., Any]


@pytest.fixture
def collector(place: Path, children: list[Child]) -> Callable[..., Service]:
    """`collector(*options, wait=True, base=place)`: a collector's worker."""

    def start(*options: str, base: Path = place, **more: Any) -> Service:
        children.append(service := Service("collector", base, *options, **more))
        return service

    return start


@pytest.fixture
def broken_collector(place: Path, children: list[Child]) -> Callable[..., Wrapped]:
    """`broken_collector(how, *options)`: a collector that breaks as `chaos_collector.py` says."""

    def start(how: str, *options: str, **more: Any) -> Wrapped:
        children.append(wrapped := Wrapped(place, how, *options, **more))
        return wrapped

    return start


@pytest.fixture
def trainer(place: Path, tally: Tally, children: list[Child]) -> Callable[..., Trainer]:
    """`trainer(slot, *options, wait=True, base=place)`: a training process."""

    def start(slot: int, *options: str, base: Path = place, **more: Any) -> Trainer:
        children.append(one := Trainer(base, tally.path, slot, *options, **more))
        return one

    return start


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random moments from a printed seed; `AVALIACOES_SEED` repeats a run."""
    seed = int(os.environ.get("AVALIACOES_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed of {request.node.name}: AVALIACOES_SEED={seed}")
    return random.Random(seed)
