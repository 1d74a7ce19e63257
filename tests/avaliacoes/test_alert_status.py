"""What status and statistics show of alerts: rows as they are now, folded from the events of the file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from avaliacoes.real_time_logger import RealTimeLogger
from avaliacoes.session_status import SessionStatus
from contract.names import file_name

NOW = time.time()


def event(rule: str, state: str = "firing", level: str = "WARNING", number: int = 0, **more: Any) -> dict[str, Any]:
    fields = {
        "_p": "bbbbbbbbbbbb",
        "_q": number,
        "timestamp": NOW,
        "step": number,
        "id": f"{rule}{state}{level}{number}",
    }
    return {
        **fields,
        "rule": rule,
        "state": state,
        "level": level,
        "producer": "p",
        "message": f"{rule} {level}",
        **more,
    }


EVENTS = [
    event("gradient_explosion", level="INFO", number=1),
    event("gradient_explosion", level="ERROR", number=2),  # it has risen: one row, of the worse level
    event("loss_spike", number=3),
    event("loss_spike", "resolved", number=4),  # over, but shown for the time of retention
    event("overfit", number=5, timestamp=NOW - 7_200),
    event("overfit", "resolved", number=6, timestamp=NOW - 7_100, last_time=NOW - 7_150),  # over for too long
    event("stagnation", level="INFO", number=7, silenced_by="gradient_explosion"),
    event("value_failure", level="WARNING", number=8, component="critic"),
    event("value_failure", level="WARNING", number=9, component="actor"),
    event("value_failure", "ended", number=10, component="actor"),
]


@pytest.fixture
def written(place: Path) -> Path:
    place.mkdir()
    lines = b"".join(orjson.dumps(one) + b"\n" for one in EVENTS)
    (place / file_name("alerts", "run_20250101_000000")).write_bytes(lines)
    return place


def test_the_status_has_rows_by_level(written: Path) -> None:
    """One row per rule and component, at its present level and state; what is over is shown for half an hour, not longer."""
    status = SessionStatus(written, "run_20250101_000000")
    for _ in range(2):  # reading again, with nothing new, shows the same
        found = status.read(1_800.0, NOW + 1)["alerts"]
        assert [(row["rule"], row["state"]) for row in found["ERROR"]] == [("gradient_explosion", "firing")]
        assert sorted((row["rule"], row.get("component", ""), row["state"]) for row in found["WARNING"]) == [
            ("loss_spike", "", "resolved"),
            ("value_failure", "actor", "ended"),
            ("value_failure", "critic", "firing"),
        ]
        assert [row["silenced_by"] for row in found["INFO"]] == ["gradient_explosion"]
    row = found["ERROR"][0]
    assert row["episodes"] == 1 and row["worst"] == "ERROR" and "_p" not in row
    assert not any(status.read(1_800.0, NOW + 4_000)["alerts"]["WARNING"][1:])  # only what still fires is left


def test_the_statistics_have_the_same_rows(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`get_real_time_stats()["active_alerts"]`: the rows to show now, also after more events than a page would list."""
    monkeypatch.setenv("AVALIACOES_AUTOSTART", "0")
    with RealTimeLogger(written, session="mine_20250101_000000") as logger:
        path = written / file_name("alerts", logger.session)
        path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in EVENTS))
        first = logger.get_real_time_stats()["active_alerts"]
        assert {row["rule"] for row in first} == {"gradient_explosion", "loss_spike", "stagnation", "value_failure"}
        flicker = []
        for number in range(100, 3_100, 2):
            flicker += [event("loss_spike", number=number), event("loss_spike", "resolved", number=number + 1)]
        with open(path, "ab") as file:
            file.write(b"".join(orjson.dumps(one) + b"\n" for one in flicker))
        rows = logger.get_real_time_stats()["active_alerts"]
        assert {row["rule"] for row in rows} == {row["rule"] for row in first}
        assert next(row for row in rows if row["rule"] == "loss_spike")["episodes"] == 1_501
        logger.close(timeout=0.1)
