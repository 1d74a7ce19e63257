"""The tiles of one session: levels finer than the base, 1,024 buckets a file, each written once when it is complete.

A round looks at some of the series, so that all have been looked at within `ROUND_S` and no refresh pays for all of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from renderer.gather import Key
from renderer.live import blocks
from renderer.live.buckets import T, X
from renderer.live.model import Model, levels
from renderer.live.pyramid import RECENT, Pyramid

TILE_ROWS: Final = 1024
#: The last tile of a level is written again when it has gained so many buckets: an eighth, so each bucket is written some five times at most.
GROWN: Final = TILE_ROWS // 8
ROUND_S: Final = 10.0


@dataclass(slots=True)
class _Level:
    """What is on disk of one level: first step and time of each tile, buckets in the last."""

    x: list[float] = field(default_factory=list)
    t: list[float] = field(default_factory=list)
    last: int = 0


@dataclass(slots=True)
class _Series:
    revision: int = 0
    levels: dict[int, _Level] = field(default_factory=dict)


class Tiles:
    """The tiles of a session's generation in `folder`; `write` puts a file into place and may raise `OSError`."""

    def __init__(self, folder: Path, write: Callable[[Path, bytes], None]) -> None:
        self.folder, self._write = folder, write
        self.revision = 0
        self._known: dict[Key, _Series] = {}
        self._turn = 0

    def round(self, model: Model, seconds: float, last: bool = False) -> None:
        """Bring the tiles of the series whose turn it is up to date; of all of them, with unfinished ends, if `last`."""
        keys = list(model.series)
        if not keys:
            return
        count = len(keys) if last else min(len(keys), math.ceil(len(keys) * seconds / ROUND_S))
        share = model.share
        for offset in range(count):
            key = keys[(self._turn + offset) % len(keys)]
            self._series(model, key, share, last)
        self._turn = (self._turn + count) % len(keys)

    def _series(self, model: Model, key: Key, share: int, last: bool) -> None:
        series = model.series[key]
        wanted = levels(series, share)
        known = self._known.get(key)
        if known is None:
            if not wanted:
                return
            known = self._known[key] = _Series()
        number = model.ids[key]
        stale = [k for k in known.levels if k < series.k]
        changed = bool(stale)
        gone = [(k, len(known.levels.pop(k).x)) for k in stale]
        for k in wanted:
            changed = self._level(model, number, series, k, known.levels.setdefault(k, _Level()), last) or changed
        if changed:
            self._index(model, number, known)
        for k, tiles in gone:
            for i in range(tiles):
                with contextlib.suppress(OSError):
                    (self.folder / f"{number}-{k}-{i}.js").unlink()

    def _level(self, model: Model, number: int, series: Pyramid, k: int, level: _Level, last: bool) -> bool:
        """Write the tiles that a level has gained. True if there were any."""
        have = max(0, (len(level.x) - 1) * TILE_ROWS) + level.last
        buckets = -(-series.count // k)
        whole = series.count // k // TILE_ROWS * TILE_ROWS
        # What `recent` shows record by record needs no unfinished tile.
        partial = 0 if k == 1 and model.recent_share >= RECENT and not last else buckets - whole
        grown = buckets - have >= (1 if last else GROWN) and partial > 0
        if whole <= have and not grown:
            return False
        begin = have // TILE_ROWS * TILE_ROWS
        end = buckets if grown else whole
        rows = series.level(k, begin, end)
        changed = False
        for at in range(0, rows.shape[1], TILE_ROWS):
            tile = rows[:, at : at + TILE_ROWS]
            i = (begin + at) // TILE_ROWS
            block = blocks.encode(number, k, begin + at, tile)
            own = {"kind": "tile", "session": model.name, "generation": model.generation, "id": number, "k": k, "i": i}
            self._write(self.folder / f"{number}-{k}-{i}.js", blocks.script({**own, "block": block}))
            if i == len(level.x):
                level.x.append(float(tile[X, 0]))
                level.t.append(float(tile[T, 0]))
            level.last = tile.shape[1]
            changed = True
        return changed

    def _index(self, model: Model, number: int, known: _Series) -> None:
        known.revision += 1
        told: dict[str, Any] = {
            str(k): {"x": level.x, "t": level.t, "last": level.last}
            for k, level in sorted(known.levels.items())
            if level.x
        }
        found = {"kind": "tiles", "session": model.name, "generation": model.generation, "id": number}
        self._write(self.folder / f"{number}.js", blocks.script({**found, "r": known.revision, "levels": told}))
        self.revision += 1
