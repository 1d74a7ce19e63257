"""Batches of records to columns against one record after the other; files in pieces against files as a whole."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.lines import encode_line
from contract.tail import Tail, read_all
from renderer.gather import Columns, Key
from renderer.lines import decode_lines, read_blocks

Numbers = dict[Key, list[tuple[float, float, float]]]

VALUES = st.one_of(
    st.floats(-1e3, 1e3),
    st.integers(-5, 5),
    st.booleans(),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "text", None, [1.0], {"a": 1.0}, {"a": {"b": "NaN"}}]),
)
NAMES = st.sampled_from(["loss", "grad_norm", "grad_norm_actor", "grad_norm_max", "component", "components", "x"])
METRICS = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.fixed_dictionaries({"loss": st.floats(-1, 1), "x": st.floats(-1, 1)}),
)
RECORDS = st.lists(
    st.tuples(st.sampled_from(["p", "q"]), st.sampled_from([None, "actor"]), METRICS, st.integers(0, 3)),
    min_size=1,
    max_size=30,
)


def one_by_one(category: str, records: list[dict[str, Any]]) -> Numbers:
    """What is meant: the numbers of each record, by the words of `renderer.gather.Key`."""
    found: Numbers = {}
    words = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

    def value(record: dict[str, Any], name: str, component: str, one: Any, depth: int) -> None:
        if isinstance(one, str) and one in words and not (name == "component" and depth == 0):
            one = words[one]
        if isinstance(one, (int, float)):
            prefix = "grad_norm_"
            if category == "gradients" and not component and name.startswith(prefix) and name != "grad_norm_max":
                name, component = "grad_norm", name[len(prefix) :]
            key = Key(category, name, component, record["_p"])
            found.setdefault(key, []).append((float(record["step"]), record["timestamp"], float(one)))
        elif isinstance(one, dict):
            for inner, deeper in one.items():
                if depth == 0 and name == "components" and isinstance(deeper, dict):
                    for metric, number in deeper.items():
                        value(record, metric, inner, number, 2)
                else:
                    value(record, f"{name}.{inner}", component, deeper, depth + 1)

    for record in records:
        named = record.get("component")
        for name, one in record.items():
            if name not in ("_p", "_q", "timestamp", "step"):
                value(record, name, named if isinstance(named, str) else "", one, 0)
    return found


@settings(max_examples=300, deadline=None)
@given(RECORDS, st.sampled_from(["training", "gradients"]), st.integers(1, 30))
def test_columns_are_what_records_say_one_by_one(
    drawn: list[tuple[str, str | None, dict[str, Any], int]], category: str, cut: int
) -> None:
    """Records of one shape or many, numbers or not, by one producer or two: each series has its values in their order."""
    records = []
    for place, (producer, component, metrics, shift) in enumerate(drawn):
        named = {} if component is None else {"component": component}
        records.append(
            {"_p": producer, "_q": place, "timestamp": 5.0 + place, "step": place - shift, **named, **metrics}
        )
    columns = Columns()
    columns.take(category, records[:cut], 0)
    columns.take(category, records[cut:], cut)
    expected = one_by_one(category, records)
    found = columns.timed()
    assert set(found) == set(expected)
    for key, rows in expected.items():
        np.testing.assert_equal(np.stack(found[key], 1), np.array(rows))


def test_odd_steps_and_times_take_their_place() -> None:
    """A record without a usable step has its place in the file, one without a usable time that of the record before it."""
    columns = Columns()
    records = [
        {"loss": 1.0},
        {"step": True, "timestamp": 7.0, "loss": 2.0},
        {"step": 2.0**60, "timestamp": "x", "loss": 3.0},
    ]
    columns.take("training", records, 10, at=3.0)
    x, t, y = columns.timed()[Key("training", "loss", "", "")]
    assert (x.tolist(), t.tolist(), y.tolist()) == ([10, 11, 12], [3, 7, 7], [1, 2, 3])


LINES = st.lists(
    st.one_of(
        st.dictionaries(st.sampled_from(["step", "loss"]), st.floats(0, 1), max_size=2).map(orjson.dumps),
        st.sampled_from([b"", b"broken", b"[1]", b'{"a":1},{"b":2}', b"[", b"]", b'{"x":[1', b"1", b'{"loss":"NaN"}']),
        st.integers(0, 200_000).map(lambda n: b'{"pad":"' + b"x" * n + b'"}'),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(LINES, st.integers(1, 400_000), st.integers(0, 500_000))
def test_lines_in_pieces_are_those_of_the_file(lines: list[bytes], limit: int, seen: int) -> None:
    """Read while it grows, in whatever pieces, a file gives every whole line once, and its last one only when it is whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training_s.jsonl"
        content = b"".join(line + b"\n" for line in lines) + b'{"half'
        path.write_bytes(content[:seen])
        tail = Tail(path)
        pieces: list[bytes] = []
        for grown in (content[:seen], content):
            path.write_bytes(grown) if len(grown) >= len(content[:seen]) else None
            more = True
            while more:
                blocks, more = read_blocks(tail, limit)
                for block in blocks:
                    assert block.at == sum(map(len, pieces)) and block.data.endswith(b"\n")
                    pieces.append(block.data)
        assert b"".join(pieces) == content[: -len(b'{"half')]


def test_broken_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """A block with lines that are no records gives the others, as the reader of single lines does."""
    good = [encode_line("aaaaaaaaaaaa", n, 1.0, n, {"loss": float(n), "bad": math.nan}) for n in range(4)]
    data = b"\n".join([good[0], b"not json", good[1], b"[1]", b"", good[2], b'{"a":1},{"b":2}', good[3]]) + b"\n"
    path = tmp_path / "training_s.jsonl"
    path.write_bytes(data)
    tail = Tail(path)
    found = decode_lines(data, tail)
    assert [record["step"] for record in found] == [record["step"] for record in read_all(path)] == [0, 1, 2, 3]
    assert tail.broken == 3


def test_a_run_that_began_at_no_time_has_a_rate(tmp_path: Path) -> None:
    """Records and a start from the year 1970, or none at all, are no reason to fail: the rate is that of the last seconds."""
    from renderer.live.model import Model

    model = Model(tmp_path, "s")
    assert model.rate(1e9) == 0.0
    (tmp_path / "lifecycle_s.jsonl").write_bytes(b'{"_p":"aaaaaaaaaaaa","timestamp":0,"event":"start"}\n')
    (tmp_path / "training_s.jsonl").write_bytes(b'{"_p":"aaaaaaaaaaaa","timestamp":0,"step":1,"loss":1}\n')
    for category in ("lifecycle", "training"):
        model.add_file(category, tmp_path / f"{category}_s.jsonl")
    model.poll()
    assert model.is_active(5.0) and 0 < model.rate(5.0) <= 1
