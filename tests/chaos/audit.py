"""The independent check that ends every chaos test: what was counted is on disk, exactly once, in order, and said so.

It reads the files with the standard library alone and shares no code with what it checks, but for the statistics, which
are asked for the way a user does. `audit` looks and returns a `Report`; `check` fails with what is wrong.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tally import CATEGORIES, Tally

#: A metric of every record says which slot of the tally counted it, another how many calls had begun there before.
SLOT, NUMBER = "slot", "n"


@dataclass
class Row:
    """One slot and category: calls returned and begun, lines on disk."""

    slot: int
    category: str
    returned: int
    begun: int
    stored: int = 0
    lost: int = 0
    doubled: int = 0


@dataclass
class Report:
    """What the audit found; `problems` is empty when all is well."""

    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    #: session -> category -> lines
    lines: dict[str, dict[str, int]] = field(default_factory=dict)

    def total(self, what: str) -> int:
        return sum(getattr(row, what) for row in self.rows)

    def text(self) -> str:
        figures = ", ".join(f"{what} {self.total(what)}" for what in ("returned", "stored", "lost", "doubled"))
        return "\n".join([figures, *self.problems[:20]])


@dataclass
class _Lines:
    """The lines of one category of one session, over all files that hold it, oldest first."""

    session: str
    category: str
    paths: list[Path]
    records: list[dict[str, Any]] = field(default_factory=list)


def audit(
    base: Path,
    tally: Tally,
    *,
    rotated: dict[str, list[Path]] | None = None,
    stats: list[Path] | None = None,
    running: bool = True,
    gone: dict[tuple[int, str], int] | None = None,
) -> Report:
    """Compare the tally with the files of a data folder, and the statistics with both.

    Args:
        base: the data folder.
        rotated: by file name, where that file's older lines were moved to, oldest first.
        stats: files in which trainers wrote their last `get_real_time_stats()`.
        running: whether the collector's status file is to agree (it is written once a second).
        gone: by slot and category, how many of the first calls' lines somebody deleted.
    """
    report = Report()
    everything = [_read(found, report) for found in _data_files(base, rotated or {})]
    by_slot = _by_slot(everything, report)
    for slot, category in tally.used():
        row = Row(slot, category, tally.returned(slot, category), tally.begun(slot, category))
        report.rows.append(row)
        _judge(row, by_slot.pop((slot, category), []), (gone or {}).get((slot, category), 0), report)
    report.problems += [f"records of slot {slot}, {category} that nobody logged" for slot, category in by_slot]
    for lines in everything:
        _judge_sequences(lines, bool(gone), report)
        report.lines.setdefault(lines.session, {})[lines.category] = len(lines.records)
    for path in stats or []:
        _judge_stats(path, report)
    if running:
        _judge_status(base, report)
    return report


def check(base: Path, tally: Tally, **options: Any) -> Report:
    """`audit`, failing with everything that is wrong."""
    report = audit(base, tally, **options)
    assert not report.problems, report.text()
    assert report.total("lost") == report.total("doubled") == 0, report.text()
    return report


def settle(base: Path, tally: Tally, seconds: float = 60.0, **options: Any) -> Report:
    """Wait until the audit is content and nothing waits in rings and spools, at most `seconds`; then `check`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not leftovers(base):
            report = audit(base, tally, **options)
            if not report.problems and not report.total("lost") and not report.total("doubled"):
                return report
        time.sleep(0.3)
    waiting = leftovers(base)
    report = check(base, tally, **options)
    assert not waiting, f"still waiting in {waiting}; {report.text()}"
    return report


def leftovers(base: Path) -> list[str]:
    """Names of the rings and spool files that belong to this data folder."""
    found = [path.name for path in (base / ".avaliacoes" / "spool").glob("*.spool")]
    runtime = os.environ.get("AVALIACOES_RUNTIME_DIR")
    if runtime:
        found += [path.name for path in Path(runtime).glob("avaliacoes-*/*/rings/*.ring") if _of(path, base)]
    return found


def _of(path: Path, base: Path) -> bool:
    """Whether a ring lies in the folder of `base`: two data folders may share a runtime folder."""
    import hashlib

    key = hashlib.blake2b(os.fsencode(os.path.realpath(base)), digest_size=8).hexdigest()
    return path.parent.parent.name == key


def _data_files(base: Path, rotated: dict[str, list[Path]]) -> list[_Lines]:
    found = []
    for name in sorted({path.name for path in base.glob("*.jsonl")} | set(rotated)):
        category = next((c for c in (*CATEGORIES, "alerts", "lifecycle") if name.startswith(f"{c}_")), None)
        if category is not None:
            paths = [*rotated.get(name, []), base / name]
            session = name[len(category) + 1 : -len(".jsonl")]
            found.append(_Lines(session, category, [path for path in paths if path.exists()]))
    return found


def _read(lines: _Lines, report: Report) -> _Lines:
    for path in lines.paths:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            torn = data.rpartition(b"\n")[2]
            report.problems.append(f"{path.name} ends in a torn line: {torn[:80]!r}")
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                record = json.loads(line, parse_constant=_no_constant)
                if not isinstance(record, dict) or not isinstance(record["timestamp"], float | int):
                    raise ValueError("no record")
                lines.records.append(record)
            except (ValueError, KeyError) as error:
                report.problems.append(f"{path.name}:{number}: {error}: {line[:80]!r}")
    return lines


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _by_slot(everything: list[_Lines], report: Report) -> dict[tuple[int, str], list[int]]:
    """`{(slot, category): numbers as they stand in the file}`; a slot and category must lie in one session alone."""
    numbers: dict[tuple[int, str], list[int]] = defaultdict(list)
    where: dict[tuple[int, str], str] = {}
    for lines in everything:
        for record in lines.records:
            if SLOT not in record:
                continue
            key = (record[SLOT], lines.category)
            numbers[key].append(record[NUMBER])
            if where.setdefault(key, lines.session) != lines.session:
                report.problems.append(f"slot {key} in two sessions: {where[key]} and {lines.session}")
                where[key] = lines.session
    return numbers


def _judge(row: Row, numbers: list[int], gone: int, report: Report) -> None:
    present = set(numbers)
    row.stored = len(numbers)
    row.doubled = len(numbers) - len(present)
    row.lost = sum(number not in present for number in range(gone, row.returned))
    name = f"slot {row.slot}, {row.category}"
    if row.lost:
        missing = [number for number in range(gone, row.returned) if number not in present]
        report.problems.append(f"{name}: {row.lost} of {row.returned} lost: {missing[:5]} to {missing[-1]}")
    if row.doubled:
        report.problems.append(f"{name}: {row.doubled} doubled")
    if numbers != sorted(numbers):
        at = next(i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1])
        report.problems.append(f"{name}: out of order at line {at}: {numbers[max(0, at - 2) : at + 3]}")
    if present and max(present) >= row.begun:
        report.problems.append(f"{name}: number {max(present)} on disk, but only {row.begun} calls begun")


def _judge_sequences(lines: _Lines, allow_start: bool, report: Report) -> None:
    """Per producer, `_q` counts up by one from zero (from anywhere, in a file that was deleted under the collector)."""
    following: dict[str, int] = {}
    for record in lines.records:
        producer, seq = record.get("_p"), record.get("_q")
        if not isinstance(producer, str) or not isinstance(seq, int):
            report.problems.append(f"{lines.category}_{lines.session}: a line without _p, _q: {record}")
            return
        expected = following.get(producer, seq if allow_start else 0)
        # An alert that is stored already is left out, so the sequence of alerts may have holes.
        if seq != expected and not (lines.category == "alerts" and seq > expected):
            report.problems.append(
                f"{lines.category}_{lines.session}: {producer} goes from {expected - 1} to {seq} ({len(following)} producers)"
            )
        following[producer] = seq + 1


def _judge_stats(path: Path, report: Report) -> None:
    """What a trainer's own statistics said at its end, against the tally."""
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        report.problems.append(f"no statistics in {path.name}: {error}")
        return
    returned: dict[str, int] = defaultdict(int)
    for row in report.rows:
        if row.slot in said["slots"]:
            returned[row.category] += row.returned
    stats, closed = said["stats"], said["closed"]
    stats["per_category"] = {category: count for category, count in stats["per_category"].items() if count}
    expected = {"logged": sum(returned.values()), "dropped": 0, "per_category": dict(returned)}
    if closed:
        expected |= {"persisted": expected["logged"], "waiting": 0, "spooled": 0}
    for name, value in expected.items():
        if stats[name] != value:
            report.problems.append(f"{path.name}: {name} is said to be {stats[name]}, the tally says {value}")


def _judge_status(base: Path, report: Report) -> None:
    """The collector's status file, and `avaliacoes status`, against the files."""
    from avaliacoes.account import account_of

    try:
        status = json.loads((base / ".avaliacoes" / "status.json").read_text())
    except (OSError, ValueError) as error:
        report.problems.append(f"no status: {error}")
        return
    for session, shown in status["sessions"].items():
        for category, count in shown["stored"].items():
            on_disk = report.lines.get(session, {}).get(category, 0)
            if count != on_disk:
                report.problems.append(f"status: {category} of {session} is {count}, on disk {on_disk}")
        if shown["dropped"] or shown["skipped"]:
            report.problems.append(f"status: {session} dropped {shown['dropped']}, skipped {shown['skipped']}")
    if status["totals"]["rejected"] or status["totals"]["quarantined"]:
        report.problems.append(f"status: rejected {status['totals']['rejected']}")
    for session, by_category in report.lines.items():
        account = account_of(base, session, time.time())
        present = [base / f"{category}_{session}.jsonl" for category in by_category if category in CATEGORIES]
        stored = sum(path.read_bytes().count(b"\n") for path in present if path.exists())
        if account.lost or account.dropped or account.stored != stored:
            report.problems.append(
                f"avaliacoes status, {session}: stored {account.stored} (on disk {stored}), lost {account.lost}, "
                f"dropped {account.dropped}"
            )


def state_of(base: Path, session: str) -> str:
    """The state of a session as every page and command shows it, from its lifecycle file."""
    from contract.lifecycle import SessionLife
    from contract.tail import read_all

    life = SessionLife()
    for record in read_all(base / f"lifecycle_{session}.jsonl"):
        life.update(record)
    return life.state(time.time())


def ends_of(base: Path, session: str) -> list[dict[str, Any]]:
    """The lifecycle records of a session that say how a producer ended: `end` and `adopted`."""
    path = base / f"lifecycle_{session}.jsonl"
    records = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [record for record in records if record.get("event") in ("end", "adopted")]
