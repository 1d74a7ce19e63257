"""The rules, one per file; `RULES` is the list that the engine runs."""

from __future__ import annotations

from typing import Final

from analyzer.rules.gradient_explosion import GradientExplosion
from analyzer.rules.loss_divergence import LossDivergence
from analyzer.rules.poor_performance import PoorPerformance
from analyzer.rules.stagnation import Stagnation
from analyzer.rules.vanishing_gradient import VanishingGradient
from analyzer.rules.verdict import Rule, Thresholds, Verdict
from analyzer.rules.zero_gradients import ZeroGradients

RULES: Final[tuple[type[Rule], ...]] = (
    GradientExplosion,
    VanishingGradient,
    ZeroGradients,
    LossDivergence,
    Stagnation,
    PoorPerformance,
)

__all__ = ["RULES", "Rule", "Thresholds", "Verdict"]
