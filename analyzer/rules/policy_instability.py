"""Policy updates that are far too large."""

from __future__ import annotations

from typing import ClassVar

from analyzer.context import Run
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series

_OF = 20


class PolicyInstability(Rule):
    """`approx_kl` (nats between the old policy and the new) and `clip_fraction` (share of samples that PPO clipped).

    KL: above `kl` in `times` of the last 20 updates, or once above ten times that.  Clip: mean of the last 20 above `clip`.
    INFO while the outcome is good, WARNING while it is not known, ERROR (KL) while it is bad.  Clear: 20 updates below half.

    Both have a scale of their own (information, a share), so a limit needs no baseline. Source: SB3 stops PPO's epochs at 1.5
    times a target KL of about 0.01 to 0.05 (Spinning Up); healthy gSDE on Pendulum reaches 1.3 once in a run.
    """

    name: ClassVar[str] = "policy_instability"
    metrics: ClassVar[tuple[str, ...]] = ("approx_kl", "clip_fraction")
    group: ClassVar[str] = "mechanism"
    action: ClassVar[str] = "Lower the learning rate, the number of epochs or the clip range, or set a target KL"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("kl", 1.0, 0.0, 1e300, "nats; a hundred times what PPO aims at"),
        Limit("times", 3, 1, 20, "of the last 20 updates; once is a spike"),
        Limit("clip", 0.5, 0.0, 1.0, "half of the samples no longer count"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        outcome = run.outcome
        recent = series.recent(_OF)
        if series.key == "clip_fraction":
            mean = sum(recent) / len(recent)
            if len(recent) < 5 or mean <= self.limit.clip:
                return CLEAR if mean <= 0.5 * self.limit.clip or series.n < 5 else BETWEEN
            text = f"{100 * mean:.3g} % of the samples were clipped in the last {len(recent)} updates"
            return Finding(
                INFO if outcome.good else WARNING, text, mean, self.limit.clip, window=len(recent), patience=5
            )
        above = sum([x > self.limit.kl for x in recent])
        top = max(recent)
        self.sign(
            run, f"{series.name} reached {top:.3g}" if above >= self.limit.times or top > 10.0 * self.limit.kl else ""
        )
        if above < self.limit.times and top <= 10.0 * self.limit.kl:
            return CLEAR if not above and top < 0.5 * self.limit.kl else BETWEEN
        text = (
            f"{series.name} was above {self.limit.kl:g} in {above} of the last {len(recent)} updates, {top:.3g} at most: "
            "each update made another policy"
        )
        level = INFO if outcome.good else ERROR if outcome.bad else WARNING
        return Finding(level, text, top, self.limit.kl, window=len(recent))
