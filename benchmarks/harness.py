"""What every measurement shares: efforts, interleaving, medians, rows, and child processes that answer questions.

A machine is never quiet, so no figure stands alone: what is compared runs in turn, round by round, and a ratio is the
median of the rounds' own ratios. Its spread is the median absolute deviation (MAD).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EFFORTS = ("quick", "normal", "long")


@dataclass(frozen=True)
class Plan:
    """How much to do, and with what.

    Attributes:
        effort: "quick" (a minute, coarse), "normal", or "long" (ten million records, real gigabytes).
        peers_python: interpreter that has the optional peers.
    """

    effort: str = "normal"
    peers_python: str = sys.executable

    def pick(self, quick: Any, normal: Any, long: Any = None) -> Any:
        """The amount for this effort; `long` defaults to `normal`."""
        return {"quick": quick, "normal": normal, "long": normal if long is None else long}[self.effort]


@dataclass(frozen=True)
class Row:
    """One line of the table, ready to print.

    Attributes:
        what: what was measured.
        figure: ours, with its unit.
        beside: what it is compared with, and its figure.
        ratio: ours to that, with its spread.
        target: what is to be reached, in the words of the table; "" for a figure that is only told.
        reached: whether it is; None where there is no target.
    """

    what: str
    figure: str
    beside: str = ""
    ratio: str = ""
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios and its MAD."""

    value: float
    mad: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.mad:.2f}"


@dataclass
class Samples:
    """Figures by name, one for each round."""

    by_name: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: Mapping[str, float]) -> None:
        for name, figure in figures.items():
            self.by_name.setdefault(name, []).append(figure)

    def median(self, name: str) -> float:
        return statistics.median(self.by_name[name])

    def ratio(self, name: str, other: str) -> Ratio:
        """Median of the rounds' own ratios: what slows a whole round down cancels."""
        return ratio_of([a / b for a, b in zip(self.by_name[name], self.by_name[other], strict=True) if b])


def ratio_of(ratios: Sequence[float]) -> Ratio:
    middle = statistics.median(ratios)
    return Ratio(middle, statistics.median(abs(r - middle) for r in ratios))


def interleaved(contenders: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int) -> Samples:
    """Run every contender once per round, each round beginning with another one; the first round is thrown away.

    A contender returns figures by name; names must differ between contenders.
    """
    samples = Samples()
    names = list(contenders)
    for number in range(rounds + 1):
        turn = number % len(names)
        figures: dict[str, float] = {}
        for name in names[turn:] + names[:turn]:
            figures.update(contenders[name]())
        if number:
            samples.add(figures)
    return samples


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# Child processes


class Child:
    """`python -m <module> <arguments>` that answers JSON lines; ended by closing its input, then by its id."""

    def __init__(self, module: str, *arguments: str, python: str = sys.executable, stderr: Any = None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"
        self.process = subprocess.Popen(
            [python, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, command: str, **arguments: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([command, arguments]) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to what was told.

        Raises:
            RuntimeError: the child ended, or says what went wrong.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        found = json.loads(line)
        if isinstance(found, dict) and "failed" in found:
            raise RuntimeError(found["failed"])
        return found

    def ask(self, command: str, **arguments: Any) -> Any:
        self.tell(command, **arguments)
        return self.answer()

    def close(self, seconds: float = 15.0) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                assert self.process.stdin is not None
                self.process.stdin.close()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answer a parent's questions until it closes our input. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            found = commands[command](**arguments)
        except Exception as error:  # told to the parent, who decides
            found = {"failed": str(error) if type(error) is RuntimeError else f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """No garbage collection of what came before in the middle of a measurement."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
