"""The files of one session's live page: which to write now, so that a refresh costs what is new (`docs/decisions/0008-page-files.md`)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from renderer.live import blocks, describe, folder
from renderer.live.model import Model
from renderer.live.tiles import Tiles

Plain = dict[str, Any]

#: All that a session has on disk for its page together; tiles take what base and segments leave.
TILE_BUDGET: Final = 7_000_000
#: A base is written anew when its segments weigh as much as it does, or half as much and there are some, or when there are many.
_FEW_SEGMENTS: Final = 20
_MANY_SEGMENTS: Final = 300
#: The latest records are written again after so long at least; and at most, unless many have come.
RECENT_EVERY_S: Final = 5.0
_RECENT_AT_MOST_S: Final = 15.0
_MANY_RECENT: Final = 128
_INDEX_EVERY_BYTES: Final = 4 << 20
#: What nothing names any more is kept for pages that are about to load it.
_KEPT_S: Final = 10.0
#: Objects inside an ended session's page, together.
INSIDE_BYTES: Final = 2_000_000


class SessionFiles:
    """What has been written of one session. Every method that writes may raise `OSError`; what was not written is written next time.

    Args:
        base: the data folder.
        model: the session; a new generation of it begins a new set of files.
    """

    def __init__(self, base: Path, model: Model) -> None:
        self.base, self.model = base, model
        self.folder = folder.session_dir(base, model.name)
        self.generation = ""
        self._begin()

    def _begin(self) -> None:
        self.n = self.base_n = self.oldest = 0
        self.alerts = self.recent = 0
        self.base_bytes = self.segment_bytes = 0
        self._alert_mark: tuple[int, float] = (-1, 0.0)
        self._sent: dict[int, tuple[int, int]] = {}
        self._counts: dict[int, int] = {}
        self._told: dict[int, Plain] = {}
        self._series_mark: tuple[int, str | None] = (-1, None)
        self._texts: dict[str, str] = {}
        self._indexed = 0
        self._recent_at = 0.0
        self._recent_counts: dict[int, int] = {}
        self._tiles_at = 0.0
        self._doomed: list[tuple[float, Path]] = []
        self.tiles = Tiles(self.folder / "tiles", self._put)

    def _put(self, path: Path, content: bytes) -> None:
        folder.write_atomic(self.base, path, content)

    @property
    def tile_budget(self) -> float:
        """Bytes that tiles may take: beside them are the base, as much again of segments, and the same inside an ended session's page."""
        return max(0.0, TILE_BUDGET - 3 * max(self.base_bytes, self.model.base_bytes()))

    def write(
        self,
        config: Plain,
        now: float,
        services: Mapping[str, bool],
        *,
        drawn: float = 0.0,
        last: bool = False,
        behind: bool = False,
    ) -> Plain:
        """Bring the files up to date with the model; the manifest that was written.

        Args:
            config: `plot_config`.
            now: unix time.
            services: which of the services run.
            drawn: unix time of the picture beside the page, 0 for none.
            last: the session has ended: its tiles too, to their ends.
            behind: more of its history is about to be read: no tiles yet, for levels that may be given up.
        """
        try:
            return self._write(config, now, services, drawn, last, behind)
        except FileNotFoundError:
            # Somebody cleared the folder: what was written is gone, so all of it is written again.
            self.model.renew()
            raise

    def _write(
        self, config: Plain, now: float, services: Mapping[str, bool], drawn: float, last: bool, behind: bool
    ) -> Plain:
        if self.generation != self.model.generation:
            folder.prepare(self.base)
            folder.clear(self.folder)
            self._begin()
            self.generation = self.model.generation
        self._changes(now, last)
        self._keep_index()
        self._alerts(now, float(config["alert_retention_minutes"]))
        if not behind:
            self._recent(now, last)
            self._tiles(now, last)
        manifest = describe.manifest(self.model, config, now, services, self._files())
        if drawn:
            manifest["drawn"] = drawn
        self._put(self.folder / "manifest.js", blocks.script(manifest))
        self._clear_away(now + 2 * _KEPT_S if last else now)
        return manifest

    def _files(self) -> Plain:
        return {
            "base": self.base_n,
            "oldest": self.oldest,
            "last": self.n,
            "alerts": self.alerts,
            "recent": self.recent,
            "tiles": self.tiles.revision,
        }

    def _head(self, kind: str) -> Plain:
        return {"kind": kind, "session": self.model.name, "generation": self.generation}

    def _changes(self, now: float, last: bool) -> None:
        """A segment with what is new, and a base when its time has come."""
        if not self.base_n:
            self._new_base(now)
            return
        model = self.model
        grown = [key for key, one in model.series.items() if self._counts.get(model.ids[key]) != one.count]
        told = self._series()
        texts = {name: text for name, text in model.texts.items() if self._texts.get(name) != text}
        if grown or told or texts:
            share = model.share
            found: list[blocks.Block] = []
            sent: dict[int, tuple[int, int]] = {}
            for key in grown:
                one, number = model.series[key], model.ids[key]
                k = one.level_for(share)
                before, begin = self._sent.get(number, (k, 0))
                begin = begin if before == k else 0
                found.append(blocks.encode(number, k, begin, one.level(k, begin)))
                sent[number] = (k, one.count // k)
            segment = {
                **self._head("segment"),
                "n": self.n + 1,
                "series": list(told.values()),
                "blocks": found,
                "stats": {model.ids[key]: describe.stat(model.series[key]) for key in grown},
                "texts": texts,
            }
            content = blocks.script(segment)
            self._put(self.folder / f"segment-{self.n + 1}.js", content)
            self.n += 1
            self.segment_bytes += len(content)
            self._sent.update(sent)
            self._counts.update({model.ids[key]: model.series[key].count for key in grown})
            self._told.update(told)
            self._texts = dict(model.texts)
        segments = self.n - self.base_n
        heavy = self.segment_bytes > self.base_bytes * (0.5 if segments >= _FEW_SEGMENTS else 1.0) + 50_000
        if segments and (heavy or segments >= _MANY_SEGMENTS or last):
            self._new_base(now)

    def _series(self) -> dict[int, Plain]:
        """Series that the page has not been told of as they are now."""
        mark = (len(self.model.series), self.model.life.root)
        if mark == self._series_mark:
            return {}
        found = {number: told for number, told in describe.series(self.model).items() if self._told.get(number) != told}
        self._series_mark = mark
        return found

    def base_object(self, n: int, most: int) -> Plain:
        """The base: every series in at most `most` buckets."""
        model = self.model
        found = []
        for key, one in model.series.items():
            k = one.level_for(most)
            found.append(blocks.encode(model.ids[key], k, 0, one.level(k)))
        return {
            **self._head("base"),
            "n": n,
            "series": list(describe.series(model).values()),
            "blocks": found,
            "stats": {model.ids[key]: describe.stat(one) for key, one in model.series.items()},
            "texts": dict(model.texts),
        }

    def _new_base(self, now: float) -> None:
        model, share = self.model, self.model.share
        n = max(1, self.n)
        content = blocks.script(self.base_object(n, share))
        self._put(self.folder / f"base-{n}.js", content)
        if self.base_n and self.base_n != n:
            self._doomed.append((now, self.folder / f"base-{self.base_n}.js"))
            self._doomed += [(now, self.folder / f"segment-{i}.js") for i in range(self.oldest + 1, self.base_n + 1)]
        self.oldest = self.base_n or n
        self.base_n = self.n = n
        self.base_bytes, self.segment_bytes = len(content), 0
        for key, one in model.series.items():
            k = one.level_for(share)
            self._sent[model.ids[key]] = (k, one.count // k)
            self._counts[model.ids[key]] = one.count
        self._told = describe.series(model)
        self._series_mark = (len(model.series), model.life.root)
        self._texts = dict(model.texts)
        self._index()

    def _keep_index(self) -> None:
        """A window must not have to read more than some megabytes past what the index knows."""
        if not 0 <= self.model.index.covered() - self._indexed <= _INDEX_EVERY_BYTES:
            self._index()

    def _index(self) -> None:
        """What `window` needs to find real records: series by id, and where the records of which steps lie."""
        model = self.model
        found = {
            "generation": self.generation,
            "series": {model.ids[key]: list(key) for key in model.series},
            "files": {category: source.tail.path.name for category, source in model.sources.items()},
            "entries": model.index.entries,
        }
        self._put(folder.index_file(self.base, model.name), orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS))
        self._indexed = model.index.covered()

    def _alerts(self, now: float, retention_minutes: float) -> None:
        mark = (self.model.alert_events, retention_minutes)
        if mark == self._alert_mark or not mark[0]:
            return
        content = blocks.script(describe.alerts(self.model, self.alerts + 1, retention_minutes))
        self._put(self.folder / f"alerts-{self.alerts + 1}.js", content)
        if self.alerts:
            self._doomed.append((now, self.folder / f"alerts-{self.alerts}.js"))
        self.alerts += 1
        self._alert_mark = mark

    def _recent(self, now: float, last: bool) -> None:
        if not last and now - self._recent_at < RECENT_EVERY_S:
            return
        model, share, most = self.model, self.model.share, self.model.recent_share
        thinned = {
            model.ids[key]: one for key, one in model.series.items() if one.count > share and one.level_for(share) > 1
        }
        counts = {number: one.count for number, one in thinned.items()}
        if counts == self._recent_counts:
            return
        fresh = max(count - self._recent_counts.get(number, 0) for number, count in counts.items()) if counts else 0
        if fresh < _MANY_RECENT and not last and now - self._recent_at < _RECENT_AT_MOST_S:
            return
        found = []
        for number, one in thinned.items():
            rows = one.recent(most)
            found.append(blocks.encode(number, 1, one.count - rows.shape[1], rows))
        content = blocks.script({**self._head("recent"), "r": self.recent + 1, "blocks": found})
        self._put(self.folder / "recent.js", content)
        self.recent += 1
        self._recent_at, self._recent_counts = now, counts

    def _tiles(self, now: float, last: bool) -> None:
        passed = now - self._tiles_at if self._tiles_at else 1.0
        if passed > 0 or last:
            self.tiles.round(self.model, passed, last)
            self._tiles_at = now

    def _clear_away(self, now: float) -> None:
        kept = []
        for at, path in self._doomed:
            if now - at < _KEPT_S:
                kept.append((at, path))
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
        self._doomed = kept

    def inside(self, manifest: Plain, config: Plain) -> list[Plain]:
        """Manifest, base and alerts for an ended session's page, thinned until they take less than `INSIDE_BYTES`."""
        rows = describe.alerts(self.model, self.alerts, float(config["alert_retention_minutes"]))
        most = self.model.share
        while True:
            found = [manifest, self.base_object(self.base_n, most), rows]
            if most <= 8 or len(blocks.json_for_script(found)) <= INSIDE_BYTES:
                return found
            most //= 2
