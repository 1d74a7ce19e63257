"""A clone, set up by its own script."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from installing import command, must


@pytest.fixture(scope="module")
def ready(clone: Path) -> Path:
    """The clone after `run.py setup`: an editable install in its `.venv`."""
    done = command([sys.executable, "run.py", "setup"], clone, seconds=600)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index within reach")
    assert done.returncode == 0, done.stderr
    return clone


def test_a_second_set_up_installs_nothing(ready: Path) -> None:
    """`run.py setup` on a finished environment says so, without calling pip, in a few seconds."""
    begin = time.monotonic()
    done = must([sys.executable, "run.py", "setup"], ready)
    assert "installing" not in done.stderr
    assert "ready" in done.stderr
    assert time.monotonic() - begin < 15


def test_an_unknown_command_is_named(clone: Path) -> None:
    """`run.py` with a word that it does not know lists those that it knows and ends with exit code 2."""
    done = command([sys.executable, "run.py", "tset"], clone)
    assert done.returncode == 2
    assert "'tset'" in done.stderr
    assert "test" in done.stderr.split("known are")[1]


def test_a_python_without_venv_is_told_what_to_install(clone: Path, tmp_path: Path) -> None:
    """Where the module that pip comes with is missing, as in Debian without python3-venv, the message says what helps."""
    hide = tmp_path / "hide.py"
    hide.write_text(
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'ensurepip' else find(name, *rest)\n"
        "sys.argv = ['run.py', 'demo']\n"
        f"runpy.run_path({str(clone / 'run.py')!r}, run_name='__main__')\n"
    )
    done = command([sys.executable, str(hide)], clone)
    assert done.returncode == 2
    assert "apt install python3-venv" in done.stderr


def test_an_editable_install_is_not_shadowed_by_a_data_folder(ready: Path, elsewhere: Path) -> None:
    """A script run twice from a folder whose `avaliacoes/` is data imports the clone's package and logs there."""
    script = elsewhere / "train.py"
    script.write_text(
        "import avaliacoes.real_time_logger as module\n"
        "with module.create_real_time_logger() as logger:\n"
        "    logger.log_training_step(step=1, loss=0.5)\n"
        "print(module.__file__)\n"
    )
    for _ in range(2):
        done = must([str(ready / ".venv" / "bin" / "python"), "train.py"], elsewhere)
        assert Path(done.stdout.strip()).parent == ready / "avaliacoes"
    own = [path for path in (elsewhere / "avaliacoes").glob("training_*.jsonl") if "20200101" not in path.name]
    assert len(own) == 2


def test_data_never_shows_in_git_status(ready: Path, elsewhere: Path) -> None:
    """Logging with the default folder in the clone itself, where data lands beside the sources, leaves git clean."""
    python = str(ready / ".venv" / "bin" / "python")
    must([python, "examples/quick_start.py"], ready)
    must([python, "examples/complete_training.py", "--steps", "50"], ready)
    must([python, "examples/csv_migration.py"], ready)
    assert list((ready / "avaliacoes").glob("training_*.jsonl"))
    assert must(["git", "status", "--porcelain"], ready).stdout == ""
