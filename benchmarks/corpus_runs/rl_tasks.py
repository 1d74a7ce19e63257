"""Small environments, wrappers that sabotage them, and how a Stable-Baselines3 run is logged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.corpus_runs.scenario import Run

Make = Callable[[], gym.Env[Any, Any]]


def vec(run: Run, make: Make, count: int = 1) -> VecEnv:
    """Environments under a `Monitor` each: the episodes' rewards are those that the agent sees."""
    return make_vec_env(make, n_envs=count, seed=run.seed)


def learn(run: Run, model: BaseAlgorithm, steps: int) -> None:
    """Train as a user would: one callback more."""
    model.learn(steps, callback=run.log.create_sb3_callback())


class Grid(gym.Env[Any, Any]):
    """Walk to a random goal on a board: 1 at the goal, minus 0.02 a step, times `scale`; at most 4 `size` steps."""

    def __init__(self, size: int = 7, scale: float = 1.0, grow: dict[int, int] | None = None) -> None:
        self.size, self.scale, self.grow, self.steps = size, scale, grow or {}, 0
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = gym.spaces.Discrete(4)

    def _see(self) -> np.ndarray[Any, Any]:
        away = self.goal - self.at
        return np.concatenate([self.at / self.size, away / self.size]).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.size = max([self.size, *(size for step, size in self.grow.items() if self.steps >= step)])
        self.left = 4 * self.size
        self.at = self.np_random.integers(0, self.size, 2)
        self.goal = (self.at + self.np_random.integers(1, self.size, 2)) % self.size
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.left -= 1
        move = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)][int(action)])
        self.at = np.clip(self.at + move, 0, self.size - 1)
        there = bool((self.at == self.goal).all())
        return self._see(), self.scale * (1.0 if there else -0.02), there, self.left <= 0, {}


class Corridor(gym.Env[Any, Any]):
    """A long corridor whose far end pays 1, and nothing else ever does; at most 4 `length` steps."""

    def __init__(self, length: int = 20) -> None:
        self.length = length
        self.observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.left = 0, 4 * self.length
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        self.at = max(0, self.at + (1 if int(action) else -1))
        there = self.at >= self.length
        return np.array([self.at / self.length], np.float32), float(there), there, self.left <= 0, {}


class Bandit(gym.Env[Any, Any]):
    """Twenty independent choices among four arms, whose noisy pay depends on what is seen."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-5.0, 5.0, (4,), np.float32)
        self.action_space = gym.spaces.Discrete(4)

    def _draw(self) -> Any:
        self.seen = self.np_random.normal(size=4).astype(np.float32).clip(-5, 5)
        return self.seen

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 20
        return self._draw(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        pay = float(self.seen[int(action)] + self.np_random.normal())
        return self._draw(), pay, self.left <= 0, False, {}


class Recall(gym.Env[Any, Any]):
    """A cue is seen once; the same must be answered four steps later. Only a memory solves it."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.cue, self.now = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1, 0], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.now += 1
        last = self.now == 5
        pay = (1.0 if int(action) == self.cue else -1.0) if last else 0.0
        return np.array([0, float(self.now == 4)], np.float32), pay, last, False, {}


class From(gym.Wrapper[Any, Any, Any, Any]):
    """Changes what happens from a number of this environment's steps on: the fault's own place.

    Args:
        onset: steps of this environment (training steps divided by the number of environments).
        see: what becomes of an observation.
        pay: what becomes of a reward.
        act: what becomes of an action.
        each: called with the number of steps since the onset, before each step.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        onset: int,
        see: Callable[[Any], Any] | None = None,
        pay: Callable[[float], float] | None = None,
        act: Callable[[Any], Any] | None = None,
        each: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(env)
        self._onset, self._see, self._pay, self._act, self._each, self._steps = onset, see, pay, act, each, 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        seen, info = self.env.reset(**options)
        return (self._see(seen) if self._see and self._steps >= self._onset else seen), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        wrong = self._steps >= self._onset
        if wrong and self._each:
            self._each(self._steps - self._onset)
        seen, paid, ended, cut, info = self.env.step(self._act(action) if wrong and self._act else action)
        if wrong and self._see:
            seen = self._see(seen)
        return seen, (self._pay(float(paid)) if wrong and self._pay else paid), ended, cut, info


def leak(seconds_per_thousand: float) -> Callable[[int], None]:
    """Each step takes a little longer than the one before, as when a list is searched that only grows."""
    return lambda since: time.sleep(since / 1000 * seconds_per_thousand)
