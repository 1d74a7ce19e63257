"""The monitor's settings refuse what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from avaliacoes.plot_config import PlotConfig
from avaliacoes.real_time_monitor import create_monitor
from contract.settings import SettingRefused, defaults


def _or(config: PlotConfig) -> None:
    config |= {"alert_retention_minutes": 5, "nonsense": 1}


WRONG: list[Callable[[PlotConfig], Any]] = [
    lambda c: c.update({"alert_retention_minutes": 5, "nonsense": 1}),
    lambda c: c.update(alert_retention_minutes=5, convergence_window="100"),
    lambda c: c.update({"alert_retention_minutes": 5, "convergence_window": True}),
    lambda c: c.__setitem__("nonsense", 1),
    lambda c: c.__setitem__("zeros_ratio_threshold", 2.0),
    lambda c: c.setdefault("nonsense", 1),
    lambda c: c.pop("convergence_window"),
    lambda c: c.__delitem__("convergence_window"),
    lambda c: c.clear(),
    lambda c: c.popitem(),
    _or,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_refused_and_changes_nothing(wrong: Callable[[PlotConfig], Any]) -> None:
    """Unknown keys, wrong types and removals raise; of several keys none is changed and nobody is told."""
    told: list[Any] = []
    config = PlotConfig(told.append)
    with pytest.raises(SettingRefused):
        wrong(config)
    assert config == defaults() and told == []


def test_a_good_update_is_told() -> None:
    """The three settings of the older system's documentation are taken, and whoever listens is told once."""
    told: list[dict[str, Any]] = []
    config = PlotConfig(lambda new: told.append(dict(new)))
    config.update({"gradient_threshold_high": 8.0, "convergence_window": 100, "alert_retention_minutes": 60})
    assert len(told) == 1 and told[0]["convergence_window"] == 100 == config["convergence_window"]


def test_arguments_of_the_monitor_are_checked() -> None:
    """create_monitor refuses a wrong interval, window or setting, and takes settings by name."""
    for wrong in ({"refresh_interval": "1"}, {"history_window": 0}, {"nonsense": 1}):
        with pytest.raises(ValueError):
            create_monitor(**wrong)  # type: ignore[arg-type]
    assert create_monitor(history_window=2000, convergence_window=70).plot_config["history_window"] == 2000
