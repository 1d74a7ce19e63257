"""Which alert explains which: a cause silences its symptoms, and of one incident at most two alerts are loud. Pure.

Rules are of two groups: a mechanism says what is broken inside (gradients, updates, policy, value function), an outcome says what
becomes of the run (loss, rewards). Within a group the first that is loud stays so while it fires, the others are kept at INFO with its
name in `silenced_by`: they stand on the page, and in the loud one's evidence. Across the groups nothing is silenced: that a gradient
exploded and that the rewards fell are two things to know.
"""

from __future__ import annotations

from typing import Final

from analyzer.rules.base import ERROR, INFO

MECHANISM: Final = "mechanism"
OUTCOME: Final = "outcome"
#: What needs no judgement, and explains whatever else is seen.
_FACTS: Final = {"crashed": frozenset({"stalled", "slowdown"})}
#: A jump that stays is a divergence: whichever is told first stands for both.
ONE_THING: Final = frozenset({"loss_spike", "loss_divergence"})


def silencer(rule: str, group: str, level: str, loud: dict[str, tuple[str, str]]) -> str:
    """The rule that explains an alert of this rule and level, or "".

    Args:
        loud: rule -> (group, level) of what fires at WARNING or above, oldest first.
    """
    if level == INFO:
        return ""
    for fact, symptoms in _FACTS.items():
        if fact in loud and rule in symptoms:
            return fact
    if "non_finite" in loud and group in (MECHANISM, OUTCOME):
        return "non_finite"
    if not group:
        return ""
    for other, (its_group, its_level) in loud.items():
        if other == rule or its_group != group:
            continue
        if group == OUTCOME and level == ERROR and its_level != ERROR and {rule, other} != ONE_THING:
            continue  # a run that stands still may yet fall
        return other
    return ""
