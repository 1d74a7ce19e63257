"""The decision about a batch, and the heart without sockets, held against a model that cannot be wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_producer import payload_of, record

from collector.counts import Counts
from collector.encode import encode
from collector.ingest import Ingest
from collector.ledger import Kind, decide
from collector.people import GRACE_S, SILENT_S, People
from collector.recovery import cut_torn_tails
from collector.sessions import Sessions
from collector.store import Store
from contract import names, places, wire

S = "run_20250101_000000"
P = "0123456789ab"


@pytest.mark.parametrize(
    ("expected", "first", "count", "floor", "kind", "skip", "lost"),
    [
        (5, 2, 3, 0, Kind.DUPLICATE, 0, 0),
        (5, 3, 5, 0, Kind.ACCEPT, 2, 0),
        (5, 5, 5, 0, Kind.ACCEPT, 0, 0),
        (5, 7, 3, 0, Kind.GAP, 0, 0),
        (5, 7, 3, 5, Kind.GAP, 0, 0),
        (5, 7, 3, 7, Kind.ACCEPT, 0, 2),
        (5, 9, 3, 7, Kind.GAP, 0, 2),
    ],
)
def test_the_table(expected: int, first: int, count: int, floor: int, kind: Kind, skip: int, lost: int) -> None:
    """Each case of the picture in `collector.ledger`."""
    assert decide(expected, first, count, floor) == (kind, skip, lost)


def heart(base: Path) -> Ingest:
    places.prepare_base(base)
    return Ingest(base, Counts(say=lambda _text: None), People())


def stored(base: Path) -> list[int]:
    path = base / f"training_{S}.jsonl"
    return [orjson.loads(line)["n"] for line in path.read_bytes().splitlines()] if path.exists() else []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_sent_and_however_writes_fail_the_file_is_the_sequence(data: st.DataObject) -> None:
    """Any order of batches, any short or failed write, any crash: the file holds 0..n-1 once, and n is what is acked."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        ingest = heart(base)
        true_write = os.write

        def flaky(fd: int, content: bytes) -> int:
            # Checkpoints and quarantine go through os.write too: they may fail as well.
            fate = data.draw(st.sampled_from(["ok", "ok", "short", "full"]))
            if fate == "full":
                raise OSError(28, "No space left on device")
            # A share and not a length: lines with the time of day in them are not always equally long.
            keep = len(content) if fate == "ok" else data.draw(st.integers(0, 999)) * len(content) // 1000
            return true_write(fd, content[:keep]) if keep else 0

        acked = 0
        for _ in range(data.draw(st.integers(1, 6))):
            with mock.patch("os.write", flaky):
                for _ in range(data.draw(st.integers(0, 4))):
                    first = data.draw(st.integers(max(0, acked - 4), acked + 6))
                    count = data.draw(st.integers(1, 6))
                    payload = payload_of([record(n) for n in range(first, first + count)])
                    header = wire.pack_header(P, "training", first, count, min(acked, first))
                    ingest.take([wire.topic_of(S, "training"), header, payload])
                for file in list(ingest.store.failing.values()):
                    file.retry_at = 0.0
                ingest.commit()
            now_acked = ingest.acks(list(ingest.to_ack)).get(P, {}).get("training", acked)
            ingest.to_ack.clear()
            assert now_acked >= acked
            acked = now_acked
            if data.draw(st.booleans()):
                ingest.store.close()
                for path in base.glob("*.jsonl"):
                    if data.draw(st.booleans()):
                        with path.open("ab") as file:
                            file.write(b'{"_p":"0123456789ab","_q":9')
                ingest = heart(base)
        cut_torn_tails(base, lambda _name, _tail: None)
        assert stored(base)[:acked] == list(range(acked))
        if (base / f"training_{S}.jsonl").exists():
            ingest.take(
                [
                    wire.topic_of(S, "training"),
                    wire.pack_header(P, "training", acked, 1, 0),
                    payload_of([record(acked)]),
                ]
            )
            for file in list(ingest.store.failing.values()):
                file.retry_at = 0.0
            ingest.commit()
            assert stored(base) == list(range(len(stored(base)))) and len(stored(base)) > acked - 1
        ingest.close(2.0)


@settings(max_examples=300, deadline=None)
@example([[0, None, {}], [1, 2, {"timestamp": 3}]])
@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.integers(), inner, max_size=5),
            max_leaves=30,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_record_is_a_line_or_kept_apart(values: list[object]) -> None:
    """Whatever a payload holds, every sequence gives one valid line or one entry for the quarantine."""
    encoded = encode(P, 3, [(1.0, 1, {"value": value}) for value in values] + values, 1_700_000_000.0)
    lines = encoded.data.splitlines()
    assert len(lines) == encoded.count and encoded.count + len(encoded.refused) == 2 * len(values)
    for line in lines:
        found = orjson.loads(line)
        assert type(found["step"]) is int and type(found["timestamp"]) is float and found["_p"] == P
    assert encoded.count >= len(values)


def test_sessions_beyond_the_bound_rest_in_their_checkpoints(tmp_path: Path) -> None:
    """The least recently used sessions are closed, and know where they were when they are needed again."""
    places.prepare_base(tmp_path)
    ingest = heart(tmp_path)
    ingest.sessions = Sessions(tmp_path, ingest.store, ingest.counts, power=False, limit=3)
    for turn in range(3):
        for number in range(10):
            topic = wire.topic_of(f"run{number}", "training")
            records = payload_of([record(n) for n in range(turn * 5, turn * 5 + 5)])
            for _ in range(2):
                ingest.take([topic, wire.pack_header(f"{number:012x}", "training", turn * 5, 5, 0), records])
                ingest.commit()
    assert len(list(ingest.sessions)) <= 3
    assert ingest.counts.stored == 150 and ingest.counts.duplicates == 150
    for number in range(10):
        lines = (tmp_path / names.file_name("training", f"run{number}")).read_bytes().splitlines()
        assert [orjson.loads(line)["n"] for line in lines] == list(range(15))
    ingest.close(2.0)


def test_who_is_alive() -> None:
    """A producer counts as there until it says goodbye, or has said nothing for a while."""
    people = People()
    assert not people.anybody() and not people.alive(0.0)
    people.heard(P, S, 100.0)
    assert people.alive(100.0 + SILENT_S) and not people.alive(100.1 + SILENT_S)
    people.learn(P, S, [(0.0, 0, {"event": "end"})])
    assert not people.alive(100.0) and people.count(101.0, 10.0) == 1
    people.learn(P, S, [(0.0, 0, {"event": "heartbeat", "waiting": 3, 5: 1, "session": 9})])
    assert people.alive(100.0) and people.table(100.0)[P]["waiting"] == 3 and people.table(100.0)[P]["session"] == S
    assert people.learn(P, S, [(0.0, 0, {"event": "gap", "dropped": 7}), "rubbish", (0.0, 0, {"event": "gap"})]) == 7
    assert GRACE_S > SILENT_S


def test_a_store_on_a_folder_that_vanished_makes_it_again(tmp_path: Path) -> None:
    """Somebody removes the whole data folder: what comes next is stored in a new one."""
    base = tmp_path / "data"
    places.prepare_base(base)
    store = Store(base, Counts(say=lambda _text: None))
    assert store.append(store.file("training_x.jsonl"), b"1\n") == 2
    for path in sorted(base.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    base.rmdir()
    assert store.append(store.file("training_x.jsonl"), b"2\n") == 2
    assert (base / "training_x.jsonl").read_bytes() == b"2\n"
    store.close()
