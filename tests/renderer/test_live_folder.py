"""The live files of a folder: generations, states, alerts, the lines of all runs, and what is cleared away."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import numpy as np
import orjson
from live_pages import LivePage, feed, files_of, inside, manifest, script
from renderer_runs import Run, realistic

from contract import places
from renderer import page
from renderer.live import describe, folder
from renderer.live.runs import Runs
from renderer.loop import Renderer
from renderer.settings import Settings


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


def test_a_rotated_data_file_that_goes_on_keeps_its_history(place: Path) -> None:
    """A file that is moved away and begun again with later sequence numbers is no new generation: pages just go on."""
    run = Run(place, "s")
    run.start()
    run.alert("stagnation", "INFO", 5, "no change")
    realistic(run, 80)
    places.prepare_base(place)
    one = Renderer(Settings(place), complain=lambda text: None)
    one.step(run.at)
    shown = LivePage(place, "s").refresh()
    generation = shown.generation
    for category in ("training", "alerts"):
        run.path(category).rename(place / f"{category}.old")
    run.write("training", 80, loss=5.0)
    run.alert("loss_divergence", "WARNING", 80, "rising")
    one.step(run.at + 1)
    shown.refresh()
    assert shown.generation == generation and shown.stats[shown.id_of("loss")][0] == 81
    alerts = script(folder.session_dir(place, "s") / f"alerts-{shown.manifest['alerts']}.js")
    assert alerts["total"] == {"ERROR": 0, "WARNING": 1, "INFO": 1}


def test_a_cleared_live_folder_is_filled_again(place: Path) -> None:
    """Deleting the live files while the renderer runs costs an open page nothing but a reload of the base."""
    run = Run(place, "s")
    run.start()
    realistic(run, 40)
    places.prepare_base(place)
    said: list[str] = []
    one = Renderer(Settings(place), complain=said.append)
    one.step(run.at)
    run.write("training", 40, loss=2.0)
    one.step(run.at + 1)
    shown = LivePage(place, "s").refresh()
    shutil.rmtree(folder.live_dir(place))
    for turn in range(2, 4):
        run.write("training", 39 + turn, loss=2.0)
        one.step(run.at + turn)
    shown.refresh()
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
    one.end(1006.0)
    assert manifest(place, "s")["services"]["renderer"] is False
    run.at = 1075.0
    run.beat()
    one = Renderer(Settings(place), complain=lambda text: None)
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
    assert inside(page.all_page_file(place))["session"] is None


def test_the_line_of_each_of_many_runs_is_short(tmp_path: Path) -> None:
    """A thousand runs of two dozen metrics are told in a file that a page can load every other second."""
    places.prepare_base(tmp_path)
    folder.prepare(tmp_path)
    model, _ = files_of(tmp_path)
    for number in range(24):
        feed(model, f"metric_{number}", np.random.default_rng(number).normal(size=100), 0)
    runs = Runs(tmp_path)
    for number in range(1_200):
        line = describe.run(model, 5000.0, "dashboard_s.html", True)
        runs.put({**line, "session": f"s{number}", "started": float(number)})
    runs.write(5000.0, 1.0, 5.0)
    told = script(folder.runs_file(tmp_path))["runs"]
    assert [line["session"] for line in (told[0], told[-1])] == ["s1199", "s200"] and len(told[0]["metrics"]) == 3
    assert folder.runs_file(tmp_path).stat().st_size < 1_500_000
