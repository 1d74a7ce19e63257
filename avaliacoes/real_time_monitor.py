"""The monitor: a live page, alerts and a status for whatever is being trained in a data folder.

    monitor = create_monitor(refresh_interval=1.0)
    monitor.start_monitoring()
    ...
    monitor.stop_monitoring()
    print(monitor.export_analysis_report())

Analyzer and renderer run in processes of their own, never in the trainer's; services that already run are shared.
"""

from __future__ import annotations

import atexit
import html
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from avaliacoes.background import BackgroundServices
from avaliacoes.log_reader import LogReader
from avaliacoes.plot_config import PlotConfig
from avaliacoes.session_status import SessionStatus, nothing, services
from contract import names, places, service, settings
from producer import Producer, forks

__all__ = ["PlotConfig", "RealTimeMonitor", "create_monitor"]

_FLUSH_S: Final = 0.8
#: Reading takes some ten seconds for a million records; a machine that trains may need much longer.
_REPORT_TIMEOUT_S: Final = 600.0


class RealTimeMonitor:
    """Watches the sessions of a data folder.

    Args:
        log_path: data folder; by default `avaliacoes` under the working directory (`AVALIACOES_DIR` overrides).
        refresh_interval: seconds between two states of the page.
        history_window: points per series on the page.

    Raises:
        contract.settings.SettingRefused: an interval or a window that cannot be (a `ValueError`).

    `plot_config` holds these and all other settings; a change takes effect while monitoring.
    """

    def __init__(
        self,
        log_path: str | os.PathLike[str] | None = None,
        refresh_interval: float = 1.0,
        history_window: int = 1000,
    ) -> None:
        self.log_path = places.base_path(log_path)
        self.plot_config = PlotConfig(
            self._config_changed, refresh_interval=refresh_interval, history_window=history_window
        )
        self._wanted: str | None = None
        self._monitoring = False
        self._services = BackgroundServices(self.log_path)
        self._lock = threading.RLock()
        self._status: SessionStatus | None = None
        self._pid = os.getpid()
        atexit.register(_stop_at_exit, weakref.ref(self))

    @property
    def is_monitoring(self) -> bool:
        return self._monitoring

    @property
    def session(self) -> str | None:
        """The session that status and report speak of: the one asked for, else the newest there is now."""
        if self._wanted is not None:
            return self._wanted
        return LogReader(self.log_path).session

    def start_monitoring(self, session_id: str | None = None) -> None:
        """Start what is needed in the background and return; the page is `dashboard_<session>.html` in the data folder.

        Args:
            session_id: the session of status and report, also one that has not begun yet; by default always the newest.

        Raises:
            contract.names.NameRefused: `session_id` cannot be the name of a session.
            contract.places.PlaceRefused: the data folder cannot be written.
        """
        if session_id is not None:
            names.check_session(session_id)
        with self._lock:
            self._wanted = session_id
            places.prepare_base(self.log_path)
            settings.save(self.log_path, self.plot_config)
            if not self._monitoring:
                self._monitoring = True
                self._services.start()

    def stop_monitoring(self) -> None:
        """Let the analyzer read to the end and the renderer write the last page, then end what this monitor started.

        Services that somebody else started, or that another monitor of this folder still uses, go on. Takes less than 5 s;
        a second call does nothing.
        """
        with self._lock:
            if self._monitoring and self._pid == os.getpid():
                self._monitoring = False
                self._flush_loggers()
                self._services.stop()

    def _flush_loggers(self) -> None:
        """What loggers of this very process still hold goes to disk first, so that its alerts are found too."""
        deadline = time.monotonic() + _FLUSH_S
        for producer in forks.managed():
            if isinstance(producer, Producer) and producer.base_path == self.log_path:
                producer.flush(max(0.0, deadline - time.monotonic()))

    def get_current_status(self) -> dict[str, Any]:
        """What is known now.

        Returns:
            `session` (None if there is none), `state` ("running", "stalled", "finished", "crashed"; "unknown" without a
            session), `last` (the last record of each category), `rates` (records per second over the last 10 s, by
            category), `records` (how many, by category), `alerts` (lists of active alerts under "ERROR", "WARNING",
            "INFO", newest first), `dashboard` (path of the page), `monitoring`, `services` (which ones run).
        """
        with self._lock:
            if self._monitoring and self._pid == os.getpid():
                self._services.revive()
            session = self.session
            if session is None:
                status = nothing()
            else:
                if self._status is None or self._status.session != session:
                    self._status = SessionStatus(self.log_path, session)
                status = self._status.read(60.0 * float(self.plot_config["alert_retention_minutes"]))
            return {**status, "monitoring": self._monitoring, "services": services(self.log_path)}

    def export_analysis_report(self) -> str:
        """Write the report of the session, a page complete in itself, and return its path. Works before, during and after monitoring.

        JSON and Markdown with the same numbers stand beside it, `report_<session>.json` and `.md`. Without any record yet, the report says so.

        Raises:
            RuntimeError: the report could not be made; the text has the reason.
            contract.places.PlaceRefused: the data folder cannot be written.
        """
        places.prepare_base(self.log_path)
        session = self.session
        if session is None or not any(self.log_path.glob(f"*_{session}.jsonl")):
            return str(self._empty_report(session))
        if not self._monitoring:
            settings.save(self.log_path, self.plot_config)
        # In a process of its own: plotting libraries stay out of the trainer.
        argv, environment = service.command("avaliacoes", "report", session, "--base-path", str(self.log_path))
        try:
            done = subprocess.run(
                argv,
                env=environment,
                cwd=places.socket_dir(self.log_path),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_REPORT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"no report for {session} within {_REPORT_TIMEOUT_S:.0f} s") from error
        path = done.stdout.decode(errors="replace").strip()
        if done.returncode != 0 or not path:
            raise RuntimeError(f"no report for {session}: {done.stderr.decode(errors='replace').strip()[-500:]}")
        return path

    def _empty_report(self, session: str | None) -> Path:
        path = self.log_path / f"report_{session or 'no_session'}.html"
        what = f"session {session}" if session else "any session"
        text = html.escape(f"No records of {what} in {self.log_path} yet.")
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(
            "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta http-equiv='Content-Security-Policy' "
            "content=\"default-src 'none'; style-src 'unsafe-inline'\"><meta name='color-scheme' content='light dark'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'><title>Report</title></head>"
            f"<body style='font: 16px system-ui, sans-serif; padding: 2em'><p>{text}</p></body></html>\n",
            "utf-8",
        )
        os.replace(temporary, path)
        return path

    def _config_changed(self, config: Mapping[str, Any]) -> None:
        if self._monitoring:
            settings.save(self.log_path, config)

    def __enter__(self) -> RealTimeMonitor:
        self.start_monitoring(self._wanted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_monitoring()


def _stop_at_exit(reference: weakref.ref[RealTimeMonitor]) -> None:
    monitor = reference()
    if monitor is not None:
        monitor.stop_monitoring()


def create_monitor(
    log_path: str | os.PathLike[str] | None = None,
    refresh_interval: float = 1.0,
    history_window: int = 1000,
    **settings_given: Any,
) -> RealTimeMonitor:
    """A `RealTimeMonitor`; further arguments are settings of its `plot_config`.

    Raises:
        contract.settings.SettingRefused: a setting that does not exist or cannot be.
    """
    monitor = RealTimeMonitor(log_path, refresh_interval, history_window)
    monitor.plot_config.update(settings_given)
    return monitor
