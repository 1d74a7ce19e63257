"""The oldest versions that `pyproject.toml` allows, which nobody who develops here ever has."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from installing import install, must, running_on


def test_the_system_works_with_the_oldest_versions_it_allows(
    wheel: Path, tmp_path_factory, elsewhere: Path, until: Callable[..., bool]
) -> None:
    """Three live trainings, their alerts, pages and reports, with every dependency at its lower bound: nothing lost, nothing left running."""
    folder = tmp_path_factory.mktemp("oldest") / "venv"
    must([sys.executable, "-m", "venv", str(folder)], folder.parent)
    python = str(folder / "bin" / "python")
    oldest = [re.sub(r">=([\d.]+)$", r"==\1.*", one) for one in bounds()]
    assert len(oldest) >= 7 and all("==" in one for one in oldest)
    install([python, "-m", "pip", "install", "--quiet", str(wheel), *oldest], folder.parent)
    done = must([str(folder / "bin" / "avaliacoes"), "demo", "--seconds", "8", "--json"], elsewhere, seconds=120)
    told = json.loads(done.stdout)
    assert told["failures"] == [] and len(told["sessions"]) == 3
    for session in told["sessions"]:
        assert session["logged"] == session["stored"] > 100 and not session["lost"] + session["doubled"]
        assert Path(session["dashboard"]).is_file()
    name = told["sessions"][0]["session"]
    report = must(
        [str(folder / "bin" / "avaliacoes"), "report", name, "--base-path", str(elsewhere / "demo")], elsewhere
    )
    assert "report_" in report.stdout + report.stderr
    assert until(lambda: not running_on(elsewhere), 10), running_on(elsewhere)


def bounds() -> list[str]:
    """What is installed with the package on this Python, as `name>=version`."""
    found = []
    for line in importlib.metadata.requires("avaliacoes") or []:
        requirement, _, condition = line.partition(";")
        if not condition.strip():
            found.append(requirement.strip())
    return found
