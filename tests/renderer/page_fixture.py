"""Files of a page made by hand: what `docs/decisions/0008-page-files.md` says the renderer writes, from arrays, whole in memory.

The renderer's own writer is tested elsewhere; here the page is, also in states that a run gets into once a year.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contract.places import own_dir
from renderer import page
from renderer.live import blocks
from renderer.live.buckets import BAD, HI, LO, MEAN, XHI, XLO, N, T, X

ROWS = 1024  # buckets per tile
POINTS = 1024  # buckets of a series in the base


def block(series: int, k: int, begin: int, x: np.ndarray, t: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Records `x`, `t`, `y` (whole buckets but for the last) as buckets of `k`, the first of which is number `begin`."""
    if k == 1:
        return blocks.encode(series, 1, begin, np.stack((x, t, y)))
    size = (len(x) + k - 1) // k
    rows = np.full((9, size), np.nan)
    for i in range(size):
        part, steps = y[i * k : i * k + k], x[i * k : i * k + k]
        good = np.isfinite(part)
        rows[X, i], rows[T, i], rows[N, i], rows[BAD, i] = (
            steps[-1],
            t[i * k : i * k + k][-1],
            good.sum(),
            (~good).sum(),
        )
        rows[XLO, i] = rows[XHI, i] = steps[-1]
        if good.any():
            found, at = part[good], steps[good]
            rows[MEAN, i], rows[LO, i], rows[HI, i] = found.mean(), found.min(), found.max()
            rows[XLO, i], rows[XHI, i] = at[found.argmin()], at[found.argmax()]
    return blocks.encode(series, k, begin, rows)


@dataclass
class Line:
    """One series, every record of it."""

    info: dict[str, Any]
    x: np.ndarray
    t: np.ndarray
    y: np.ndarray
    sent: int = 0
    k: int = 0

    def stat(self) -> list[Any]:
        good = self.y[np.isfinite(self.y)]
        if not len(good):
            return [0, len(self.y), None, None, None, None, None, None, None, None, float(self.x[-1])]
        lo, hi = np.nanargmin(np.where(np.isfinite(self.y), self.y, np.nan)), np.nanargmax(np.where(np.isfinite(self.y), self.y, np.nan))  # fmt: skip
        edge = [str(v).replace("nan", "NaN").replace("inf", "Infinity") if not np.isfinite(v) else float(v) for v in (self.y[0], self.y[-1])]  # fmt: skip
        return [len(good), int(len(self.y) - len(good)), *edge, float(self.y[lo]), float(self.x[lo]), float(self.y[hi]), float(self.x[hi]), float(good.mean()), float(good[-max(1, len(good) // 10) :].mean()), float(self.x[-1])]  # fmt: skip


@dataclass
class Written:
    """One session as files. Change `state`, `services`, `rows` and call `write`; `add` and `more` for data."""

    base: Path
    name: str
    refresh: float = 0.2
    generation: str = "first"
    n: int = 1
    recent: int = 0
    tiles: int = 0
    revision: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    services: dict[str, bool] = field(default_factory=lambda: {"collector": True, "analyzer": True, "renderer": True})
    rows: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    made: int = 0
    levels: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.joinpath("tiles").mkdir(parents=True, exist_ok=True)
        now = time.time()
        self.state = {"name": "running", "text": "records are coming in", "active": True, "started": now - 600, "ended": None, "last_record": now, "end_status": None, "error": None} | self.state  # fmt: skip

    @property
    def folder(self) -> Path:
        return own_dir(self.base) / "live" / self.name

    def script(self, path: str, data: dict[str, Any]) -> None:
        target = self.folder / path
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(
            b"avaliacoes("
            + blocks.json_for_script({"session": self.name, "generation": self.generation, **data})
            + b");\n"
        )
        os.replace(temporary, target)

    def add(self, category: str, metric: str, y: Any, x: Any = None, t: Any = None, **info: Any) -> Line:
        """A series; `x` defaults to the places of `y`, `t` to seconds since the start."""
        y = np.asarray(y, float)
        x = np.arange(len(y), dtype=float) if x is None else np.asarray(x, float)
        t = self.state["started"] + np.linspace(0, 590, len(y)) if t is None else np.asarray(t, float)
        base = {"id": len(self.lines), "category": category, "metric": metric, "component": "", "producer": "aaaaaaaaaaaa", "child": False, "group": category}  # fmt: skip
        line = Line(base | info, x, t, y)
        self.lines.append(line)
        return line

    def more(self, line: Line, y: Any, step: float = 1.0) -> None:
        y = np.asarray(y, float)
        ahead = np.arange(1, len(y) + 1)
        line.x = np.concatenate([line.x, line.x[-1] + ahead * step])
        line.t = np.concatenate([line.t, line.t[-1] + ahead * 0.05])
        line.y = np.concatenate([line.y, y])

    def _whole(self, line: Line) -> dict[str, Any]:
        line.k = 1
        while len(line.x) / line.k > 2 * POINTS:
            line.k *= 2
        line.sent = len(line.x)
        return block(line.info["id"], line.k, 0, line.x, line.t, line.y)

    def write_base(self) -> None:
        self.script(f"base-{self.n}.js", {"kind": "base", "n": self.n, "series": [one.info for one in self.lines], "blocks": [self._whole(one) for one in self.lines],
                    "stats": {str(one.info["id"]): one.stat() for one in self.lines}, "texts": self.texts})  # fmt: skip
        self.made = self.n

    def write_segment(self) -> None:
        """What came since the last base or segment."""
        new = [one for one in self.lines if not one.k]
        blocks, moved = [], []
        for one in self.lines:
            if len(one.x) == one.sent:
                continue
            moved.append(one)
            if not one.k or len(one.x) / one.k > 2 * POINTS:
                blocks.append(self._whole(one))
                continue
            begin = one.sent // one.k
            cut = slice(begin * one.k, None)
            blocks.append(block(one.info["id"], one.k, begin, one.x[cut], one.t[cut], one.y[cut]))
            one.sent = len(one.x)
        if moved:
            self.n += 1
            self.script(f"segment-{self.n}.js", {"kind": "segment", "n": self.n, "series": [one.info for one in new], "blocks": blocks,
                        "stats": {str(one.info["id"]): one.stat() for one in moved}, "texts": self.texts})  # fmt: skip

    def write_tiles(self, line: Line, k: int) -> None:
        """All complete tiles of one level, and the index."""
        size, tiles = ROWS * k, -(-len(line.x) // (ROWS * k))
        for i in range(tiles):
            cut = slice(i * size, (i + 1) * size)
            self.script(f"tiles/{line.info['id']}-{k}-{i}.js", {"kind": "tile", "id": line.info["id"], "k": k, "i": i, "block": block(line.info["id"], k, i * ROWS, line.x[cut], line.t[cut], line.y[cut])})  # fmt: skip
        at = self.levels.setdefault(line.info["id"], {})
        at[str(k)] = {"x": [float(line.x[i * size]) for i in range(tiles)], "t": [float(line.t[i * size]) for i in range(tiles)], "last": -(-(len(line.x) - (tiles - 1) * size) // k)}  # fmt: skip
        self.tiles += 1
        self.script(
            f"tiles/{line.info['id']}.js", {"kind": "tiles", "id": line.info["id"], "r": self.tiles, "levels": at}
        )

    def write_recent(self, records: int = 1000) -> None:
        """The latest records of the series that the base has thinned."""
        found = [block(one.info["id"], 1, len(one.x) - records, one.x[-records:], one.t[-records:], one.y[-records:]) for one in self.lines if one.k > 1]  # fmt: skip
        self.recent += 1
        self.script("recent.js", {"kind": "recent", "r": self.recent, "blocks": found})

    def alert(self, **row: Any) -> dict[str, Any]:
        now = time.time()
        full = {"row": f"{len(self.rows):016x}", "rule": "loss_divergence", "level": "WARNING", "state": "firing", "message": "the loss has been rising for 52 records", "action": "Lower the learning rate.", "metric": "loss", "source": "training",
                "value": 1.0, "threshold": 0.5, "baseline": 0.4, "window": 52, "step": 120, "timestamp": now - 60, "onset_step": 80, "onset_time": now - 90, "first_step": 80, "last_step": 130, "last_time": now - 5, "count": 20, "peak": 1.1,
                "evidence": {"metric": "loss", "steps": [100, 110, 120], "values": [0.5, 0.7, 1.0]}, "corroborating": [], "producer": "aaaaaaaaaaaa", "component": "", "episodes": 1, "first_seen_step": 80} | row  # fmt: skip
        self.rows.append(full)
        return full

    def write(self, base: bool = False, at: float | None = None) -> None:
        """Bring the files up to date: data, alerts, and the manifest last, written `at` (now)."""
        if base or not (self.folder / f"base-{self.made}.js").exists():
            self.write_base()
        else:
            self.write_segment()
        if self.rows:
            self.revision += 1
            total = {level: sum(row["level"] == level for row in self.rows) for level in ("ERROR", "WARNING", "INFO")}
            self.script(f"alerts-{self.revision}.js", {"kind": "alerts", "r": self.revision, "rows": self.rows, "left_out": 0, "total": total, "retention_minutes": 30})  # fmt: skip
        self.script("manifest.js", self.manifest(time.time() if at is None else at))

    def manifest(self, at: float) -> dict[str, Any]:
        newest = max((float(one.x[-1]) for one in self.lines), default=None)
        return {"kind": "manifest", "v": 1, "written": at, "refresh": self.refresh, "base": self.made, "oldest": self.made, "last": self.n, "alerts": self.revision, "recent": self.recent, "tiles": self.tiles, "state": self.state, "services": self.services,
                "step": newest, "records": max((len(one.x) for one in self.lines), default=0), "rate": 20.0, "per_category": {}, "dropped": 0, "broken": 0, "notes": self.notes,
                "facts": {"host": "box", "script": "train.py", "python": "3.12.1", "version": "1", "pid": 1, "config": {}},
                "settings": {"moving_average_window": 20, "convergence_window": 50, "gradient_threshold_high": 10.0, "gradient_threshold_low": 1e-8, "zeros_ratio_threshold": 0.5, "alert_retention_minutes": 30, "history_window": 1000}}  # fmt: skip

    def line_of_runs(self) -> dict[str, Any]:
        firing = {level: n for level in ("ERROR", "WARNING", "INFO") if (n := sum(row["level"] == level and row["state"] == "firing" for row in self.rows))}  # fmt: skip
        better = {"loss": "min", "episode_reward": "max"}
        return {"session": self.name, "page": f"dashboard_{self.name}.html", "live": True, "active": self.state["active"], "state": self.state, "step": self.manifest(0)["step"], "records": 1, "started": self.state["started"], "last_record": self.state["last_record"], "alerts": firing,
                "metrics": [{"category": one.info["category"], "metric": one.info["metric"], "component": one.info["component"], "stat": one.stat(), "better": better.get(one.info["metric"])} for one in self.lines]}  # fmt: skip


def write_runs(base: Path, runs: list[Written], refresh: float = 0.2) -> None:
    """The list for the page of all."""
    target = own_dir(base) / "live" / "runs.js"
    data = {"kind": "runs", "v": 1, "written": time.time(), "refresh": refresh, "runs": [run.line_of_runs() for run in runs]}  # fmt: skip
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(b"avaliacoes(" + blocks.json_for_script(data) + b");\n")
    os.replace(temporary, target)


def write_page(
    base: Path, session: str | None, refresh: float = 0.2, inside: list[dict[str, Any]] | None = None
) -> Path:
    """The page of a session, or of all runs; the chart library beside it."""
    kit = page.prepare(base)
    target = base / (f"dashboard_{session}.html" if session else "dashboard.html")
    target.write_bytes(page.page(session, kit, refresh, inside))
    return target


def learning(run: Written, records: int = 3000, seed: int = 1, custom: bool = True) -> dict[str, Line]:
    """A run that learns, with noise, a burst of gradients, a few NaN, episodes, components and custom metrics."""
    random = np.random.default_rng(seed)
    step = np.arange(records, dtype=float) * 4
    done = np.arange(records) / records
    burst = 14 * np.exp(-(((done - 0.45) / 0.012) ** 2))
    loss = 1.6 * np.exp(-2.2 * done) + 0.18 + random.normal(0, 0.07, records) * (1.2 - done) + burst * 0.05
    loss[int(records * 0.45) : int(records * 0.45) + 2] = np.nan
    norm = random.lognormal(0.1 - done, 0.45) + burst
    rare = slice(None, None, 20)
    found = {
        "loss": run.add("training", "loss", loss, step),
        "rate": run.add("training", "learning_rate", 3e-4 * np.maximum(0.05, 1 - done), step),
        "norm": run.add("gradients", "grad_norm", norm, step),
        "actor": run.add("gradients", "grad_norm", norm * 0.6 * random.lognormal(0, 0.2, records), step, component="actor"),
        "critic": run.add("gradients", "grad_norm", norm * 0.8 * random.lognormal(0, 0.2, records), step, component="critic"),
        "zeros": run.add("gradients", "grad_zeros_ratio", random.beta(2, 18, records), step),
        "reward": run.add("rewards", "episode_reward", np.maximum(9, 20 + 420 / (1 + np.exp(-(done * 8 - 3.5))) + random.normal(0, 45, records))[rare], step[rare]),
        "length": run.add("rewards", "episode_length", np.maximum(9, 420 / (1 + np.exp(-(done * 8 - 3.5))) + random.normal(0, 45, records))[rare], step[rare]),
        "policy": run.add("training", "policy_loss", -0.02 * np.exp(-done) + random.normal(0, 0.006, records), step),
        "value": run.add("training", "value_loss", loss * 30 + random.gamma(2, 3, records), step),
        "entropy": run.add("training", "entropy", 0.69 * np.exp(-done) + random.normal(0, 0.01, records), step),
        "explained": run.add("training", "explained_variance", 1 - np.exp(-3 * done) + random.normal(0, 0.05, records), step),
    }  # fmt: skip
    if custom:
        run.add("training", "approx_kl", random.gamma(2, 0.004, records), step)
        run.add("training", "clip_fraction", random.beta(2, 18, records), step)
        run.add("performance", "fps", random.normal(1900, 60, records)[rare], step[rare])
        run.add("performance", "gpu_memory_mb", 4000 + done * 300, step)
        run.add("convergence", "mean_reward_20", 400 * done, step)
        for name in ("accuracy", "f1", "recall", "precision"):
            run.add("eval", f"val/{name}", done**0.3 + random.normal(0, 0.02, records), step, group="val")
        for name in ("temperature", "critic_lag"):
            run.add("training", f"sac_{name}", random.normal(1, 0.2, records), step, group="sac")
    return found
