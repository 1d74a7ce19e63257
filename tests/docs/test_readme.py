"""The Python that the READMEs show runs as it stands, and both languages show the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.pt-BR.md")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks(READMES[0], "python"))))
def test_each_python_block_runs(number: int, place: Path, tmp_path: Path) -> None:
    """Every block of the README ends with exit code 0 in a fresh process, and logs into the folder it is told."""
    code = blocks(READMES[0], "python")[number]
    environment = {**os.environ, "AVALIACOES_DIR": str(place)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    assert list(place.glob("training_*.jsonl"))


def test_both_languages_show_the_same_code_and_commands() -> None:
    """The Portuguese README has the same blocks, comments and strings apart."""

    def bare(text: str) -> str:
        return re.sub(r"\s*#.*", "", text)

    for language in ("python", "sh"):
        assert [bare(b) for b in blocks(READMES[0], language)] == [bare(b) for b in blocks(READMES[1], language)]


@pytest.mark.parametrize("name", READMES)
def test_links_into_the_project_lead_somewhere(name: str) -> None:
    """Every relative link of the README points at a file of the project."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / name).read_text())
    assert targets and not [target for target in targets if not (ROOT / target).exists()]
