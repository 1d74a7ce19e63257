"""The integration: sessions, steps, gradients, taps."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avaliacoes.logger_integration import TrainingLoggerIntegration, create_integrated_logger
from avaliacoes.real_time_logger import LogReader


def _steps(place: Path, session: str | None, category: str) -> list[int]:
    return [record["step"] for record in LogReader(place, session).read_stream(category)]


def test_steps_count_by_themselves(place: Path) -> None:
    """Without steps training counts from 0 and the others follow it; an explicit step moves the count; lr is learning_rate."""
    integration = TrainingLoggerIntegration(place, False, True)
    session = integration.start_session("my_run")
    assert session.startswith("my_run_")
    integration.log_training_step(loss=0.5, lr=2e-4)
    integration.log_gradient_info(component="actor_head", grad_norm=1.0, grad_zeros_ratio=0.1, weight_update_ratio=1e-3)
    integration.log_training_step(loss=0.5)
    integration.log_episode_end(episode_reward=1.0, episode_length=5, win_rate=0.5)
    integration.log_training_step(step=100, loss=0.1, category="x")
    integration.log_training_step(loss=0.1)
    integration.log_performance_metrics(fps=3.0)
    stats = integration.get_current_stats()
    assert stats["step"] == 101 and stats["session"] == session and stats["open"]
    integration.end_session()
    integration.end_session()
    assert _steps(place, session, "training") == [0, 1, 100, 101]
    assert _steps(place, session, "gradients") == [0] and _steps(place, session, "rewards") == [1]
    (gradient,) = LogReader(place, session).read_stream("gradients")
    assert gradient["component"] == "actor_head" and gradient["weight_update_ratio"] == 1e-3
    first = next(LogReader(place, session).read_stream("training"))
    assert first["learning_rate"] == 2e-4 and "lr" not in first
    assert integration.get_current_stats()["persisted"] == 7


def test_a_session_opens_by_itself_and_again_after_the_end(place: Path) -> None:
    """Logging before start_session opens one session, also from several threads; a new start is a new session."""
    integration = create_integrated_logger(place)
    assert integration.get_current_stats()["session"] is None
    threads = [threading.Thread(target=integration.log_training_step, kwargs={"loss": 1.0}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = integration.session
    integration.end_session()
    second = integration.start_session()
    integration.log_training_step(loss=2.0)
    integration.end_session()
    assert first != second and sorted(LogReader(place).sessions()) == sorted([str(first), second])
    assert sorted(_steps(place, first, "training")) == list(range(8)) and _steps(place, second, "training") == [0]


def test_models_that_cannot_be_read_do_not_stop_the_training(
    place: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """A model without gradients is a counted problem and one line in the log, never a Python warning; with monitoring off models are not looked at."""

    class Hostile:
        def named_parameters(self) -> Any:
            raise RuntimeError("no")

    with create_integrated_logger(place) as integration:
        integration.log_gradient_info(model=Hostile())
        assert "gradients not extracted" in caplog.text
        assert not [warning for warning in recwarn.list if "gradients" in str(warning.message)]
        integration.log_gradient_info(model=Hostile())
        integration.log_gradient_info(model=Hostile(), grad_norm=2.0)
        integration.log_gradient_info(model={"w": np.array([3.0, 4.0])}, component="head")
        assert integration.get_current_stats()["problems"] == {"gradients": 3}
        session = integration.session
    records = list(LogReader(place, session).read_stream("gradients"))
    assert [record["grad_norm"] for record in records] == [2.0, 5.0] and records[1]["component"] == "head"
    with create_integrated_logger(place, gradient_monitoring=False) as integration:
        integration.log_gradient_info(model=Hostile())
        integration.log_gradient_info(model=Hostile(), grad_norm=1.0)
        session = integration.session
        assert integration.get_current_stats()["problems"] == {}
    assert len(list(LogReader(place, session).read_stream("gradients"))) == 1


def test_patched_methods_end_with_the_session(place: Path) -> None:
    """What goes through a patched method is in the session, and the method is itself again after it."""

    class Theirs:
        def write(self, values: dict[str, float]) -> int:
            return len(values)

    theirs = Theirs()
    integration = create_integrated_logger(place)
    session = integration.start_session()
    integration.patch_existing_logger(theirs, "write")
    assert theirs.write({"loss": 0.5, "grad_norm": 2.0}) == 2
    integration.end_session()
    theirs.write({"loss": 0.7})
    reader = LogReader(place, session)
    assert [record["loss"] for record in reader.read_stream("training")] == [0.5]
    assert [record["grad_norm"] for record in reader.read_stream("gradients")] == [2.0]


def test_a_script_that_never_ends_its_session_loses_nothing(place: Path) -> None:
    """Falling off the end of a script delivers the records and completes the CSV files."""
    script = (
        "from avaliacoes.logger_integration import create_integrated_logger\n"
        f"i = create_integrated_logger({str(place)!r}, enable_csv_fallback=True)\n"
        "for k in range(500): i.log_training_step(loss=k)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    session = LogReader(place).session
    assert _steps(place, session, "training") == list(range(500))
    assert (place / f"training_{session}.csv").read_text().count("\n") == 501


def test_importing_is_light() -> None:
    """Importing the package, the logger, the integration or the monitor imports no plotly, numpy, torch or pandas."""
    modules = "avaliacoes, avaliacoes.real_time_logger, avaliacoes.logger_integration, avaliacoes.real_time_monitor"
    code = (
        f"import {modules}, sys; print([m for m in ('plotly', 'numpy', 'torch', 'pandas', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60, text=True)
    assert done.stdout.strip() == "[]"
