"""Real trainings that are stopped by the alerts they cause."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_logger import LogReader
from contract.rule_names import RuleRefused

ROOT = Path(__file__).resolve().parents[2]


def example(place: Path, react: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "stop_on_alert.py"), "--react", react, "--base-path", str(place)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert done.stderr == ""
    return done.stdout


def test_a_loop_that_recovers(place: Path) -> None:
    """The example goes back to its checkpoint and lowers its rate when it is told, and finds the truth after all."""
    said = example(place, "recover")
    assert "told of" in said and "back to the checkpoint" in said
    assert float(said.rpartition(":")[2]) < 0.1
    reader = LogReader(place)
    rates = [record["learning_rate"] for record in reader.read_stream("training")]
    assert max(rates) == 4.0 and rates[-1] == 0.02 and len(rates) == 1200


def test_a_loop_that_stops(place: Path) -> None:
    """The example ends at the alert, long before its last step."""
    said = example(place, "stop")
    assert "stopped by" in said
    steps = [record["step"] for record in LogReader(place).read_stream("training")]
    assert 300 < steps[-1] < 1199


def torch_and_sb3() -> Any:
    """Stable-Baselines3, one thread; skips where it is not installed, but not in continuous integration."""
    if os.environ.get("CI") == "true":
        import stable_baselines3
        import torch
    else:
        torch = pytest.importorskip("torch")
        stable_baselines3 = pytest.importorskip("stable_baselines3")
    torch.set_num_threads(1)
    return stable_baselines3


@pytest.mark.torch
def test_ppo_with_a_rate_that_explodes_is_stopped(place: Path) -> None:
    """PPO whose learning rate becomes far too high after a healthy beginning is ended by `stop_on`; the model can be saved."""
    sb3 = torch_and_sb3()

    def rate(progress_remaining: float) -> float:
        return 3e-4 if progress_remaining > 0.97 else 5.0

    integration = create_integrated_logger(place)
    callback = integration.create_sb3_callback(stop_on={"ERROR", "gradient_explosion", "policy_instability"})
    model = sb3.PPO(
        "MlpPolicy", "CartPole-v1", seed=1, n_steps=128, n_epochs=4, learning_rate=rate, max_grad_norm=1e9, device="cpu"
    )
    model.learn(200_000, callback=callback)
    assert callback.stopped_by is not None and callback.stopped_by["level"] in ("ERROR", "WARNING")
    assert 6_000 < model.num_timesteps < 190_000
    assert integration.session is None
    model.save(place / "model.zip")


@pytest.mark.torch
def test_dqn_whose_values_become_nan_is_stopped(place: Path) -> None:
    """DQN goes on with NaN for ever, and silently; `stop_on={"non_finite"}` ends it."""
    sb3 = torch_and_sb3()
    import gymnasium

    class Broken(gymnasium.RewardWrapper[Any, Any]):
        steps = 0

        def reward(self, reward: Any) -> float:
            self.steps += 1
            return math.nan if self.steps > 3_000 else float(reward)

    integration = create_integrated_logger(place)
    callback = integration.create_sb3_callback(stop_on={"non_finite"})
    model = sb3.DQN("MlpPolicy", Broken(gymnasium.make("CartPole-v1")), seed=1, learning_starts=500, device="cpu")
    model.learn(300_000, callback=callback)
    assert callback.stopped_by is not None and callback.stopped_by["rule"] == "non_finite"
    assert 3_000 < model.num_timesteps < 290_000


@pytest.mark.torch
def test_a_healthy_training_is_not_stopped_and_the_next_learn_begins_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., bool]
) -> None:
    """A stop ends one learn(): the next one with the same callback runs to its end when nothing new comes."""
    sb3 = torch_and_sb3()
    integration = create_integrated_logger(place)
    callback = integration.create_sb3_callback(stop_on={"crashed"})
    session = integration.start_session("twice")
    model = sb3.PPO("MlpPolicy", "CartPole-v1", seed=1, n_steps=64, n_epochs=1, device="cpu")
    from producer import Producer

    analyst = Producer(place, session=session, claim=False, lifecycle=False, buffer_size=1000)
    analyst.log(
        "alerts", 0, {"id": "a" * 16, "fires": "a" * 16, "rule": "crashed", "level": "ERROR", "state": "firing"}
    )
    path = place / f"alerts_{session}.jsonl"
    assert until(path.exists)
    model.learn(64, callback=callback)
    assert callback.stopped_by is None and model.num_timesteps == 64  # from before it asked
    calls = []

    class Sick(type(callback)):  # type: ignore[misc]
        def _on_rollout_start(self) -> None:
            super()._on_rollout_start()
            calls.append(1)
            if len(calls) == 3:
                analyst.log("alerts", 1, {**event, "id": "b" * 16, "fires": "b" * 16})
                assert until(lambda: integration._desk is not None and integration._desk.news)

    event = {"rule": "crashed", "level": "ERROR", "state": "firing", "message": "gone"}
    sick = Sick(integration, stop_on={"crashed"})
    model.learn(640, callback=sick)
    assert sick.stopped_by is not None and model.num_timesteps < 640 and len(calls) == 3
    model.learn(128, callback=sick)
    assert model.num_timesteps == 128 and sick.stopped_by is None
    analyst.close(timeout=5)
    integration.end_session()


@pytest.mark.torch
def test_a_wrong_name_is_refused_where_the_callback_is_made(place: Path) -> None:
    """`create_sb3_callback(stop_on=...)` refuses an unknown rule at once and names the nearest."""
    torch_and_sb3()
    with pytest.raises(RuleRefused, match="did you mean 'non_finite'"):
        create_integrated_logger(place).create_sb3_callback(stop_on={"non_finit"})
