"""The second stage: blocks in their order, past the rules, into rows of alerts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from analyzer.context import Run, words_for
from analyzer.inhibit import ONE_THING, OUTCOME, silencer
from analyzer.life import Cause, Event, Row
from analyzer.presence import Presence
from analyzer.rules.base import BETWEEN, CLEAR, ERROR, INFO, WARNING, Answer, Finding, Rule
from analyzer.series import Series
from analyzer.streams import Block
from analyzer.tuning import Tuning
from contract import names
from contract.lifecycle import CRASHED_AFTER_S

_ORDER: Final = (ERROR, WARNING, INFO)
_FINITE_AGAIN: Final = 20


class Judge:
    """Rules and rows of one session.

    rows: (rule, producer, component) -> row.  failed: rule -> what it raised.  over: the record that ended the session, None before.
    """

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self.run = Run()
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.failed: dict[str, str] = {}
        self.presence = Presence()
        self._plans: dict[int, list[tuple[Rule, Row]]] = {}
        self._rules: dict[tuple[str, str, str], Rule] = {}
        self._scopes: dict[tuple[str, str], dict[str, Series]] = {}
        self._holding: dict[int, set[str]] = {}
        self._loud: dict[str, tuple[str, str]] = {}
        self._infinite: dict[tuple[str, str, str], int] = {}

    @property
    def wanted(self) -> frozenset[str] | None:
        """Keys and names of the metrics that some rule, or the outcome, needs."""
        return self.tuning.wanted

    @property
    def over(self) -> Cause | None:
        return self.presence.over

    def take(self, tuning: Tuning) -> None:
        """Other settings from now on: rules keep what they have learned, those that are new begin."""
        self.tuning = tuning
        for (name, _, _), rule in self._rules.items():
            limit = tuning.limit_of(name)
            if limit is not None:
                rule.limit = limit
        self._plans.clear()

    def saw(self, times: Sequence[float]) -> None:
        """Data records of these times have come, judged or not."""
        self.presence.saw(times)

    def block(self, block: Block) -> list[Event]:
        """Judge one block."""
        run = self.run
        at = (block.seq, block.step, block.time)
        if block.step > run.step:
            run.step = block.step
        if block.time > run.time:
            run.time = block.time
        events: list[Event] = []
        for series, values, steps, bad in block.values:
            if series.scope is None:
                self._begin(series)
            series.push(values, steps, at, bad)
            if bad or self._infinite:
                self._note(series, bad, len(values))
        for series, values, _, bad in block.values:
            plan = self._plans.get(id(series))
            if plan is None:
                plan = self._plans[id(series)] = self._plan(series)
            for rule, row in plan:
                if rule.name in self.failed or not (values or (bad and rule.name == "non_finite")):
                    continue
                try:
                    answer = rule.judge(series, run)
                    if answer is None:
                        continue
                    events += self._answer(rule, row, series, answer, block)
                except Exception as error:  # a rule may be somebody's own: it must not end the monitoring
                    events += self._failed(rule, row, error, block)
        return events

    def _begin(self, series: Series) -> None:
        scope = self._scopes.setdefault((series.producer, series.component), {})
        scope.setdefault(series.key, series)
        series.scope = scope
        self.run.add(series)
        if series.key in self.tuning.of_rl:
            self.run.reinforced = True

    def _plan(self, series: Series) -> list[tuple[Rule, Row]]:
        found = []
        for kind, limit in self.tuning.rules:
            if series.key not in kind.metrics and series.name not in kind.metrics:
                continue
            key = (kind.name, series.producer, series.component)
            rule = self._rules.get(key)
            if rule is None:
                try:
                    rule = kind(limit) if issubclass(kind, Rule) else kind()
                except Exception as error:  # a user's constructor
                    self.failed[kind.name] = f"{type(error).__name__}: {error}"[:300]
                    continue
                self._rules[key] = rule
            found.append((rule, self._row(*key)))
        return found

    def _row(self, rule: str, producer: str, component: str) -> Row:
        key = (rule, producer, component)
        row = self.rows.get(key)
        if row is None:
            # The plain row of this rule belongs to the loss, which is judged at once.
            row = self.rows[key] = Row(rule, producer, component, "gradients" if rule == "non_finite" else "")
        return row

    def _answer(self, rule: Rule, row: Row, series: Series, answer: Answer, block: Block) -> list[Event]:
        cause = Cause(series.category, block.seq, block.step, block.time, block.records)
        holding = self._holding.get(id(row))
        if isinstance(answer, Finding):
            if holding is None:
                holding = self._holding[id(row)] = set()
            holding.add(series.name)
            return self._hold(rule, row, series, answer, cause)
        if answer == BETWEEN:
            if not holding or series.name in holding:
                row.between()
            return []
        if answer != CLEAR:
            raise ValueError(f"expected a Finding, CLEAR, BETWEEN or None from judge(), got {answer!r:.60}")
        if holding:
            holding.discard(series.name)
            if holding:
                return []
        if not row.fires:
            row.pending = 0
            return []
        events = row.clear(cause)
        if events:
            self._quiet(row)
        return events

    def _hold(self, rule: Rule, row: Row, series: Series | None, found: Finding, cause: Cause) -> list[Event]:
        if found.level not in _ORDER:
            raise ValueError(f"expected a level of {', '.join(_ORDER)}, got {found.level!r:.40}")
        cap = self.tuning.caps.get(row.rule)
        if cap is not None and _ORDER.index(cap) > _ORDER.index(found.level):
            found.level = cap
        by = ""
        group = getattr(rule, "group", "")
        if found.level != INFO:
            if row.fires and row.silenced and (found.level != ERROR or {row.rule, row.silenced} == ONE_THING):
                by = row.silenced
            else:
                by = silencer(row.rule, group, found.level, self._loud)
            if by:
                found.level = INFO
        elif row.silenced and row.fires:
            by = row.silenced
        if not row.fires or _ORDER.index(found.level) < _ORDER.index(row.level):
            found.reasons = found.reasons + self._others(row.rule, found)
        events = row.hold(found, series, cause, by, getattr(rule, "action", ""))
        if row.fires:
            self.run.firing[row.rule] = row.level
            if row.level != INFO and row.rule not in self._loud:
                self._loud[row.rule] = (group, row.level)
            elif row.level == ERROR:
                self._loud[row.rule] = (group, ERROR)
        return events

    def _others(self, rule: str, found: Finding) -> list[str]:
        """Sentences on what else is to be seen, beside those that the rule gave itself."""
        said = list(found.reasons)
        reasons = [text for text in words_for(self.run.outcome) if text not in said and text not in found.message]
        jump = self.run.rate_jump()
        if jump and jump not in found.message:
            reasons.append(jump)
        reasons += [f"{other} fires too ({level})" for other, level in self.run.firing.items() if other != rule]
        return reasons

    def _quiet(self, row: Row) -> None:
        """A row is over: what it stood for is gone unless another row of its rule fires."""
        left = [other.level for other in self.rows.values() if other.rule == row.rule and other.fires]
        if left:
            self.run.firing[row.rule] = min(left, key=_ORDER.index)
        else:
            self.run.firing.pop(row.rule, None)
        if not any(level != INFO for level in left):
            self._loud.pop(row.rule, None)

    def _note(self, series: Series, bad: int, good: int) -> None:
        """Follow values that are no numbers: `immediate` has told them, here they explain what else is seen."""
        key = (series.producer, series.component, series.name)
        if bad and series.key in self.tuning.finite:
            self._infinite[key] = 0
            self._loud.setdefault("non_finite", ("", ERROR))
            self.run.firing["non_finite"] = ERROR
        elif key in self._infinite:
            self._infinite[key] += good
            if self._infinite[key] >= _FINITE_AGAIN:
                del self._infinite[key]
                if not self._infinite:
                    self._loud.pop("non_finite", None)
                    self.run.firing.pop("non_finite", None)

    def _failed(self, rule: Rule, row: Row, error: Exception, block: Block) -> list[Event]:
        """A rule raised: it is off for this session, and that is an alert about the rule, once."""
        first = rule.name not in self.failed
        why = self.failed[rule.name] = f"{type(error).__name__}: {error}"[:300]
        if not first:
            return []
        found = Finding(
            WARNING, f"the rule {rule.name} failed with {why}; it is off for this session", float(block.records)
        )
        cause = Cause(block.stream.category, block.seq, block.step, block.time, block.records)
        broken = Row(rule.name, row.producer, row.component, "failed")
        self.rows[f"{rule.name} failed", row.producer, row.component] = broken
        return broken.hold(found, None, cause, action=f"Correct the code of {rule.name}, then restart the analyzer")

    def last_look(self) -> list[Event]:
        """The run is over: rules that wait for more may say what they can."""
        self.run.over = True
        events: list[Event] = []
        for scope in list(self._scopes.values()):
            for series in scope.values():
                for rule, row in self._plans.get(id(series), ()):
                    if not series.n or rule.name in self.failed or getattr(rule, "group", "") != OUTCOME:
                        continue
                    answer = rule.judge(series, self.run)
                    if isinstance(answer, Finding):
                        cause = Cause(series.category, *series.at, 1)
                        events += self._hold(rule, row, series, answer, cause)
        return events

    def lifecycle(self, block: Block) -> list[Event]:
        """Judge one lifecycle record: whether the trainer stands still, or is gone."""
        record = block.record or {}
        self.run.total = self.run.total or self.presence.total_of(record)
        if block.time > self.run.time:
            self.run.time = block.time
        cause = Cause(names.LIFECYCLE, block.seq, self.run.step, block.time)
        events: list[Event] = []
        for name, answer in self.presence.update(record, block.producer, cause):
            events += self._present(name, answer, cause)
        return events

    def gone(self) -> list[Event]:
        """A clock says that the trainer's heart has stopped; the event is dated by its last beat."""
        presence = self.presence
        if presence.root is None or presence.crashed or presence.over is not None:
            return []
        found = presence.gone(f"no sign of life for {CRASHED_AFTER_S:.0f} s", presence.heard)
        return self._present("crashed", found, Cause(names.LIFECYCLE, 0, self.run.step, presence.heard))

    def _present(self, name: str, answer: Finding | str, cause: Cause) -> list[Event]:
        root = self.presence.root
        if name in self.tuning.off or root is None:
            return []
        row = self._row(name, root, "")
        if name == "crashed":
            # The same crash has the same id, whether a clock told it, a record, or both.
            cause = cause._replace(seq=self.presence.crashes)
        if isinstance(answer, Finding):
            return self._hold(self.presence.rule(name), row, None, answer, cause)
        if not row.fires:
            return []
        events = [row.resolve(answer, cause)]
        self._quiet(row)
        return events
