"""A loss that does not move."""

from __future__ import annotations

from typing import ClassVar

from analyzer.context import SIGMAS, Progress, Run, progress
from analyzer.rules.base import CLEAR, INFO, WARNING, Answer, Finding, Limit, Rule
from analyzer.series import Series

_CORROBORATES = ("zero_gradients", "vanishing_gradient", "dead_update")


class Stagnation(Rule):
    """No gain in the loss, ever (a run that does not learn), or none any more (a plateau).

    Never learned: after `never` records, or `never_corroborated` where gradients or updates are near nothing too, or at the end of the
    run, neither loss nor accuracy was ever better than at the start by 4 standard errors and 1 % (or the loss by less than `trifle`, and
    nothing since): WARNING. Not in reinforcement
    learning, whose loss need not fall.  Plateau: the means of the halves of the last `convergence_window` records differ
    by less than `stagnation_threshold` (the documented threshold): INFO.  Clear: neither.

    Source: SageMaker Debugger LossNotDecreasing; levels of an eighth of the run against their own noise, since any two
    neighbouring windows of a learning run may differ by less than their noise.
    """

    name: ClassVar[str] = "stagnation"
    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    group: ClassVar[str] = "outcome"
    action: ClassVar[str] = "Check that data, labels and optimiser are what they should be; try another learning rate"
    limits: ClassVar[tuple[Limit, ...]] = (
        Limit("convergence_window", 50, 5, 100_000, "records of the documented threshold, as in plot_config"),
        Limit("stagnation_threshold", 0.01, 0.0, 1.0, "relative change, as in plot_config"),
        Limit("trifle", 0.02, 0.0, 1.0, "of the first level: a gain that the first moments of any network make"),
        Limit("never", 200, 8, 1e9, "records without any gain; warm-up and slow starts show one by then"),
        Limit("never_corroborated", 80, 8, 1e9, "records, where gradients or updates say the same"),
    )

    def judge(self, series: Series, run: Run) -> Answer:
        limit = self.limit
        p = progress(series)
        if p is not None and not run.reinforced and self._never(p, run.main.get("accuracy")) and not run.rate_rises():
            others = [run.signs[rule] for rule in _CORROBORATES if rule in run.signs]
            # A hint of progress, or noise that would hide a gain of a tenth, buys three times the patience.
            blind = p.hint or 1.414 * SIGMAS * p.noise > 0.1 * abs(p.start)
            enough = series.n >= limit.never * (3 if blind else 1) or (others and series.n >= limit.never_corroborated)
            if enough or (run.over and series.n >= limit.never_corroborated and not p.hint):
                text = f"{series.name} has not improved in {series.n} records: {-p.start:.4g} at the start, {-p.best:.4g} at best"
                return Finding(
                    WARNING,
                    text,
                    series.last,
                    -p.start - 0.01 * abs(p.start),
                    -p.start,
                    series.n,
                    onset=series.started,
                    reasons=others,
                )
        window = min(64, int(limit.convergence_window))
        values = series.recent(window)
        if len(values) < window:
            return None
        half = window // 2
        before, after = sum(values[:half]) / half, sum(values[half:]) / (window - half)
        change = abs(after - before) / max(abs(before), 1e-300)
        if change >= limit.stagnation_threshold:
            return CLEAR
        text = f"{series.name} changed by {100 * change:.2g} % over the last {window} records"
        if p is not None and p.gained:
            text += f": a plateau after learning (from {-p.start:.4g} to {-p.best:.4g} at best)"
        return Finding(INFO, text, after, limit.stagnation_threshold, before, window)

    def _never(self, p: Progress, accuracy: Series | None) -> bool:
        known = progress(accuracy) if accuracy is not None else None
        if known is not None and known.moving:
            return False
        if not p.moving:
            return True
        # An accuracy that stands still says that even a larger fall of the loss was no learning.
        trifle = self.limit.trifle * (2.5 if known is not None else 1.0)
        return p.best - p.start < trifle * abs(p.start) and p.late < 2.0
