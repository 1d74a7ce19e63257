"""Which sessions a data folder holds, and which files belong to each: every reader must cut file names alike.

A file is `<category>_<session>.jsonl`, and both parts may contain `_`: `my_own_run_20250101_000000.jsonl` can be cut in several
places. It is cut where the rest is a session that the collector or its producer noted; else after a category that is
known; else where the rest is a session that a known category shows; else at the first `_`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from contract import names
from contract.places import own_dir


class DataFile(NamedTuple):
    """One data file as the folder shows it: `size` in bytes, `mtime` in unix seconds."""

    path: Path
    size: int
    mtime: float


def sessions(base: Path) -> dict[str, dict[str, DataFile]]:
    """`{session: {category: DataFile}}` of a data folder; empty when there is no folder yet."""
    seen: list[tuple[str, DataFile]] = []
    try:
        with os.scandir(base) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl"):
                    try:
                        info = entry.stat()
                    except OSError:  # deleted since
                        continue
                    seen.append((entry.name, DataFile(Path(entry.path), info.st_size, info.st_mtime)))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    noted = _noted(base)
    shown = {split[1] for name, _ in seen if (split := names.split_file_name(name)) and split[0] in names.CATEGORIES}
    found: dict[str, dict[str, DataFile]] = {}
    for name, file in seen:
        split = _split(name, noted, shown)
        if split is not None:
            found.setdefault(split[1], {})[split[0]] = file
    return found


def files_of(base: Path, session: str) -> dict[str, Path]:
    """`{category: path}` of one session."""
    return {category: file.path for category, file in sessions(base).get(session, {}).items()}


def _split(name: str, noted: set[str], shown: set[str]) -> tuple[str, str] | None:
    plain = names.split_file_name(name)
    if plain is not None and plain[1] in noted:
        return plain
    stem = name[: -len(".jsonl")]
    cuts = [(stem[:at], stem[at + 1 :]) for at, letter in enumerate(stem) if letter == "_"]
    for known in (noted, shown):
        for category, session in cuts:
            if session in known and _is_category(category):
                return category, session
        if plain is not None and plain[0] in names.CATEGORIES:
            return plain
    return plain


def _is_category(name: str) -> bool:
    try:
        names.check_category(name)
    except names.NameRefused:
        return False
    return True


def _noted(base: Path) -> set[str]:
    """Sessions whose name somebody took: producers claim theirs, the collector keeps a checkpoint."""
    found: set[str] = set()
    for folder, ending in (("claims", ""), ("sessions", ".json")):
        try:
            listed = [path.name for path in (own_dir(base) / folder).iterdir()]
        except OSError:
            continue
        found.update(name[: len(name) - len(ending)] for name in listed if name.endswith(ending))
    return found
