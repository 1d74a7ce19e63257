"""What runs for those who ask to be told of alerts, and for those who do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from avaliacoes.logger_integration import create_integrated_logger
from contract import service

Until = Callable[..., bool]


def test_nothing_runs_where_nobody_asked(collector: Path) -> None:
    """Without a callback there is no listening thread, none of its code, no analyzer, and nothing in the statistics."""
    script = (
        "import sys, threading\n"
        "from avaliacoes.logger_integration import create_integrated_logger\n"
        f"i = create_integrated_logger({str(collector)!r})\n"
        "i.start_session()\n"
        "i.log_training_step(loss=1.0)\n"
        "print(i.should_stop, i.stopped_by, i.get_current_stats()['alert_callbacks'])\n"
        "print([name for name in sys.modules if 'avaliacoes.alert' in name])\n"
        "print([thread.name for thread in threading.enumerate() if 'alerts' in thread.name])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False None None", "[]", "[]"]
    assert not service.is_running(collector, "analyzer")


def test_a_script_that_ends_without_a_word_ends_cleanly(place: Path) -> None:
    """A script that asked to be told and just ends does so at once, with nothing on standard error."""
    script = (
        "from avaliacoes.logger_integration import create_integrated_logger\n"
        f"i = create_integrated_logger({str(place)!r})\n"
        "i.on_alert(print)\n"
        "i.start_session()\n"
        "i.log_training_step(loss=1.0)\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "" and time.monotonic() - begin < 30


def test_the_analyzer_is_started_shared_and_brought_back(
    place: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking starts one analyzer for a folder, which a second asker shares, and which comes back when it is killed."""
    first, second = create_integrated_logger(place), create_integrated_logger(place)
    for integration in (first, second):
        integration.on_alert(print)
        integration.start_session()
    try:
        assert until(lambda: service.find(place, "analyzer"), 40)
        found = service.find(place, "analyzer") or {}
        assert found["auto"] is True
        os.kill(found["pid"], signal.SIGKILL)
        assert until(lambda: (service.find(place, "analyzer") or found)["pid"] != found["pid"], 40)
    finally:
        first.end_session()
        second.end_session()
