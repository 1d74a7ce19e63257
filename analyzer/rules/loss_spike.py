"""A loss that has jumped up and stays there."""

from __future__ import annotations

from typing import ClassVar

from analyzer.context import Run, progress
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import RING, Series


class LossSpike(Rule):
    """All of the last `in_a_row` losses far above the recent level: the median of the last quarter of the run.

    Far: more than `times` that level where it is above 0, and more than 8 standard deviations of one value above it.
    WARNING when the jump also undoes `share` of all that the run had gained (ERROR: nine tenths of it, in five times as many), INFO otherwise: a change of data or a restart of
    the learning rate is a small step beside what was learned. Runs of reinforcement learning are not judged: there the loss
    says little.  Clear: one of the last values is below halfway.

    Source: llm-foundry's loss monitor (twice the running mean, five in a row).
    """

    name: ClassVar[str] = "loss_spike"
    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    group: ClassVar[str] = "outcome"
    action: ClassVar[str] = "Look at the data and the learning rate of that step; go back to the checkpoint before it"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("times", 2.0, 1.0, 1e300, "times the recent level"),
        Limit("share", 0.5, 0.0, 1e300, "of what the run had gained"),
        Limit("in_a_row", 5, 1, 64, "records; single spikes are normal"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        if run.reinforced or series.n < 20:
            return None
        p = progress(series)
        if p is None or not p.gained:
            return CLEAR
        last = series.recent(int(self.limit.in_a_row))
        cells = series.cells.values
        quarter = sorted(cells[-max(4, len(cells) // 4) :])
        usual = quarter[len(quarter) // 2]
        sigma = p.noise * max(1, len(cells) // 8) ** 0.5 * series.cells.width**0.5
        low = min(last)
        limit = max(usual + 8.0 * sigma, self.limit.times * usual if usual > 0 else usual)
        if low <= limit:
            return CLEAR if low <= (usual + limit) / 2 else BETWEEN
        gain = p.best - p.start
        undone = (low - usual) / gain
        text = (
            f"{series.name} has jumped from {usual:.4g} to {sum(last) / len(last):.4g} and stays there for {len(last)} records; "
            f"that undoes {100 * undone:.3g} % of what was gained"
        )
        level = WARNING if undone > self.limit.share else INFO
        recent = series.recent(RING)
        if undone > 0.9 and sum([x > limit for x in recent]) >= 5 * len(last):
            level = ERROR
        return Finding(level, text, series.last, limit, usual, len(last))
