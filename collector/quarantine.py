"""What cannot become a line is kept apart, bounded, in `.avaliacoes/quarantine.jsonl`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import orjson

from contract.places import own_dir

#: Enough to see what is wrong; more would let a broken producer fill the disk.
MAX_BYTES: Final = 10 << 20


def quarantine_file(base: Path) -> Path:
    return own_dir(base) / "quarantine.jsonl"


class Quarantine:
    """Appends to the quarantine file until it is full; what no longer fits is counted in `left_out`."""

    def __init__(self, base: Path) -> None:
        self._path = quarantine_file(base)
        self._bytes = -1
        self.left_out = 0

    def add(self, reason: str, **fields: Any) -> None:
        """Keep one entry. Never raises: a full disk must not stop what can still be stored elsewhere."""
        entry = {"timestamp": time.time(), "reason": reason, **fields}
        safe = {
            k: v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for k, v in entry.items()
        }
        line = orjson.dumps(safe) + b"\n"
        try:
            if self._bytes < 0:
                self._bytes = self._path.stat().st_size if self._path.exists() else 0
            if self._bytes + len(line) > MAX_BYTES:
                self.left_out += 1
                return
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                self._bytes += os.write(fd, line)
            finally:
                os.close(fd)
        except OSError:
            self.left_out += 1
