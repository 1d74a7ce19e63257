"""What the live files say of long, changing and crowded sessions, read back as a page would."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from live_pages import LivePage, bytes_of, manifest, script
from renderer_runs import Run, realistic

from contract import places
from contract import settings as shared
from renderer.gather import Key
from renderer.live import blocks, folder, window, writer
from renderer.live.model import Model
from renderer.live.pyramid import BAD, HI, LO, MEAN, XHI, N, X
from renderer.live.writer import SessionFiles
from renderer.loop import Renderer
from renderer.settings import Settings

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
    assert bytes_of_session(tmp_path) < 7_000_000


def bytes_of_session(base: Path) -> int:
    return sum(path.stat().st_size for path in folder.session_dir(base, "s").rglob("*") if path.is_file())


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
    assert bytes_of_session(tmp_path) < 8_000_000


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


def test_a_restarted_renderer_begins_a_generation(place: Path) -> None:
    """Its files are numbered anew under another generation, nothing of the one before is left, and a page finds its way."""
    run = Run(place, "s")
    run.start()
    realistic(run, 80)
    places.prepare_base(place)
    first = Renderer(Settings(place), complain=lambda text: None)
    first.step(run.at)
    run.write("training", 80, loss=1.0)
    first.step(run.at + 1)
    shown = LivePage(place, "s").refresh()
    assert shown.at == 2
    run.write("training", 81, loss=2.0)
    second = Renderer(Settings(place), complain=lambda text: None)
    second.step(run.at + 2)
    before = shown.generation
    shown.refresh()
    assert shown.generation != before and shown.at == 1 and shown.stats[shown.id_of("loss")][3] == 2.0
    assert not (folder.session_dir(place, "s") / "segment-2.js").exists()


def test_a_cut_data_file_begins_a_generation(place: Path) -> None:
    """When a file is replaced by another, pages forget what they had and load what it holds now."""
    run = Run(place, "s")
    run.start()
    realistic(run, 80)
    places.prepare_base(place)
    one = Renderer(Settings(place), complain=lambda text: None)
    one.step(run.at)
    shown = LivePage(place, "s").refresh()
    run.path("training").write_text('{"step": 1, "loss": 3.0}\n')
    one.step(run.at + 1)
    before = shown.generation
    shown.refresh()
    assert shown.generation != before
    assert [shown.stats[n][0] for n, s in shown.meta.items() if s["metric"] == "loss"] == [1]
    assert "cut short or replaced" in " ".join(shown.manifest["notes"])


def test_a_cleared_live_folder_is_filled_again(place: Path) -> None:
    """Deleting the live files while the renderer runs costs an open page nothing but a reload of the base."""
    import shutil

    run = Run(place, "s")
    run.start()
    realistic(run, 40)
    places.prepare_base(place)
    said: list[str] = []
    one = Renderer(Settings(place), complain=said.append)
    one.step(run.at)
    shutil.rmtree(folder.live_dir(place))
    for turn in range(1, 4):
        run.write("training", 40 + turn, loss=2.0)
        one.step(run.at + turn)
    shown = LivePage(place, "s").refresh()
    assert shown.stats[shown.id_of("loss")][0] == 43 and len(said) == 1


def test_sessions_that_are_gone_lose_their_live_files(place: Path) -> None:
    """A deleted session's folder, an older version's data file and a dead writer's temporary file are cleared away."""
    for name in ("kept", "gone"):
        run = Run(place, name)
        run.start()
        run.write("training", 1, loss=1.0)
    places.prepare_base(place)
    folder.prepare(place)
    for leftover in ("old.js", "manifest.js.4711.tmp"):
        (folder.live_dir(place) / leftover).write_text("x")
    one = Renderer(Settings(place), complain=lambda text: None)
    one.step(time.time())
    assert {entry.name for entry in folder.live_dir(place).iterdir()} == {"kept", "gone", "runs.js"}
    for path in place.glob("*_gone.jsonl"):
        path.unlink()
    one.step(time.time() + 1)
    assert {entry.name for entry in folder.live_dir(place).iterdir()} == {"kept", "runs.js"}
    assert [line["session"] for line in script(folder.runs_file(place))["runs"]] == ["kept"]


def test_the_manifest_says_what_is_known(place: Path) -> None:
    """State, services, counts, facts of the run and settings are those of the records, bounded, and dead services are told."""
    run = Run(place, "s", at=1000.0)
    run.start(python="3.11", platform="Linux", config={"lr": 3e-4, "env": "CartPole", "long": "x" * 100_000, "deep": {"a": [1, None]}})  # fmt: skip
    run.write("training", 7, loss=1.0)
    run.write("rewards", 7, episode_reward=1.0)
    run.beat(dropped=3)
    places.prepare_base(place)
    one = Renderer(Settings(place), complain=lambda text: None)
    one.step(1005.0)
    told = manifest(place, "s")
    assert (told["state"]["name"], told["state"]["last_record"], told["step"]) == ("running", 1000.0, 7)
    assert told["services"] == {"collector": False, "analyzer": False, "renderer": True}
    assert told["per_category"] == {"rewards": 1, "training": 1} and told["dropped"] == 3
    assert told["facts"]["config"]["env"] == "CartPole" and told["facts"]["config"]["deep"] == {"a": [1, None]}
    assert len(orjson.dumps(told)) < 12_000
    assert told["settings"]["alert_retention_minutes"] == 30
    run.at = 1075.0
    run.beat()
    one.step(1076.0)
    assert manifest(place, "s")["state"]["name"] == "stalled"
    run.end("failed", "ValueError: boom")
    one.step(1077.0)
    state = manifest(place, "s")["state"]
    assert (state["name"], state["end_status"], state["error"], state["ended"]) == (
        "crashed", "failed", "ValueError: boom", 1075.0,
    )  # fmt: skip


def test_alerts_are_written_when_they_change(place: Path) -> None:
    """Rows with their evidence in a new revision for each change, none for records, the oldest of too many left out and counted."""
    run = Run(place, "s")
    run.start()
    run.write("training", 1, loss=1.0)
    places.prepare_base(place)
    one = Renderer(Settings(place), complain=lambda text: None)
    one.step(run.at)
    assert manifest(place, "s")["alerts"] == 0
    evidence = {"metric": "loss", "steps": [1, 2], "values": [1.0, "NaN"]}
    run.write("alerts", 2, "bbbbbbbbbbbb", rule="loss_divergence", level="WARNING", state="firing", message="m", action="a",
              producer="p", evidence=evidence, corroborating=["the reward fell"], value=math.inf)  # fmt: skip
    one.step(run.at + 1)
    run.write("training", 3, loss=1.0)
    one.step(run.at + 2)
    assert manifest(place, "s")["alerts"] == 1
    found = script(folder.session_dir(place, "s") / "alerts-1.js")
    (row,) = found["rows"]
    assert row["evidence"] == {"metric": "loss", "steps": [1, 2], "values": [1.0, "NaN"]} and row["value"] == "Infinity"
    assert (row["action"], row["corroborating"], found["total"]["WARNING"]) == ("a", ["the reward fell"], 1)
    for number in range(600):
        run.write(
            "alerts",
            number,
            "bbbbbbbbbbbb",
            rule=f"rule{number}",
            level="INFO",
            state="firing",
            message="m",
            producer="p",
        )
    one.step(run.at + 3)
    found = script(folder.session_dir(place, "s") / "alerts-2.js")
    assert len(found["rows"]) == 500 and found["left_out"] == 101 and found["total"]["INFO"] == 600


def test_all_runs_are_told_also_after_a_restart(place: Path) -> None:
    """The page of all runs has a line for live and ended sessions, with what they are compared by, and keeps them."""
    for name, ended in (("one", True), ("two", False)):
        run = Run(place, name, at=time.time() - 10)
        run.start()
        realistic(run, 100)
        run.alert("stagnation", "INFO", 5, "no change")
        if ended:
            run.end()
    places.prepare_base(place)
    for renderer in (Renderer(Settings(place), complain=lambda text: None) for _ in range(2)):
        renderer.step(time.time() + 1)
        lines = {line["session"]: line for line in script(folder.runs_file(place))["runs"]}
        assert {name: line["state"]["name"] for name, line in lines.items()} == {"one": "finished", "two": "running"}
        assert lines["one"]["alerts"] == {"ERROR": 0, "WARNING": 0, "INFO": 1} and lines["one"]["live"]
        metrics = {metric["metric"]: metric for metric in lines["one"]["metrics"]}
        assert (metrics["loss"]["better"], metrics["episode_reward"]["better"]) == ("min", "max")
        assert metrics["loss"]["stat"][0] == 100 and next(iter(metrics)) == "loss"
    from live_pages import inside

    from renderer import page

    assert inside(page.all_page_file(place))["session"] is None


def test_a_long_ended_session_fits_into_its_page(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is inside the page of an ended session is thinned until it takes less than its share, and still whole."""
    from live_pages import inside

    from renderer import page

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


def test_a_read_only_folder_is_said_once_and_survived(place: Path) -> None:
    """When nothing can be written the loop goes on, says so once, and writes when it can again."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    run = Run(place, "s")
    run.start()
    places.prepare_base(place)
    said: list[str] = []
    one = Renderer(Settings(place), complain=said.append)
    folder.live_dir(place).chmod(0o500)
    try:
        for turn in range(3):
            run.write("training", turn, loss=1.0)
            one.step(run.at + turn)
    finally:
        folder.live_dir(place).chmod(0o700)
    assert len(said) == 1
    one.step(run.at + 4)
    assert manifest(place, "s")["records"] == 3
