"""Which sessions were analysed to their end: `.avaliacoes/analyzer_state.json`, `{session: {category: size}}`, newest last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import orjson

from contract.places import own_dir

#: Sessions remembered; the oldest are forgotten, and then judged by their files' times.
MOST: Final = 2_000


def state_file(base: Path) -> Path:
    return own_dir(base) / "analyzer_state.json"


def load(base: Path) -> dict[str, dict[str, int]]:
    """What was saved; empty when there is nothing, or nothing that can be read: then sessions are analysed again."""
    try:
        found = orjson.loads(state_file(base).read_bytes())
        return {
            str(session): {str(category): int(size) for category, size in sizes.items()}
            for session, sizes in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def save(base: Path, settled: dict[str, dict[str, int]]) -> None:
    """Write atomically. Raises: OSError."""
    kept = dict(list(settled.items())[-MOST:])
    path = state_file(base)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(orjson.dumps(kept))
    os.replace(temporary, path)
