"""What a rule means and what to look at, for readers who did not write it; for rules of the user's own there is nothing."""

from __future__ import annotations

from typing import Final

#: rule -> (why it matters, what to do where the alert itself does not say)
MEANINGS: Final[dict[str, tuple[str, str]]] = {
    "non_finite": (
        "A loss, gradient or reward was not a number. Once it reaches the weights, nothing after it can be trusted.",
        "Go back to a checkpoint from before that step; look for a division by zero, a logarithm of zero, or bad input data.",
    ),
    "gradient_explosion": (
        "Updates as large as these can undo in a few steps what was learned before.",
        "Lower the learning rate, clip the gradient norm, or scale the rewards down.",
    ),
    "vanishing_gradient": (
        "With a gradient norm of practically zero nothing is learned; that is harmless only after convergence.",
        "Look for saturated activations, advantages that are all zero, or a schedule that has ended.",
    ),
    "zero_gradients": (
        "Most entries of the gradient were exactly zero, as with dead units. Some ReLU networks live well with that.",
        "Compare with the reward or the loss; if they stand still, lower the learning rate or change activation or initialisation.",
    ),
    "loss_divergence": (
        "The loss rose for a long stretch. In reinforcement learning a rising value loss can be healthy while rewards grow.",
        "Judge it together with the reward; otherwise lower the learning rate and look at what changed at that step.",
    ),
    "loss_spike": (
        "The loss jumped far above its usual range. One spike may heal by itself; a series of them is instability.",
        "Look at the data around that step, the learning rate schedule, and gradient clipping.",
    ),
    "stagnation": (
        "The loss hardly changed for a long time: the training has converged, or it has stopped learning.",
        "If the level is good, the run may end; if not, look at the learning rate and whether the optimizer steps at all.",
    ),
    "poor_performance": (
        "Episode rewards stayed low for a long stretch: the agent has not found what is rewarded.",
        "Look at exploration, at how rare rewards are, and at the reward's scale.",
    ),
    "reward_collapse": (
        "Most of what the reward had gained was lost again: the policy has forgotten what it could do.",
        "Go back to the best checkpoint; lower the learning rate, or limit how far one update may move the policy.",
    ),
    "policy_instability": (
        "Updates moved the policy very far at once, which tends to come before a collapse.",
        "Lower the learning rate, the number of epochs per update, or the clip range.",
    ),
    "entropy_collapse": (
        "The policy has become almost deterministic: it no longer explores.",
        "Harmless on a solved task; otherwise raise the entropy coefficient or start it higher.",
    ),
    "value_failure": (
        "The value function explains nothing of the returns, so advantages are little more than noise.",
        "Look at the scale of rewards, the critic's learning rate and its loss.",
    ),
    "dead_update": (
        "Updates were far too small, or far too large, beside the weights they change.",
        "Look at the learning rate, frozen layers, and whether the optimizer steps at all.",
    ),
    "overfit": (
        "The loss on held-out data rises while that on the training data falls.",
        "Stop at the best validation loss, or add data, dropout or weight decay.",
    ),
    "stalled": ("No record came for a long time while the process lived.", "Look at what the process waits for: data, a lock, a checkpoint."),
    "slowdown": ("Steps became much slower than they were.", "Look at the machine: other jobs, input, memory, temperature."),
}  # fmt: skip

#: Rules whose alerts speak of an unstable training, in the order in which a sentence would name one.
INSTABILITY: Final = ("non_finite", "gradient_explosion", "policy_instability", "loss_spike", "loss_divergence")
