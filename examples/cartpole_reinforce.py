"""A complete training in one file: a policy gradient with a learned baseline balances a pole, and every number is logged.

    python examples/cartpole_reinforce.py                         # learns: 20 steps at first, 500 within a minute
    python examples/cartpole_reinforce.py --learning-rate 10      # ten thousand times too much: watch the alerts

Nothing but numpy: the physics are those of Barto, Sutton and Anderson (1983), "Neuronlike adaptive elements that can
solve difficult learning control problems", without friction; the learner is REINFORCE with a baseline (Williams, 1992;
Sutton and Barto, 2018, section 13.4), its advantages smoothed by GAE (Schulman et al., 2016), with gradients worked
out by hand. The logging is in `train`: a few calls at the end of each update.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avaliacoes.real_time_logger import create_real_time_logger

Array = NDArray[np.float64]

ENVS, HORIZON = 8, 64  # poles side by side, steps of each between two updates
GAMMA, LAMBDA = 0.99, 0.95  # how far ahead a reward counts, how far advantages look
REWARD_SCALE = 0.1  # 1 per step is the reward of the literature; the critic learns a tenth of it
ENTROPY_WEIGHT = 0.01
CRITIC_RATE = 5.0  # the critic learns faster than the actor that leans on it
STATE_SCALE = np.array([1.2, 1.0, 0.1, 1.0])  # so that a small angle and a long way look alike to the networks


class CartPole:
    """`ENVS` carts with a pole each, stepped together. State per cart: position m, speed, angle rad, angular speed."""

    GRAVITY, CART_KG, POLE_KG, HALF_POLE_M, FORCE_N, TICK_S = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    MAX_POSITION_M, MAX_ANGLE_RAD, MAX_STEPS = 2.4, 12 * np.pi / 180, 500

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.state: Array = rng.uniform(-0.05, 0.05, (ENVS, 4))
        self.steps = np.zeros(ENVS, dtype=int)

    def step(self, actions: NDArray[np.int64]) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Push each cart left (0) or right (1) for one tick.

        Returns the states reached, which poles fell (or carts left the track), and which episodes ran out of time
        standing; both kinds begin anew in `self.state`.
        """
        _, speed, angle, spin = self.state.T
        force = np.where(actions == 1, self.FORCE_N, -self.FORCE_N)
        mass, pole = self.CART_KG + self.POLE_KG, self.POLE_KG * self.HALF_POLE_M
        sin, cos = np.sin(angle), np.cos(angle)
        push = (force + pole * spin**2 * sin) / mass
        turn = (self.GRAVITY * sin - cos * push) / (self.HALF_POLE_M * (4 / 3 - self.POLE_KG * cos**2 / mass))
        pull = push - pole * turn * cos / mass
        reached = self.state + self.TICK_S * np.stack([speed, pull, spin, turn], axis=1)
        self.steps += 1
        fell = (np.abs(reached[:, 0]) > self.MAX_POSITION_M) | (np.abs(reached[:, 2]) > self.MAX_ANGLE_RAD)
        timed_out = ~fell & (self.steps >= self.MAX_STEPS)
        over = fell | timed_out
        self.state = reached.copy()
        self.state[over] = self.rng.uniform(-0.05, 0.05, (int(over.sum()), 4))
        return reached, fell, timed_out


class Network:
    """Two layers with tanh between them, and Adam (Kingma and Ba, 2015) to move them."""

    def __init__(self, rng: np.random.Generator, outputs: int, hidden: int = 64) -> None:
        self.weights: list[Array] = [
            rng.normal(0, 0.5, (4, hidden)),
            np.zeros(hidden),
            rng.normal(0, 0.01, (hidden, outputs)),
            np.zeros(outputs),
        ]
        self.mean = [np.zeros_like(w) for w in self.weights]
        self.square = [np.zeros_like(w) for w in self.weights]
        self.updates = 0

    def forward(self, states: Array) -> tuple[Array, Array]:
        """Outputs (n, outputs) and the hidden layer (n, hidden) that `gradients` needs back."""
        hidden = np.tanh(states / STATE_SCALE @ self.weights[0] + self.weights[1])
        return hidden @ self.weights[2] + self.weights[3], hidden

    def gradients(self, states: Array, hidden: Array, d_output: Array) -> list[Array]:
        """The chain rule, from the loss's derivative by the outputs (n, outputs) to every weight."""
        d_hidden = (d_output @ self.weights[2].T) * (1 - hidden**2)
        return [(states / STATE_SCALE).T @ d_hidden, d_hidden.sum(0), hidden.T @ d_output, d_output.sum(0)]

    def descend(self, gradients: list[Array], learning_rate: float) -> float:
        """One Adam step. Returns the norm of the change over the norm of the weights."""
        self.updates += 1
        moved, size = 0.0, 0.0
        moments = zip(self.weights, self.mean, self.square, gradients, strict=True)
        for weight, mean, square, gradient in moments:
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            change = (
                learning_rate * (mean / (1 - 0.9**self.updates)) / (np.sqrt(square / (1 - 0.999**self.updates)) + 1e-8)
            )
            size += float((weight**2).sum())
            weight -= change
            moved += float((change**2).sum())
        return float(np.sqrt(moved / (size + 1e-12)))


@dataclass
class Rollout:
    """What happened in `HORIZON` ticks of `ENVS` carts; arrays are (HORIZON, ENVS) unless they say otherwise."""

    states: Array  # (HORIZON, ENVS, 4)
    actions: NDArray[np.int64]
    advantages: Array
    returns: Array
    episodes: list[int]  # lengths of the episodes that ended, which are their rewards too


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def play(env: CartPole, actor: Network, critic: Network, rng: np.random.Generator) -> Rollout:
    """Act for `HORIZON` ticks by the actor's probabilities, then work out advantages and returns backwards."""
    states, values, next_values, dones = (np.zeros((HORIZON, ENVS, n)) for n in (4, 1, 1, 1))
    actions = np.zeros((HORIZON, ENVS), dtype=np.int64)
    episodes: list[int] = []
    for t in range(HORIZON):
        states[t] = env.state
        probability = np.exp(log_softmax(actor.forward(env.state)[0]))[:, 1]
        actions[t] = rng.random(ENVS) < probability
        reached, fell, timed_out = env.step(actions[t])
        values[t], next_values[t] = critic.forward(states[t])[0], critic.forward(reached)[0]
        next_values[t][fell] = 0.0  # nothing comes after a fall; after a time-out the pole would have stood on
        over = fell | timed_out
        dones[t, :, 0] = over
        episodes += env.steps[over].tolist()
        env.steps[over] = 0
    advantages, later = np.zeros((HORIZON, ENVS)), np.zeros(ENVS)
    for t in reversed(range(HORIZON)):
        surprise = REWARD_SCALE + GAMMA * next_values[t, :, 0] - values[t, :, 0]
        later = surprise + GAMMA * LAMBDA * (1 - dones[t, :, 0]) * later
        advantages[t] = later
    return Rollout(states, actions, advantages, advantages + values[:, :, 0], episodes)


def norm(gradients: list[Array]) -> float:
    return float(np.sqrt(sum(float((g**2).sum()) for g in gradients)))


def zeros(gradients: list[Array]) -> float:
    return float(np.mean(np.concatenate([g.ravel() for g in gradients]) == 0))


def update(
    rollout: Rollout, actor: Network, critic: Network, learning_rate: float
) -> tuple[dict[str, float], dict[str, float]]:
    """One gradient step of both networks. Returns the training metrics and the gradients', taken before any change."""
    states, n = rollout.states.reshape(-1, 4), HORIZON * ENVS
    actions, returns, advantages = rollout.actions.ravel(), rollout.returns.ravel(), rollout.advantages.ravel()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    chosen = np.eye(2)[actions]

    logits, actor_hidden = actor.forward(states)
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    entropy = -(p * log_p).sum(1)
    policy_loss = -float((advantages * (log_p * chosen).sum(1)).mean())
    d_logits = advantages[:, None] * (p - chosen) + ENTROPY_WEIGHT * p * (log_p + entropy[:, None])
    actor_gradients = actor.gradients(states, actor_hidden, d_logits / n)

    value, critic_hidden = critic.forward(states)
    error = value[:, 0] - returns
    value_loss = 0.5 * float((error**2).mean())
    critic_gradients = critic.gradients(states, critic_hidden, error[:, None] / n)

    actor_moved = actor.descend(actor_gradients, learning_rate)
    critic_moved = critic.descend(critic_gradients, CRITIC_RATE * learning_rate)
    new_log_p = log_softmax(actor.forward(states)[0])
    training = {
        "loss": policy_loss + value_loss - ENTROPY_WEIGHT * float(entropy.mean()),
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": float(entropy.mean()),
        "explained_variance": 1 - float(error.var() / (returns.var() + 1e-12)),
        "approx_kl": float(((log_p - new_log_p) * chosen).sum(1).mean()),
    }
    gradients = {
        "grad_norm": norm(actor_gradients + critic_gradients),
        "grad_zeros_ratio": zeros(actor_gradients + critic_gradients),
        "grad_norm_actor": norm(actor_gradients),
        "grad_norm_critic": norm(critic_gradients),
        "weight_update_ratio_actor": actor_moved,
        "weight_update_ratio_critic": critic_moved,
    }
    return training, gradients


def train(seed: int, learning_rate: float, seconds: float, rate: float, base_path: str | None, prefix: str) -> None:
    """Train for `seconds`, at most `rate` updates a second (0: as fast as it goes), and log everything."""
    rng = np.random.default_rng(seed)
    env, actor, critic = CartPole(rng), Network(rng, outputs=2), Network(rng, outputs=1)
    step, number, begin = 0, 0, time.monotonic()
    recent: list[int] = []

    config = {"seed": seed, "learning_rate": learning_rate, "envs": ENVS, "horizon": HORIZON, "gamma": GAMMA}

    with create_real_time_logger(base_path, prefix=prefix, config=config) as logger:
        print(f"session {logger.session}: learning rate {learning_rate:g}, seed {seed}", flush=True)
        while (elapsed := time.monotonic() - begin) < seconds:
            number += 1
            started = time.perf_counter()
            rollout = play(env, actor, critic, rng)
            training, gradients = update(rollout, actor, critic, learning_rate)
            took = time.perf_counter() - started
            step += HORIZON * ENVS
            recent = (recent + rollout.episodes)[-20:]

            logger.log_training_step(step, learning_rate=learning_rate, **training)
            logger.log_gradient_info(step, **gradients)
            for length in rollout.episodes:
                logger.log_reward_info(step, episode_reward=float(length), episode_length=length)
            logger.log_performance_metrics(step, steps_per_second=HORIZON * ENVS / took, update_ms=1000 * took)
            if recent:
                logger.log_convergence_metrics(step, mean_reward_20=float(np.mean(recent)), updates=number)

            if number % 25 == 0 and recent:
                print(f"{elapsed:5.0f} s  step {step:7d}  mean reward {np.mean(recent):5.1f}", flush=True)
            if rate > 0:  # the pace of a slower training, so that a page can be watched while it happens
                time.sleep(max(0.0, begin + number / rate - time.monotonic()))
    stats = logger.get_real_time_stats()
    print(f"session {stats['session']}: {stats['logged']} records logged, {stats['persisted']} on disk", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Balance poles by policy gradient, logging every number live.")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of the actor (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to train (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=5.0, help="updates a second, 0 for all it can (default: %(default)s)"
    )
    parser.add_argument("--base-path", default=None, help="data folder (default: avaliacoes, or $AVALIACOES_DIR)")
    parser.add_argument("--prefix", default="cartpole", help="how the session's name begins (default: %(default)s)")
    options = parser.parse_args()
    try:
        train(**vars(options))
    except KeyboardInterrupt:
        print("stopped; what was logged is on disk", flush=True)


if __name__ == "__main__":
    main()
