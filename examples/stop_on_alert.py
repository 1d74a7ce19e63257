"""A training that acts on its own alerts: its learning rate is raised far too high, and it is told so while it runs.

A linear regression by stochastic gradient descent. At step 300 its schedule makes a mistake, and the gradients explode. Within
a tenth of a second the analyzer, in a process of its own, has seen it, and the training hears of it at its next log call:

    python examples/stop_on_alert.py                  goes back to its last good weights and lowers the rate
    python examples/stop_on_alert.py --react stop     ends at once
    python examples/stop_on_alert.py --react nothing  what happens otherwise
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from avaliacoes.logger_integration import create_integrated_logger

STEPS, MISTAKE_AT = 1_200, 300
GOOD_RATE, WRONG_RATE = 0.02, 4.0


class Regression:
    """Twenty weights to be found from noisy examples."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)
        self._truth = self._draw.normal(size=20)
        self.weights = np.zeros(20)
        self.rate = GOOD_RATE
        self.checkpoint = self.weights.copy()

    def step(self) -> tuple[float, float]:
        """One step of gradient descent; the loss and the norm of the gradient."""
        inputs = self._draw.normal(size=(32, 20))
        with np.errstate(over="ignore", invalid="ignore"):
            errors = inputs @ self.weights - inputs @ self._truth + self._draw.normal(size=32) * 0.1
            gradient = inputs.T @ errors / 32
            self.weights = self.weights - self.rate * gradient
            return float(np.mean(errors**2)), float(np.linalg.norm(gradient))

    def distance(self) -> float:
        """How far the weights are from the truth."""
        return float(np.linalg.norm(self.weights - self._truth))


def main() -> None:
    parser = argparse.ArgumentParser(description="A training that acts on its own alerts.")
    parser.add_argument("--react", choices=("recover", "stop", "nothing"), default="recover")
    parser.add_argument("--base-path", default=None, help="data folder (default: avaliacoes, or $AVALIACOES_DIR)")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds that a step takes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    training = Regression(options.seed)
    integration = create_integrated_logger(options.base_path)

    def recover(alert: dict[str, Any]) -> None:
        print(f"step {step}: told of {alert['level']} {alert['rule']}: back to the checkpoint, rate {GOOD_RATE}")
        training.weights = training.checkpoint.copy()
        training.rate = GOOD_RATE

    if options.react == "recover":
        integration.on_alert(recover, level="WARNING", rules=["gradient_explosion", "non_finite", "loss_spike"])
    elif options.react == "stop":
        integration.stop_on({"ERROR", "gradient_explosion", "non_finite"})

    integration.start_session("regression")
    for step in range(STEPS):
        if step == MISTAKE_AT:
            training.rate = WRONG_RATE
        loss, norm = training.step()
        if step % 50 == 0 and step < MISTAKE_AT:
            training.checkpoint = training.weights.copy()
        integration.log_training_step(loss=loss, learning_rate=training.rate)
        integration.log_gradient_info(grad_norm=norm)
        if integration.should_stop:
            alert = integration.stopped_by or {}
            print(f"step {step}: stopped by {alert.get('level')} {alert.get('rule')}: {alert.get('message')}")
            break
        time.sleep(options.pause)
    print(f"distance from the truth at the end: {training.distance():.3g}")
    integration.end_session()


if __name__ == "__main__":
    main()
