from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alert_analyst import Analyst

from avaliacoes.logger_integration import TrainingLoggerIntegration, create_integrated_logger
from contract import service

Until = Callable[..., bool]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def collector(place: Path, spawn: Spawn, until: Until, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a collector, on which nothing is started by itself."""
    monkeypatch.setenv("AVALIACOES_AUTOSTART", "0")
    spawn("-m", "collector", "--base-path", str(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert until(lambda: service.find(place, "collector"))
    return place


@pytest.fixture
def analyst(place: Path) -> Iterator[Analyst]:
    found = Analyst(place)
    yield found
    found.close()


@pytest.fixture
def integration(collector: Path) -> Iterator[TrainingLoggerIntegration]:
    found = create_integrated_logger(collector)
    yield found
    found.end_session()
