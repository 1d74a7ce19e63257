"""Running programs as a user would, and finding what they leave running."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What a run leaves in a data folder; a copy gets these where its package lies, to show that they go nowhere.
LITTER = ("training_20200101_000000.jsonl", "dashboard_20200101_000000.html", "training_20200101_000000.csv")


def command(argv: list[str], cwd: Path, seconds: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end with none of this process's Python settings; the output is text."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "AVALIACOES_"))}
    kept = {k: os.environ[k] for k in ("AVALIACOES_RUNTIME_DIR",) if k in os.environ}
    return subprocess.run(
        argv, cwd=cwd, env={**own, **kept, **environment}, capture_output=True, text=True, timeout=seconds, check=False
    )


def must(argv: list[str], cwd: Path, seconds: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `command`, but anything other than exit code 0 fails the test with what was said."""
    done = command(argv, cwd, seconds, **environment)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def install(argv: list[str], cwd: Path, **environment: str) -> None:
    """Run pip; without a package index the test is skipped, except in continuous integration."""
    done = command(argv, cwd, **environment)
    if done.returncode and not os.environ.get("CI"):
        unreachable = ("No matching distribution", "Could not find a version", "Connection", "Temporary failure")
        if any(word in done.stderr for word in unreachable):
            pytest.skip(f"no package index within reach: {done.stderr[-300:]}")
    assert done.returncode == 0, f"{argv}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def running_on(folder: Path) -> list[str]:
    """Processes whose command line names `folder`: the services and trainers of a data folder in it."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"{process.info['pid']}: {' '.join(words)[:200]}")
    return found


def sources() -> list[str]:
    """Paths of the checkout's files, those that git ignores apart."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
