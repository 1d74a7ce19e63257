"""What the live files say of long, changing and crowded sessions, read back as a page would."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from live_pages import CONFIG, SERVICES, LivePage, bytes_of, feed, files_of, inside, live_bytes, manifest
from renderer_runs import Run, realistic

from contract import places
from renderer import page
from renderer.gather import Key
from renderer.live import blocks, writer
from renderer.live.buckets import BAD, HI, LO, MEAN, XHI, N, X
from renderer.loop import Renderer
from renderer.settings import Settings


def test_a_spike_of_one_record_in_ten_million_is_at_every_level(tmp_path: Path) -> None:
    """In base, segments, each level of tiles and the latest records, an extreme has its value and its step; all stays under 8 MB."""
    model, files = files_of(tmp_path)
    random = np.random.default_rng(1)
    total, piece = 500_000, 50_000
    spikes = {"m3": 123_457, "m7": 499_990}
    for begin in range(0, total, piece):
        for number in range(20):
            values = random.normal(size=piece)
            at = spikes.get(f"m{number}", -1) - begin
            if 0 <= at < piece:
                values[at] = 1e3
            feed(model, f"m{number}", values, begin)
        model.fit(files.tile_budget)
    now = 2000.0
    files.write(CONFIG, now, SERVICES)
    model.fit(files.tile_budget)
    files.write(CONFIG, now + 1, SERVICES, last=True)
    shown = LivePage(tmp_path, "s").refresh()
    assert len(shown.rows) == 20
    for metric, at in spikes.items():
        number = shown.id_of(metric)
        levels = shown.tiles(number)
        levels[shown.rows[number][0]] = shown.rows[number][1]
        assert min(levels) <= 128 and len(levels) >= 2
        for k, rows in levels.items():
            assert rows.shape[1] == math.ceil(total / k)
            assert (rows[HI].max(), rows[XHI, rows[HI].argmax()]) == (1e3, at)
            np.testing.assert_equal(rows[X], np.minimum(np.arange(k - 1, total + k - 1, k), total - 1))
    begin, recent = shown.recent(shown.id_of("m7"))
    assert begin + recent.shape[1] == total and recent[X, recent[MEAN].argmax()] == spikes["m7"]
    feed(model, "m3", [0.0, -2e3, 0.0], total)
    files.write(CONFIG, now + 2, SERVICES)
    shown.refresh()
    assert shown.loaded == [f"segment-{shown.at}.js"]
    rows = shown.rows[shown.id_of("m3")][1]
    assert (rows[LO].min(), rows[HI].max(), rows[X, -1]) == (-2e3, 1e3, total + 2)
    assert live_bytes(tmp_path) < 7_000_000


def test_a_page_that_follows_segments_knows_what_one_that_loads_the_base_knows(tmp_path: Path) -> None:
    """Through doublings, new series, idle ones and new bases, following and loading anew come to the same."""
    model, files = files_of(tmp_path)
    model.window = 100
    random = np.random.default_rng(3)
    follower = LivePage(tmp_path, "s")
    counts = {"a": 0, "b": 0, "late": 0}
    for turn in range(120):
        for metric in counts:
            if (metric == "late" and turn < 40) or (metric == "b" and turn % 3):
                continue
            size = int(random.integers(1, 40))
            values = random.normal(size=size)
            values[random.random(size) < 0.05] = math.nan
            feed(model, metric, values, counts[metric])
            counts[metric] += size
        model.texts = {"training.note": f"turn {turn // 10}"}
        model.fit(1_000)
        files.write(CONFIG, 3000.0 + turn, SERVICES)
        follower.refresh()
        if turn % 7 == 0:
            fresh = LivePage(tmp_path, "s").refresh()
            assert fresh.meta == follower.meta and fresh.stats == follower.stats and fresh.texts == follower.texts
            for number, (k, rows) in fresh.rows.items():
                assert follower.rows[number][0] == k
                np.testing.assert_allclose(follower.rows[number][1], rows, rtol=1e-12)
    for metric, count in counts.items():
        k, rows = follower.rows[follower.id_of(metric)]
        assert rows.shape[1] == math.ceil(count / k) <= 100 and k > 1
        assert int(rows[[N, BAD]].sum()) == count
    assert follower.manifest["base"] > 1
    assert len(list(files.folder.glob("segment-*.js"))) < 100 and len(list(files.folder.glob("base-*.js"))) <= 2


def test_a_long_run_is_on_disk_record_by_record(tmp_path: Path) -> None:
    """A hundred thousand records are all in tiles, as they were logged; levels that were given up leave no file."""
    model, files = files_of(tmp_path)
    values = np.random.default_rng(4).normal(size=100_000).astype(np.float32)
    values[[5_000, 77_777]] = math.nan, -math.inf
    for begin in range(0, 100_000, 10_000):
        feed(model, "loss", values[begin : begin + 10_000], begin)
        model.fit(files.tile_budget)
        files.write(CONFIG, 4000.0 + begin / 100, SERVICES)
    files.write(CONFIG, 9000.0, SERVICES, last=True)
    shown = LivePage(tmp_path, "s").refresh()
    levels = shown.tiles(1)
    np.testing.assert_equal(levels[1][MEAN], values.astype(float))
    assert sorted(levels) == [2**i for i in range(7)] and shown.rows[1][0] == 128
    model.fit(0.25e6)
    feed(model, "loss", [1.0], 100_000)
    files.write(CONFIG, 9001.0, SERVICES, last=True)
    assert min(shown.refresh().tiles(1)) > 4
    assert not list((files.folder / "tiles").glob("1-1-*"))


def test_costly_series_stay_within_the_budget_too(tmp_path: Path) -> None:
    """Uneven steps that are no whole numbers, values beyond F32 and NaN among them: still less than 8 MB, page and all."""
    model, files = files_of(tmp_path)
    random = np.random.default_rng(0)
    for begin in range(0, 100_000, 10_000):
        for number in range(20):
            key = Key("training", f"m{number}", "", "p")
            series = model.series.get(key) or model.series.setdefault(key, model.make_series(key))
            x = np.cumsum(random.random(10_000)) + begin
            values = random.normal(size=10_000) * 1e200
            values[::50] = math.nan
            model.feed(series, x, 1e9 + x, values)
        model.fit(files.tile_budget)
        files.write(CONFIG, 3000.0 + begin / 100, SERVICES)
    told = files.write(CONFIG, 9000.0, SERVICES, last=True)
    within = len(blocks.json_for_script(files.inside(told, CONFIG)))
    assert 3_500_000 < live_bytes(tmp_path) + within < 8_000_000


def test_the_latest_records_are_told_one_by_one(tmp_path: Path) -> None:
    """What the base has thinned is in `recent` record by record up to the end, and a page is told when it changed."""
    model, files = files_of(tmp_path)
    feed(model, "loss", np.arange(500.0), 0)
    files.write(CONFIG, 1000.0, SERVICES)
    assert manifest(tmp_path, "s")["recent"] == 0
    feed(model, "loss", np.arange(500.0, 3000.0), 500)
    files.write(CONFIG, 1010.0, SERVICES)
    begin, rows = LivePage(tmp_path, "s").refresh().recent(1)
    assert begin == 3000 - 1024 and rows[MEAN].tolist() == list(range(begin, 3000))
    files.write(CONFIG, 1020.0, SERVICES)
    assert manifest(tmp_path, "s")["recent"] == 1


def test_a_thousand_metrics_are_all_shown(tmp_path: Path) -> None:
    """Every metric of a crowded record has its series, grouped by prefix, in a base of bounded size."""
    model, files = files_of(tmp_path)
    for begin in range(0, 4000, 1000):
        for number in range(1_000):
            feed(model, f"layer{number % 40}/w{number}", np.random.default_rng(number).normal(size=1000), begin)
        model.fit(files.tile_budget)
    files.write(CONFIG, 1000.0, SERVICES)
    shown = LivePage(tmp_path, "s").refresh()
    assert len(shown.rows) == 1_000 and not shown.manifest["notes"]
    assert {series["group"] for series in shown.meta.values()} == {f"layer{n}" for n in range(40)}
    files.write(CONFIG, 1001.0, SERVICES, last=True)
    assert live_bytes(tmp_path) < 8_000_000


def test_groups_are_prefixes_that_metrics_share(tmp_path: Path) -> None:
    """A name before "/", or before a "_" that others share, is a group; a page is told when a metric moves into one."""
    model, files = files_of(tmp_path)
    feed(model, "clip_fraction", [1.0], 0)
    files.write(CONFIG, 1000.0, SERVICES)
    shown = LivePage(tmp_path, "s").refresh()
    assert shown.meta[1]["group"] == "training"
    feed(model, "clip_range", [1.0], 0)
    feed(model, "eval/score", [1.0], 0)
    files.write(CONFIG, 1001.0, SERVICES)
    shown.refresh()
    assert [shown.meta[n]["group"] for n in (1, 2, 3)] == ["clip", "clip", "eval"]


def test_a_long_ended_session_fits_into_its_page(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is inside the page of an ended session is thinned until it takes less than its share, and still whole."""
    monkeypatch.setattr(writer, "INSIDE_BYTES", 60_000)
    run = Run(place, "s", at=time.time() - 100)
    realistic(run, 1500)
    run.start()
    run.end()
    places.prepare_base(place)
    Renderer(Settings(place), complain=lambda text: None).step(time.time())
    path = page.page_file(place, "s")
    _, base, _ = inside(path)["inside"]
    assert path.stat().st_size < 60_000 + len(page.page("s", page.Kit(page.PLOTLY), 1.0))
    rows = {block["id"]: blocks.decode(block) for block in base["blocks"]}
    assert all(rows[series["id"]][X, -1] >= 1480 for series in base["series"])
    assert bytes_of(place, "s") < 2_000_000


def test_names_of_ten_kilobytes_are_cut_and_told_apart(place: Path) -> None:
    """Two metrics whose endless names begin alike are two series with bounded names, in the live files and on the page."""
    run = Run(place, "s", at=time.time() - 1)
    run.start(config={"c" * 10_000: "d" * 10_000})
    long = "x" * 10_000
    run.write("training", 1, **{long + "a": 1.0, long + "b": 2.0, "note" + long: long})
    run.write("gradients", 1, component=long, grad_norm=1.0)
    run.alert(long, "ERROR", 1, long, metric=long)
    run.end("failed", long)
    places.prepare_base(place)
    Renderer(Settings(place), complain=lambda text: None).step(time.time())
    shown = LivePage(place, "s").refresh()
    assert sorted(stat[3] for stat in shown.stats.values()) == [1.0, 1.0, 2.0]
    assert all(len(series["metric"]) <= 300 and len(series["component"]) <= 300 for series in shown.meta.values())
    assert live_bytes(place) < 60_000
