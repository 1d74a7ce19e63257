"""The configuration file: sections, and refusals that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract import config


def test_no_file_is_no_configuration(tmp_path: Path) -> None:
    """A folder without a file has the defaults; a file that was asked for must be there."""
    assert config.load(tmp_path) == {}
    with pytest.raises(config.ConfigRefused, match="no such file"):
        config.load(tmp_path, tmp_path / "other.toml")


def test_sections_are_read(tmp_path: Path) -> None:
    """What stands in a known section comes back as TOML has it."""
    (tmp_path / config.FILE).write_text('profile = "documented"\n[rules.stagnation]\nenabled = false\n')
    assert config.load(tmp_path) == {"profile": "documented", "rules": {"stagnation": {"enabled": False}}}


@pytest.mark.parametrize(
    ("text", "said"),
    [("[rulez]\n", "did you mean 'rules'"), ("profile = \n", "not TOML"), ("profile = '\udcff'", "not TOML")],
)
def test_what_nobody_knows_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """An unknown section, or text that is no TOML, is refused with the file's name and the nearest valid word."""
    (tmp_path / config.FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(config.ConfigRefused, match=said) as refused:
        config.load(tmp_path)
    assert config.FILE in str(refused.value)
