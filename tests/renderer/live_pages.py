"""A page of the live files in Python: reads what a browser would, by the rules of `docs/decisions/0008-page-files.md`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from contract import places
from contract import settings as shared
from renderer import page
from renderer.gather import Key
from renderer.live import blocks, folder
from renderer.live.model import Model
from renderer.live.writer import SessionFiles

Plain = dict[str, Any]


def script(path: Path) -> Plain:
    """The object that a script hands to the page."""
    found = re.fullmatch(r"avaliacoes\((.*)\);\n", path.read_text("utf-8"), re.S)
    assert found, path
    data: Plain = json.loads(found[1])
    return data


def manifest(base: Path, session: str) -> Plain:
    return script(folder.session_dir(base, session) / "manifest.js")


def inside(path: Path) -> Any:
    """The facts in a page."""
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert found
    return json.loads(found[1])


class LivePage:
    """What an open page knows of a session; `refresh` is what it does every second."""

    def __init__(self, base: Path, session: str) -> None:
        self.base, self.session = base, session
        self.folder = folder.session_dir(base, session)
        self.at = 0
        self.generation = ""
        self.manifest: Plain = {}
        self.meta: dict[int, Plain] = {}
        self.rows: dict[int, tuple[int, Any]] = {}
        self.stats: dict[int, list[Any]] = {}
        self.texts: dict[str, str] = {}
        self.loaded: list[str] = []

    def refresh(self) -> LivePage:
        self.loaded = []
        self.manifest = m = manifest(self.base, self.session)
        if m["generation"] != self.generation or self.at < m["oldest"]:
            self.generation = m["generation"]
            self.meta, self.rows, self.stats, self.texts = {}, {}, {}, {}
            self._take(f"base-{m['base']}.js")
            self.at = m["base"]
        while self.at < m["last"]:
            self._take(f"segment-{self.at + 1}.js")
            self.at += 1
        return self

    def _take(self, name: str) -> None:
        self.loaded.append(name)
        found = script(self.folder / name)
        assert found["generation"] == self.generation and found["session"] == self.session
        self.meta.update({series["id"]: series for series in found["series"]})
        for block in found["blocks"]:
            rows = blocks.decode(block)
            before = self.rows.get(block["id"], (block["k"], rows[:, :0]))
            if block["from"]:
                assert before[0] == block["k"] and before[1].shape[1] >= block["from"]
                rows = np.concatenate((before[1][:, : block["from"]], rows), 1)
            self.rows[block["id"]] = (block["k"], rows)
        self.stats.update({int(number): stat for number, stat in found["stats"].items()})
        self.texts.update(found["texts"])

    def id_of(self, metric: str, component: str = "") -> int:
        (number,) = [n for n, s in self.meta.items() if (s["metric"], s["component"]) == (metric, component)]
        return number

    def tiles(self, number: int) -> dict[int, Any]:
        """All rows that tiles hold of a series, by level."""
        index = script(self.folder / "tiles" / f"{number}.js")
        assert index["generation"] == self.generation
        found = {}
        for k, level in index["levels"].items():
            parts = []
            for i in range(len(level["x"])):
                tile = script(self.folder / "tiles" / f"{number}-{k}-{i}.js")
                assert (tile["id"], tile["k"], tile["i"]) == (number, int(k), i) and tile["block"]["from"] == 1024 * i
                parts.append(blocks.decode(tile["block"]))
                assert parts[-1].shape[1] == (1024 if i < len(level["x"]) - 1 else level["last"])
                assert parts[-1][0, 0] == level["x"][i]
            found[int(k)] = np.concatenate(parts, 1)
        return found

    def recent(self, number: int) -> tuple[int, Any]:
        """Place of the first of the latest records of a series, and they."""
        (block,) = [block for block in script(self.folder / "recent.js")["blocks"] if block["id"] == number]
        return block["from"], blocks.decode(block)


def bytes_of(base: Path, session: str) -> int:
    """All that a session has on disk for its page, the library apart."""
    files = [path for path in folder.session_dir(base, session).rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) + page.page_file(base, session).stat().st_size


CONFIG = shared.defaults()
SERVICES = {"collector": True, "analyzer": True, "renderer": True}


def files_of(base: Path, name: str = "s") -> tuple[Model, SessionFiles]:
    places.prepare_base(base)
    folder.prepare(base)
    model = Model(base, name)
    return model, SessionFiles(base, model)


def feed(model: Model, metric: str, values: Any, begin: int) -> None:
    """Give a series values as if they had been read, a hundred a second."""
    key = Key("training", metric, "", "p")
    series = model.series.get(key) or model.series.setdefault(key, model.make_series(key))
    x = np.arange(begin, begin + len(values), dtype=float)
    model.feed(series, x, 1000 + x / 100, np.asarray(values, float))


def live_bytes(base: Path) -> int:
    return sum(path.stat().st_size for path in folder.session_dir(base, "s").rglob("*") if path.is_file())
