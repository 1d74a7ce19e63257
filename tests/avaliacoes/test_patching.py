"""Methods that somebody else wrote, tapped."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import pytest

from avaliacoes.patching import Patch, extract


class Sink:
    """Stands where an integration would: keeps what is logged."""

    def __init__(self) -> None:
        self.records: list[tuple[str, int, dict[str, Any]]] = []
        self.problems: list[str] = []

    def log(self, category: str, step: int, /, **metrics: Any) -> None:
        self.records.append((category, step, metrics))

    def count_problem(self, kind: str, text: str) -> None:
        self.problems.append(text)


class Old:
    def write(self, epoch: int, loss: float, note: str = "") -> str:
        return f"{epoch} {loss}"

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """As a summary writer has it."""

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool = True) -> None:
        """As wandb has it."""

    def broken(self, **values: float) -> None:
        raise KeyError("theirs")


def test_every_signature_is_understood() -> None:
    """Named numbers, dicts, (name, value, step) and positional numbers all become records with their step."""
    sink, old = Sink(), Old()
    for method in ("write", "add_scalar", "log"):
        Patch(sink, old, method)  # type: ignore[arg-type]
    assert old.write(3, 0.5, note="text") == "3 0.5"
    old.add_scalar("train/loss", 0.25, 7)
    old.add_scalar(tag="val/loss", scalar_value=0.5, global_step=8)
    old.log({"loss": 1.0, "rollout/ep_rew_mean": 9, "text": "x"}, step=9)
    assert sink.records == [
        ("training", 3, {"loss": 0.5}),
        ("training", 7, {"loss": 0.25}),
        ("training", 8, {"val/loss": 0.5}),
        ("training", 9, {"loss": 1.0}),
        ("rewards", 9, {"rollout/ep_rew_mean": 9}),
    ]


def test_calls_without_a_step_are_counted() -> None:
    """Without a step, one begins whenever a metric comes again."""
    sink, old = Sink(), Old()
    Patch(sink, old, "add_scalar")  # type: ignore[arg-type]
    for name, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        old.add_scalar(name, value)
    assert [(step, metrics) for _, step, metrics in sink.records] == [(0, {"a": 1.0}), (0, {"b": 2.0}), (1, {"a": 3.0})]


def test_errors_of_the_original_come_through() -> None:
    """The method raises what it raised before, and what went into it is logged all the same."""
    sink, old = Sink(), Old()
    Patch(sink, old, "broken")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="theirs"):
        old.broken(loss=1.0)
    assert sink.records == [("training", 0, {"loss": 1.0})]


def test_undo_leaves_no_trace() -> None:
    """After undo the object is as it was, and a wrapper that somebody kept only passes calls through."""
    sink, old = Sink(), Old()
    patch = Patch(sink, old, "write")  # type: ignore[arg-type]
    kept = old.write
    patch.undo()
    assert "write" not in vars(old) and kept(1, 2.0) == "1 2.0" and sink.records == []


class Slotted:
    __slots__ = ("value",)

    def put(self, name: str, value: float) -> None:
        self.value = value


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: int = 1

    def put(self, name: str, value: float) -> None:
        """Does nothing."""


@pytest.mark.parametrize("kind", [Slotted, Frozen])
def test_objects_that_take_no_attributes(kind: Any) -> None:
    """Objects with __slots__ or frozen ones are tapped too, and get their class back."""
    sink, old = Sink(), kind()
    patch = Patch(sink, old, "put")  # type: ignore[arg-type]
    old.put("loss", 0.5)
    assert sink.records == [("training", 0, {"loss": 0.5})]
    patch.undo()
    old.put("loss", 0.7)
    assert type(old) is kind and len(sink.records) == 1


def test_what_cannot_be_tapped_says_so() -> None:
    """A built-in object, an attribute that is no method and a missing one are clear errors."""
    sink: Any = Sink()
    with pytest.raises(TypeError, match="cannot replace 'append'"):
        Patch(sink, [], "append")
    with pytest.raises(TypeError, match="not a method"):
        Patch(sink, types.SimpleNamespace(log=3), "log")
    with pytest.raises(AttributeError):
        Patch(sink, Old(), "nothing")


def test_modules_and_classes() -> None:
    """A module's function, a class's method and its static method are tapped and restored."""
    sink: Any = Sink()
    module = types.ModuleType("theirs")
    module.log = lambda data: len(data)  # type: ignore[attr-defined]

    class Fixed:
        @staticmethod
        def put(name: str, value: float) -> float:
            return value

    patches = [Patch(sink, module, "log"), Patch(sink, Old, "log"), Patch(sink, Fixed, "put")]
    assert module.log({"loss": 1.0}) == 1
    Old().log({"loss": 2.0}, 5)
    assert Fixed.put("loss", 3.0) == 3.0 and Fixed().put("loss", 3.0) == 3.0
    assert [metrics["loss"] for _, _, metrics in sink.records] == [1.0, 2.0, 3.0, 3.0]
    for patch in patches:
        patch.undo()
    assert isinstance(Fixed.__dict__["put"], staticmethod) and not hasattr(Old.log, "__wrapped__")


def test_texts_and_arrays_are_counted_not_logged() -> None:
    """A message with arguments is no metric; one-element arrays are numbers."""
    import numpy as np

    assert extract(("epoch %d done", 5), {}, ("message",)).metrics == {"value_1": 5}
    found = extract(({"a": np.float32(1.5), "b": np.ones(3), "c": np.ones(1), "d": "x"},), {})
    assert set(found.metrics) == {"a", "c"} and found.ignored == 2
