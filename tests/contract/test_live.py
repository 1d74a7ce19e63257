"""The words that a producer and a collector share in a ring file."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract import blocks, names
from contract.live import FRESH_S, MAX_SEQ, NO, PAGE, RELIED, WELCOME, LiveWords, Mark

TAGS = st.integers(1, names.MAX_CATEGORIES_PER_PRODUCER)
MARKS = st.builds(Mark, st.integers(0, MAX_SEQ - 1), st.integers(0, blocks.BLOCK_BYTES))
WRITES = st.one_of(
    st.tuples(st.just("wish"), st.just(0), st.sampled_from((NO, WELCOME, RELIED))),
    st.tuples(st.just("beat"), st.just(0), st.integers(0, 2**63 - 1)),
    st.tuples(st.just("current"), TAGS, st.none() | st.integers(0, 1 << 20)),
    st.tuples(st.just("stored"), TAGS, MARKS),
    st.tuples(st.just("sent"), TAGS, MARKS),
)


def write(live: LiveWords, name: str, tag: int, value: Any) -> None:
    if tag:
        getattr(live, f"note_{name}")(tag, value)
    else:
        setattr(live, name, value)


@given(st.lists(WRITES, max_size=30))
def test_every_word_is_read_as_it_was_written_and_touches_no_other(writes: list[tuple[str, int, Any]]) -> None:
    """Whatever is written in whatever order, each word holds what was last written to it, and the ring's head is untouched."""
    page = bytearray(PAGE)
    head = blocks.pack_ring_head(7, 1, 1.0, "a" * 12, "s" * names.MAX_SESSION_CHARS)
    page[: len(head)] = head
    live = LiveWords(memoryview(page))
    known: dict[tuple[str, int], Any] = {}
    for name, tag, value in writes:
        write(live, name, tag, value)
        known[name, tag] = value
    for (name, tag), value in known.items():
        assert (getattr(live, name)(tag) if tag else getattr(live, name)) == value
    assert page[: len(head)] == head
    untouched = [tag for tag in range(1, names.MAX_CATEGORIES_PER_PRODUCER + 1) if ("stored", tag) not in known]
    assert all(live.stored(tag) == Mark(0, 0) for tag in untouched)


def test_a_beat_is_fresh_for_a_moment_and_never_before_it_came() -> None:
    """A collector that stopped, or one with another clock, is not relied upon."""
    live = LiveWords(memoryview(bytearray(PAGE)))
    limit = int(FRESH_S * 1e9)
    assert not live.fresh(10 * limit)
    live.beat = 10 * limit
    assert live.fresh(10 * limit) and live.fresh(11 * limit - 1)
    assert not live.fresh(11 * limit) and not live.fresh(10 * limit - 1)
