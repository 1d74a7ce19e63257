"""The sessions of a data folder as the renderer needs them: files, and when and how much was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contract import folder


@dataclass(frozen=True, slots=True)
class Found:
    """One session on disk: its files by category, when the newest was last written (unix seconds), all their bytes."""

    files: dict[str, Path]
    newest: float
    bytes: int


def sessions(base: Path) -> dict[str, Found]:
    """Every session of a data folder."""
    return {
        session: Found(
            {category: file.path for category, file in files.items()},
            max(file.mtime for file in files.values()),
            sum(file.size for file in files.values()),
        )
        for session, files in folder.sessions(base).items()
    }
