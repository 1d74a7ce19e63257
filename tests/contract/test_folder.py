"""How file names are cut into category and session."""

from __future__ import annotations

from pathlib import Path

from avaliacoes.real_time_logger import LogReader, create_real_time_logger
from contract import folder, names


def test_custom_categories_with_underscores_stay_in_their_session(place: Path) -> None:
    """`my_own` and `training_extra` are categories of the session that logged them, for every reader, not sessions."""
    with create_real_time_logger(place, prefix="my_run") as logger:
        logger.log("my_own", 1, x=1.0)
        logger.log("training_extra", 2, x=2.0)
        logger.log_training_step(3, loss=3.0)
    assert set(folder.sessions(place)) == {logger.session}
    reader = LogReader(place)
    assert reader.sessions() == [logger.session] and reader.session == logger.session
    assert reader.categories() == ["lifecycle", "my_own", "training", "training_extra"]
    assert [r["x"] for category in ("my_own", "training_extra") for r in reader.read_stream(category)] == [1.0, 2.0]


def test_folders_without_our_notes_are_cut_by_what_they_show(tmp_path: Path) -> None:
    """Files that were only copied there: known categories show the sessions, and custom ones follow them."""
    for name in ("training_a_20250101_000000", "my_own_a_20250101_000000", "lone_20250101_000001"):
        (tmp_path / f"{name}.jsonl").write_text("{}\n")
    found = folder.sessions(tmp_path)
    assert {session: sorted(files) for session, files in found.items()} == {
        "a_20250101_000000": ["my_own", "training"],
        "20250101_000001": ["lone"],
    }
    assert folder.sessions(tmp_path / "nowhere") == {}
    assert names.split_file_name("notes.txt") is None
