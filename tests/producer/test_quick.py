"""The compiled log call by itself: the same bytes as msgpack, everything else handed on, nothing written where it should not."""

from __future__ import annotations

import gc
import inspect
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer import quick
from producer.values import SUSPECT_BYTES

COMPILED = quick.compiled()
pytestmark = pytest.mark.skipif(COMPILED is None, reason="the log call was not compiled")
#: Bytes of msgpack before a record's step: an array of three, a double.
AT_STEP = 10


class Bench:
    """A compiled call over a block of its own, with everything noted that it hands on."""

    def __init__(self, size: int = 1 << 16, margin: int = 64) -> None:
        assert COMPILED is not None
        self.memory = bytearray(b"\xa5" * (size + 2 * margin))
        self.heads = memoryview(bytearray(16)).cast("Q")
        self.turn: list[Any] = [0]
        self.handed: list[tuple[Any, dict[str, Any]]] = []
        self.attended = 0
        self.signs = bytearray(2)
        self.margin, self.size = margin, size
        self.call = COMPILED(self._slow, self.turn, self._attend, SUSPECT_BYTES)
        self.call.open(memoryview(self.memory), self.heads, 1, margin, margin + size)
        self.call.listen(self.signs)

    def _slow(self, step: Any, /, **metrics: Any) -> None:
        """Documented."""
        self.handed.append((step, metrics))

    def _attend(self) -> None:
        self.attended += 1

    def packed(self) -> bytes:
        return bytes(self.memory[self.margin : self.margin + (self.heads[1] & 0xFFFFFFFF)])

    def records(self) -> list[Any]:
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(self.packed())
        return list(unpacker)

    def outside_is_untouched(self) -> bool:
        around = bytes(self.memory[: self.margin]) + bytes(self.memory[self.margin + self.size :])
        return around == b"\xa5" * (2 * self.margin) and self.heads[0] == 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


plain = st.one_of(
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-70_000, 70_000),
    st.booleans(),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.floats().map(np.float64),
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(lambda name: name != "step")


@given(
    step=st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-300, 300)),
    metrics=st.dictionaries(names, plain, max_size=20),
    by_name=st.booleans(),
)
def test_the_bytes_are_those_of_msgpack(step: int, metrics: dict[str, Any], by_name: bool) -> None:
    bench = Bench()
    before = time.time()
    if by_name:
        bench.call(**metrics, step=step)
    else:
        bench.call(step, **metrics)
    if bench.handed:  # too long in all
        assert len(msgpack.packb((0.0, step, metrics))) > SUSPECT_BYTES - 20 * 9
        return
    packed = bench.packed()
    assert bench.heads[1] >> 32 == 1
    assert packed[AT_STEP:] == msgpack.packb((0.0, step, metrics))[AT_STEP:]
    assert before - 1e-3 <= msgpack.unpackb(packed, strict_map_key=False)[0] <= time.time() + 1e-3
    assert bench.turn == [step]
    assert bench.outside_is_untouched()


@pytest.mark.parametrize(
    ("step", "metrics"),
    [
        (1, {"values": [1.0, 2.0]}),
        (1, {"losses": np.ones(2)}),
        (1, {"loss": np.array(0.5)}),
        (1, {"loss": np.longdouble(0.5)}),
        (1, {"done": np.bool_(True)}),
        (1, {"when": np.datetime64("2025-01-01")}),
        (1, {"count": np.uint64(2**63)}),
        (1, {"loss": type("numpy.float32", (), {"__float__": lambda _: 1 / 0})()}),
        (1, {"count": 2**63}),
        (1, {"nested": {"a": 1}}),
        (1, {"data": b"x"}),
        (1, {"text": "x" * SUSPECT_BYTES}),
        (1, {"half": "\ud800"}),
        (1, {"\ud800": 1.0}),
        (1, {"x" * 1_100: 1.0}),
        (1, {f"metric_{n}": 1.0 for n in range(65)}),
        (1.0, {"loss": 1.0}),
        (True, {"loss": 1.0}),
        (2**63, {"loss": 1.0}),
        (None, {}),
    ],
)
def test_what_is_not_plain_is_handed_on_and_nothing_is_published(
    bench: Bench, step: Any, metrics: dict[str, Any]
) -> None:
    bench.call(7, loss=0.5)
    word = bench.heads[1]
    bench.call(step, **metrics)
    assert bench.handed == [(step, metrics)]
    assert bench.heads[1] == word
    assert bench.turn == [7]
    bench.call(8, loss=0.25)
    assert [record[1:] for record in bench.records()] == [[7, {"loss": 0.5}], [8, {"loss": 0.25}]]


@pytest.mark.parametrize(
    "kind", ["float64", "float32", "float16", "int8", "int16", "int32", "int64", "uint8", "uint64"]
)
def test_scalars_of_numpy_are_numbers(bench: Bench, kind: str) -> None:
    value = np.dtype(kind).type(100 / 3)
    bench.call(1, value=value, other=2.0)
    assert bench.packed()[AT_STEP:] == msgpack.packb((0.0, 1, {"value": value.item(), "other": 2.0}))[AT_STEP:]


def test_calls_of_many_shapes_in_turn_keep_their_own_names(bench: Bench) -> None:
    """Names are packed once for calls that look alike; another call site, a dict, and another order are told apart."""
    same = {"b": 2.0, "a": 1.0}
    for step in range(3):
        bench.call(step, a=1.0, b=2.0)
        bench.call(step, **same)
        bench.call(step, a=3.0)
        bench.call(b=4.0, step=step)
        bench.call(step, **{"a" + "b" * n: float(n) for n in range(step)})
        bench.call(step)
    expected: list[Any] = []
    for step in range(3):
        expected += [[step, one] for one in ({"a": 1.0, "b": 2.0}, same, {"a": 3.0}, {"b": 4.0})]
        expected += [[step, {"a" + "b" * n: float(n) for n in range(step)}], [step, {}]]
    assert [record[1:] for record in bench.records()] == expected
    assert [list(record[2]) for record in bench.records()][:2] == [["a", "b"], ["b", "a"]]


@pytest.mark.parametrize("value", [0.5, 1 << 40, "x" * 37, None, True], ids=str)
def test_a_block_is_filled_and_never_run_over(value: object) -> None:
    """Whatever a block's size, records end within it; the first that may not fit is handed on."""
    for size in range(1, 300):
        bench = Bench(size)
        for step in range(20):
            bench.call(step, metric=value, other=value)
            if bench.handed:
                break
        assert bench.handed
        assert bench.outside_is_untouched()
        assert (bench.heads[1] & 0xFFFFFFFF) <= size
        assert len(bench.records()) == bench.heads[1] >> 32


def test_a_call_that_lacks_its_turn_or_its_block_is_handed_on(bench: Bench) -> None:
    token = bench.turn.pop()
    bench.call(1, loss=1.0)
    bench.turn.append(token)
    bench.call.shut()
    bench.call(2, loss=1.0)
    assert [step for step, _ in bench.handed] == [1, 2] and not bench.records()


def test_wrong_calls_fail_as_they_do_in_python(bench: Bench) -> None:
    call: Callable[..., None] = bench.call
    with pytest.raises(TypeError):
        call(loss=1.0)
    with pytest.raises(TypeError):
        call(1, 2, loss=1.0)
    with pytest.raises(TypeError):
        call(1, **{2: 1.0})  # type: ignore[misc]


def test_a_block_outside_its_memory_is_refused(bench: Bench) -> None:
    view = memoryview(bytearray(100))
    for head, begin, end in [(2, 0, 100), (-1, 0, 100), (0, -1, 100), (0, 50, 40), (0, 0, 101)]:
        with pytest.raises(ValueError, match="does not lie"):
            bench.call.open(view, bench.heads, head, begin, end)
    with pytest.raises(TypeError):
        bench.call.open(bytes(100), bench.heads, 0, 0, 100)  # type: ignore[arg-type]
    with pytest.raises((ValueError, BufferError)):
        bench.call.open(memoryview(bytes(100)), bench.heads, 0, 0, 100)
    bench.call(1, loss=1.0)
    assert bench.handed  # no block is better than a wrong one


def test_signs_are_attended_to_after_the_record(bench: Bench) -> None:
    bench.call(1, loss=1.0)
    assert not bench.attended
    for sign in (0, 1):
        bench.signs[sign] = 1
        bench.call(2, loss=1.0)
        bench.signs[sign] = 0
    assert bench.attended == 2 and len(bench.records()) == 3


def test_it_looks_like_the_call_in_python(bench: Bench) -> None:
    call: Any = bench.call
    assert call.__name__ == "_slow" and call.__doc__ == "Documented."
    assert str(inspect.signature(call)) == "(step: 'Any', /, **metrics: 'Any') -> 'None'"
    assert "of <bound method" in repr(call)
    with pytest.raises(AttributeError):
        _ = call.nothing_of_the_kind


def test_nothing_is_kept_of_what_was_logged(bench: Bench) -> None:
    """Steps, values and names are let go of; a call that is part of a cycle with its block is collected."""
    step, value, metrics = 10**6, math.sqrt(2), {"a_name_of_its_own_" + str(n): 1.0 for n in range(3)}
    for _ in range(3):
        bench.call(step, value=value, **metrics)
    bench.call(0)
    bench.call(0, other=1.0)
    counts = [sys.getrefcount(one) for one in (step, value, *metrics)]
    for _ in range(1000):
        bench.heads[1] = 0
        bench.call(step, value=value, **metrics)
        bench.call(step, **{**metrics, "values": []})
    assert len(bench.handed) == 1000
    bench.call(0)
    bench.call(0, other=1.0)
    bench.handed.clear()
    assert [sys.getrefcount(one) for one in (step, value, *metrics)] == counts
    alive: list[int] = []

    class Told(Bench):
        def __del__(self) -> None:
            alive.remove(id(self))

    for _ in range(10):
        one = Told()
        alive.append(id(one))
        one.call(1, loss=1.0)
    del one
    gc.collect()
    assert not alive


def test_it_can_be_switched_off_and_an_old_library_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(quick.ENV_PURE, "1")
    assert quick.compiled() is None
    monkeypatch.setenv(quick.ENV_PURE, "0")
    assert quick.compiled() is COMPILED
    monkeypatch.setattr(quick, "AGREEMENT", quick.AGREEMENT + 1)
    assert quick.compiled() is None
