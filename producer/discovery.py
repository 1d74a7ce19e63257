"""Finding the collector of a data folder, and starting one where there is none."""

from __future__ import annotations

import logging
import subprocess
import time
from pathlib import Path

from contract import service
from contract.places import own_dir

_LOG = logging.getLogger("avaliacoes")
#: Seconds between two starts of a collector by the same client: the lock decides between clients.
_START_EVERY_S = (2.0, 4.0, 8.0, 30.0)


class Discovery:
    """Where to connect.

    Args:
        base: the data folder whose collector is meant.
        endpoint: a configured endpoint; then nothing is looked for and nothing started.
        autostart: whether to start a collector in the background when none runs.
    """

    def __init__(self, base: Path, endpoint: str | None, autostart: bool) -> None:
        self._base = base
        self._endpoint = endpoint
        self._autostart = autostart and endpoint is None
        self._children: list[subprocess.Popen[bytes]] = []
        self._starts = 0
        self._next_start = 0.0

    def endpoint(self) -> str | None:
        """The ingest endpoint of the collector in charge, or None while there is none; may start one."""
        if self._endpoint is not None:
            return self._endpoint
        info = service.find(self._base, "collector")
        if info is not None:
            return str(info["ingest"])
        if self._autostart:
            self._start()
        return None

    def _start(self) -> None:
        now = time.monotonic()
        self._children = [child for child in self._children if child.poll() is None]
        if now < self._next_start or service.is_running(self._base, "collector"):
            return
        self._next_start = now + _START_EVERY_S[min(self._starts, len(_START_EVERY_S) - 1)]
        self._starts += 1
        try:
            log = own_dir(self._base) / "collector.log"
            self._children.append(service.start_detached(self._base, "collector", "--auto", log=log))
        except OSError as error:
            _LOG.warning("cannot start a collector for %s: %s; records wait in memory and spool", self._base, error)

    def found(self) -> None:
        """The collector answers: the next absence is a new one."""
        self._starts = 0
