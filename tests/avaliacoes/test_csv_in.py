"""Old CSV files as sessions."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from avaliacoes.csv_import import ImportRefused, import_csv, import_files
from avaliacoes.real_time_logger import LogReader


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_understood(place: Path, tmp_path: Path) -> None:
    """Aliases, time stamps, not-finite numbers and empty cells come out as a logger would have written them."""
    text = "\ufefftimestamp,timesteps,lr,loss,note\n1700000000.5,10,0.1,nan,x\n1700000001,20,,0.5,\n"
    session = import_csv(_file(tmp_path, "old.csv", text), place, prefix="old")
    first, second = LogReader(place, session).read_stream("training")
    assert session.startswith("old_")
    assert math.isnan(first.pop("loss"))
    assert first == {"timestamp": 1700000000.5, "step": 10, "learning_rate": 0.1, "note": "x"}
    assert second == {"timestamp": 1700000001.0, "step": 20, "loss": 0.5}


def test_decimal_commas_and_two_files_in_one_session(place: Path, tmp_path: Path) -> None:
    """Semicolons with decimal commas work, and several files become one session by category."""
    files = [
        _file(tmp_path, "training_log.csv", "step;loss\n1;0,5\n2;0,25\n"),
        _file(tmp_path, "monitor.csv", '#{"t_start": 1700000000.0, "env_id": "x"}\nr,l,t\n9.5,10,1.5\n'),
    ]
    report = import_files(files, place)
    reader = LogReader(place, report.session)
    assert [record["loss"] for record in reader.read_stream("training")] == [0.5, 0.25]
    (episode,) = reader.read_stream("rewards")
    assert (episode["episode_reward"], episode["episode_length"], episode["timestamp"]) == (9.5, 10, 1700000001.5)
    assert report.rows == 3 and not report.refused


def test_bad_rows_are_counted_and_the_rest_kept(place: Path, tmp_path: Path) -> None:
    """Rows without a usable step are counted as refused; short and long ones are kept and counted as repaired."""
    path = _file(tmp_path, "old.csv", "step,loss\n1,0.5\nx,0.5\n2\n3,0.1,7\n")
    report = import_files([path], place)
    records = list(LogReader(place, report.session).read_stream("training"))
    assert [record["step"] for record in records] == [1, 2, 3] and records[2]["column_3"] == 7
    assert report.refused == {"step is no integer": 1} and sum(report.repaired.values()) == 2
    with pytest.warns(RuntimeWarning, match="1 refused"):
        import_csv(path, place)


@pytest.mark.parametrize("text", ["", "step,loss\n", "1,2\n3,4\n"])
def test_files_that_are_no_table_are_refused(place: Path, tmp_path: Path, text: str) -> None:
    """An empty file, a lone header and a file without one are clear errors, and leave no session."""
    with pytest.raises(ImportRefused):
        import_csv(_file(tmp_path, "old.csv", text), place)
    assert LogReader(place).sessions() == []
