"""Settings: what may be said in TOML and plot_config, what is refused with which words, and rules of the user's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from analyzer import check_session, tuning
from analyzer.engine import Engine
from analyzer.rules import RULES
from analyzer.tuning import Tuning
from contract import places, settings
from contract.config import ConfigRefused


def write(place: Path, text: str) -> Path:
    places.prepare_base(place)
    file = place / "avaliacoes.toml"
    file.write_text(text)
    return file


def test_nothing_said_means_calibrated_with_the_defaults(place: Path) -> None:
    """Without a file the calibrated profile is in force, each rule with its own defaults."""
    found = tuning.load(place)
    assert found.profile == "calibrated" and len(found.rules) == len(RULES) and not found.off
    assert found.limit_of("gradient_explosion").decades == 1.0
    assert found.limit_of("gradient_explosion").gradient_threshold_high == 10.0


def test_a_file_sets_limits_levels_and_rules_off(place: Path) -> None:
    """Limits, `enabled` and `level` of each rule are taken; documented thresholds hold for both profiles."""
    write(
        place,
        """
        profile = "documented"
        [rules.gradient_explosion]
        gradient_threshold_high = 8.0
        decades = 2
        [rules.stagnation]
        enabled = false
        [rules.non_finite]
        level = "WARNING"
        """,
    )
    found = tuning.load(place)
    assert found.documented and found.off == {"stagnation"} and found.caps == {"non_finite": "WARNING"}
    assert found.thresholds["gradient_threshold_high"] == 8.0
    engine = Engine(found)
    (event,) = engine.update("gradients", {"timestamp": 1.0, "step": 0, "grad_norm": 9.0})
    assert (event["level"], event["threshold"]) == ("ERROR", 8.0)
    (event,) = engine.update("training", {"timestamp": 1.0, "step": 0, "loss": float("nan")})
    assert (event["rule"], event["level"]) == ("non_finite", "WARNING")


def test_plot_config_sets_profile_rules_off_and_thresholds(place: Path) -> None:
    """What the monitor sets is taken; where the file speaks too, the file wins."""
    places.prepare_base(place)
    settings.save(place, {"profile": "documented", "rules_off": "stagnation, slowdown", "gradient_threshold_high": 7.0})
    found = tuning.load(place)
    assert (
        found.documented
        and found.off == {"stagnation", "slowdown"}
        and found.thresholds["gradient_threshold_high"] == 7.0
    )
    write(place, 'profile = "calibrated"\n[rules.stagnation]\nenabled = true\n')
    found = tuning.load(place)
    assert not found.documented and found.off == {"slowdown"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('profile = "calibratd"', ["profile", "did you mean 'calibrated'?"]),
        ("[rules.gradient_explosions]\nenabled = true", ["rule", "did you mean 'gradient_explosion'?"]),
        (
            "[rules.gradient_explosion]\ndecade = 1.0",
            ["setting of rules.gradient_explosion", "did you mean 'decades'?"],
        ),
        ("[rules.gradient_explosion]\ndecades = -1.0", ["must be a number from 0.1 to 100", "tenfold"]),
        ('[rules.gradient_explosion]\ndecades = "2"', ["must be a number", "'2'"]),
        ("[rules.gradient_explosion]\nenabled = 1", ["true or false"]),
        ('[rules.stagnation]\nlevel = "WARNIN"', ["did you mean 'WARNING'?"]),
        ("[rule.stagnation]\nenabled = true", ["section", "did you mean 'rules'?"]),
        ("rules = 5", ["tables"]),
        ('[plugins]\nmine = "nowhere_at_all:Rule"', ["plugins.mine", "ModuleNotFoundError"]),
        ('[plugins]\nmine = "nowhere"', ['"module:Class"']),
        ('[plugins]\nmine = "json:JSONDecoder"', ["judge(series, run)"]),
        ("profile = ", ["not TOML"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(place: Path, text: str, words: list[str]) -> None:
    """The refusal names the file, what was wrong, and the nearest valid name."""
    file = write(place, text)
    with pytest.raises(ConfigRefused) as refused:
        tuning.load(place)
    assert str(file) in str(refused.value) and all(word in str(refused.value) for word in words)


OWN = '''
from analyzer.rules import CLEAR, WARNING, Finding, Limit, Rule

class WinRate(Rule):
    """Fires when we lose."""
    name = "win_rate_low"
    metrics = ("win_rate",)
    limits = (Limit("low", 0.4, 0.0, 1.0, "we lose money below it"),)
    action = "Look at the last opponents"

    def judge(self, series, run):
        if series.n < 5 or series.mean >= self.limit.low:
            return CLEAR
        return Finding(WARNING, f"win rate {series.mean:.2f} is below {self.limit.low:g}", series.mean, self.limit.low)

class Plain:
    metrics = ("win_rate",)
    def judge(self, series, run):
        return Finding("INFO", "seen", series.last)
'''


def test_a_rule_of_ones_own_from_the_folder_beside_the_file(place: Path) -> None:
    """A class in `plugins/` is found, takes limits from the file, and its alerts have all that others have."""
    write(place, '[plugins]\nours = "trading:WinRate"\nplain = "trading:Plain"\n[rules.win_rate_low]\nlow = 0.6\n')
    (place / "plugins").mkdir()
    (place / "plugins" / "trading.py").write_text(OWN)
    found = tuning.load(place)
    assert found.limit_of("win_rate_low").low == 0.6
    with open(place / "rewards_s1.jsonl", "w") as file:
        file.writelines(f'{{"timestamp": {i}, "step": {i}, "win_rate": 0.5}}\n' for i in range(20))
    by_rule: dict[str, Any] = {
        event["rule"]: event for event in check_session(place, "s1") if event["state"] == "firing"
    }
    own = by_rule["win_rate_low"]
    assert (own["level"], own["step"], own["value"], own["threshold"]) == ("WARNING", 4, 0.5, 0.6)
    assert own["action"] == "Look at the last opponents" and own["metric"] == "win_rate" and own["evidence"]["values"]
    assert by_rule["plain"]["message"] == "seen"
    assert "trading" not in sys.modules, "a plugin must not take the place of an installed module"


def test_a_rule_with_the_name_of_another_is_refused(place: Path) -> None:
    """A user's rule cannot take the place of one that is there."""
    write(place, '[plugins]\nstagnation = "mine:Plain"\n')
    (place / "plugins").mkdir()
    (place / "plugins" / "mine.py").write_text(OWN)
    with pytest.raises(ConfigRefused, match="is there already"):
        tuning.load(place)


def test_limits_change_while_a_session_runs() -> None:
    """New limits hold from the next block on, and what was learned stays."""
    engine = Engine()
    for i in range(30):
        engine.update("gradients", {"timestamp": float(i), "step": i, "grad_norm": 5.0})
    engine.take(Tuning(thresholds={**engine.tuning.thresholds, "gradient_threshold_high": 4.0}))
    (event,) = engine.update("gradients", {"timestamp": 30.0, "step": 30, "grad_norm": 5.0})
    assert event["threshold"] == 4.0 and 4.9 < event["baseline"] < 5.1
