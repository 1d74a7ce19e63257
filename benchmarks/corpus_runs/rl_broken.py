"""Sabotaged reinforcement learning: a docstring each that says why it is wrong and how it should show."""

from __future__ import annotations

from typing import Any

import numpy as np
from sb3_contrib import QRDQN, TQC, TRPO
from stable_baselines3 import A2C, DDPG, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks.corpus_runs.outcome import Proof, hurt, no_end, worsened
from benchmarks.corpus_runs.rl_healthy import cliff, lake, named
from benchmarks.corpus_runs.rl_tasks import Corridor, From, Grid, learn, vec
from benchmarks.corpus_runs.scenario import Run, broken

COLLAPSE = "reward_collapse poor_performance"
NEVER = "poor_performance stagnation"


def poor(reward: float) -> Proof:
    return hurt("rewards.episode_reward", at_most=reward)


def collapsed(onset: int, by: float) -> Proof:
    return worsened("rewards.episode_reward", onset, down=by)


@broken(
    "b_qrdqn_reward_flip",
    "QRDQN",
    collapsed(20_000, 40),
    "rewards change sign at 20,000",
    COLLAPSE + " loss_spike loss_divergence value_failure",
    20_000,
)
def qrdqn_flip(run: Run) -> None:
    """A sign error in a new reward function: the agent now learns to fall as soon as it can."""
    env = vec(run, lambda: From(named("CartPole-v1")(), 20_000, pay=lambda paid: -paid))
    learn(
        run,
        QRDQN(
            "MlpPolicy",
            env,
            learning_rate=2.3e-3,
            batch_size=64,
            learning_starts=1000,
            train_freq=64,
            gradient_steps=32,
            target_update_interval=100,
            exploration_fraction=0.2,
            exploration_final_eps=0.04,
            policy_kwargs={"net_arch": [128, 128], "n_quantiles": 10},
            seed=run.seed,
        ),
        34_000,
    )


@broken(
    "b_ppo_reward_constant",
    "PPO",
    collapsed(24_000, 0.5),
    "rewards clipped to 0 from 24,000",
    COLLAPSE + " value_failure stagnation",
    24_000,
)
def reward_constant(run: Run) -> None:
    """A clipping that leaves nothing: every return is 0 and there is nothing left to learn from."""
    env = vec(run, lambda: From(Grid(), 24_000 // 4, pay=lambda _: 0.0), 4)
    learn(run, PPO("MlpPolicy", env, n_steps=256, batch_size=128, learning_rate=1.5e-3, seed=run.seed), 44_000)


@broken(
    "b_a2c_blind",
    "A2C",
    collapsed(32_000, 0.3),
    "observations are 0 from 32,000",
    COLLAPSE + " value_failure entropy_collapse policy_instability",
    32_000,
)
def a2c_blind(run: Run) -> None:
    """A sensor dies and reads 0 for ever: what was learned cannot be used any more."""
    env = vec(run, lambda: From(Grid(), 32_000 // 8, see=lambda seen: seen * 0), 8)
    learn(run, A2C("MlpPolicy", env, ent_coef=0.01, learning_rate=2e-3, seed=run.seed), 52_000)


class _Corrupt(BaseCallback):
    """Overwrites the normalisation's statistics once, and freezes them."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._at:
            env: Any = self.training_env
            env.training = False
            env.obs_rms.mean, env.obs_rms.var = np.full(4, 50.0), np.full(4, 1e-2)
        return True


@broken(
    "b_trpo_normalization_lost",
    "TRPO",
    collapsed(24_000, 60),
    "another environment's statistics from 24,000",
    COLLAPSE + " value_failure policy_instability",
    24_000,
)
def normalization_lost(run: Run) -> None:
    """After a restore the running mean and variance are another environment's: all observations clip to the same value."""
    env = VecNormalize(vec(run, named("CartPole-v1"), 4), norm_reward=False)
    model = TRPO("MlpPolicy", env, n_steps=256, seed=run.seed)
    model.learn(40_000, callback=[_Corrupt(24_000), run.log.create_sb3_callback()])


@broken("b_ppo_entropy_huge", "PPO", poor(0.3), "entropy coefficient 5", NEVER)
def entropy_huge(run: Run) -> None:
    """The bonus for being random outweighs every reward: the policy stays uniform, the rewards those of chance."""
    learn(
        run,
        PPO(
            "MlpPolicy", vec(run, lake, 4), n_steps=128, batch_size=128, ent_coef=5.0, learning_rate=2e-3, seed=run.seed
        ),
        25_000,
    )


@broken("b_a2c_entropy_collapse", "A2C", poor(0.3), "lr 0.05, no entropy bonus", "entropy_collapse " + NEVER)
def entropy_collapse(run: Run) -> None:
    """Too hot and no bonus for exploring: the policy is certain of something wrong before it has seen a reward."""
    learn(run, A2C("MlpPolicy", vec(run, Grid, 4), learning_rate=0.05, ent_coef=0.0, seed=run.seed), 20_000)


@broken("b_dqn_target_never", "DQN", poor(-60), "the target network is never updated", NEVER + " value_failure")
def target_never(run: Run) -> None:
    """Values cannot travel back from the goal through a target that keeps its random start: the agent stays short-sighted."""
    learn(
        run,
        DQN(
            "MlpPolicy",
            vec(run, cliff),
            learning_rate=1e-3,
            learning_starts=500,
            target_update_interval=10**9,
            exploration_fraction=0.4,
            exploration_final_eps=0.02,
            seed=run.seed,
        ),
        20_000,
    )


@broken(
    "b_dqn_target_hot",
    "DQN",
    poor(-300),
    "target copied at each step, lr 0.05, no clipping",
    NEVER + " loss_divergence gradient_explosion value_failure loss_spike",
)
def target_hot(run: Run) -> None:
    """Bootstrapping from itself at once with far too high a rate: Q runs away, and no policy comes of it."""
    learn(
        run,
        DQN(
            "MlpPolicy",
            vec(run, named("Acrobot-v1")),
            learning_rate=0.05,
            learning_starts=500,
            train_freq=8,
            gradient_steps=4,
            target_update_interval=1,
            max_grad_norm=1e9,
            exploration_fraction=0.1,
            seed=run.seed,
        ),
        16_000,
    )


@broken(
    "b_dqn_tiny_buffer",
    "DQN",
    poor(60),
    "a replay buffer of 40 steps",
    NEVER + " reward_collapse loss_divergence value_failure loss_spike gradient_explosion",
)
def tiny_buffer(run: Run) -> None:
    """Only the last second is remembered: the agent forgets everything else, again and again."""
    learn(
        run,
        DQN(
            "MlpPolicy",
            vec(run, named("CartPole-v1")),
            learning_rate=2.3e-3,
            batch_size=64,
            buffer_size=40,
            learning_starts=500,
            train_freq=32,
            gradient_steps=16,
            target_update_interval=10,
            exploration_fraction=0.16,
            exploration_final_eps=0.04,
            seed=run.seed,
        ),
        20_000,
    )


@broken("b_ppo_gamma_zero", "PPO", poor(0.5), "gamma 0 on a long sparse task", NEVER)
def gamma_zero(run: Run) -> None:
    """The one reward, many steps away, does not count: every action but the last looks alike."""
    learn(
        run,
        PPO(
            "MlpPolicy",
            vec(run, lambda: Corridor(20), 4),
            n_steps=256,
            batch_size=128,
            gamma=0.0,
            learning_rate=1e-3,
            seed=run.seed,
        ),
        30_000,
    )


@broken(
    "b_ppo_kl_blowup",
    "PPO",
    poor(0.3),
    "clip range 50, 30 epochs, lr 0.01",
    "policy_instability entropy_collapse poor_performance reward_collapse value_failure gradient_explosion",
)
def kl_blowup(run: Run) -> None:
    """The brake is off: each update moves the policy as far as it likes on old data, and it ends in a corner."""
    learn(
        run,
        PPO(
            "MlpPolicy",
            vec(run, lambda: Grid(6), 4),
            n_steps=256,
            batch_size=64,
            clip_range=50.0,
            n_epochs=30,
            learning_rate=0.01,
            max_grad_norm=1e9,
            seed=run.seed,
        ),
        24_000,
    )


@broken(
    "b_ddpg_lr_huge",
    "DDPG",
    poor(-800),
    "lr 0.3",
    NEVER
    + " value_failure loss_divergence gradient_explosion loss_spike zero_gradients vanishing_gradient policy_instability reward_collapse",
)
def ddpg_hot(run: Run) -> None:
    """Far too high a rate: the actor saturates at full torque, the critic's values are absurd."""
    noise = NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))
    learn(
        run,
        DDPG(
            "MlpPolicy",
            vec(run, named("Pendulum-v1")),
            learning_rate=0.3,
            action_noise=noise,
            learning_starts=500,
            gamma=0.98,
            policy_kwargs={"net_arch": [64, 64]},
            seed=run.seed,
        ),
        3500,
    )


@broken(
    "b_trpo_kl_huge",
    "TRPO",
    poor(0.3),
    "target KL 20 and no line search to speak of",
    "policy_instability entropy_collapse poor_performance reward_collapse value_failure",
)
def trpo_huge(run: Run) -> None:
    """The trust region is as large as the world: the first steps make the policy deterministic, and wrong."""
    learn(run, TRPO("MlpPolicy", vec(run, lambda: Grid(6), 4), n_steps=128, target_kl=20.0, seed=run.seed), 25_000)


@broken("b_tqc_entropy_huge", "TQC", poor(-800), "temperature fixed at 200", NEVER + " value_failure", only_once=True)
def tqc_entropy(run: Run) -> None:
    """Being random is worth more than any reward: the agent swings at random for ever."""
    learn(
        run,
        TQC(
            "MlpPolicy",
            vec(run, named("Pendulum-v1")),
            learning_rate=1e-3,
            learning_starts=500,
            ent_coef=200.0,
            gamma=0.98,
            policy_kwargs={"net_arch": [64, 64]},
            seed=run.seed,
        ),
        3000,
    )


@broken(
    "b_ppo_actions_swapped",
    "PPO",
    collapsed(28_000, 0.3),
    "the actions' meaning changes at 28,000",
    COLLAPSE + " value_failure",
    28_000,
)
def actions_swapped(run: Run) -> None:
    """A motor is wired the other way round when the rate has decayed to almost nothing: the agent cannot adapt any more."""
    env = vec(run, lambda: From(Grid(), 28_000 // 4, act=lambda action: int(action) ^ 1), 4)
    rate = lambda left: 1.5e-3 if left > 0.45 else 1e-6  # noqa: E731
    learn(run, PPO("MlpPolicy", env, n_steps=256, batch_size=128, learning_rate=rate, seed=run.seed), 50_000)


@broken(
    "b_ppo_negative_lr",
    "PPO",
    worsened("training.value_loss", 30_000, up=100.0),
    "the schedule goes below 0 at 30,000",
    COLLAPSE + " policy_instability value_failure loss_divergence entropy_collapse gradient_explosion",
    30_000,
)
def negative_rate(run: Run) -> None:
    """A linear decay that does not stop at 0: from half of the run on, every update climbs the loss.

    The critic goes first, and its gradients, clipped together with the policy's, leave that almost as it was.
    """
    model = PPO(
        "MlpPolicy",
        vec(run, Grid, 4),
        n_steps=256,
        batch_size=128,
        learning_rate=lambda left: 3e-3 * (2 * left - 1),
        seed=run.seed,
    )
    learn(run, model, 60_000)


@broken("b_ppo_lr_out", "PPO", poor(0.4), "the schedule reaches 0 after 4 % of the run", NEVER + " dead_update", 2048)
def rate_out(run: Run) -> None:
    """A schedule counted in updates is fed with steps: no weight moves any more, long before anything was learned."""
    learn(
        run,
        PPO(
            "MlpPolicy",
            vec(run, lambda: Grid(8), 4),
            n_steps=256,
            batch_size=128,
            learning_rate=lambda left: max(0.0, 1e-3 * (left - 0.96) / 0.04),
            seed=run.seed,
        ),
        40_000,
    )


@broken(
    "b_a2c_nan_sensor", "A2C", no_end(), "a NaN observation at 12,000", "non_finite crashed", 12_000, processes=True
)
def nan_sensor(run: Run) -> None:
    """A sensor reads NaN once: the weights are NaN after the next update, and the training ends by an exception."""
    env = vec(run, lambda: From(Grid(), 12_000 // 4, see=lambda seen: seen * np.float32("nan")), 4)
    learn(run, A2C("MlpPolicy", env, ent_coef=0.01, learning_rate=2e-3, seed=run.seed), 30_000)
