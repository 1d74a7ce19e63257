"""The names and defaults that users rely on, written down once more; a change here is a change for them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from avaliacoes import logger_integration, real_time_logger, real_time_monitor
from avaliacoes.__main__ import COMMANDS

NOTHING = inspect.Parameter.empty


def parameters(thing: Any) -> dict[str, Any]:
    """Parameter -> default (`NOTHING` without one), variable keywords as `**`."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(thing).parameters.items():
        if name == "self" or name.startswith("_"):
            continue
        found["**" if parameter.kind is parameter.VAR_KEYWORD else name] = parameter.default
    return found


def test_logger_constructor() -> None:
    """RealTimeLogger takes its folder, buffer size and flush interval by position or name."""
    found = parameters(real_time_logger.RealTimeLogger)
    assert list(found)[:3] == ["base_path", "buffer_size", "flush_interval"]
    assert found["base_path"] is None
    assert found["endpoint"] is None
    assert {"session", "prefix", "autostart"} <= set(found)
    assert list(parameters(real_time_logger.create_real_time_logger))[:3] == list(found)[:3]


@pytest.mark.parametrize(
    "method",
    [
        "log_training_step",
        "log_gradient_info",
        "log_convergence_metrics",
        "log_reward_info",
        "log_performance_metrics",
    ],
)
def test_logger_methods(method: str) -> None:
    """Each of the five takes a step and any metrics by name."""
    assert list(parameters(getattr(real_time_logger.RealTimeLogger, method))) == ["step", "**"]


def test_logger_other_methods() -> None:
    """Any category, statistics, closing, and use in a `with` block."""
    assert list(parameters(real_time_logger.RealTimeLogger.log)) == ["category", "step", "**"]
    assert parameters(real_time_logger.RealTimeLogger.get_real_time_stats) == {}
    for name in ("close", "__enter__", "__exit__"):
        assert callable(getattr(real_time_logger.RealTimeLogger, name))


def test_reader() -> None:
    """LogReader reads a stream, its end, its growth, the list of sessions, and frames."""
    reader = real_time_logger.LogReader
    assert parameters(reader) == {"base_path": None, "session": None}
    assert list(parameters(reader.read_stream)) == ["category"]
    assert list(parameters(reader.tail)) == ["category", "n"]
    assert next(iter(parameters(reader.follow))) == "category"
    assert parameters(reader.sessions) == {}
    assert next(iter(parameters(reader.to_dataframe))) == "category"


def test_monitor() -> None:
    """RealTimeMonitor: three settings, start with or without a session, stop, status, report."""
    monitor = real_time_monitor.RealTimeMonitor
    found = parameters(monitor)
    assert list(found)[:3] == ["log_path", "refresh_interval", "history_window"]
    assert (found["log_path"], found["refresh_interval"]) == (None, 1.0)
    assert parameters(monitor.start_monitoring) == {"session_id": None}
    for name in ("stop_monitoring", "get_current_status", "export_analysis_report"):
        assert parameters(getattr(monitor, name)) == {}
    assert "refresh_interval" in parameters(real_time_monitor.create_monitor)


def test_integration() -> None:
    """TrainingLoggerIntegration: the older system's parameters in their order, and its methods."""
    integration = logger_integration.TrainingLoggerIntegration
    found = parameters(integration)
    assert list(found)[:3] == ["base_path", "enable_csv_fallback", "gradient_monitoring"]
    assert [found[name] for name in list(found)[:3]] == [None, False, True]
    assert list(parameters(logger_integration.create_integrated_logger))[:3] == list(found)[:3]
    assert parameters(integration.start_session) == {"prefix": None}
    assert parameters(integration.log_training_step) == {"step": None, "**": NOTHING}
    assert next(iter(parameters(integration.log_gradient_info))) == "model"
    assert "component" in parameters(integration.log_gradient_info)
    assert "**" in parameters(integration.log_episode_end)
    assert list(parameters(integration.patch_existing_logger)) == ["logger_instance", "method_name"]
    for name in ("get_current_stats", "end_session"):
        assert parameters(getattr(integration, name)) == {}
    assert callable(integration.create_sb3_callback)


def test_back_to_the_trainer() -> None:
    """What a training asks for to be told of its alerts, and how it sees that it should stop."""
    integration = logger_integration.TrainingLoggerIntegration
    for owner in (integration, real_time_logger.RealTimeLogger):
        assert parameters(owner.on_alert) == {"callback": NOTHING, "level": "INFO", "rules": None, "resolved": False}
    assert parameters(integration.stop_on) == {"what": "ERROR"}
    assert parameters(integration.create_sb3_callback)["stop_on"] is None
    for name in ("should_stop", "stopped_by"):
        assert isinstance(getattr(integration, name), property)
    assert parameters(integration.reset_stop) == {}


def test_commands() -> None:
    """The console script's commands."""
    assert set(COMMANDS) >= {"up", "demo", "status", "tail", "report", "check", "export", "import"}
