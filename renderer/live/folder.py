"""Where the live files lie, how they are put there, and how those of sessions that are gone are cleared away."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Container
from pathlib import Path

from contract.places import own_dir


def live_dir(base: Path) -> Path:
    return own_dir(base) / "live"


def session_dir(base: Path, session: str) -> Path:
    return live_dir(base) / session


def runs_file(base: Path) -> Path:
    return live_dir(base) / "runs.js"


def summary_file(base: Path, session: str) -> Path:
    """A session's line of `runs.js`, kept for the renderer that comes after this one."""
    return session_dir(base, session) / "run.json"


def index_file(base: Path, session: str) -> Path:
    """Where in the data files the records of which steps lie, and the ids of series (see `window`)."""
    return session_dir(base, session) / "index.json"


def write_atomic(base: Path, path: Path, content: bytes) -> None:
    """Put `content` at `path`, inside data folder `base`, in one step. Raises `OSError` (a full disk, no permission)."""
    temporary = live_dir(base) / f"{path.name}.{os.getpid()}.tmp"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def prepare(base: Path) -> None:
    live_dir(base).mkdir(mode=0o700, parents=True, exist_ok=True)


def clear(folder: Path) -> None:
    """Make `folder` anew, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tiles").mkdir(mode=0o700, parents=True, exist_ok=True)


def sweep(base: Path, sessions: Container[str]) -> int:
    """Delete what is left of sessions that are not among `sessions`, and of renderers that died while they wrote.

    Only the one renderer of a folder may call this. Returns how many entries went.
    """
    gone = 0
    try:
        listed = list(os.scandir(live_dir(base)))
    except OSError:
        return 0
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in sessions:
                shutil.rmtree(entry.path, ignore_errors=True)
                gone += 1
        elif entry.name != runs_file(base).name:
            with contextlib.suppress(OSError):
                Path(entry.path).unlink()
                gone += 1
    return gone
