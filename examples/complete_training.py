"""A complete training script: start the integration and the monitor, log a thousand updates, print statistics, report.

The training is real and small: a policy gradient finds the best of ten slot machines ("arms"). Put your own in
its place: `train_step` gives the figures of an update, `play_episode` those of an episode.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avaliacoes.logger_integration import create_integrated_logger
from avaliacoes.real_time_monitor import create_monitor

ARMS, BATCH, PULLS = 10, 64, 50


@dataclass
class Bandit:
    """Ten arms that pay 1 with a fixed unknown chance each, and preferences for them that are learned."""

    rng: np.random.Generator
    chances: NDArray[np.float64] = field(init=False)
    preferences: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.chances = self.rng.uniform(0.1, 0.9, ARMS)
        self.preferences = np.zeros(ARMS)

    def policy(self) -> NDArray[np.float64]:
        weights = np.exp(self.preferences - self.preferences.max())
        return np.asarray(weights / weights.sum())

    def train_step(self, learning_rate: float) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """One update by REINFORCE; returns its figures and the gradient by the preferences."""
        policy = self.policy()
        arms = self.rng.choice(ARMS, BATCH, p=policy)
        rewards = (self.rng.random(BATCH) < self.chances[arms]).astype(float)
        advantages = rewards - rewards.mean()
        policy_loss = -float((advantages * np.log(policy[arms])).mean())
        entropy = -float((policy * np.log(policy)).sum())
        gradient = -(advantages[:, None] * (np.eye(ARMS)[arms] - policy)).mean(0)
        self.preferences -= learning_rate * gradient
        expected = 1.0 - float(policy @ self.chances)
        return {"loss": expected, "policy_loss": policy_loss, "entropy": entropy}, gradient

    def play_episode(self) -> dict[str, Any]:
        won = self.rng.random(PULLS) < self.chances[self.rng.choice(ARMS, PULLS, p=self.policy())]
        losing = np.maximum.accumulate(np.cumsum(2 * won - 1)) - np.cumsum(2 * won - 1)
        return {
            "episode_reward": float(won.sum()),
            "episode_length": PULLS,
            "win_rate": float(won.mean()),
            "drawdown": float(losing.max()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="A complete training with logging, monitor, statistics and report.")
    parser.add_argument("--steps", type=int, default=1000, help="updates (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between updates (default: %(default)s)")
    parser.add_argument("--base-path", default=None, help="data folder (default: avaliacoes, or $AVALIACOES_DIR)")
    options = parser.parse_args()

    # 1. The integration, and a session in it
    integration = create_integrated_logger(options.base_path)
    session = integration.start_session("bandit")

    # 2. The monitor, in processes of its own; it draws dashboard_<session>.html while the training runs
    monitor = create_monitor(log_path=options.base_path, refresh_interval=1.0)
    monitor.start_monitoring(session)
    print(f"dashboard: {integration.base_path / f'dashboard_{session}.html'}")

    bandit = Bandit(np.random.default_rng(7))
    learning_rate = 0.5
    try:
        for step in range(options.steps):
            # 3. The training itself, and its figures
            figures, gradient = bandit.train_step(learning_rate)
            integration.log_training_step(**figures, lr=learning_rate)
            integration.log_gradient_info(
                grad_norm=float(np.linalg.norm(gradient)), grad_zeros_ratio=float(np.mean(gradient == 0))
            )
            if step % 20 == 0:
                integration.log_episode_end(**bandit.play_episode())
            learning_rate *= 0.999

            # 4. How it stands
            if step % 100 == 0:
                stats = integration.get_current_stats()
                print(
                    f"step {step}: loss {figures['loss']:.3f}, {stats['logged']} logged, {stats['persisted']} on disk"
                )
            time.sleep(options.pause)
    finally:
        # 5. Everything is delivered, then the report is written
        integration.end_session()
        report = monitor.export_analysis_report()
        monitor.stop_monitoring()

    stats = integration.get_current_stats()
    print(f"{stats['logged']} records logged, {stats['persisted']} on disk, {stats['dropped']} lost")
    print(f"report: {report}")


if __name__ == "__main__":
    main()
