"""The shortest program that logs: no service need run, and after the `with` block everything is on disk."""

import math
import random

from avaliacoes.real_time_logger import create_real_time_logger

with create_real_time_logger() as logger:
    for step in range(1000):
        loss = math.exp(-step / 300) + random.uniform(0, 0.05)
        logger.log_training_step(step=step, loss=loss, learning_rate=2e-4)
        logger.log_gradient_info(step=step, grad_norm=1.2 * loss, grad_zeros_ratio=0.1)
        if step % 20 == 0:
            logger.log_reward_info(step=step, episode_reward=200 * (1 - loss), episode_length=50)

print(f"{logger.get_real_time_stats()['persisted']} records are in {logger.base_path}, session {logger.session}")
