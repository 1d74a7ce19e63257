"""The Stable-Baselines3 callback: what an algorithm logs, its gradients before clipping, its episodes and its speed.

Imported on demand (`integration.create_sb3_callback()`): this is the only module that needs stable-baselines3.
The callback adds nothing to the model itself, so saving a model during training works as without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from avaliacoes.alert_callbacks import for_stop
from avaliacoes.gradient_watch import GradientWatch

if TYPE_CHECKING:
    from avaliacoes.alert_callbacks import AlertSubscription, StopOn
    from avaliacoes.logger_integration import TrainingLoggerIntegration

_LOG = logging.getLogger("avaliacoes")

#: What SB3 calls a metric -> what this project's users, rules and panels call it.
NAMES: Final = {
    "policy_gradient_loss": "policy_loss",
    "actor_loss": "policy_loss",
    "critic_loss": "value_loss",
    "clip_fraction": "clipfrac",
}
#: Algorithms off the policy update at every step or few: one record for that many environment steps.
OFF_POLICY_EVERY: Final = 250
#: Shorter spans make a speed that is all noise.
_SPEED_EVERY_S: Final = 0.25
_PERFORMANCE: Final = ("time/", "rollout/", "eval/")


class _Writer(KVWriter):
    """An output of SB3's logger: sees whatever anybody records there, when it is dumped."""

    def __init__(self, take: Callable[[dict[str, Any], int], None]) -> None:
        self._take = take

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        self._take(dict(key_values), step)

    def close(self) -> None:
        """Nothing is held."""


class MonitoringCallback(BaseCallback):
    """Logs a `learn()` into an integration's session.

    Records, all with the number of environment steps as `step`:

    - training: the algorithm's own metrics, one record per update (off-policy: per `update_every` steps), under short names.
      `loss` of SAC and TD3 is the critic's.
    - gradients: see `GradientWatch.take`; absent when the integration was made with `gradient_monitoring=False`.
    - rewards: one record per episode, from `Monitor`, or summed here when no environment has one.
    - performance: `fps`, and what SB3 dumps under `rollout/`, `time/`, `eval/`.

    Args:
        integration: where the records go.
        update_every: environment steps between two training records of off-policy algorithms.
        verbose: as in every SB3 callback.
        stop_on: alerts that end `learn`, see `TrainingLoggerIntegration.stop_on`; also without it, `learn` ends when the
            integration's `should_stop` becomes true.

    Raises:
        contract.rule_names.RuleRefused: `stop_on` names an unknown level or rule.
    """

    def __init__(
        self,
        integration: TrainingLoggerIntegration,
        update_every: int = OFF_POLICY_EVERY,
        verbose: int = 0,
        stop_on: StopOn | None = None,
    ) -> None:
        super().__init__(verbose)
        self._integration = integration
        self._stop_on = stop_on
        self._stopping: AlertSubscription | None = None
        if stop_on is not None:
            for_stop(stop_on, integration.base_path)
        self._update_every = max(1, int(update_every))
        self._watch: GradientWatch | None = None
        self._writer: _Writer | None = None
        self._sb3_logger: Any = None
        self._opened_session = False
        self._last_update: Any = None
        self._last_record_at = -1
        self._speed_from = (0.0, 0)
        self._sums: list[float] | None = None
        self._lengths: list[int] = []

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # a training must not stop because it is being watched
            self._integration.count_problem("sb3", f"SB3 callback: {type(error).__name__}: {error}")

    # --- what SB3 calls -------------------------------------------------------------------------------------------

    def _on_training_start(self) -> None:
        self._guarded(self._begin)

    def _on_rollout_start(self) -> None:
        self._guarded(self._after_update)

    def _on_step(self) -> bool:
        infos = self.locals.get("infos")
        if self._sums is not None:
            self._guarded(self._sum_rewards)
        elif infos is not None:
            for position, info in enumerate(infos):
                if "episode" in info:
                    self._guarded(partial(self._episode, position, info["episode"]))
        return not self._integration.should_stop or self._stop()

    def _on_training_end(self) -> None:
        self._guarded(lambda: self._after_update(last=True))
        self._guarded(self._finish)

    @property
    def stopped_by(self) -> dict[str, Any] | None:
        """The alert that ended `learn`, or None."""
        return self._integration.stopped_by

    # --- the parts ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._finish()  # a learn() that ended by an exception never said so
        if self._integration.session is None:
            self._integration.start_session(type(self.model).__name__.lower())
            self._opened_session = True
        self._integration.reset_stop()
        if self._stop_on is not None:
            self._stopping = self._integration.stop_on(self._stop_on)
        self._last_update = self._update_number()
        self._last_record_at = self.num_timesteps
        self._speed_from = (time.monotonic(), self.num_timesteps)
        self._sums = None if self._has_monitor() else [0.0] * int(self.training_env.num_envs)
        self._lengths = [0] * int(self.training_env.num_envs)
        self._sb3_logger = self.model.logger
        self._writer = _Writer(lambda values, step: self._guarded(lambda: self._dumped(values, step)))
        self._sb3_logger.output_formats.append(self._writer)
        if self._integration.gradient_monitoring:
            policy = self.model.policy
            optimizers = {
                id(found): found
                for module in policy.modules()
                if isinstance(found := getattr(module, "optimizer", None), torch.optim.Optimizer)
            }
            self._watch = GradientWatch(policy, optimizers.values())
            self._watch.start()

    def _stop(self) -> bool:
        alert = self._integration.stopped_by or {}
        _LOG.warning(
            "learn() ends at step %d: %s %s: %s",
            self.num_timesteps,
            alert.get("level"),
            alert.get("rule"),
            alert.get("message"),
        )
        return False

    def _finish(self) -> None:
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._writer is not None:
            if self._writer in self._sb3_logger.output_formats:
                self._sb3_logger.output_formats.remove(self._writer)
            self._writer = None
        if self._opened_session:
            self._opened_session = False
            self._integration.end_session()

    def _has_monitor(self) -> bool:
        from stable_baselines3.common.monitor import Monitor
        from stable_baselines3.common.vec_env import VecMonitor, is_vecenv_wrapped

        env = self.training_env
        if is_vecenv_wrapped(env, VecMonitor):
            return True
        try:
            return any(env.env_is_wrapped(Monitor))
        except (AttributeError, NotImplementedError):
            return True  # an environment that cannot tell: trust what its infos say

    def _update_number(self) -> Any:
        values = self.model.logger.name_to_value
        if "train/n_updates" in values:
            return values["train/n_updates"]
        return getattr(self.model, "_n_updates", None)

    def _after_update(self, last: bool = False) -> None:
        """Called where an update has just ended, if there was one: its values still stand in SB3's logger."""
        number = self._update_number()
        if number == self._last_update or number is None:
            return
        off_policy = not isinstance(self.model, OnPolicyAlgorithm)
        if off_policy and not last and self.num_timesteps - self._last_record_at < self._update_every:
            return
        self._last_update = number
        self._last_record_at = self.num_timesteps
        metrics = {
            NAMES.get(name[6:], name[6:]): value
            for name, value in self.model.logger.name_to_value.items()
            if name.startswith("train/")
        }
        if "loss" not in metrics and "value_loss" in metrics and off_policy:
            metrics["loss"] = metrics["value_loss"]
        elif "loss" not in metrics and {"policy_loss", "value_loss"} <= metrics.keys():
            metrics["loss"] = self._weighted_loss(metrics)
        if metrics:
            self._integration.log("training", self.num_timesteps, **metrics)
        if self._watch is not None:
            fields = self._watch.take()
            if fields:
                self._integration.log("gradients", self.num_timesteps, **fields)
        self._log_speed()

    def _weighted_loss(self, metrics: dict[str, Any]) -> float:
        """The loss that A2C minimises but does not log: policy + ent_coef * entropy + vf_coef * value."""
        return float(
            metrics["policy_loss"]
            + float(getattr(self.model, "ent_coef", 0.0)) * float(metrics.get("entropy_loss", 0.0))
            + float(getattr(self.model, "vf_coef", 1.0)) * float(metrics["value_loss"])
        )

    def _log_speed(self) -> None:
        begin, steps = self._speed_from
        now = time.monotonic()
        if now - begin >= _SPEED_EVERY_S and self.num_timesteps > steps:
            speed = (self.num_timesteps - steps) / (now - begin)
            self._speed_from = (now, self.num_timesteps)
            self._integration.log("performance", self.num_timesteps, fps=speed)

    def _dumped(self, values: dict[str, Any], step: int) -> None:
        """SB3's logger dumps: what is not the algorithm's own training metrics is logged too."""
        performance: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        for name, value in values.items():
            if name.startswith("train/") or (not isinstance(value, (int, float, str)) and not hasattr(value, "item")):
                continue
            if name.startswith(_PERFORMANCE):
                # SB3's own fps is the mean since the beginning; ours is the present one.
                group, _, short = name.partition("/")
                performance["fps_mean" if name == "time/fps" else f"eval_{short}" if group == "eval" else short] = value
            else:
                custom[name] = value
        if performance:
            self._integration.log("performance", self.num_timesteps, **performance)
        if custom:
            self._integration.log("training", self.num_timesteps, **custom)

    def _episode(self, position: int, episode: dict[str, Any]) -> None:
        data = {key: value for key, value in episode.items() if key not in ("r", "l", "t")}
        self._integration.log_episode_end(
            self.num_timesteps,
            episode_reward=float(episode["r"]),
            episode_length=int(episode["l"]),
            env=position,
            **data,
        )

    def _sum_rewards(self) -> None:
        """Episodes of environments without a `Monitor`, summed from the rewards the agent sees."""
        rewards, dones = self.locals.get("rewards"), self.locals.get("dones")
        if rewards is None or dones is None or self._sums is None:
            return
        for position, done in enumerate(dones):
            self._sums[position] += float(rewards[position])
            self._lengths[position] += 1
            if done:
                self._episode(position, {"r": self._sums[position], "l": self._lengths[position]})
                self._sums[position], self._lengths[position] = 0.0, 0
