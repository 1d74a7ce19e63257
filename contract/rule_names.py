"""What rules are called: those who name rules (a trainer's `stop_on`, a notifier's filter) and the analyzer must agree.

A user's own rules have names too, which the data folder's configuration or an installed package tells.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from contract import config

#: The documented six, then the others.
RULES: Final = (
    "gradient_explosion",
    "vanishing_gradient",
    "zero_gradients",
    "loss_divergence",
    "stagnation",
    "poor_performance",
    "non_finite",
    "loss_spike",
    "reward_collapse",
    "entropy_collapse",
    "policy_instability",
    "value_failure",
    "dead_update",
    "overfit",
    "stalled",
    "crashed",
    "slowdown",
)
#: Entry points of this group are rules of installed packages; their names are the rules' names.
ENTRY_POINTS: Final = "avaliacoes.rules"


class RuleRefused(ValueError):
    """A name that no rule bears; the text has the nearest one and all others."""


def known(base: Path | None) -> set[str]:
    """Every name that a rule of this data folder may bear: ours, those in its configuration, those of installed packages."""
    found = set(RULES)
    if base is not None:
        with contextlib.suppress(config.ConfigRefused):
            plugins = config.load(base).get("plugins")
            found.update(plugins if isinstance(plugins, dict) else ())
    from importlib import metadata  # slow to load, and few need it

    found.update(point.name for point in metadata.entry_points(group=ENTRY_POINTS))
    return found


def check(name: object, base: Path | None, also: tuple[str, ...] = ()) -> str:
    """`name` if a rule bears it, or if it is one of `also`.

    Raises:
        RuleRefused: it is no such name; the nearest one is proposed.
    """
    if isinstance(name, str) and (name in RULES or name in also):
        return name
    names = known(base)
    if isinstance(name, str) and name in names:
        return name
    raise RuleRefused(config.unknown("rule or level" if also else "rule", str(name), [*names, *also]))
