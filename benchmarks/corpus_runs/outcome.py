"""What became of a run, judged from its own records: proofs that a healthy run learned and a broken one was hurt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

#: The share of a run whose mean counts as "the end".
TAIL = 0.1


@dataclass(slots=True)
class Records:
    """The records of one run, by category."""

    by_category: dict[str, list[dict[str, object]]]

    @classmethod
    def load(cls, folder: Path, name: str) -> Records:
        found = {}
        for path in sorted(folder.glob(f"*_{name}.jsonl")):
            category = path.name.removesuffix(f"_{name}.jsonl")
            found[category] = [json.loads(line) for line in path.read_text().splitlines()]
        return cls(found)

    def series(self, stream: str) -> list[tuple[int, float]]:
        """(step, value) of "category.metric"; the strings for NaN and infinities become floats again."""
        category, metric = stream.split(".", 1)
        return [
            (int(record["step"]), float(record[metric]))  # type: ignore[call-overload, arg-type]
            for record in self.by_category.get(category, [])
            if metric in record
        ]


#: Says whether the run turned out as meant, and the figures that show it.
Proof = Callable[[Records], tuple[bool, str]]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _end(values: list[float]) -> float:
    return _mean(values[-max(1, min(len(values), max(5, int(len(values) * TAIL)))) :])


def _figure(value: float) -> str:
    return f"{value:.4g}"


def ends(stream: str, *, at_least: float = -math.inf, at_most: float = math.inf) -> Proof:
    """The mean of the last tenth of a series is finite and within limits."""

    def proof(records: Records) -> tuple[bool, str]:
        values = [value for _, value in records.series(stream)]
        if not values:
            return False, f"no {stream}"
        first, end = _mean(values[: max(1, len(values) // 20)]), _end(values)
        good = math.isfinite(end) and at_least <= end <= at_most
        return good, f"{stream} {_figure(first)} -> {_figure(end)}"

    return proof


def hurt(stream: str, *, at_least: float = -math.inf, at_most: float = math.inf) -> Proof:
    """Like `ends`, and a value that is not finite is harm enough."""

    def proof(records: Records) -> tuple[bool, str]:
        values = [value for _, value in records.series(stream)]
        within, text = ends(stream, at_least=at_least, at_most=at_most)(records)
        return within or (bool(values) and not math.isfinite(_end(values))), text

    return proof


def worsened(stream: str, onset: int, *, down: float = 0.0, up: float = 0.0) -> Proof:
    """After the onset a series ends lower (higher) than the mean of the tenth of the run before it, by so much."""

    def proof(records: Records) -> tuple[bool, str]:
        series = records.series(stream)
        before = [value for step, value in series if step < onset]
        after = [value for step, value in series if step >= onset]
        if not before or not after:
            return False, f"{stream} not on both sides of {onset}"
        was, became = _end(before), _end(after)
        moved = was - became if down else became - was
        bad = not math.isfinite(became) or moved >= (down or up)
        return bad, f"{stream} {_figure(was)} before {onset}, {_figure(became)} at the end"

    return proof


def both(*proofs: Proof) -> Proof:
    """Every proof holds."""

    def proof(records: Records) -> tuple[bool, str]:
        found = [each(records) for each in proofs]
        return all(good for good, _ in found), "; ".join(text for _, text in found)

    return proof


def silent_for(seconds: float) -> Proof:
    """Between two records of the data there is a gap this long."""

    def proof(records: Records) -> tuple[bool, str]:
        times = sorted(
            float(record["timestamp"])  # type: ignore[arg-type]
            for category, lines in records.by_category.items()
            if category != "lifecycle"
            for record in lines
        )
        longest = max((later - sooner for sooner, later in pairwise(times)), default=0.0)
        return longest >= seconds, f"longest silence {longest:.0f} s"

    return proof


def no_end() -> Proof:
    """The session has a beginning, and no end of its own or one by an exception."""

    def proof(records: Records) -> tuple[bool, str]:
        events = [str(record.get("event")) for record in records.by_category.get("lifecycle", [])]
        statuses = [record["status"] for record in records.by_category.get("lifecycle", []) if "status" in record]
        return (
            "start" in events and "finished" not in statuses,
            f"lifecycle: {', '.join(event for event in events if event != 'heartbeat')} {' '.join(map(str, statuses))}".strip(),
        )

    return proof


def slowed(records: Records) -> bool:
    """The machine was busy: the median speed of an eighth of the run is below 0.4 of that of an earlier eighth."""
    values = [value for _, value in records.series("performance.fps")]
    if len(values) < 16:
        return False
    eighths = [sorted(values[part * len(values) // 8 : (part + 1) * len(values) // 8]) for part in range(8)]
    medians = [part[len(part) // 2] for part in eighths]
    return any(later < 0.4 * max(medians[:place]) for place, later in enumerate(medians) if place)
