"""The decoders alone, against whatever hypothesis comes up with: they return, or refuse with a reason, and nothing else."""

from __future__ import annotations

import json
import time

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from mutate import Mutator

from collector import encode
from contract import keys, names, wire
from contract.lines import LineRefused, decode_line

REASONS = {"parts", "topic", "header", "name", "range", "oversize"}
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(-(2**63), 2**64 - 1), inner, max_size=4)
    ),
    max_leaves=20,
)


PRODUCERS = st.text("0123456789abcdef", min_size=12, max_size=12)


def decode(parts: list[bytes]) -> None:
    """The whole way from frames to lines, as the collector goes it."""
    try:
        batch, payload = wire.unpack_batch(parts)
    except wire.FrameRefused as error:
        assert error.reason in REASONS
        return
    names.check_session(batch.session)
    records, refused = encode.unpack(batch, payload)
    assert len(records) + sum(count for _, count, _, _ in refused) == batch.count
    encoded = encode.encode(batch.producer, batch.first_seq, list(records), time.time())
    lines = encoded.data.splitlines()
    assert len(lines) == encoded.count
    for line in lines:
        assert list(json.loads(line, parse_constant=lambda word: 1 / 0))[:2] == ["_p", "_q"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes(parts: list[bytes]) -> None:
    """Arbitrary frames are refused with a reason that is counted."""
    decode(parts)


@settings(max_examples=500, deadline=None)
@given(st.lists(PLAIN, max_size=8), st.binary(max_size=100))
def test_any_header_and_payload(header: list[object], payload: bytes) -> None:
    """Well-formed msgpack of any content in the header, any bytes in the payload."""
    decode([b"tm1/run_1/training", msgpack.packb(header), payload])


@settings(max_examples=500, deadline=None)
@given(st.lists(PLAIN, min_size=1, max_size=5), st.binary(max_size=10))
def test_any_records(records: list[object], rest: bytes) -> None:
    """Well-formed envelopes around any values: every line is JSON, what cannot be one is told apart, none is forgotten."""
    payload = b"".join(msgpack.packb(record) for record in records) + rest
    header = wire.pack_header("0123456789ab", "training", 0, len(records), 0)
    decode([b"tm1/run_1/training", header, payload])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_any_seed_of_the_mutator(seed: int) -> None:
    """What the live run sends, in the decoder's own process, where a failure can be made small."""
    mutator = Mutator(seed, 2)
    for _ in range(5):
        decode(mutator.message())


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"A"]))
def test_any_ack_and_feed(data: bytes, head: bytes) -> None:
    """Acks and feed headers, read by clients, are understood or refused."""
    for call in (lambda: wire.unpack_ack(head + data, "0123456789ab"), lambda: wire.unpack_feed(data)):
        try:
            call()
        except wire.FrameRefused as error:
            assert error.reason in ("ack", "feed")
    every = wire.ack_interval(head + data)
    assert every is None or 0 <= every <= wire.MAX_ACK_INTERVAL_S


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        PRODUCERS, st.dictionaries(st.just("training"), st.integers(0, 2**53 - 1), min_size=1), max_size=40
    ),
    st.floats(0, 60),
)
def test_acks_are_read_as_they_were_written(moved: dict[str, dict[str, int]], every: float) -> None:
    """Every producer finds what an ack says of it, and how rarely acks come; whoever is not in it finds nothing."""
    frame = wire.pack_ack(moved, every)
    assert all(wire.unpack_ack(frame, producer) == found for producer, found in moved.items())
    assert wire.unpack_ack(frame, "f" * 12) == moved.get("f" * 12, {})
    said = wire.ack_interval(frame)
    if every == 0:
        assert said is None
    else:
        assert said == min(round(1000 * every) / 1000, wire.MAX_ACK_INTERVAL_S)
    assert wire.ack_interval(wire.pack_ack(moved)) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_line(line: bytes) -> None:
    """A line of a data file is a record or is refused."""
    try:
        assert type(decode_line(line)) is dict
    except LineRefused:
        pass


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_name(name: str) -> None:
    """A name that is accepted is a plain file name: it holds no separator, no control character, and does not climb."""
    for check in (names.check_session, names.check_category, names.check_producer, keys.check_name):
        try:
            accepted = check(name)
        except (names.NameRefused, keys.KeysRefused):
            continue
        assert accepted.isascii() and accepted.isprintable() and "/" not in accepted and ".." not in accepted
