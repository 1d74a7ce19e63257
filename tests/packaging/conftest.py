"""A copy of the checkout as somebody would clone it, a wheel built from it, and empty environments to install it into."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from installing import LITTER, ROOT, install, must, sources


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the checkout's files in one commit, and a run's data beside the package's modules."""
    folder = tmp_path_factory.mktemp("clone") / "avaliacoes-clone"
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
        must([*git, *arguments], folder)
    for name in LITTER:
        (folder / "avaliacoes" / name).write_text("{}\n")
    (folder / "avaliacoes" / ".avaliacoes").mkdir()
    (folder / "avaliacoes" / ".avaliacoes" / "status.json").write_text("{}")
    return folder


@pytest.fixture(scope="session")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the clone builds."""
    folder = tmp_path_factory.mktemp("wheel")
    install([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(clone)], clone)
    (found,) = folder.glob("avaliacoes-*.whl")
    return found


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that was empty before the wheel was installed."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    must([sys.executable, "-m", "venv", str(folder)], folder.parent)
    install([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", str(wheel)], folder.parent)
    return folder / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder outside the clone that already holds an `avaliacoes/` of data; nothing may be left running on it."""
    runtime = Path(tempfile.mkdtemp(prefix="av-"))
    monkeypatch.setenv("AVALIACOES_RUNTIME_DIR", str(runtime))
    (tmp_path / "avaliacoes").mkdir()
    for name in LITTER:
        (tmp_path / "avaliacoes" / name).write_text('{"timestamp":1,"step":1,"loss":1}\n')
    yield tmp_path
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any(str(tmp_path) in word for word in process.info["cmdline"] or []):
            process.kill()
    shutil.rmtree(runtime, ignore_errors=True)
