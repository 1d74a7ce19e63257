"""Findings: from alert rows, old and new and broken, to what is told of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from contract.alerts import rows
from renderer.report import findings
from renderer.report.findings import Finding

NEW: dict[str, Any] = {
    "rule": "gradient_explosion", "level": "ERROR", "state": "firing", "message": "41 times its usual size", "action": "Clip at 1.",
    "metric": "grad_norm", "component": "actor", "value": 13.2, "threshold": 3.3, "baseline": 0.32, "onset_step": 2571, "first_step": 2575,
    "last_step": 2601, "count": 30, "peak": 14.1, "evidence": {"metric": "grad_norm", "steps": [2599, 2600, 2601], "values": [9.0, "NaN", 13.2]},
    "corroborating": ["the loss rose"], "source": "gradients", "producer": "aa", "step": 2601, "timestamp": 1000.0,
}  # fmt: skip
OLD: dict[str, Any] = {
    "rule": "stagnation", "level": "INFO", "state": "firing", "message": "no change", "metric": "loss", "value": 1.0, "threshold": 0.5,
    "source": "training", "producer": "aa", "seq": 5, "fires": "x", "step": 500, "timestamp": 900.0,
}  # fmt: skip


def cut(
    source: str, metric: str, component: str, begin: float, end: float
) -> tuple[list[float], list[float | None]] | None:
    """A curve that has only a loss, a point every 10 steps."""
    steps = [float(step) for step in range(0, 3000, 10) if begin <= step <= end]
    return (steps, [0.5] * len(steps)) if metric == "loss" else None


def told(*events: dict[str, Any], metrics: tuple[dict[str, Any], ...] = ()) -> list[Finding]:
    return findings.findings(rows(events), metrics, cut, (0.0, 3000.0))


def test_an_event_with_all_fields_is_told_with_all() -> None:
    """Onset, detection, numbers, evidence, action and corroboration of a new event come through as they are."""
    (one,) = told(NEW)
    assert (one["title"], one["worst"], one["state"]) == ("gradient explosion", "ERROR", "firing")
    assert (one["onset_step"], one["detected_step"], one["last_step"], one["records"]) == (2571.0, 2601.0, 2601.0, 30)
    assert one["action"] == "Clip at 1." and "undo" in one["why"] and one["corroborating"] == ["the loss rose"]
    assert one["evidence"] == {
        "metric": "grad_norm",
        "steps": [2599.0, 2600.0, 2601.0],
        "values": [9.0, "NaN", 13.2],
        "from": "alert",
    }
    assert findings.when(one) == "from step 2,571; noticed at step 2,601; last seen at step 2,601"
    assert ("usual", "0.32") in findings.numbers(one) and ("most extreme", "14.1") in findings.numbers(one)


def test_an_old_event_is_told_from_what_it_has() -> None:
    """Without onset, action and evidence: the step it fired, the words of the rule, and the curve around it."""
    (one,) = told(OLD)
    assert one["onset_step"] == 500.0 and one["action"] and one["why"] and one["baseline"] is None
    assert one["evidence"] is not None and one["evidence"]["from"] == "curve"
    assert one["evidence"]["steps"][0] >= 370 and one["evidence"]["steps"][-1] <= 630
    assert findings.when(one) == "from step 500"


def test_a_history_is_one_finding_with_its_worst() -> None:
    """Firing, resolved and firing again at a lower level: one finding with two episodes, the worst level and the present state."""
    over = {**NEW, "state": "resolved", "message": "back at 0.4", "count": 90, "step": 2700}
    again = {**NEW, "level": "WARNING", "step": 2900, "onset_step": 2890}
    (one,) = told(NEW, over, again)
    assert (one["episodes"], one["worst"], one["level"], one["state"]) == (2, "ERROR", "WARNING", "firing")
    assert "2 times in all, first at step 2,575" in findings.when(one)
    (one,) = told(NEW, over)
    assert one["outcome"] == "back at 0.4" and findings.state_text(one, active=True) == "resolved"
    (one,) = told(NEW, {**over, "state": "ended"})
    assert findings.state_text(one, active=False) == "not resolved when the run ended"
    (one,) = told(NEW)
    assert findings.state_text(one, active=True) == "still firing"
    assert findings.state_text(one, active=False) == "not resolved when the run ended"


def test_the_worst_come_first_and_the_explained_last() -> None:
    """By worst level, then those that no other alert explains, then by where they began."""
    explained = {**NEW, "rule": "loss_spike", "silenced_by": "gradient_explosion", "onset_step": 1, "first_step": 1}
    late = {**NEW, "rule": "loss_divergence", "onset_step": 2900, "first_step": 2900}
    assert [one["rule"] for one in told(OLD, explained, late, NEW)] == [
        "gradient_explosion",
        "loss_divergence",
        "loss_spike",
        "stagnation",
    ]
    assert findings.counts(told(OLD, NEW)) == {"ERROR": 1, "WARNING": 0, "INFO": 1}


def test_values_that_were_not_finite_are_a_finding_but_no_alert() -> None:
    """Counted where no alert speaks of them, and never among the alerts; where one does, not twice."""
    bad = {"category": "training", "metric": "loss", "component": "", "producer": "aa", "core": True, "not_finite": 7,
           "not_finite_first_step": 40.0, "not_finite_last_step": 60.0, "not_finite_at_end": 0}  # fmt: skip
    (one,) = told(metrics=(bad, {**bad, "metric": "fps", "core": False}))
    assert (
        one["message"] == "7 values of loss were NaN or infinite." and not one["alert"] and one["state"] == "resolved"
    )
    assert findings.when(one) == "first by step 40; last seen at step 60"
    assert findings.counts([one]) == {"ERROR": 0, "WARNING": 0, "INFO": 0}
    (one,) = told({**NEW, "rule": "non_finite", "metric": "loss"}, metrics=(bad,))
    assert one["alert"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"rule": None, "level": ["ERROR"], "state": 5, "step": "x", "timestamp": "y", "message": None},
        {
            **NEW,
            "evidence": {"steps": 5, "values": {}},
            "corroborating": "no list",
            "onset_step": float("nan"),
            "step": True,
        },
        {**NEW, "evidence": [1, 2], "value": "NaN", "threshold": float("inf"), "count": -1.5, "level": {"a": 1}},
        {"rule": "x" * 5000, "message": "y" * 100_000, "action": ["z"] * 10, "step": 1e300, "count": 1e300},
    ],
)
def test_events_that_nobody_meant_to_write_are_told(event: dict[str, Any]) -> None:
    """Missing fields and fields of any type give a finding of bounded size with a known level."""
    (one,) = told(event)
    assert one["worst"] in ("ERROR", "WARNING", "INFO") and len(one["message"]) <= 1000 and len(one["rule"]) <= 100
    assert findings.when(one) and findings.state_text(one, active=False) is not None
    assert isinstance(findings.numbers(one), list)
    assert len(orjson.dumps(one)) < 10_000
