"""The rules, one per file; `RULES` is what the engine runs beside the facts that `immediate` and `presence` tell."""

from __future__ import annotations

from typing import Final

from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.rules.dead_update import DeadUpdate
from analyzer.rules.entropy_collapse import EntropyCollapse
from analyzer.rules.gradient_explosion import GradientExplosion
from analyzer.rules.infinite_norm import InfiniteNorm
from analyzer.rules.loss_divergence import LossDivergence
from analyzer.rules.loss_spike import LossSpike
from analyzer.rules.overfit import Overfit
from analyzer.rules.policy_instability import PolicyInstability
from analyzer.rules.poor_performance import PoorPerformance
from analyzer.rules.reward_collapse import RewardCollapse
from analyzer.rules.slowdown import Slowdown
from analyzer.rules.stagnation import Stagnation
from analyzer.rules.value_failure import ValueFailure
from analyzer.rules.vanishing_gradient import VanishingGradient
from analyzer.rules.zero_gradients import ZeroGradients

RULES: Final[tuple[type[Rule], ...]] = (
    InfiniteNorm,
    DeadUpdate,
    ZeroGradients,
    GradientExplosion,
    VanishingGradient,
    PolicyInstability,
    EntropyCollapse,
    ValueFailure,
    LossSpike,
    RewardCollapse,
    LossDivergence,
    Stagnation,
    PoorPerformance,
    Overfit,
    Slowdown,
)

__all__ = ["BETWEEN", "CLEAR", "ERROR", "INFO", "RULES", "WARNING", "Answer", "Finding", "Limit", "Rule"]
