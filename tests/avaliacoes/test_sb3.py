"""The Stable-Baselines3 callback on real algorithms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_logger import LogReader

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
sb3 = pytest.importorskip("stable_baselines3")

CASES = [
    ("PPO", "CartPole-v1", {"n_steps": 128, "batch_size": 64, "n_epochs": 2}, 512, {"actor", "critic"}),
    ("A2C", "CartPole-v1", {}, 200, {"actor", "critic"}),
    ("DQN", "CartPole-v1", {"learning_starts": 100}, 700, set()),
    ("SAC", "Pendulum-v1", {"learning_starts": 100, "policy_kwargs": {"net_arch": [16]}}, 450, {"actor", "critic"}),
    ("TD3", "Pendulum-v1", {"learning_starts": 100, "policy_kwargs": {"net_arch": [16]}}, 450, {"actor", "critic"}),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("algorithm", "env", "options", "steps", "parts"), CASES)
def test_every_algorithm_is_logged(
    place: Path, algorithm: str, env: str, options: dict[str, Any], steps: int, parts: set[str]
) -> None:
    """A learn() opens a session, logs training, gradients, episodes and speed, ends it, and leaves torch as it was."""
    clip = torch.nn.utils.clip_grad_norm_
    integration = create_integrated_logger(place)
    model = getattr(sb3, algorithm)("MlpPolicy", env, seed=1, **options)
    model.learn(steps, callback=[integration.create_sb3_callback()])
    assert integration.session is None and torch.nn.utils.clip_grad_norm_ is clip
    stats = integration.get_current_stats()
    assert stats["problems"] == {} and stats["persisted"] == stats["logged"]
    reader = LogReader(place)
    training = list(reader.read_stream("training"))
    assert {"loss", "learning_rate"} <= training[-1].keys() and training[-1]["step"] <= steps + 128
    if algorithm == "PPO":
        wanted = {"policy_loss", "value_loss", "entropy_loss", "approx_kl", "clipfrac", "explained_variance"}
        assert wanted <= training[-1].keys() and len(training) == steps // 128
    gradients = list(reader.read_stream("gradients"))
    assert len(gradients) == len(training)
    for record in gradients:
        assert record["grad_norm_max"] >= record["grad_norm"] * 0.999 > 0
        assert 0 <= record["grad_zeros_ratio"] <= 1 and record["weight_update_ratio"] > 0
    found = {key.removeprefix("grad_norm_") for key in gradients[-1] if key.startswith("grad_norm_")} - {"max"}
    assert found == parts
    episodes = list(reader.read_stream("rewards"))
    assert episodes and all(math.isfinite(record["episode_reward"]) for record in episodes)
    model.save(place / "model.zip")


def test_norms_are_those_before_clipping(place: Path) -> None:
    """With gradients clipped to 0.001, the logged norm is the one before, equal to a run that does not clip in its first update."""
    norms = []
    for limit in (1e-3, 1e9):
        integration = create_integrated_logger(place)
        model = sb3.PPO(
            "MlpPolicy", "CartPole-v1", seed=3, n_steps=64, batch_size=64, n_epochs=1, max_grad_norm=limit, device="cpu"
        )
        model.learn(64, callback=integration.create_sb3_callback())
        (record,) = LogReader(place, integration.get_current_stats()["session"]).read_stream("gradients")
        norms.append(record["grad_norm"])
        assert record["grad_norm"] == pytest.approx(math.hypot(record["grad_norm_actor"], record["grad_norm_critic"]))
    assert norms[0] == pytest.approx(norms[1], rel=1e-5) and norms[0] > 0.1


def test_training_is_not_changed(place: Path) -> None:
    """A watched run ends with the very weights of an unwatched one."""
    weights = []
    for watched in (False, True):
        integration = create_integrated_logger(place)
        model = sb3.PPO("MlpPolicy", "CartPole-v1", seed=5, n_steps=128, n_epochs=2, device="cpu")
        model.learn(256, callback=integration.create_sb3_callback() if watched else None)
        weights.append(torch.cat([weight.detach().reshape(-1) for weight in model.policy.parameters()]))
    assert torch.equal(*weights)


def test_an_open_session_stays_open_and_monitoring_can_be_off(place: Path) -> None:
    """A session that the user opened survives learn(), twice; without gradient monitoring there are no gradient records."""
    integration = create_integrated_logger(place, gradient_monitoring=False)
    session = integration.start_session("mine")
    model = sb3.PPO("MlpPolicy", "CartPole-v1", seed=1, n_steps=64, n_epochs=1)
    callback = integration.create_sb3_callback()
    model.learn(64, callback=callback)
    model.learn(64, callback=callback, reset_num_timesteps=False)
    assert integration.session == session
    integration.end_session()
    reader = LogReader(place, session)
    assert [record["step"] for record in reader.read_stream("training")] == [64, 128]
    assert "gradients" not in reader.categories()


def test_an_exception_in_training_leaves_torch_restored_at_the_next_learn(place: Path) -> None:
    """A training that fails raises its own error; the next learn() with the same callback works."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Fails(BaseCallback):
        def _on_step(self) -> bool:
            raise RuntimeError("theirs")

    integration = create_integrated_logger(place)
    model = sb3.PPO("MlpPolicy", "CartPole-v1", seed=1, n_steps=64, n_epochs=1)
    callback = integration.create_sb3_callback()
    with pytest.raises(RuntimeError, match="theirs"):
        model.learn(64, callback=[callback, Fails()])
    model.learn(64, callback=callback)
    assert integration.session is None
    assert len(list(LogReader(place).read_stream("gradients"))) == 1


def test_episodes_without_a_monitor(place: Path) -> None:
    """Environments without Monitor have their episodes summed from the rewards."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    gymnasium = pytest.importorskip("gymnasium")
    env = DummyVecEnv([lambda: gymnasium.make("CartPole-v1") for _ in range(2)])
    integration = create_integrated_logger(place)
    sb3.PPO("MlpPolicy", env, seed=1, n_steps=128, n_epochs=1).learn(256, callback=integration.create_sb3_callback())
    episodes = list(LogReader(place).read_stream("rewards"))
    assert {record["env"] for record in episodes} == {0, 1}
    assert all(record["episode_reward"] == record["episode_length"] for record in episodes)


def test_the_loggers_of_others_are_tapped(place: Path, tmp_path: Path) -> None:
    """SB3's own Logger.record and a TensorBoard SummaryWriter can be patched."""
    from stable_baselines3.common.logger import configure

    theirs = configure(str(tmp_path), ["csv"])
    integration = create_integrated_logger(place)
    session = integration.start_session()
    integration.patch_existing_logger(theirs, "record")
    for value in (1.0, 2.0):
        theirs.record("train/loss", value)
        theirs.record("train/note", "text", exclude="csv")
    theirs.close()
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        SummaryWriter = None  # type: ignore[assignment, misc]
    if SummaryWriter is not None:
        with SummaryWriter(str(tmp_path / "tb")) as writer:
            integration.patch_existing_logger(writer, "add_scalar")
            writer.add_scalar("loss", 3.0, 9)
    integration.end_session()
    records = [(r["step"], r["loss"]) for r in LogReader(place, session).read_stream("training")]
    assert records == [(0, 1.0), (1, 2.0), (9, 3.0)][: len(records)] and len(records) >= 2
