"""What the metrics of trainers are called: every name that rules understand, in one table.

A rule asks for a key (`approx_kl`); the table says under which names Stable-Baselines3, CleanRL, Keras, Lightning, RLlib and
people log it. Names are compared in lower case; of `train/approx_kl` the whole name is looked up first, then what follows
the last `/`.
"""

from __future__ import annotations

from typing import Final

#: key -> names it is logged under
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "loss": ("loss", "total_loss", "train_loss", "training_loss", "loss_train", "losses/total_loss", "train/loss"),
    "val_loss": ("val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss", "loss_val", "val/loss",
                 "eval/loss", "valid/loss", "validation/loss", "test/loss"),
    "accuracy": ("accuracy", "acc", "train_accuracy", "train_acc", "categorical_accuracy", "sparse_categorical_accuracy"),
    "val_accuracy": ("val_accuracy", "val_acc", "validation_accuracy", "eval_accuracy", "test_accuracy", "val/accuracy",
                     "val/acc", "eval/accuracy", "val_categorical_accuracy", "val_sparse_categorical_accuracy"),
    "value_loss": ("value_loss", "vf_loss", "critic_loss", "qf_loss", "qf1_loss", "q_loss", "td_loss", "losses/qf_loss"),
    "policy_loss": ("policy_loss", "policy_gradient_loss", "actor_loss", "pg_loss"),
    "entropy": ("entropy", "policy_entropy", "entropy_loss"),
    "approx_kl": ("approx_kl", "approxkl", "policy_kl"),
    "clip_fraction": ("clip_fraction", "clipfrac", "clip_frac", "clip_ratio"),
    "explained_variance": ("explained_variance", "vf_explained_var", "explained_var"),
    "reward": ("episode_reward", "episodic_return", "episode_return", "ep_rew_mean", "episode_reward_mean", "ep_reward",
               "mean_episode_reward", "mean_reward", "reward", "reward_mean", "return", "avg_reward", "average_reward"),
    "learning_rate": ("learning_rate", "lr"),
    "grad_norm": ("grad_norm", "gradient_norm", "total_grad_norm", "global_grad_norm", "grad_norm_total", "gnorm"),
    "grad_norm_max": ("grad_norm_max", "max_grad_norm_seen"),
    "zeros": ("grad_zeros_ratio", "zeros_ratio", "gradient_zeros_ratio", "grad_zero_ratio"),
    "update_ratio": ("weight_update_ratio", "update_ratio", "update_to_weight_ratio"),
    "std": ("std", "policy_std", "action_std"),
    "ent_coef": ("ent_coef", "entropy_coefficient"),
    "of_rl": ("exploration_rate", "epsilon", "ep_len_mean", "episode_length", "episodic_length", "td_error", "q_values", "mean_q",
              "policy_objective", "is_line_search_success"),
    "adversary": ("d_loss", "g_loss", "loss_d", "loss_g", "disc_loss", "gen_loss", "discriminator_loss", "generator_loss"),
    "fps": ("fps", "sps", "steps_per_second", "it_per_second", "samples_per_second", "env_steps_per_second"),
}  # fmt: skip
_KEYS: Final = {name: key for key, names in NAMES.items() for name in names}
#: Named in an evaluation, they are another thing than the same name in training.
_EVALUATION: Final = ("eval/", "val/", "validation/", "test/", "valid/", "evaluation/")
#: Metrics of gradients: their block is told by its middle value, since single spikes are normal.
ROBUST: Final = frozenset({"grad_norm", "grad_norm_max", "update_ratio", "zeros", "value_loss", "approx_kl"})
#: A run that logs one of these is reinforcement learning: its loss says little about how well it does.
OF_RL: Final = frozenset(
    {"reward", "approx_kl", "clip_fraction", "explained_variance", "value_loss", "policy_loss", "ent_coef", "of_rl"}
)
#: Two networks that play against each other: their losses go up and down for ever, and say nothing of the outcome either.
ADVERSARIAL: Final = frozenset({"adversary"})
#: Where a value that is not finite means that the run is sick.
FINITE: Final = frozenset({"loss", "val_loss", "value_loss", "policy_loss", "reward"})
#: The same, but judged in order, beside the loss: infinite norms are usual where mixed precision looks for its scale.
FINITE_LATER: Final = frozenset({"grad_norm"})


def key_of(name: str) -> str:
    """The key for a logged name; the name itself where the table knows nothing.

    >>> key_of("train/approx_kl"), key_of("charts/episodic_return"), key_of("eval/mean_reward"), key_of("my_metric")
    ('approx_kl', 'reward', 'eval/mean_reward', 'my_metric')
    """
    lower = name.lower()
    found = _KEYS.get(lower)
    if found is not None:
        return found
    if "/" not in lower or lower.startswith(_EVALUATION):
        return name
    return _KEYS.get(lower.rpartition("/")[2], name)
