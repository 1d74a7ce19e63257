"""What is told, when and why, with a clock in the test's hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer.notify import groups, message, state
from analyzer.notify.groups import Groups
from analyzer.notify.outbox import MOST_LETTERS, Outbox, pause_after
from analyzer.notify.settings import NotifySettings, Silence

NOW = 1_800_000_000.0
PLAIN = NotifySettings(urls=("json://x",))


def alert(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "timestamp": NOW,
        "step": 7,
        "id": f"id{number}",
        "fires": f"id{number}",
        "row": f"row{number}",
        "rule": "non_finite",
        "level": "ERROR",
        "state": "firing",
        "message": "loss is NaN",
        "action": "lower the learning rate",
        **fields,
    }


class Watch:
    """Groups, a clock, and the messages that came of them."""

    def __init__(self, settings: NotifySettings = PLAIN) -> None:
        self.settings, self.now, self.groups = settings, NOW, Groups()
        self.told: list[tuple[float, str, int]] = []
        self.messages: list[message.Message] = []

    def take(self, session: str, **fields: Any) -> str:
        return self.groups.take(session, alert(**fields), self.settings, self.now)

    def at(self, seconds: float, ending: bool = False) -> list[str]:
        """Reasons of what is told `seconds` after the start."""
        self.now = NOW + seconds
        found = []
        for group, decision in self.groups.due(self.settings, self.now, ending):
            self.messages.append(message.compose(group, decision, Path("/data")))
            self.groups.told(group, decision, self.now)
            found.append(decision.reason)
        self.groups.tidy(self.settings, self.now)
        # What is remembered over a restart decides the same.
        before = self.groups.counts
        self.groups = state.unpack(state.pack(state.State(self.groups))).groups
        self.groups.counts = before
        return found


def test_forty_runs_with_one_fault_make_one_message() -> None:
    """What fires within group_wait, in whichever run, is one message that names the runs and says what to do, once."""
    watch = Watch()
    for number in range(40):
        watch.now = NOW + number / 5
        assert watch.take(f"run{number}", number=number) == "taken"
    assert watch.at(9.9) == []
    assert watch.at(10.0) == [groups.FIRST]
    (sent,) = watch.messages
    assert sent.title == "[ERROR] non_finite: 40 runs" and sent.kind == "failure"
    assert "ERROR in run0, step 7: loss is NaN" in sent.text and "run20" in sent.text and "and 12 more" in sent.text
    assert sent.text.count("lower the learning rate") == 1 and "file:///data/dashboard_run0.html" in sent.text
    assert watch.at(1_000) == []


def test_news_wait_for_the_interval_and_rules_for_nobody() -> None:
    """A further run of a rule is told after group_interval; another rule has its own first message."""
    watch = Watch()
    watch.take("a", number=1)
    assert watch.at(10) == [groups.FIRST]
    watch.take("b", number=2)
    watch.take("b", number=3, rule="crashed")
    assert watch.at(20) == [groups.FIRST]
    assert watch.at(309.9) == []
    assert watch.at(310) == [groups.NEW_ALERTS]
    assert watch.messages[-1].title == "[ERROR] non_finite: b"


def test_a_level_that_rises_is_told() -> None:
    """A WARNING that becomes an ERROR is news; the same level again, and a lower one, are not."""
    watch = Watch()
    assert watch.take("a", level="WARNING") == "taken"
    assert watch.at(10) == [groups.FIRST]
    assert watch.take("a", level="WARNING") == "known"
    assert watch.at(400) == []
    assert watch.take("a", level="ERROR", id="id9") == "taken"
    assert watch.at(401) == [groups.LEVEL_ROSE]


def test_filters_by_level_and_rule() -> None:
    """Below the level, of another rule, or a day old: counted, not told."""
    watch = Watch(NotifySettings(urls=("json://x",), rules=frozenset({"crashed", "non_finite"})))
    assert watch.take("a", level="INFO") == "below_level"
    assert watch.take("a", rule="stagnation") == "other_rule"
    assert watch.take("a", timestamp=NOW - 90_000) == "old"
    assert watch.take("a", rule=None) == "no_alert"
    assert watch.at(1_000) == []
    assert watch.groups.counts["below_level"] == 1


def test_the_end_of_what_was_told_is_told() -> None:
    """Over after it was told: said, within the interval's patience; over before: neither is."""
    watch = Watch()
    watch.take("a", number=1)
    watch.take("b", number=2)
    assert watch.take("b", number=2, state="resolved") == "over_untold"
    assert watch.at(10) == [groups.FIRST]
    assert watch.messages[-1].title.endswith(": a")
    assert watch.take("a", number=1, state="resolved") == "ended"
    assert watch.at(100) == []
    assert watch.at(310) == [groups.OVER]
    assert (watch.messages[-1].title, watch.messages[-1].kind) == ("[over] non_finite: a", "success")
    assert watch.at(1_000) == [] and not watch.groups.groups


def test_without_resolved_ends_are_not_told() -> None:
    """`resolved = false`: the end of an alert makes no message, and is forgotten."""
    watch = Watch(NotifySettings(urls=("json://x",), resolved=False))
    watch.take("a")
    assert watch.at(10) == [groups.FIRST]
    watch.take("a", state="resolved")
    assert watch.at(1_000) == [] and not watch.groups.groups


def test_a_run_that_ended_while_it_fired_is_told() -> None:
    """A run may be over before group_wait is: its alert is told all the same, with the words for it."""
    watch = Watch()
    watch.take("a")
    assert watch.take("a", state="ended") == "ended"
    assert watch.at(10) == [groups.FIRST] and "[ERROR]" in watch.messages[-1].title
    assert "loss is NaN; the run has ended" in watch.messages[-1].text


def test_an_error_is_repeated_and_given_up_after_a_day() -> None:
    """An ERROR that still fires is told each `repeat`, a WARNING never, and after a day nothing is said any more."""
    watch = Watch()
    watch.take("a", number=1)
    watch.take("b", number=2, level="WARNING")
    assert watch.at(10) == [groups.FIRST]
    told = [hour for hour in range(1, 48) if watch.at(10 + 3600.0 * hour)]
    assert told == [4, 8, 12, 16, 20]
    assert all(sent.title == "[still ERROR] non_finite: a" for sent in watch.messages[1:])
    assert not watch.groups.groups


def test_what_flaps_is_told_once() -> None:
    """An alert that ends and fires again before its end was told makes no further message."""
    watch = Watch()
    watch.take("a", number=1)
    assert watch.at(10) == [groups.FIRST]
    watch.take("a", number=1, state="resolved")
    watch.take("a", number=1, id="id7", fires="id7")
    assert watch.at(1_000) == []


def test_silences() -> None:
    """Silenced alerts are not told while it lasts; what outlasts the silence is told then, what ends in it never."""
    silence = Silence(frozenset({"non_finite"}), "debug_*", NOW + 100)
    watch = Watch(NotifySettings(urls=("json://x",), silences=(silence,)))
    watch.take("debug_1", number=1)
    watch.take("debug_2", number=2)
    watch.take("debug_2", number=2, state="ended")
    watch.take("debug_3", number=3, rule="crashed")
    watch.take("real", number=4)
    assert sorted(watch.at(10)) == [groups.FIRST, groups.FIRST]
    assert sorted(sent.title for sent in watch.messages) == ["[ERROR] crashed: debug_3", "[ERROR] non_finite: real"]
    assert watch.groups.waiting(watch.settings, NOW + 50) == 0
    assert watch.at(400) == [groups.NEW_ALERTS]
    assert watch.messages[-1].title == "[ERROR] non_finite: debug_1"


def test_a_silenced_group_says_so() -> None:
    """The reason of a decision is named: silenced, waiting, or nothing new."""
    settings = NotifySettings(urls=("json://x",), silences=(Silence(),))
    watch = Watch(settings)
    watch.take("a")
    (group,) = watch.groups.groups.values()
    assert groups.decide(group, settings, NOW + 60) == (False, groups.SILENCED, ())
    assert groups.decide(group, PLAIN, NOW + 1).reason == groups.GROUP_WAIT
    assert groups.decide(group, PLAIN, NOW + 1, ending=True).reason == groups.FIRST


def test_the_hourly_limit_holds_back_and_then_tells() -> None:
    """Past the limit, messages wait for the hour to pass, the worst first, and are counted; none is lost."""
    watch = Watch(NotifySettings(urls=("json://x",), rate_limit=2))
    for number, rule in enumerate(("stagnation", "overfit", "crashed", "stalled")):
        watch.take("a", number=number, rule=rule, level="WARNING" if number != 2 else "ERROR")
    assert watch.at(10) == [groups.FIRST] * 2
    assert "crashed" in watch.messages[0].title
    assert watch.at(20) == [] and watch.groups.counts[groups.RATE_LIMIT] == 4
    assert watch.at(3_611) == [groups.FIRST] * 2
    assert len({sent.title for sent in watch.messages}) == 4


def test_a_clock_set_back_holds_nothing_up() -> None:
    """With the clock an hour back, news are told at once instead of an hour later."""
    watch = Watch()
    watch.take("a", number=1)
    assert watch.at(10) == [groups.FIRST]
    watch.take("b", number=2)
    assert watch.at(-3_600) == [groups.NEW_ALERTS]


def test_memory_is_bounded() -> None:
    """Of ten thousand rows of one rule the first are kept, and the message says how many are not listed."""
    watch = Watch()
    for number in range(10_000):
        watch.take(f"run{number}", number=number)
    (group,) = watch.groups.groups.values()
    assert len(group.entries) == groups.MOST_ENTRIES
    assert watch.at(10) == [groups.FIRST]
    assert "9500 further alerts" in watch.messages[0].text and len(watch.messages[0].text) <= 4_000


@pytest.mark.parametrize("seed", range(5))
def test_each_alert_is_told_exactly_once(seed: int) -> None:
    """Whatever order alerts of many rules and runs come in, each is in exactly one message."""
    import random

    rng = random.Random(seed)
    watch = Watch(NotifySettings(urls=("json://x",), rate_limit=rng.choice([3, 1000]), repeat=0.0))
    rows = [(f"run{n % 30}", n, rng.choice(["crashed", "overfit", "non_finite"])) for n in range(120)]
    rng.shuffle(rows)
    told: list[str] = []
    seconds = 0.0
    while rows or watch.groups.waiting(watch.settings, watch.now):
        for _ in range(rng.randrange(4) if rows else 0):
            if rows:
                session, number, rule = rows.pop()
                watch.take(session, number=number, rule=rule, message=f"<{number}>")
        seconds += rng.choice([0.5, 7.0, 90.0])
        for group, decision in watch.groups.due(watch.settings, NOW + seconds):
            told += [one.message for one in decision.news]
            watch.groups.told(group, decision, NOW + seconds)
        assert seconds < 86_000
    assert sorted(told) == sorted(f"<{n}>" for n in range(120))


def test_letters_are_tried_with_growing_pauses_in_order() -> None:
    """A receiver gets its oldest letter first, after 2, 4, ... 600 s; another's letters do not wait for it."""
    box = Outbox()
    one, two = (message.Message(f"title {n}", "text", "info") for n in (1, 2))
    box.post(one, ["down", "up"], NOW)
    box.post(two, ["down", "up"], NOW)
    assert [(letter.target, letter.title) for letter in box.ready(NOW)] == [("down", "title 1"), ("up", "title 1")]
    down, up = box.ready(NOW)
    box.taken(up)
    pauses = []
    at = NOW
    while not box.failed(down, 12, at):
        pauses.append(down.next_try - at)
        assert [letter.target for letter in box.ready(down.next_try - 0.1)] == ["up"]
        at = down.next_try
    assert pauses == [pause_after(n) for n in range(1, 12)] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert [letter.title for letter in box.ready(at)] == ["title 2", "title 2"]
    assert box.counts == {"sent": 1, "failed_try": 12, "given_up": 1, "no_room": 0}


def test_the_outbox_is_bounded() -> None:
    """Past its room the oldest letters are given up, returned to be said, and counted."""
    box = Outbox()
    lost = [box.post(message.Message(f"{n}", "", "info"), ["a"], NOW) for n in range(MOST_LETTERS + 3)]
    assert [letter.title for found in lost for letter in found] == ["0", "1", "2"]
    assert len(box.letters) == MOST_LETTERS and box.counts["no_room"] == 3


def test_letters_to_a_receiver_that_is_no_more_are_forgotten() -> None:
    """A URL taken out of the configuration gets no letters, and holds nothing up."""
    box = Outbox()
    box.post(message.Message("t", "", "info"), ["old", "new"], NOW)
    assert box.keep_only(["new"]) == 1 and [letter.target for letter in box.letters] == ["new"]


def test_an_unreadable_state_is_an_empty_one(place: Path) -> None:
    """A state file that is broken, or of another shape, is as none at all."""
    state.state_file(place).parent.mkdir(parents=True)
    for text in ("{", "[]", '{"positions": {}}', '{"positions": 3, "sent": [], "letters": [], "groups": []}'):
        state.state_file(place).write_text(text)
        assert not state.load(place).known
    state.save(place, state.State(positions={"alerts_x.jsonl": 3}))
    assert state.load(place).known and state.load(place).positions == {"alerts_x.jsonl": 3}
    assert state.state_file(place).stat().st_mode & 0o777 == 0o600
