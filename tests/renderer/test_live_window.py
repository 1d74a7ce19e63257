"""Real records of a window, read from the data file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from live_pages import LivePage
from renderer_runs import Run, realistic

from contract import places
from renderer.live import blocks, folder, window
from renderer.live.buckets import HI, MEAN, N, X
from renderer.loop import Renderer
from renderer.settings import Settings


def test_a_window_gives_the_real_records(place: Path) -> None:
    """Read through the index and past it, a window holds each record from its first to its last step; a wide one is bucketed."""
    run = Run(place, "s")
    run.start()
    random = np.random.default_rng(5)
    values = random.normal(size=30_000).tolist()
    lines = [orjson.dumps({"_p": "aaaaaaaaaaaa", "_q": i, "timestamp": run.at + i / 100, "step": 2 * i, "loss": v, "pad": "x" * 100}) for i, v in enumerate(values)]  # fmt: skip
    run.path("training").write_bytes(b"\n".join(lines[:29_000]) + b"\n")
    places.prepare_base(place)
    one = Renderer(Settings(place), complain=lambda text: None)
    one.step(run.at)
    with open(run.path("training"), "ab") as file:
        file.write(b"\n".join(lines[29_000:]) + b"\n")
    number = LivePage(place, "s").refresh().id_of("loss")
    for begin, end in ((0, 10), (9_000, 11_500), (28_990, 29_500), (29_990, 30_000)):
        block = window.read(place, "s", number, 2 * begin, 2 * end - 1, 5_000)
        rows = blocks.decode(block)
        assert block["k"] == 1 and rows[X].tolist() == [2 * i for i in range(begin, end)]
        np.testing.assert_allclose(rows[MEAN], values[begin:end], rtol=1e-6)
    wide = window.read(place, "s", number, 0, 60_000, 1_000)
    rows = blocks.decode(wide)
    assert (wide["k"], rows[N].sum()) == (32, 30_000) and rows[HI].max() == np.float32(max(values))
    assert len(folder.index_file(place, "s").read_bytes()) < 5_000
    with pytest.raises(window.NoSuchSeries, match="no series 99"):
        window.read(place, "s", 99, 0, 1, 10)
    with pytest.raises(window.NoSuchSeries, match="no index"):
        window.read(place, "../s", number, 0, 1, 10)


def test_a_window_that_is_too_wide_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is never made to read gigabytes for one question."""
    run = Run(place, "s")
    run.start()
    realistic(run, 100)
    places.prepare_base(place)
    Renderer(Settings(place), complain=lambda text: None).step(run.at)
    monkeypatch.setattr(window, "MAX_BYTES", 1_000)
    with pytest.raises(window.WindowRefused, match="MB at most"):
        window.read(place, "s", LivePage(place, "s").refresh().id_of("loss"), 0, 100, 10)
