"""Events of alerts, folded into rows."""

from __future__ import annotations

from typing import Any

from contract.alerts import ENDED, FIRING, RESOLVED, Rows, active, alert_id, row_id, rows


def event(state: str, step: int, level: str = "WARNING", **more: Any) -> dict[str, Any]:
    return {
        "rule": "loss_spike", "producer": "ab", "state": state, "level": level, "step": step, "timestamp": 1000.0 + step, **more,
    }  # fmt: skip


def test_episodes_of_one_origin_are_one_row() -> None:
    """A re-fire reopens the row: episodes are counted, the first sight stays, the worst level is remembered."""
    (row,) = rows(
        [
            event(FIRING, 1, "ERROR"),
            event(RESOLVED, 5, count=3, peak=9.0, last_step=3, last_time=1003.0),
            event(FIRING, 8, "INFO"),
        ]
    )
    assert (row["state"], row["level"], row["worst"], row["episodes"]) == ("firing", "INFO", "ERROR", 2)
    assert (row["first_seen_step"], row["first_seen_time"]) == (1, 1001.0)
    assert "resolved_at" not in row


def test_a_rise_of_the_level_is_not_another_episode() -> None:
    """Two firing events without an end between them are one episode at the higher level."""
    (row,) = rows([event(FIRING, 1, "INFO"), event(FIRING, 2, "ERROR")])
    assert (row["level"], row["episodes"], row["step"]) == ("ERROR", 1, 2)


def test_origins_have_rows_of_their_own() -> None:
    """Producer and component tell rows apart; the row id of an event that lacks one is derived."""
    found = rows([event(FIRING, 1), event(FIRING, 2, component="actor"), event(FIRING, 3, producer="cd")])
    assert [row["row"] for row in found] == [
        row_id("loss_spike", "ab", ""),
        row_id("loss_spike", "ab", "actor"),
        row_id("loss_spike", "cd", ""),
    ]


def test_visible_until_the_retention_after_it_last_held() -> None:
    """A firing row is always shown; a resolved or ended one as long after the condition last held as was set."""
    events = [event(FIRING, 1), event(RESOLVED, 50, last_time=1010.0)]
    assert active(events, 1039.0, 30.0) and not active(events, 1041.0, 30.0)
    assert active(events[:1], 1e9, 30.0)
    assert not active([*events[:1], event(ENDED, 60)], 1e9, 30.0)


def test_an_end_without_its_beginning_is_still_a_row() -> None:
    """A history whose first part was lost is shown for what it says."""
    found = Rows()
    found.update(event(RESOLVED, 7))
    assert [row["state"] for row in found.all()] == ["resolved"]


def test_ids_differ_by_what_they_are_made_of() -> None:
    """Rule, state, producer, category, sequence, component and level each change the id; equal causes have equal ids."""
    same = ("a", "firing", "p", "training", 1, "c", "INFO")
    changed = [(*same[:i], "x", *same[i + 1 :]) for i in range(len(same))]
    assert len({alert_id(*parts) for parts in [same, same, *changed]}) == 1 + len(changed)  # type: ignore[arg-type]
