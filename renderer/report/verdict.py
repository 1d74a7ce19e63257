"""The verdict: one of the few words of `COURSES`, the rule that leads to it, and a sentence with the numbers. Pure.

What the data show (`COURSES`) and how the process ended (`ENDINGS`) are two things: a crashed run may have learned. Words
rest on two tests alone, both in `renderer.report.stats`: is the difference of two means clear of their noise, and is it more
than the smallest change that counts (`stagnation_threshold`, 1 %). An alert is never enough to condemn a run that does well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from contract.lifecycle import CRASHED, FINISHED, RUNNING, STALLED
from renderer import wording
from renderer.report import stats
from renderer.report.meanings import INSTABILITY
from renderer.report.metrics import Objective
from renderer.report.reading import MOST_TRAILING
from renderer.report.stats import BEST_OF, PLAIN, Window

NO_DATA: Final = "too little data to say"
DIVERGED: Final = "diverged"
COLLAPSED: Final = "collapsed"
UNSTABLE: Final = "unstable"
WORSE: Final = "got worse"
FELL_BACK: Final = "learned, then fell back"
LEARNING: Final = "still learning"
PLATEAU: Final = "learned, then plateaued"
NO_LEARNING: Final = "no learning seen"

#: Shares of what was gained at best: losing more than half is a collapse, less than a tenth is no fall.
HALF: Final = 0.5
TENTH: Final = 0.1
#: A loss further above its start than this share of it has diverged, not merely got worse.
TWICE: Final = 1.0


class Symptom(NamedTuple):
    """A sign of instability in words, whether it is an alert of level ERROR, and the last step at which it was seen.

    Signs are such alerts, alerts on a gradient that jumped tenfold, and values that were not finite for a while.
    """

    text: str
    critical: bool
    last_step: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What a verdict is decided from.

    Attributes:
        records: data records of the session.
        objective: what it is judged by, None if neither reward nor loss was logged.
        ended_bad: metrics of the core whose last values, one after the other, were not finite: name, how many, since which step.
        symptoms: what speaks of instability, the most telling first.
        least: share by which two means must differ to differ at all.
        active: the run goes on.
    """

    records: int
    objective: Objective | None
    ended_bad: tuple[tuple[str, int, float | None], ...] = ()
    symptoms: tuple[Symptom, ...] = ()
    least: float = 0.01
    active: bool = False

    def differ(self, one: Window, other: Window, quantile: float = PLAIN) -> bool:
        found = self.objective
        if found is None:
            return False
        if found.log:
            return abs(one.mean - other.mean) > math.log10(1 + self.least) and stats.clear(one, other, 0.0, quantile)
        return stats.clear(one, other, self.least, quantile)

    @property
    def improved(self) -> bool:
        """The last tenth is clearly better than the beginning."""
        c = self.objective.judged if self.objective else None
        return c is not None and c.gain(c.first, c.last) > 0 and self.differ(c.first, c.last)

    @property
    def improved_once(self) -> bool:
        """The best window is clearly better than the beginning."""
        c = self.objective.judged if self.objective else None
        return c is not None and c.gain(c.first, c.best) > 0 and self.differ(c.first, c.best, BEST_OF)

    @property
    def still_improving(self) -> bool:
        """The last sixth is clearly better than the sixth before it, by a fiftieth of the gain at least."""
        c = self.objective.judged if self.objective else None
        if c is None or not self.differ(c.middle, c.late):
            return False
        return c.gain(c.middle, c.late) > 0.02 * abs(c.gain(c.first, c.best))

    @property
    def worse(self) -> bool:
        """The last tenth is clearly worse than the beginning."""
        c = self.objective.judged if self.objective else None
        return c is not None and c.gain(c.first, c.last) < 0 and self.differ(c.first, c.last)

    @property
    def lost(self) -> float:
        """Which share of what had been gained at best was lost again by the last tenth; 0 where that is not clear."""
        c = self.objective.judged if self.objective else None
        if c is None or not self.improved_once or not self.differ(c.best, c.last, BEST_OF):
            return 0.0
        return c.gain(c.last, c.best) / c.gain(c.first, c.best)

    @property
    def unrest(self) -> str:
        """The symptom to name where the outcome suffered, "" otherwise: an alert of level ERROR where the run clearly ended below
        its beginning, or any symptom seen since the best window began where a part of the gain was lost."""
        c = self.objective.judged if self.objective else None
        if c is None:
            return ""
        if self.worse:
            return next((one.text for one in self.symptoms if one.critical), "")
        if not TENTH < self.lost <= HALF:
            return ""
        since = [one for one in self.symptoms if one.last_step is None or one.last_step >= c.best.begin]
        return since[0].text if since else ""

    @property
    def far_above(self) -> bool:
        """A loss that has risen above its start by as much again, or by as much as it ever fell."""
        found = self.objective
        if found is None or found.kind != "loss" or found.judged is None or not self.worse:
            return False
        c = found.judged
        rise = c.gain(c.last, c.first)
        size = math.log10(1 + TWICE) if found.log else TWICE * abs(c.first.mean)
        return rise > max(size, c.gain(c.first, c.best))


class Course(NamedTuple):
    """A word, the rule that leads to it in plain words, whether it holds, and its sentence."""

    word: str
    rule: str
    holds: Callable[[Case], bool]
    say: Callable[[Case], str]


def _readable(case: Case) -> bool:
    return case.objective is not None and case.objective.judged is not None


#: The first that holds is the verdict.
COURSES: Final = (
    Course(NO_DATA, "no record was logged", lambda c: not c.records, lambda c: "nothing was logged"),
    Course(DIVERGED, "a loss, gradient norm or reward ended in values that were not finite",
           lambda c: bool(c.ended_bad), lambda c: _say_bad(c)),
    Course(NO_DATA, f"neither a reward nor a loss with {stats.LEAST} finite values was logged",
           lambda c: not _readable(c), lambda c: _say_short(c)),
    Course(DIVERGED, "the loss of the last tenth is clearly above its start, by as much again or by more than it ever fell",
           lambda c: c.far_above, lambda c: _say_change(c)),
    Course(COLLAPSED, "the reward clearly rose, and more than half of what it had gained was lost again by the last tenth",
           lambda c: _kind(c) == "reward" and c.lost > HALF, lambda c: _say_change(c)),
    Course(UNSTABLE, "more than a tenth of what had been gained was lost again, and a critical alert of instability, a tenfold jump of the "
           "gradient or values that were not finite came since the best; or the run clearly ended below its beginning, with such an alert",
           lambda c: bool(c.unrest), lambda c: f"{c.unrest}; {_say_change(c)}"),
    Course(WORSE, "the last tenth is clearly worse than the beginning", lambda c: c.worse, lambda c: _say_change(c)),
    Course(FELL_BACK, "clearly better than at the beginning for a while, then more than a tenth of that was lost again",
           lambda c: c.lost > TENTH, lambda c: _say_change(c)),
    Course(LEARNING, "the last tenth is clearly better than the beginning, and its last sixth clearly better than the sixth before, by a fiftieth of the whole "
           "gain at least",
           lambda c: c.improved and c.still_improving, lambda c: _say_change(c)),
    Course(PLATEAU, "the last tenth is clearly better than the beginning, its last sixth not clearly better than the sixth before, or by "
           "less than a fiftieth of the whole gain",
           lambda c: c.improved, lambda c: _say_change(c)),
    Course(NO_LEARNING, "no clear difference between the beginning and the last tenth", lambda c: True, lambda c: _say_flat(c)),
)  # fmt: skip

#: How the process ended: state -> (word, words for it before what the data show)
ENDINGS: Final = {
    RUNNING: ("running", "So far"),
    STALLED: ("stalled", "So far"),
    FINISHED: ("finished", ""),
    CRASHED: ("crashed", "Until then"),
    "interrupted": ("stopped early", "Until then"),
}


def decide(case: Case) -> tuple[Course, str]:
    """The course of a case and the sentence for it, which begins with the word."""
    course = next(course for course in COURSES if course.holds(case))
    return course, f"{course.word}: {course.say(case)}"


def verdict(case: Case, ending: str, how: str, at: str) -> dict[str, Any]:
    """The verdict as plain data.

    Args:
        ending: a key of `ENDINGS`.
        how: what is known of the ending, where there is anything to tell (an error's text).
        at: " at step 1,200", or "".
    """
    course, said = decide(case)
    word, until = ENDINGS[ending]
    if ending == CRASHED:
        sentence = f"Crashed{at}{f' ({how})' if how else ''}. {until}, {said}."
    elif ending == "interrupted":
        sentence = f"Stopped early{at}. {until}, {said}."
    elif until:
        sentence = f"{until}, {said}."
    else:
        sentence = f"{said[0].upper()}{said[1:]}."
    headline = word if ending in (CRASHED, "interrupted") else course.word
    return {"word": headline, "course": course.word, "ending": word, "rule": course.rule, "sentence": sentence}


def symptom_order(rule: str) -> int:
    return INSTABILITY.index(rule) if rule in INSTABILITY else len(INSTABILITY)


def _kind(case: Case) -> str:
    return case.objective.kind if case.objective else ""


def _say_bad(case: Case) -> str:
    name, many, since = case.ended_bad[0]
    others = [other for other, _, _ in case.ended_bad[1:]]
    too = f", as were those of {wording.listed(others)}" if others else ""
    began = f"; the first such value came by step {wording.step(since)}" if since is not None else ""
    least = " or more" if many >= MOST_TRAILING else ""
    return f"the last {many:,}{least} values of {name} were NaN or infinite{too}{began}"


def _say_short(case: Case) -> str:
    found = case.objective
    if found is None:
        return f"{wording.count(case.records, 'record')} but neither a reward nor a loss to judge by"
    if found.finite >= stats.LEAST:
        return f"the values of {found.key.metric} are too large to compute with"
    return f"{wording.count(found.finite, 'finite value')} of {found.key.metric}, and {stats.LEAST} are needed"


def _unit(found: Objective) -> str:
    return "episodes" if found.kind == "reward" else "records"


def _say_change(case: Case) -> str:
    """Beginning, best and last tenth of what the run is judged by, as far as they differ."""
    found = case.objective
    if found is None or found.curve is None:
        return "no numbers can be given"
    c = found.curve
    better = c.gain(c.first, c.last) > 0
    went = {True: "rose", False: "fell"}[(c.last.mean > c.first.mean)]
    first, best, last = (wording.measured(w.mean, w.error) for w in (c.first, c.best, c.last))
    name = f"{found.key.metric}"
    where = f"around step {wording.step(round((c.best.begin + c.best.end) / 2))}"
    beginning = f"{first} over its first {c.first.n:,} {_unit(found)}"
    if case.improved or case.worse:
        text = f"{name} {went} from {beginning} to {last} over its last {c.last.n:,}"
    else:
        text = f"{name} was {beginning} and {last} over its last {c.last.n:,}"
    if case.lost > TENTH:
        return f"{text}, after {best} at its best {where}: {_fall(case, c)}"
    if better and c.best.mean != c.last.mean:
        unclear = 1 - _kept(case) > TENTH and not case.lost
        return f"{text}, {best} at its best {where}{', not clearly better' if unclear else ''}"
    return text


def _kept(case: Case) -> float:
    """The share of what had been gained at best that is there at the end."""
    c = case.objective.judged if case.objective else None
    gained = c.gain(c.first, c.best) if c is not None else 0.0
    return c.gain(c.first, c.last) / gained if c is not None and gained > 0 else 1.0


def _fall(case: Case, c: stats.Curve) -> str:
    """How much of the best is gone: as a share of the best where that makes sense, else of the gain."""
    if c.up and c.best.mean > 0 and c.last.mean >= 0:
        return f"{wording.share(1 - c.last.mean / c.best.mean)} below that best"
    if not c.up and c.best.mean > 0:
        factor = c.last.mean / c.best.mean
        return f"{factor:.3g} times that best" if factor >= 2 else f"{wording.share(factor - 1)} above that best"
    return (
        "all that had been gained is lost"
        if case.lost >= 1
        else f"{wording.share(case.lost)} of what had been gained is lost"
    )


def _say_flat(case: Case) -> str:
    found = case.objective
    if found is None or found.curve is None:
        return "no numbers can be given"
    c = found.curve
    first, last = wording.measured(c.first.mean, c.first.error), wording.measured(c.last.mean, c.last.error)
    unit = _unit(found)
    if c.first.mean == c.last.mean and not c.first.error and not c.last.error:
        return f"{found.key.metric} was {last} over its first {c.first.n:,} {unit} and its last {c.last.n:,} alike"
    why = "which is no clear difference"
    if stats.clear(c.first, c.last, 0.0):
        why = f"a difference below the {wording.share(case.least)} that count as a change"
    return f"{found.key.metric} was {first} over its first {c.first.n:,} {unit} and {last} over its last {c.last.n:,}, {why}"
