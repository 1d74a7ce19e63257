"""The older example's order: the monitor stops and the report is written before the session ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_monitor import create_monitor
from contract import service


def test_page_and_report_tell_the_end_although_the_monitor_had_stopped(place: Path, until: Callable[..., bool]) -> None:
    """Soon after end_session both say that the run has ended, and no renderer stays behind."""
    integration = create_integrated_logger(place)
    session = integration.start_session("early")
    monitor = create_monitor(log_path=place, refresh_interval=0.2)
    monitor.start_monitoring(session)
    for step in range(50):
        integration.log_training_step(loss=1.0 / (step + 1))
    page = place / f"dashboard_{session}.html"
    assert until(page.exists, 20)
    monitor.stop_monitoring()
    report = Path(monitor.export_analysis_report())
    assert "still going on" in report.read_text()
    integration.end_session()
    assert until(lambda: "ended normally" in page.read_text() and "ended normally" in report.read_text(), 20)
    assert until(lambda: not service.is_running(place, "renderer"), 20)
