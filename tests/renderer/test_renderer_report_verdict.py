"""The verdict: one test per word, from curves made for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from contract.lifecycle import CRASHED, FINISHED, RUNNING, STALLED
from renderer.gather import Key
from renderer.report import stats, verdict
from renderer.report.metrics import Objective
from renderer.report.stats import Floats
from renderer.report.verdict import Case, Symptom

CRITICAL = Symptom("the gradient norm jumped 300x at step 410", True, 420.0)


def case(y: Floats, kind: str = "reward", noise: float = 5.0, **more: Any) -> Case:
    """A run whose reward or loss is `y` and noise, one record a step."""
    y = y + np.random.default_rng(7).normal(0, noise, len(y))
    x, n = np.arange(len(y), dtype=float), np.ones(len(y))
    log = kind == "loss" and bool((y > 0).all()) and y.max() / y.min() > 100
    shown = stats.curve(x, y, n, kind == "reward")
    judged = stats.curve(x, np.log10(y), n, False) if log else shown
    key = Key("rewards" if kind == "reward" else "training", "episode_reward" if kind == "reward" else "loss", "", "")
    return Case(len(y), Objective(key, kind, len(y), shown, judged, log), **more)


def rise(until: float, low: float = 20.0, high: float = 400.0, n: int = 600) -> Floats:
    """A reward that rises until that share of the run, then stays."""
    return low + (high - low) * np.minimum(np.arange(n) / (until * n), 1.0)


def fall(n: int, begin: int, to: float, of: Floats) -> Floats:
    """A reward that from a record on is something else."""
    y = of.copy()
    y[begin:n] = to
    return y


BRANCHES: dict[str, tuple[str, Callable[[], Case]]] = {
    "nothing": (verdict.NO_DATA, lambda: Case(0, None)),
    "no objective": (verdict.NO_DATA, lambda: Case(900, None)),
    "few values": (verdict.NO_DATA, lambda: case(np.arange(10.0))),
    "ended in NaN": (verdict.DIVERGED, lambda: case(rise(1.0), ended_bad=(("loss", 100, 350.0), ("grad_norm", 12, 349.0)))),
    "NaN with few values": (verdict.DIVERGED, lambda: case(np.arange(10.0), ended_bad=(("loss", 40, 10.0),))),
    "loss far above": (verdict.DIVERGED, lambda: case(2.3 + 40 * np.linspace(0, 1, 600) ** 2, "loss", 0.05)),
    "loss over decades": (verdict.DIVERGED, lambda: case(10.0 ** np.linspace(0, 8, 600), "loss", 0.0)),
    "collapsed": (verdict.COLLAPSED, lambda: case(fall(600, 450, 60.0, rise(0.5)))),
    "collapsed, with a symptom": (verdict.COLLAPSED, lambda: case(fall(600, 450, 60.0, rise(0.5)), symptoms=(CRITICAL,))),
    "unstable": (verdict.UNSTABLE, lambda: case(fall(600, 450, 250.0, rise(0.5)), symptoms=(CRITICAL,))),
    "unstable from the start": (verdict.UNSTABLE, lambda: case(fall(600, 100, 5.0, rise(99.0)), noise=1.0, symptoms=(CRITICAL,))),
    "worse": (verdict.WORSE, lambda: case(fall(600, 100, 5.0, rise(99.0)), noise=1.0)),
    "loss a little worse": (verdict.WORSE, lambda: case(2.0 + 0.4 * np.linspace(0, 1, 600), "loss", 0.05)),
    "fell back": (verdict.FELL_BACK, lambda: case(fall(600, 450, 250.0, rise(0.5)))),
    "loss fell back": (verdict.FELL_BACK, lambda: case(fall(600, 450, 1.2, 2.5 - rise(0.5, 0, 2.0)), "loss", 0.05)),
    "still learning": (verdict.LEARNING, lambda: case(rise(1.0))),
    "loss still learning": (verdict.LEARNING, lambda: case(2.0 * np.exp(-np.arange(600) / 100.0), "loss", 0.0)),
    "plateau": (verdict.PLATEAU, lambda: case(rise(0.4))),
    "plateau in spite of an alert": (verdict.PLATEAU, lambda: case(rise(0.4), symptoms=(CRITICAL,))),
    "flat": (verdict.NO_LEARNING, lambda: case(np.full(600, 21.0))),
    "constant": (verdict.NO_LEARNING, lambda: case(np.zeros(600), noise=0.0)),
    "flat in spite of an alert": (verdict.NO_LEARNING, lambda: case(np.full(600, 21.0), symptoms=(CRITICAL,))),
    "below the change that counts": (verdict.NO_LEARNING, lambda: case(np.linspace(100.0, 100.4, 600), noise=0.01)),
}  # fmt: skip


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_leads_to_its_word(branch: str) -> None:
    """Each curve leads to the word meant for it, and the sentence begins with that word and has no placeholder in it."""
    word, make = BRANCHES[branch]
    course, said = verdict.decide(make())
    assert course.word == word
    assert said.startswith(f"{word}: ") and len(said) > len(word) + 5
    assert not {"nan", "None", "inf"} & set(said.replace(",", " ").split())


def test_every_word_of_the_table_is_tested() -> None:
    """No course without a branch above, and none that can never be reached: the last holds always."""
    assert {word for word, _ in BRANCHES.values()} == {course.word for course in verdict.COURSES}
    assert verdict.COURSES[-1].holds(Case(0, None)) and all(course.rule for course in verdict.COURSES)


def test_an_old_symptom_explains_no_later_fall() -> None:
    """An alert that was last seen before the best is not named as what the fall came with; one at an unknown step is."""
    curve = fall(600, 450, 250.0, rise(0.5))
    early, unknown = Symptom("long ago", True, 30.0), Symptom("some time", False, None)
    assert verdict.decide(case(curve, symptoms=(early,)))[0].word == verdict.FELL_BACK
    course, said = verdict.decide(case(curve, symptoms=(early, unknown)))
    assert course.word == verdict.UNSTABLE and "some time" in said and "long ago" not in said


def test_the_sentence_has_the_numbers() -> None:
    """What fell is told with its beginning, best, end and share; what is lost beyond all that was gained is not a share."""
    said = verdict.decide(case(fall(600, 450, 250.0, rise(0.5)), noise=1.0, symptoms=(CRITICAL,)))[1]
    assert "jumped 300x at step 410" in said and ("38 % below that best" in said or "37 % below that best" in said)
    assert "400" in said and "250" in said and "episode_reward" in said
    said = verdict.decide(case(fall(600, 450, -100.0, rise(0.5))))[1]
    assert "all that had been gained is lost" in said and "%" not in said


@pytest.mark.parametrize(
    ("ending", "word", "begin"),
    [
        (FINISHED, verdict.PLATEAU, "Learned, then plateaued: "),
        (RUNNING, verdict.PLATEAU, "So far, learned, then plateaued: "),
        (STALLED, verdict.PLATEAU, "So far, learned, then plateaued: "),
        (CRASHED, "crashed", "Crashed at step 599 (ValueError: boom). Until then, learned, then plateaued: "),
        ("interrupted", "stopped early", "Stopped early at step 599. Until then, learned, then plateaued: "),
    ],
)
def test_the_ending_is_told_apart_from_the_course(ending: str, word: str, begin: str) -> None:
    """A crash or an interruption is the headline, and what the data show until then is told after it."""
    how = "ValueError: boom" if ending == CRASHED else ""
    found = verdict.verdict(case(rise(0.4)), ending, how, " at step 599")
    assert found["word"] == word and found["course"] == verdict.PLATEAU
    assert found["sentence"].startswith(begin) and found["sentence"].endswith(".")
    assert found["ending"] == verdict.ENDINGS[ending][0]


def test_not_a_number_is_counted_no_further_than_was_looked() -> None:
    """The last hundred values are looked at; a longer stretch is said to be that long or longer."""
    course, said = verdict.decide(case(rise(1.0), ended_bad=(("loss", 100, 350.0),)))
    assert course.word == verdict.DIVERGED and "the last 100 or more values of loss" in said and "by step 350" in said
    assert "12 values" in verdict.decide(case(rise(1.0), ended_bad=(("loss", 12, math.nan),)))[1]
