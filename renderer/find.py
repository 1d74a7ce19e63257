"""Which sessions a data folder holds, and which files belong to each."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from contract import names
from contract.places import own_dir


@dataclass(slots=True)
class Found:
    """One session on disk: its files by category, and when the newest was last written (unix seconds)."""

    files: dict[str, Path] = field(default_factory=dict)
    newest: float = 0.0
    bytes: int = 0


def sessions(base: Path) -> dict[str, Found]:
    """Every session of a data folder.

    The file name of a custom category (`my_own_<session>.jsonl`) can be cut in several places; sessions known by their
    other files, or to the collector, decide where.
    """
    seen: list[tuple[str, os.stat_result]] = []
    with os.scandir(base) as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                try:
                    seen.append((entry.name, entry.stat()))
                except OSError:
                    continue
    known = {name[:-5] for name in _listed(own_dir(base) / "sessions") if name.endswith(".json")}
    plain: list[tuple[tuple[str, str], str, os.stat_result]] = []
    custom: list[tuple[str, os.stat_result]] = []
    for name, info in seen:
        if name.startswith(tuple(f"{category}_" for category in names.CATEGORIES)):
            split = names.split_file_name(name)
            if split:
                plain.append((split, name, info))
                known.add(split[1])
        else:
            custom.append((name, info))
    for name, info in custom:
        split = _split_custom(name, known)
        if split:
            plain.append((split, name, info))
    found: dict[str, Found] = {}
    for (category, session), name, info in plain:
        one = found.setdefault(session, Found())
        one.files[category] = base / name
        one.newest = max(one.newest, info.st_mtime)
        one.bytes += info.st_size
    return found


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _split_custom(name: str, known: set[str]) -> tuple[str, str] | None:
    stem = name[: -len(".jsonl")]
    at = stem.find("_")
    while at > 0:
        category, session = stem[:at], stem[at + 1 :]
        if session in known:
            try:
                return names.check_category(category), session
            except names.NameRefused:
                break
        at = stem.find("_", at + 1)
    return names.split_file_name(name)
