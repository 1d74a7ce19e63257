"""The audit itself: a check that finds nothing wrong proves nothing unless it finds what is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from audit import audit
from tally import Tally

Lines = list[bytes]


def _line(n: int, producer: str = "0123456789ab", seq: int | None = None) -> bytes:
    record = {"_p": producer, "_q": n if seq is None else seq, "timestamp": 1.0, "step": n, "n": n, "slot": 0}
    return json.dumps(record).encode() + b"\n"


BREAKS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "lost": (lambda lines: lines[:4] + lines[5:], "1 of 10 lost"),
    "lost at the end": (lambda lines: lines[:-1], "1 of 10 lost"),
    "doubled": (lambda lines: [*lines[:5], lines[4], *lines[5:]], "1 doubled"),
    "out of order": (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "out of order"),
    "torn": (lambda lines: [*lines, b'{"_p":"0123'], "torn line"),
    "no json": (lambda lines: [*lines[:5], b'{"x":NaN}\n', *lines[5:]], "no JSON"),
    "never logged": (lambda lines: [*lines, _line(10)], "only 10 calls begun"),
    "sequence": (lambda lines: [*lines[:9], _line(9, seq=11)], "from 8 to 11"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_audit_finds(tmp_path: Path, tally: Tally, name: str) -> None:
    """Each kind of damage to a file is found, and the undamaged file is passed."""
    at = tally.index(0, "training")
    tally.words[at] = tally.words[at + 1] = 10
    path = tmp_path / "training_run.jsonl"
    whole = [_line(n) for n in range(10)]
    path.write_bytes(b"".join(whole))
    assert audit(tmp_path, tally, running=False).problems == []
    damage, problem = BREAKS[name]
    path.write_bytes(b"".join(damage(whole)))
    assert any(problem in found for found in audit(tmp_path, tally, running=False).problems)


def test_a_record_in_flight_may_be_there_or_not(tmp_path: Path, tally: Tally) -> None:
    """A call that had begun and not returned at a death is neither lost nor invented."""
    at = tally.index(0, "training")
    tally.words[at], tally.words[at + 1] = 10, 9
    path = tmp_path / "training_run.jsonl"
    for stored in (9, 10):
        path.write_bytes(b"".join(_line(n) for n in range(stored)))
        assert audit(tmp_path, tally, running=False).problems == []
