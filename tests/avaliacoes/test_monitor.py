"""The monitor with real services."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_monitor import RealTimeMonitor, create_monitor
from contract import service, settings
from contract.names import NameRefused

Until = Callable[..., bool]


@pytest.fixture
def monitor(place: Path) -> Iterator[RealTimeMonitor]:
    found = create_monitor(place, refresh_interval=0.2)
    yield found
    found.stop_monitoring()


def test_a_run_from_start_to_report(place: Path, monitor: RealTimeMonitor) -> None:
    """Started before there is any session, the monitor finds the one that begins, shows its alert, and the report has it;
    stopping ends analyzer and renderer within 5 s and leaves the final page."""
    begin = time.monotonic()
    monitor.start_monitoring()
    assert time.monotonic() - begin < 3
    assert monitor.get_current_status()["session"] is None
    integration = create_integrated_logger(place)
    session = integration.start_session("m")
    for _ in range(600):
        integration.log_training_step(loss=0.5)
        integration.log_gradient_info(grad_norm=1e9)
    integration.log_episode_end(episode_reward=7.0)
    begin = time.monotonic()
    monitor.stop_monitoring()
    assert time.monotonic() - begin < 5
    monitor.stop_monitoring()
    assert not service.is_running(place, "analyzer") and not service.is_running(place, "renderer")
    status = monitor.get_current_status()
    assert status["session"] == session and status["state"] == "running" and not status["monitoring"]
    assert status["records"]["training"] == 600 and status["last"]["rewards"]["episode_reward"] == 7.0
    assert status["rates"]["training"] > 0
    assert "gradient_explosion" in {alert["rule"] for level in status["alerts"].values() for alert in level}
    assert Path(status["dashboard"]).is_file()
    report = Path(monitor.export_analysis_report())
    assert "gradient_explosion" in report.read_text("utf-8")
    integration.end_session()
    assert monitor.get_current_status()["state"] == "finished"


def test_without_data_everything_answers(place: Path, monitor: RealTimeMonitor) -> None:
    """With an empty folder status and report say that there is nothing, and impossible names are refused."""
    status = monitor.get_current_status()
    assert status["session"] is None and status["state"] == "unknown"
    assert status["alerts"] == {"ERROR": [], "WARNING": [], "INFO": []}
    assert "No records" in Path(monitor.export_analysis_report()).read_text("utf-8")
    monitor.stop_monitoring()
    with pytest.raises(NameRefused):
        monitor.start_monitoring("../escape")
    assert not monitor.is_monitoring


def test_services_that_die_come_back(place: Path, monitor: RealTimeMonitor, until: Until) -> None:
    """An analyzer and a renderer killed while monitoring are started again."""
    monitor.start_monitoring()
    for kind in ("analyzer", "renderer"):
        assert until(lambda kind=kind: service.find(place, kind), 20)
        info = service.find(place, kind)
        assert info is not None
        os.kill(info["pid"], signal.SIGKILL)
        assert until(lambda kind=kind, old=info: (service.find(place, kind) or old)["pid"] != old["pid"], 20)


def test_settings_take_effect_while_monitoring(place: Path, monitor: RealTimeMonitor) -> None:
    """plot_config reaches the services' settings file only while monitoring, and at once then."""
    monitor.plot_config["convergence_window"] = 60
    assert settings.load(place)["convergence_window"] == 50
    monitor.start_monitoring()
    assert settings.load(place)["convergence_window"] == 60
    monitor.plot_config.update({"gradient_threshold_high": 8.0})
    assert settings.load(place)["gradient_threshold_high"] == 8.0


def test_a_service_of_somebody_else_goes_on(
    place: Path, monitor: RealTimeMonitor, spawn: Callable[..., subprocess.Popen[bytes]], until: Until
) -> None:
    """The monitor shares an analyzer that runs already and does not end it."""
    place.mkdir()
    (place / ".avaliacoes").mkdir()
    explicit = spawn("-m", "analyzer", "--base-path", str(place))
    assert until(lambda: service.find(place, "analyzer"), 20)
    monitor.start_monitoring()
    assert until(lambda: service.find(place, "renderer"), 20)
    monitor.stop_monitoring()
    assert service.is_running(place, "analyzer") and explicit.poll() is None
    assert not service.is_running(place, "renderer")


def test_the_last_of_two_monitors_ends_the_services(place: Path, monitor: RealTimeMonitor, until: Until) -> None:
    """While another monitor of the folder is there, services go on; the last one ends them, whoever started them."""
    other = create_monitor(place)
    monitor.start_monitoring()
    assert until(lambda: service.find(place, "analyzer") and service.find(place, "renderer"), 20)
    other.start_monitoring()
    monitor.stop_monitoring()
    assert service.is_running(place, "analyzer") and service.is_running(place, "renderer")
    other.stop_monitoring()
    assert not service.is_running(place, "analyzer") and not service.is_running(place, "renderer")


def test_a_script_that_forgets_to_stop_leaves_nothing_running(place: Path) -> None:
    """At the end of a script its monitor ends what it started."""
    script = (
        "from avaliacoes.real_time_monitor import create_monitor\n"
        f"monitor = create_monitor({str(place)!r})\n"
        "monitor.start_monitoring()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert not service.is_running(place, "analyzer") and not service.is_running(place, "renderer")
