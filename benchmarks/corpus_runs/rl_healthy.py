"""Healthy reinforcement learning: each looks alarming somewhere, and the agent learns."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from sb3_contrib import QRDQN, TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks.corpus_runs.outcome import Proof, ends
from benchmarks.corpus_runs.rl_tasks import Bandit, Corridor, Grid, Make, Recall, learn, vec
from benchmarks.corpus_runs.scenario import Run, healthy


def earns(reward: float) -> Proof:
    return ends("rewards.episode_reward", at_least=reward)


def lake() -> gym.Env[Any, Any]:
    return gym.make("FrozenLake-v1", is_slippery=False)


def cliff() -> gym.Env[Any, Any]:
    return gym.make("CliffWalking-v1", max_episode_steps=100)


def named(name: str) -> Make:
    return lambda: gym.make(name)


@healthy("h_ppo_frozenlake", "PPO", earns(0.85), "one reward of 1 at the end of the few episodes that reach it")
def ppo_lake(run: Run) -> None:
    model = PPO(
        "MlpPolicy", vec(run, lake, 4), n_steps=128, batch_size=128, ent_coef=0.02, learning_rate=2e-3, seed=run.seed
    )
    learn(run, model, 35_000)


@healthy("h_dqn_cliff", "DQN", earns(-25), "all rewards are negative, the early ones by hundreds")
def dqn_cliff(run: Run) -> None:
    model = DQN(
        "MlpPolicy",
        vec(run, cliff),
        learning_rate=1e-3,
        learning_starts=500,
        target_update_interval=300,
        exploration_fraction=0.4,
        exploration_final_eps=0.02,
        seed=run.seed,
    )
    learn(run, model, 20_000)


@healthy("h_a2c_grid", "A2C", earns(0.75), "many updates from few steps each: every figure is noisy")
def a2c_grid(run: Run) -> None:
    learn(run, A2C("MlpPolicy", vec(run, Grid, 8), ent_coef=0.01, learning_rate=2e-3, seed=run.seed), 60_000)


@healthy("h_qrdqn_cartpole", "QRDQN", earns(100), "a quantile loss that grows with the returns")
def qrdqn_cartpole(run: Run) -> None:
    model = QRDQN(
        "MlpPolicy",
        vec(run, named("CartPole-v1")),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=50_000,
        learning_starts=1000,
        train_freq=64,
        gradient_steps=32,
        target_update_interval=100,
        exploration_fraction=0.2,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [128, 128], "n_quantiles": 10},
        seed=run.seed,
    )
    learn(run, model, 30_000)


@healthy("h_trpo_cartpole", "TRPO", earns(200), "a natural gradient: what the optimizer sees is the critic's alone")
def trpo_cartpole(run: Run) -> None:
    learn(run, TRPO("MlpPolicy", vec(run, named("CartPole-v1"), 4), n_steps=256, seed=run.seed), 50_000)


@healthy("h_ppo_gsde_pendulum", "PPO", earns(-300), "state-dependent noise, negative rewards of a thousand")
def ppo_gsde(run: Run) -> None:
    model = PPO(
        "MlpPolicy",
        vec(run, named("Pendulum-v1"), 8),
        n_steps=256,
        batch_size=128,
        gamma=0.9,
        learning_rate=lambda left: 1e-3 * left,
        use_sde=True,
        sde_sample_freq=4,
        seed=run.seed,
    )
    learn(run, model, 110_000)


@healthy(
    "h_ddpg_pendulum", "DDPG", earns(-400), "actor and critic loss rise with Q while the agent improves", only_once=True
)
def ddpg(run: Run) -> None:
    noise = NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))
    model = DDPG(
        "MlpPolicy",
        vec(run, named("Pendulum-v1")),
        learning_rate=1e-3,
        action_noise=noise,
        learning_starts=500,
        gamma=0.98,
        policy_kwargs={"net_arch": [128, 128]},
        seed=run.seed,
    )
    learn(run, model, 6000)


@healthy(
    "h_tqc_pendulum", "TQC", earns(-400), "quantile critics and a temperature that falls by itself", only_once=True
)
def tqc(run: Run) -> None:
    model = TQC(
        "MlpPolicy",
        vec(run, named("Pendulum-v1")),
        learning_rate=1e-3,
        learning_starts=500,
        gamma=0.98,
        policy_kwargs={"net_arch": [96, 96]},
        seed=run.seed,
    )
    learn(run, model, 4500)


@healthy("h_dqn_acrobot", "DQN", earns(-160), "-500 for long before the first success", only_once=True)
def dqn_acrobot(run: Run) -> None:
    model = DQN(
        "MlpPolicy",
        vec(run, named("Acrobot-v1")),
        learning_rate=6.3e-4,
        batch_size=128,
        buffer_size=50_000,
        learning_starts=500,
        target_update_interval=250,
        train_freq=4,
        gradient_steps=2,
        exploration_fraction=0.12,
        exploration_final_eps=0.1,
        policy_kwargs={"net_arch": [128, 128]},
        seed=run.seed,
    )
    learn(run, model, 40_000)


@healthy(
    "h_ppo_bandit",
    "PPO",
    earns(12),
    "noisy rewards, of which the critic can explain a third at best",
)
def ppo_bandit(run: Run) -> None:
    learn(
        run,
        PPO(
            "MlpPolicy", vec(run, Bandit, 4), n_steps=256, gamma=0.0, batch_size=128, learning_rate=1e-3, seed=run.seed
        ),
        50_000,
    )


@healthy(
    "h_ppo_rewards_1e3",
    "PPO",
    earns(750),
    "rewards of a thousand: value losses of 1e5, gradients of thousands; the critic explains nothing, and the policy learns",
    also=("value_failure",),
)
def ppo_large(run: Run) -> None:
    make = lambda: Grid(7, scale=1e3)  # noqa: E731
    learn(
        run,
        PPO("MlpPolicy", vec(run, make, 4), n_steps=256, batch_size=128, learning_rate=1.5e-3, seed=run.seed),
        60_000,
    )


@healthy(
    "h_a2c_rewards_1e-3", "A2C", earns(0.00075), "rewards of a thousandth: value losses and gradients that are nearly 0"
)
def a2c_small(run: Run) -> None:
    make = lambda: Grid(7, scale=1e-3)  # noqa: E731
    model = A2C(
        "MlpPolicy",
        vec(run, make, 8),
        n_steps=8,
        learning_rate=4e-3,
        normalize_advantage=True,
        ent_coef=0.005,
        seed=run.seed,
    )
    learn(run, model, 120_000)


@healthy(
    "h_ppo_long_sparse",
    "PPO",
    earns(0.95),
    "once the one reward is found, entropy, losses, updates and gradients are nearly 0 for the rest",
)
def ppo_sparse(run: Run) -> None:
    make = lambda: Corridor(20)  # noqa: E731
    learn(
        run,
        PPO(
            "MlpPolicy",
            vec(run, make, 4),
            n_steps=256,
            batch_size=128,
            ent_coef=0.005,
            learning_rate=1e-3,
            gamma=0.99,
            seed=run.seed,
        ),
        50_000,
    )


@healthy(
    "h_ppo_converged",
    "PPO",
    earns(0.85),
    "solved after a fifth of the run: nothing gets better for the rest",
)
def ppo_converged(run: Run) -> None:
    make = lambda: Grid(4)  # noqa: E731
    learn(
        run, PPO("MlpPolicy", vec(run, make, 4), n_steps=128, batch_size=128, learning_rate=3e-3, seed=run.seed), 30_000
    )


@healthy("h_ppo_curriculum", "PPO", earns(0.6), "the board grows twice: rewards fall, and are learned again")
def ppo_curriculum(run: Run) -> None:
    make = lambda: Grid(4, grow={8000: 6, 16_000: 9})  # noqa: E731
    learn(
        run,
        PPO("MlpPolicy", vec(run, make, 4), n_steps=256, batch_size=128, learning_rate=1.5e-3, seed=run.seed),
        80_000,
    )


@healthy("h_recurrent_recall", "RecurrentPPO", earns(0.8), "chance for long, until the memory is used", only_once=True)
def recurrent(run: Run) -> None:
    model = RecurrentPPO(
        "MlpLstmPolicy",
        vec(run, Recall, 8),
        n_steps=64,
        batch_size=128,
        n_epochs=5,
        learning_rate=2e-3,
        policy_kwargs={"lstm_hidden_size": 32},
        seed=run.seed,
    )
    learn(run, model, 20_000)


@healthy(
    "h_a2c_normalized_cartpole",
    "A2C",
    earns(100),
    "normalised observations and rewards: the values' scale drifts with the statistics",
)
def a2c_normalized(run: Run) -> None:
    env = VecNormalize(vec(run, named("CartPole-v1"), 8))
    learn(run, A2C("MlpPolicy", env, n_steps=16, learning_rate=1.5e-3, gae_lambda=0.95, seed=run.seed), 70_000)
