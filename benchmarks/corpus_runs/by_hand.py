"""Runs without torch or Stable-Baselines3: a policy gradient in numpy under CleanRL's names, and Q-learning in a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.corpus_runs.outcome import ends, hurt, worsened
from benchmarks.corpus_runs.rl_tasks import Grid
from benchmarks.corpus_runs.scenario import Run, broken, healthy

Array = np.ndarray[Any, Any]
RETURN = "rewards.charts/episodic_return"


def _features(seen: Array) -> Array:
    return np.concatenate([seen, np.abs(seen[2:]), [1.0]])


def _chances(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    out: Array = powers / powers.sum(axis=-1, keepdims=True)
    return out


def _episodes(run: Run, env: Grid, policy: Array, values: Array, steps: int, begun: int) -> dict[str, Array]:
    """Play `steps` steps and log the episodes; advantages are returns less the values of a linear critic."""
    kept: dict[str, list[Any]] = {"x": [], "action": [], "chance": [], "return": []}
    seen, _ = env.reset()
    paid: list[float] = []
    for step in range(steps):
        x = _features(seen)
        chances = _chances(x @ policy)
        action = int(run.rng.choice(4, p=chances))
        seen, reward, ended, cut, _ = env.step(action)
        paid.append(reward)
        kept["x"].append(x)
        kept["action"].append(action)
        kept["chance"].append(chances[action])
        if ended or cut or step == steps - 1:
            back = 0.0
            returns = []
            for amount in reversed(paid):
                back = amount + 0.97 * back
                returns.append(back)
            kept["return"] += reversed(returns)
            if ended or cut:
                told = {"charts/episodic_return": sum(paid), "charts/episodic_length": len(paid)}
                run.log.log_reward_info(step=begun + step, **told)
            paid = []
            seen, _ = env.reset()
    batch = {name: np.array(found) for name, found in kept.items()}
    batch["value"] = batch["x"] @ values
    return batch


def numpy_ppo(run: Run, updates: int, lr: float, clip: float, sign: float = 1.0) -> None:
    """PPO with a linear policy: 4 epochs over 256 steps each, the clipped gradient written out."""
    env = Grid(5)
    env.reset(seed=run.seed)
    policy, values = np.zeros((7, 4)), np.zeros(7)
    for update in range(updates):
        batch = _episodes(run, env, policy, values, 256, update * 256)
        x, chosen = batch["x"], np.eye(4)[batch["action"]]
        advantage = batch["return"] - batch["value"]
        advantage = sign * (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        for _ in range(4):
            chances = _chances(x @ policy)
            ratio = (chances * chosen).sum(1) / batch["chance"]
            free = np.where(advantage > 0, ratio < 1 + clip, ratio > 1 - clip)
            gradient = -x.T @ ((advantage * ratio * free)[:, None] * (chosen - chances)) / len(x)
            policy = policy - lr * gradient
            values = values + 0.1 * x.T @ (batch["return"] - x @ values) / len(x)
        chances = _chances(x @ policy)
        ratio = (chances * chosen).sum(1) / batch["chance"]
        left = batch["return"] - batch["value"]
        told = {
            "losses/policy_loss": -(advantage * np.clip(ratio, 1 - clip, 1 + clip)).mean(),
            "losses/value_loss": 0.5 * (left**2).mean(),
            "losses/entropy": -(chances * np.log(chances + 1e-12)).sum(1).mean(),
            "losses/approx_kl": (ratio - 1 - np.log(ratio + 1e-12)).mean(),
            "losses/clipfrac": (np.abs(ratio - 1) > 0.2).mean(),
            "losses/explained_variance": 1 - left.var() / (batch["return"].var() + 1e-12),
            "charts/learning_rate": lr,
        }
        run.log.log_training_step(step=(update + 1) * 256, **told)
        run.log.log_gradient_info(model={"policy": gradient}, step=(update + 1) * 256)


@healthy("h_numpy_cleanrl", "PPO (numpy)", ends(RETURN, at_least=0.8), "logged by hand, under CleanRL's names")
def cleanrl(run: Run) -> None:
    numpy_ppo(run, 200, lr=1.0, clip=0.2)


@broken(
    "b_numpy_cleanrl_hot",
    "PPO (numpy)",
    hurt(RETURN, at_most=0.0),
    "lr 5000, clip 1e9",
    "policy_instability entropy_collapse poor_performance reward_collapse value_failure non_finite",
)
def cleanrl_hot(run: Run) -> None:
    """No brake and far too high a rate: the policy leaps to a corner with each update, as its KL tells."""
    numpy_ppo(run, 120, lr=5000.0, clip=1e9)


@broken(
    "b_numpy_cleanrl_sign",
    "PPO (numpy)",
    hurt(RETURN, at_most=0.0),
    "the advantage has the wrong sign",
    "poor_performance reward_collapse stagnation entropy_collapse value_failure",
)
def cleanrl_sign(run: Run) -> None:
    """Value minus return in place of return minus value: the agent learns to do what pays least."""
    numpy_ppo(run, 150, lr=1.0, clip=0.2, sign=-1.0)


def q_table(run: Run, episodes: int, lost_at: int | None = None) -> None:
    """Q-learning; nothing is logged but each episode's reward and length, and the episodes number themselves."""
    env = Grid(5)
    env.reset(seed=run.seed)
    table = np.zeros((5, 5, 5, 5, 4))
    rate, chance = 0.5, 0.15
    for episode in range(episodes):
        if episode == lost_at:
            table[:], rate, chance = 0.0, 0.0, 0.05
        _, _ = env.reset()
        total, length, done = 0.0, 0, False
        while not done:
            here = (*env.at, *env.goal)
            greedy = run.rng.choice(np.flatnonzero(table[here] == table[here].max()))
            action = int(run.rng.integers(4)) if run.rng.random() < chance else int(greedy)
            _, paid, ended, cut, _ = env.step(action)
            there = (*env.at, *env.goal)
            after = 0.0 if ended else 0.95 * table[there].max()
            table[here][action] += rate * (paid + after - table[here][action])
            total, length, done = total + paid, length + 1, ended or cut
        run.log.log_episode_end(episode_reward=total, episode_length=length)


@healthy(
    "h_rewards_only", "Q-learning", ends("rewards.episode_reward", at_least=0.8), "a table: nothing to log but rewards"
)
def rewards_only(run: Run) -> None:
    q_table(run, 3000)


@broken(
    "b_rewards_only_lost",
    "Q-learning",
    worsened("rewards.episode_reward", 2500, down=0.4),
    "the table is empty and learning off from episode 2,500",
    "reward_collapse poor_performance",
    2500,
)
def rewards_only_lost(run: Run) -> None:
    """A restore from an empty checkpoint, in evaluation mode: the agent walks at random from there on."""
    q_table(run, 4000, lost_at=2500)
