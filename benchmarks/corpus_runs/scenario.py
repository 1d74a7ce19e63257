"""What a run is before it has run: a function that trains, and what must be seen afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from avaliacoes.logger_integration import TrainingLoggerIntegration
from benchmarks.corpus_runs.outcome import Proof

#: Everything that was defined, by name; filled by `healthy` and `broken` when their modules are imported.
SCENARIOS: dict[str, Scenario] = {}


@dataclass(slots=True)
class Run:
    """What a training function gets: an open session to log to, and its seed."""

    log: TrainingLoggerIntegration
    seed: int
    #: Seeded once more, so that data do not change with the number of a model's weights.
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        random.seed(self.seed)
        np.random.seed(self.seed)  # what gymnasium and SB3 read
        torch.manual_seed(self.seed)
        self.rng = np.random.default_rng(self.seed)


Train = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run.

    Args:
        name: `h_...` or `b_...`, what it is meant to be.
        algo: algorithm, or "supervised", "generative", ...
        proof: says from the records whether it turned out as meant; a broken run's proof is that it was hurt.
        expect: rules any of which would be a right answer.
        onset: first training step at which something is wrong.
        processes: the fault is the process's own (killed, hung, slow): its lifecycle records are kept.
        only_once: too slow or too large for every seed.
        also: rules that tell something true of a healthy run, though it learns.
    """

    name: str
    algo: str
    train: Train
    proof: Proof
    why: str
    fault: str = ""
    expect: tuple[str, ...] = ()
    onset: int = 0
    processes: bool = False
    only_once: bool = False
    also: tuple[str, ...] = ()

    @property
    def meant(self) -> str:
        return "broken" if self.fault else "healthy"


def healthy(
    name: str,
    algo: str,
    proof: Proof,
    why: str,
    *,
    processes: bool = False,
    only_once: bool = False,
    also: tuple[str, ...] = (),
) -> Callable[[Train], Train]:
    """Define a run that learns, or is as it should be by nature."""

    def define(train: Train) -> Train:
        SCENARIOS[name] = Scenario(name, algo, train, proof, why, processes=processes, only_once=only_once, also=also)
        return train

    return define


def broken(
    name: str,
    algo: str,
    proof: Proof,
    fault: str,
    expect: str,
    onset: int = 0,
    *,
    processes: bool = False,
    only_once: bool = False,
) -> Callable[[Train], Train]:
    """Define a sabotaged run; `expect` are names of rules, by blanks; the function's docstring says why it is wrong."""

    def define(train: Train) -> Train:
        why = " ".join((train.__doc__ or "").split())
        rules = tuple(expect.split())
        SCENARIOS[name] = Scenario(name, algo, train, proof, why, fault, rules, onset, processes, only_once)
        return train

    return define
