"""Who imports whom, and what importing the logger costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_layers_hold() -> None:
    """avaliacoes -> producer | collector | analyzer | renderer -> contract, and never otherwise."""
    program = Path(sys.executable).with_name("lint-imports")
    found = str(program) if program.exists() else shutil.which("lint-imports")
    if found is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run([found, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module",
    ["avaliacoes", "avaliacoes.real_time_logger", "avaliacoes.logger_integration", "avaliacoes.real_time_monitor"],
)
def test_importing_in_a_trainer_loads_nothing_heavy(module: str) -> None:
    """What a trainer imports brings in neither plotting nor arrays nor torch nor the other services' code."""
    heavy = ("plotly", "numpy", "torch", "matplotlib", "pandas", "rich", "honcho", "collector", "analyzer", "renderer")
    script = f"import sys, {module}; print(*(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
