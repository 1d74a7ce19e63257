"""Whether the trainer is there: `stalled` and `crashed`, told from lifecycle records against the times of data. Pure.

`stalled`: a heartbeat, and no data record for max(`STALLED_AFTER_S`, ten times the usual gap) before it (limits of
`contract.lifecycle`). Over with the first record. `crashed`: the root producer ended with status "failed", or what it left was
adopted because it was gone. A heartbeat that stays away is seen by a clock only; the live loop tells it (`gone`), and a later
reading contradicts nothing: the same row, fired by the same record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from analyzer.life import Cause
from analyzer.rules.base import ERROR, WARNING, Finding, Rule
from contract.lifecycle import CRASHED_AFTER_S, STALLED_AFTER_S
from contract.names import root_of

_TOTALS = ("total_timesteps", "total_steps", "max_steps", "num_steps", "n_steps_total", "total_updates", "steps")


class Stalled(Rule):
    """No record for much longer than usual while the trainer's heart beats. WARNING."""

    name = "stalled"
    metrics = ()
    action = "Look whether the trainer waits: for data, a lock, an evaluation, another process"


class Crashed(Rule):
    """The trainer is gone without an end, or ended with an error. ERROR."""

    name = "crashed"
    metrics = ()
    action = "Read the trainer's last output, then resume from the last checkpoint"


class Presence:
    """Follows one session. `root` is the producer of the first start record; its forks share its id."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.over: Cause | None = None
        self.start: Cause | None = None
        self.crashed = False
        self.crashes = 0
        self.heard = 0.0
        self.stalled_since: float | None = None
        self._started = 0.0
        #: Whole seconds in which data came; those before the last lifecycle record are forgotten.
        self._seconds: deque[int] = deque()
        self._last = 0.0
        self._gap = 0.0
        self._rules: dict[str, Rule] = {"stalled": Stalled(), "crashed": Crashed()}

    def rule(self, name: str) -> Rule:
        return self._rules[name]

    def saw(self, times: Sequence[float]) -> None:
        """Data records of these times have come, in any order of streams."""
        seconds = self._seconds
        if len(times) == 1:
            second = int(times[0])
            if not seconds or seconds[-1] != second:
                seconds.append(second)
        else:
            seconds.extend(sorted(set(map(int, times))))
        while len(seconds) > 50_000:
            seconds.popleft()

    def total_of(self, record: dict[str, Any]) -> int | None:
        """Steps that the run is to take, from the configuration in its start record."""
        config = record.get("config")
        if record.get("event") != "start" or not isinstance(config, dict):
            return None
        for name in _TOTALS:
            value = config.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and 1 < value < 1e15:
                return int(value)
        return None

    def update(self, record: dict[str, Any], producer: str, cause: Cause) -> list[tuple[str, Finding | str]]:
        """What one lifecycle record says of each rule."""
        event = record.get("event")
        if event == "start" and self.root is None:
            self.root, self._started, self.start = root_of(producer), cause.time, cause
        if self.root is None:
            return []
        if event == "adopted":
            if record.get("producer") != self.root or self.crashed:
                return []
            return [
                (
                    "crashed",
                    self.gone("its process is gone, what it had not delivered was found and stored", cause.time),
                )
            ]
        if root_of(producer) != self.root:
            return []
        answers: list[tuple[str, Finding | str]] = []
        if self.heard and cause.time - self.heard > CRASHED_AFTER_S and event != "start":
            if not self.crashed:
                answers.append(("crashed", self.gone(f"no sign of life for {CRASHED_AFTER_S:.0f} s", self.heard)))
            self.crashed = False
            answers.append(("crashed", f"over: it is heard again, after {cause.time - self.heard:.0f} s"))
        self.heard = max(self.heard, cause.time)
        if event == "end" and producer == self.root:
            self.over = cause
            if record.get("status") == "failed" and not self.crashed:
                error = str(record.get("error") or "no error was named")[:300]
                answers.append(("crashed", self.gone(f"it ended with an error: {error}", cause.time)))
        elif event == "heartbeat":
            answers += self._standing(cause)
        return answers

    def gone(self, why: str, time: float) -> Finding:
        """The alert `crashed`, at record time `time`."""
        self.crashed = True
        self.crashes += 1
        last = f", its last record came at {self._last:.0f}" if self._last else ""
        return Finding(
            ERROR,
            f"the trainer crashed: {why}{last}",
            max(0.0, time - self._last) if self._last else 0.0,
            CRASHED_AFTER_S,
        )

    def _standing(self, cause: Cause) -> list[tuple[str, Finding | str]]:
        held = []
        for second in self._seconds:
            if second > cause.time:
                held.append(second)
            elif second > self._last:
                if self._last:
                    self._gap += 0.1 * (second - self._last - self._gap)
                self._last = float(second)
        self._seconds = deque(held)
        since = cause.time - (self._last or self._started)
        limit = max(STALLED_AFTER_S, 10.0 * self._gap)
        if since > limit:
            self.stalled_since = self._last
            text = f"no record for {since:.0f} s while the trainer lives; usual are {self._gap:.3g} s between records"
            return [
                (
                    "stalled",
                    Finding(
                        WARNING, text, since, limit, self._gap or None, onset=(cause.step, self._last or self._started)
                    ),
                )
            ]
        if self.stalled_since is not None:
            text = f"over: records come again, after {self._last - self.stalled_since:.0f} s"
            self.stalled_since = None
            return [("stalled", text)]
        return []
