"""The wheel, outside the clone, in an environment with nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from compiling import can_compile
from installing import install, must, running_on, sources

PACKAGES = ("contract", "producer", "collector", "analyzer", "renderer", "avaliacoes")
LEARNER = "avaliacoes/examples/cartpole_reinforce.py"


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    """A wheel built where data lies beside the modules holds the sources, the learner and the licence, no data."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {name for name in sources() if name.split("/")[0] in PACKAGES and not name.endswith(".c")}
    library = {name for name in names if name.endswith(".so")}
    assert names - library == wanted | {LEARNER}
    assert [name.split(".")[0] for name in library] == ["producer/_quick"] * (not wheel.name.endswith("-any.whl"))
    notes = {name.split(".dist-info/")[1] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= notes


def test_a_wheel_without_a_compiler_is_one_for_every_machine(clone: Path, tmp_path: Path) -> None:
    """Where nothing can be compiled the wheel is built all the same, and says in its name that nothing in it is."""
    install(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(clone)],
        clone,
        CC="false",
    )
    (made,) = tmp_path.glob("avaliacoes-*.whl")
    assert made.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(made).namelist() if name.endswith(".so")]


@pytest.mark.skipif(not can_compile(), reason="no C compiler, or no headers of Python")
def test_where_there_is_a_compiler_the_log_call_is_compiled(environment: Path, elsewhere: Path) -> None:
    code = "from producer.quick import compiled; print(compiled())"
    assert "producer._quick.Call" in must([str(environment / "python"), "-c", code], elsewhere).stdout


@pytest.mark.parametrize(
    "words", [[], ["up"], ["demo"], ["status"], ["top"], ["tail"], ["report"], ["check"], ["export"], ["import"]]
)
def test_help_everywhere(environment: Path, elsewhere: Path, words: list[str]) -> None:
    """Every command of the installed script explains itself on stdout, beside a data folder of the package's name."""
    shown = must([str(environment / "avaliacoes"), *words, "--help"], elsewhere)
    assert shown.stdout.startswith("usage: avaliacoes")


def test_a_data_folder_does_not_shadow_the_package(environment: Path, elsewhere: Path) -> None:
    """A script logs twice from a folder whose `avaliacoes/` is data, and `python -m` finds the services there."""
    script = elsewhere / "train.py"
    script.write_text(
        "from avaliacoes.real_time_logger import create_real_time_logger\n"
        "with create_real_time_logger() as logger:\n"
        "    logger.log_training_step(step=1, loss=0.5)\n"
        "print(logger.session, logger.get_real_time_stats()['persisted'])\n"
    )
    sessions = set()
    for _ in range(2):
        session, persisted = must([str(environment / "python"), "train.py"], elsewhere).stdout.split()
        assert persisted == "1"
        assert (elsewhere / "avaliacoes" / f"training_{session}.jsonl").read_text().count("\n") == 1
        sessions.add(session)
    assert len(sessions) == 2
    for service in ("collector", "analyzer", "renderer"):
        assert "--base-path" in must([str(environment / "python"), "-m", service, "--help"], elsewhere).stdout


def test_the_demo_loses_nothing_and_leaves_nothing_running(
    environment: Path, elsewhere: Path, until: Callable[..., bool]
) -> None:
    """Eight seconds of the demo end with three sessions whole on disk, pages and reports, and no process left."""
    done = must([str(environment / "avaliacoes"), "demo", "--seconds", "8", "--json"], elsewhere, seconds=120)
    told = json.loads(done.stdout)
    assert told["failures"] == []
    assert len(told["sessions"]) == 3
    for session in told["sessions"]:
        lines = 0
        for path in (elsewhere / "demo").glob(f"*_{session['session']}.jsonl"):
            if not path.name.startswith(("alerts_", "lifecycle_")):
                lines += path.read_text().count("\n")
        assert session["logged"] == session["stored"] == lines > 100
        assert session["lost"] == session["doubled"] == session["broken_lines"] == 0
        assert Path(session["dashboard"]).is_file()
    assert len(list((elsewhere / "demo").glob("report_*"))) >= 3
    assert until(lambda: not running_on(elsewhere), 10), running_on(elsewhere)


def test_up_runs_the_services_until_it_is_asked_to_end(
    environment: Path, elsewhere: Path, until: Callable[..., bool]
) -> None:
    """`avaliacoes up` starts all three, and SIGTERM ends them all within its five seconds and a margin."""
    base = elsewhere / "avaliacoes"
    process = subprocess.Popen(
        [str(environment / "avaliacoes"), "up"], cwd=elsewhere, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        ready = [base / ".avaliacoes" / f"{kind}.json" for kind in ("collector", "analyzer", "renderer")]
        assert until(lambda: all(path.exists() for path in ready) or process.poll() is not None, 30)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
        assert until(lambda: not running_on(elsewhere), 10), running_on(elsewhere)
        assert not any(path.exists() for path in ready)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
