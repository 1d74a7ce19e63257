"""What an alert is: the record that the analyzer writes and that page, report, status and trainers read.

An alert is a record of category `alerts` whose metrics are these fields:

    id        16 hex digits, derived from rule, producer, category and sequence: found twice, it is the same alert
    rule      "gradient_explosion", "vanishing_gradient", "zero_gradients", "loss_divergence", "stagnation",
              "poor_performance", or another rule's name
    level     "ERROR" (critical), "WARNING" (moderate) or "INFO" (worth knowing)
    state     "firing" when the condition begins, "resolved" when it has ended (same `fires` id)
    message   one sentence for a person: what was seen, against which limit
    metric    name of the metric that was judged;  value, threshold: numbers, or null
    source    category the metric came from;  producer, seq: the record that decided
    fires     id of the firing alert (its own id when state is "firing")
    component the part of the model that was judged, where the record named one

The record's `step` is the step of the deciding record, its `timestamp` that record's time.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

LEVELS: Final = ("ERROR", "WARNING", "INFO")
FIRING: Final = "firing"
RESOLVED: Final = "resolved"


def alert_id(rule: str, state: str, producer: str, category: str, seq: int) -> str:
    """The same 16 hex digits for the same cause, so that a restarted analyzer repeats nothing."""
    text = f"{rule}/{state}/{producer}/{category}/{seq}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def active(alerts: list[dict[str, Any]], now: float, retention_s: float) -> list[dict[str, Any]]:
    """The alerts to show: firing ones, newest first, whose condition last held within `retention_s` seconds.

    One alert is shown per rule, producer and component, the latest; a resolved one stays until its retention has passed, marked
    by `resolved_at`.
    """
    latest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for alert in alerts:
        key = (str(alert.get("rule")), str(alert.get("producer")), str(alert.get("component")))
        if alert.get("state") == RESOLVED:
            if key in latest:
                latest[key] = {**latest[key], "resolved_at": alert.get("timestamp", 0.0)}
        else:
            latest[key] = dict(alert)
    shown = []
    for alert in latest.values():
        held = alert.get("resolved_at", now)
        if now - held <= retention_s:
            shown.append(alert)
    return sorted(shown, key=lambda alert: -float(alert.get("timestamp", 0.0)))
