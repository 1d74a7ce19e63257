"""What the renderer writes, and when: pages, data files, pictures, the service's life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_pages import LivePage, inside, manifest, script
from renderer_runs import Run, realistic

from contract import places, service
from contract import settings as shared
from renderer import page
from renderer.live import folder
from renderer.loop import MAX_OPEN, OLD_PAGES, Renderer
from renderer.settings import Settings, make

HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\"><!-- \u2028 &amp; <a href='javascript:1'>x</a>"


def renderer_on(base: Path) -> Renderer:
    places.prepare_base(base)
    return Renderer(Settings(base), complain=lambda text: None)


def manifest_file(base: Path) -> Path:
    return folder.session_dir(base, "s") / "manifest.js"


def test_a_growing_file_changes_the_live_files_and_not_the_page(place: Path) -> None:
    """While a session runs a segment tells what is new; with nothing new only a sign of life is written."""
    run = Run(place, "s")
    run.start()
    realistic(run, 50)
    one = renderer_on(place)
    now = run.at
    one.step(now)
    shown = LivePage(place, "s").refresh()
    html, first = page.page_file(place, "s").stat().st_mtime_ns, manifest_file(place).stat().st_mtime_ns
    one.step(now + 1)
    assert manifest_file(place).stat().st_mtime_ns == first
    run.at = now + 1.5
    run.write("training", 50, loss=7.5)
    one.step(now + 2)
    shown.refresh()
    assert shown.loaded == ["segment-2.js"]
    assert shown.stats[shown.id_of("loss")][3] == 7.5
    assert page.page_file(place, "s").stat().st_mtime_ns == html
    renders = one.renders
    one.step(now + 3)
    assert one.renders == renders
    one.step(now + 9)
    assert one.renders == renders + 1 and manifest(place, "s")["last"] == 2


def test_readers_never_see_half_a_file(place: Path) -> None:
    """Each manifest is a new file renamed into place, and no temporary file stays behind."""
    run = Run(place, "s")
    run.start()
    one = renderer_on(place)
    for step in range(5):
        run.write("training", step, loss=1.0)
        one.step(run.at + step)
        with open(manifest_file(place), "rb") as held:
            run.write("training", step, loss=2.0)
            one.step(run.at + step + 0.5)
            assert os.fstat(held.fileno()).st_ino != manifest_file(place).stat().st_ino
            assert held.read().endswith(b");\n")
    assert not list(place.rglob("*.tmp"))


def test_an_ended_session_gets_its_final_page_once(place: Path) -> None:
    """At the end the data goes into the page; a restarted renderer leaves it alone until the files change."""
    run = Run(place, "s", at=time.time() - 5)
    run.start()
    realistic(run, 30)
    one = renderer_on(place)
    one.step(run.at)
    assert not page.is_final(page.page_file(place, "s"))
    run.end()
    assert one.step(run.at + 1) is False
    path = page.page_file(place, "s")
    assert page.is_final(path)
    told, base, alerts = inside(path)["inside"]
    assert (told["state"]["name"], base["kind"], alerts["kind"]) == ("finished", "base", "alerts")
    assert sum(block["len"] for block in base["blocks"]) > 200
    before = path.stat().st_mtime_ns
    for _ in range(3):
        one.step(time.time() + 600)
    again = renderer_on(place)
    again.step(time.time() + 600)
    assert path.stat().st_mtime_ns == before
    run.alert("stagnation", "INFO", 29, "found late")
    again.step(time.time() + 600)
    assert inside(path)["inside"][2]["total"]["INFO"] == 1


def test_many_old_sessions_are_bounded(place: Path) -> None:
    """Of many old sessions the newest get pages, and none stays in memory."""
    for number in range(OLD_PAGES + 15):
        run = Run(place, f"old_{number:03d}", at=1000.0 + number)
        run.write("training", 1, loss=1.0)
        os.utime(run.path("training"), (1e6 + number, 1e6 + number))
    one = renderer_on(place)
    one.step(time.time())
    assert len(one._open) <= MAX_OPEN
    stop = service.Stop()
    one.catch_up(stop)
    stop.close()
    one.step(time.time() + 10)
    pages = sorted(path.name for path in place.glob("dashboard_*.html"))
    assert len(pages) == OLD_PAGES and f"dashboard_old_{OLD_PAGES + 14:03d}.html" in pages
    assert not one._open
    assert len(script(folder.runs_file(place))["runs"]) == OLD_PAGES


def test_text_from_outside_is_never_markup(place: Path) -> None:
    """A metric, a value, an alert and a host that are HTML stay text, in the data file, the page and the report."""
    from renderer.report import write_report

    run = Run(place, "s", at=time.time() - 1)
    run.write("lifecycle", 0, event="start", host=HOSTILE, argv0=HOSTILE)
    run.write("training", 1, **{"loss": 1.0, HOSTILE: 2.0, "note": HOSTILE})
    run.write("gradients", 1, component=HOSTILE, grad_norm=2.0)
    run.alert(HOSTILE, HOSTILE, 1, HOSTILE, metric=HOSTILE)
    one = renderer_on(place)
    one.step(time.time())
    run.end("failed", HOSTILE)
    one.step(time.time())
    files = [path for path in place.rglob("*.js") if "assets" not in path.parts]
    assert {"manifest.js", "runs.js", "alerts-1.js"} <= {path.name for path in files}
    path = page.page_file(place, "s")
    html = path.read_text("utf-8")
    program = page.page("s", one.kit, 1.0).decode().count("</script>")
    for text in [*(path.read_text("utf-8") for path in files), html, write_report(place, "s").read_text("utf-8")]:
        assert "<img src" not in text and "<a href" not in text
    assert all("\u2028" not in path.read_text("utf-8") for path in files) and "\u2028" not in html
    assert html.count("</script>") == program
    told, base, alerts = inside(path)["inside"]
    assert base["texts"]["training.note"] == HOSTILE and told["facts"]["host"] == HOSTILE
    assert alerts["rows"][0]["message"] == HOSTILE and HOSTILE in {series["metric"] for series in base["series"]}


def test_a_change_of_settings_is_picked_up(place: Path) -> None:
    """New windows and limits written by the monitor show on the next round, the past included."""
    run = Run(place, "s")
    run.start()
    realistic(run, 600)
    one = renderer_on(place)
    one.step(run.at)
    shown = LivePage(place, "s").refresh()
    assert shown.rows[shown.id_of("loss")][0] == 1
    generation = shown.generation
    shared.save(place, {**shared.defaults(), "history_window": 100, "gradient_threshold_high": 3.0})
    one.step(run.at + 1)
    shown.refresh()
    assert shown.manifest["settings"]["gradient_threshold_high"] == 3.0 and shown.generation != generation
    k, rows = shown.rows[shown.id_of("loss")]
    assert (k, rows.shape[1]) == (8, 75)
    assert shown.manifest["records"] == sum(
        1 for c in ("training", "gradients", "rewards", "performance") for _ in open(run.path(c))
    )


def test_a_full_or_lost_folder_is_complained_of_and_healed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a page cannot be written the renderer says so once, counts, goes on, and writes it when it can."""
    run = Run(place, "s")
    run.start()
    said: list[str] = []
    places.prepare_base(place)
    one = Renderer(Settings(place), complain=said.append)
    true_replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for step in range(3):
        one.step(run.at + step)
    assert one.failures >= 3 and len(said) == 1 and "No space left" in said[0]
    assert not list(place.rglob("*.tmp"))
    monkeypatch.setattr(os, "replace", true_replace)
    one.step(run.at + 4)
    assert manifest(place, "s")["session"] == "s"


def test_without_plotly_there_is_a_picture_and_without_both_tables(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocked imports give a PNG shown by a small page, or a page of tables, and one warning each."""
    run = Run(place, "s")
    run.start()
    realistic(run, 80)
    run.alert("stagnation", "INFO", 3, "no change")
    places.prepare_base(place)
    monkeypatch.setitem(sys.modules, "plotly", None)
    said: list[str] = []
    Renderer(Settings(place), complain=said.append).step(run.at)
    assert page.image_file(place, "s").read_bytes().startswith(b"\x89PNG")
    facts = inside(page.page_file(place, "s"))
    assert facts["mode"] == "image" and facts["image"] == "dashboard_s.png"
    assert manifest(place, "s")["drawn"] > 0 and len(said) == 1 and "matplotlib" in said[0]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    Renderer(Settings(place), complain=said.append).step(run.at)
    assert inside(page.page_file(place, "s"))["mode"] == "tables"
    assert LivePage(place, "s").refresh().stats and "tables only" in said[1]


def test_settings_are_checked_before_anything_opens() -> None:
    """Arguments win over the environment; what cannot be is refused with the name of the setting."""
    variables = {"AVALIACOES_REFRESH_INTERVAL": "0.5", "AVALIACOES_DIR": "/x"}
    assert make(None, 2.0, None, False, variables).refresh_interval == 2.0
    assert make(None, None, None, False, variables).refresh_interval == 0.5
    with pytest.raises(shared.SettingRefused, match="AVALIACOES_REFRESH_INTERVAL"):
        make(None, None, None, False, {"AVALIACOES_REFRESH_INTERVAL": "soon"})
    with pytest.raises(shared.SettingRefused, match="history_window"):
        make(None, None, 3, False, {})


def test_the_service_renders_refuses_a_second_and_ends_on_sigterm(
    place: Path, spawn: Callable[..., subprocess.Popen[bytes]], until: Callable[..., bool]
) -> None:
    """One ready line, pages appear, a second instance exits 3, SIGTERM renders a last time and ends with 0."""
    run = Run(place, "s")
    run.start()
    run.write("training", 1, loss=1.0)
    process = spawn("-m", "renderer", "--base-path", str(place), "--refresh-interval", "0.2", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().decode() == f"renderer: ready, pages in {place}\n"
    assert until(lambda: manifest_file(place).exists())
    second = spawn("-m", "renderer", "--base-path", str(place), stderr=subprocess.PIPE)
    assert second.wait(20) == service.EXIT_ALREADY_RUNNING
    assert second.stderr is not None and b"already runs" in second.stderr.read()
    run.at = time.time()
    run.write("training", 2, loss=42.0)
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    assert process.wait(10) == 0
    assert time.monotonic() - begin < 5
    shown = LivePage(place, "s").refresh()
    assert shown.stats[shown.id_of("loss")][3] == 42.0
    assert not service.is_running(place, "renderer")


def test_bad_folders_and_arguments_have_their_exit_codes(
    place: Path, tmp_path: Path, spawn: Callable[..., Any]
) -> None:
    """A data folder that is a file is 4, a refused setting is 2, each with a sentence."""
    (tmp_path / "file").write_text("")
    first = spawn("-m", "renderer", "--base-path", str(tmp_path / "file"), stderr=subprocess.PIPE)
    second = spawn("-m", "renderer", "--base-path", str(place), "--refresh-interval", "-1", stderr=subprocess.PIPE)
    assert first.wait(20) == service.EXIT_CANNOT_START and b"cannot write to the data folder" in first.stderr.read()
    assert second.wait(20) == service.EXIT_USAGE and b"refresh_interval" in second.stderr.read()


def test_started_on_demand_it_ends_when_nothing_is_active(place: Path) -> None:
    """`auto` ends by itself after its idle time, not while a session runs."""
    from renderer import loop

    places.prepare_base(place)
    stop = service.Stop()
    begin = time.monotonic()
    loop.run(Settings(place, refresh_interval=0.05, auto=True, idle_s=0.3), stop)
    assert 0.3 <= time.monotonic() - begin < 20
    stop.close()
