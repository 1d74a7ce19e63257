"""CSV beside the JSONL, and out of it."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from avaliacoes.csv_files import CsvFollower
from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_logger import LogReader
from contract.lines import encode_line


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_same_rows_as_the_jsonl(place: Path) -> None:
    """With the fallback every category has a CSV file with the rows of its JSONL, late columns, NaN and nested values included."""
    with create_integrated_logger(place, enable_csv_fallback=True) as integration:
        session = integration.session
        for step in range(300):
            late = {"late": step, "nested": {"a": [1, 2]}} if step > 200 else {}
            integration.log_training_step(step, loss=float("nan") if step == 5 else step / 7, text='a,"b"\nc', **late)
        integration.log_episode_end(episode_reward=float("-inf"))
    rows = _rows(place / f"training_{session}.csv")
    records = list(LogReader(place, session).read_stream("training"))
    assert len(rows) == len(records) == 300
    for row, record in zip(rows, records, strict=True):
        assert int(row["step"]) == record["step"] and float(row["timestamp"]) == record["timestamp"]
        assert float(row["loss"]) == record["loss"] or math.isnan(record["loss"])
        assert row["text"] == record["text"]
    assert rows[0]["late"] == "" and rows[250]["late"] == "250" and rows[250]["nested"] == '{"a":[1,2]}'
    assert float(_rows(place / f"rewards_{session}.csv")[0]["episode_reward"]) == -math.inf
    assert list(rows[0])[:2] == ["timestamp", "step"] and "_p" not in rows[0]


def test_pandas_reads_it(place: Path) -> None:
    """pandas reads the CSV to the same frame as the reader's."""
    pandas = pytest.importorskip("pandas")
    with create_integrated_logger(place, enable_csv_fallback=True) as integration:
        session = integration.session
        for step in range(50):
            integration.log_training_step(loss=step * 0.125)  # exact in binary, whatever the parser
    frame = pandas.read_csv(place / f"training_{session}.csv")
    assert frame["loss"].tolist() == LogReader(place, session).to_dataframe("training")["loss"].tolist()


def test_a_file_that_cannot_be_written_is_begun_again(tmp_path: Path) -> None:
    """After an error the rows are copied again from their source, once each."""
    source = tmp_path / "training_s.jsonl"
    source.write_bytes(b"".join(encode_line("0" * 12, i, 1.0, i, {"loss": i}) + b"\n" for i in range(10)))
    target = tmp_path / "training_s.csv"
    target.mkdir()
    follower = CsvFollower(tmp_path, "s")
    with pytest.raises(OSError):
        follower.finish()
    target.rmdir()
    assert follower.finish() == 10
    assert [row["loss"] for row in _rows(target)] == [str(i) for i in range(10)]
