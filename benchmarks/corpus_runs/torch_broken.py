"""Sabotaged torch loops: a docstring each that says why it is wrong and how it should show."""

from __future__ import annotations

import copy

import torch
from torch import nn

from benchmarks.corpus_runs.outcome import both, ends, hurt, worsened
from benchmarks.corpus_runs.scenario import Run, broken
from benchmarks.corpus_runs.torch_healthy import train_gan
from benchmarks.corpus_runs.torch_tasks import (
    CLASSES,
    Batches,
    Copier,
    Fit,
    LastOf,
    Tensor,
    adding,
    classify,
    cnn,
    copy_loss,
    set_lr,
    shapes,
)

GUESSING = hurt("training.accuracy", at_most=0.45)
NOT_MOVING = "stagnation dead_update"
BLOWN_UP = "gradient_explosion loss_divergence loss_spike non_finite"
#: A ReLU network that was blown up often ends with every unit off.
AND_DEAD = " zero_gradients stagnation"


@broken("b_lr_x1000_midway", "supervised", GUESSING, "lr x 1000 from step 400", BLOWN_UP + AND_DEAD, 400)
def lr_jump(run: Run) -> None:
    """A unit error in a schedule: the weights are thrown away within a few steps; loss and gradient jump."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)

    def before(step: int) -> None:
        if step == 400:
            set_lr(optimizer, 50.0)

    Fit(run, model, optimizer, lambda _: classify(model, batch()), 900, before=before, every=2)()


@broken(
    "b_lr_zero_midway",
    "supervised",
    hurt("training.loss", at_least=0.4),
    "lr 0 from step 120, loss still high",
    NOT_MOVING,
    120,
)
def lr_zero(run: Run) -> None:
    """A scheduler that has run out: no weight moves any more although the task is far from learned."""
    model = Copier(12, 20)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def before(step: int) -> None:
        if step == 120:
            set_lr(optimizer, 0.0)

    Fit(run, model, optimizer, lambda _: copy_loss(model, run.rng, 12, 8), 600, before=before, every=2)()


@broken(
    "b_wrong_parameters",
    "supervised",
    GUESSING,
    "the optimizer holds a copy's parameters",
    NOT_MOVING + " gradient_explosion",
)
def wrong_parameters(run: Run) -> None:
    """The model was copied after the optimizer was made: nothing moves, and as nothing zeroes its gradients they pile up."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.Adam(copy.deepcopy(model).parameters(), 2e-3)
    Fit(run, model, optimizer, lambda _: classify(model, batch()), 600, every=2)()


@broken(
    "b_detached",
    "supervised",
    GUESSING,
    "logits.detach() before the loss",
    NOT_MOVING + " zero_gradients vanishing_gradient",
)
def detached(run: Run) -> None:
    """The graph is cut above the last layer: no parameter has a gradient, no weight moves, the loss stays."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = batch()
        logits = model(inputs).detach().requires_grad_()
        right = (logits.argmax(1) == targets).float().mean()
        return nn.functional.cross_entropy(logits, targets), {"accuracy": float(right)}

    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), loss, 500)()


@broken(
    "b_nan_log_zero", "supervised", hurt("training.loss", at_least=1e9), "0 * log(0) at step 437", "non_finite", 437
)
def nan_log_zero(run: Run) -> None:
    """An entropy term without an epsilon: one batch has a probability of exactly 0, and every weight becomes NaN."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = batch()
        if step == 437:
            inputs = inputs * 1e4  # a batch that missed its normalisation: the softmax saturates to exact zeros
        chances = model(inputs).softmax(1)
        entropy = -(chances * chances.log()).sum(1).mean()
        nll = nn.functional.nll_loss(chances.clamp_min(1e-12).log(), targets)
        return nll - 0.01 * entropy, {"entropy": float(entropy.detach())}

    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), loss, 700, every=2)()


@broken(
    "b_inf_likelihood",
    "supervised",
    hurt("training.loss", at_least=1e3),
    "a free log variance on targets without noise",
    BLOWN_UP,
)
def infinite_likelihood(run: Run) -> None:
    """A Gaussian likelihood of exact targets: the variance shrinks until the rate is too high for it, then inf and NaN."""
    inputs = torch.randn(3000, 8)
    batch = Batches(run, inputs, inputs[:, :1] - 2 * inputs[:, 1:2])
    model = nn.ModuleDict({"mean": nn.Linear(8, 1), "log_variance": nn.Linear(8, 1)})

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = batch()
        mean, log_variance = model["mean"](x), model["log_variance"](x)
        return ((y - mean).square() * (-log_variance).exp() + log_variance).mean(), {}

    Fit(run, model, torch.optim.SGD(model.parameters(), 0.02), loss, 700)()


@broken(
    "b_rnn_unclipped",
    "supervised",
    hurt("training.loss", at_least=0.3),
    "recurrent weights x 1.6, SGD, no clipping",
    BLOWN_UP,
)
def rnn_unclipped(run: Run) -> None:
    """The adding problem with an unstable ReLU recurrence: gradients multiply over 30 steps, and nobody clips them."""
    cell = nn.RNN(2, 48, batch_first=True, nonlinearity="relu")
    with torch.no_grad():
        nn.init.orthogonal_(cell.all_weights[0][1], gain=1.6)
    model = LastOf(cell, 48, 1)

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = adding(run.rng, 48, 30)
        return (model(x) - y).square().mean(), {}

    Fit(run, model, torch.optim.SGD(model.parameters(), 0.01), loss, 400)()


@broken(
    "b_relu_dies_midway",
    "supervised",
    GUESSING,
    "biases - 10 at step 300: all ReLUs off",
    "zero_gradients vanishing_gradient loss_spike loss_divergence stagnation",
    300,
)
def relu_dies(run: Run) -> None:
    """A bad restore lowers every hidden bias by 10: no unit fires, only the last bias still has a gradient."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))

    def before(step: int) -> None:
        if step == 300:
            with torch.no_grad():
                for layer in (model[0], model[3]):
                    layer.bias.sub_(10.0)  # type: ignore[operator]

    Fit(
        run,
        model,
        torch.optim.Adam(model.parameters(), 1e-3),
        lambda _: classify(model, batch()),
        800,
        before=before,
        every=2,
    )()


@broken(
    "b_tanh_saturated",
    "supervised",
    hurt("training.accuracy", at_most=0.6),
    "weights x 100: every tanh is at its limit",
    "stagnation dead_update vanishing_gradient zero_gradients",
)
def tanh_saturated(run: Run) -> None:
    """An initialisation a hundred times too large: tanh' is exactly 0 almost everywhere, only the last layer learns."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(144, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, CLASSES)
    )
    with torch.no_grad():
        for weight in (weight for weight in model.parameters() if weight.shape[0] == 64 and weight.dim() == 2):
            weight.mul_(100)
    batch = Batches(run, *shapes(run.rng, 4000))
    Fit(run, model, torch.optim.SGD(model.parameters(), 0.02), lambda _: classify(model, batch()), 700, every=2)()


@broken(
    "b_labels_shuffled",
    "supervised",
    hurt("training.accuracy", at_most=0.35),
    "labels in a random order from step 350",
    "loss_divergence loss_spike stagnation gradient_explosion",
    350,
)
def labels_shuffled(run: Run) -> None:
    """A loader that sorts images and labels apart: what was learned is wrong at once, the loss jumps and stays."""
    model, batch = cnn(norm=True), Batches(run, *shapes(run.rng, 4000), size=32)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = batch()
        return classify(model, (inputs, targets[torch.randperm(len(targets))] if step >= 350 else targets))

    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), loss, 900, every=2)()


def _with_validation(run: Run, batch: Batches, steps: int, lr: float = 2e-3, stuck_from: int | None = None) -> None:
    model, held = (
        nn.Sequential(nn.Flatten(), nn.Linear(144, 256), nn.ReLU(), nn.Linear(256, CLASSES)),
        shapes(run.rng, 400),
    )
    kept = batch()

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        train_loss, metrics = classify(model, kept if stuck_from is not None and step >= stuck_from else batch())
        if step % 10 == 0:
            with torch.no_grad():
                metrics["val_loss"] = float(classify(model, held)[0])
        return train_loss, metrics

    Fit(run, model, torch.optim.Adam(model.parameters(), lr), loss, steps, every=4)()


@broken(
    "b_overfit",
    "supervised",
    both(ends("training.loss", at_most=0.1), hurt("training.val_loss", at_least=2.0)),
    "120 examples, 38,000 weights",
    "overfit",
    50,
)
def overfit(run: Run) -> None:
    """The training loss goes to 0 by heart while the validation loss has its lowest point early and climbs for ever."""
    _with_validation(run, Batches(run, *shapes(run.rng, 120), size=32), 900)


@broken(
    "b_loader_stuck",
    "supervised",
    both(ends("training.loss", at_most=0.1), worsened("training.val_loss", 300, up=0.05)),
    "the same batch for ever from step 300",
    "overfit",
    300,
)
def loader_stuck(run: Run) -> None:
    """An iterator that is no longer advanced: one batch is learned by heart, and validation gets worse."""
    _with_validation(run, Batches(run, *shapes(run.rng, 6000), size=12), 1200, lr=5e-3, stuck_from=300)


@broken("b_clip_1e-9", "supervised", GUESSING, "gradients clipped to a norm of 1e-9", NOT_MOVING)
def clip_tiny(run: Run) -> None:
    """A clipping threshold in the wrong unit: gradients are fine before clipping, and no weight moves."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    Fit(run, model, optimizer, lambda _: classify(model, batch()), 600, clip=1e-9, every=2)()


@broken(
    "b_weight_decay_huge",
    "supervised",
    GUESSING,
    "AdamW weight decay 300",
    "stagnation zero_gradients vanishing_gradient",
)
def weight_decay(run: Run) -> None:
    """The decay shrinks every weight faster than any gradient can build it: the output is constant, the loss ln 6."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=300.0)
    Fit(run, model, optimizer, lambda _: classify(model, batch()), 700, every=2)()


@broken(
    "b_batchnorm_eval",
    "supervised",
    hurt("training.accuracy", at_most=0.6),
    "batch norm in eval mode, raw inputs",
    BLOWN_UP + AND_DEAD,
)
def batchnorm_eval(run: Run) -> None:
    """`model.eval()` left over from a test: batch norm normalises nothing, and raw pixels of 0..255 wreck the first steps."""
    images, labels = shapes(run.rng, 4000)
    batch = Batches(run, images * 50 + 100, labels)
    model = cnn(norm=True).eval()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    Fit(run, model, optimizer, lambda _: classify(model, batch()), 600, every=2)()


@broken(
    "b_gan_saturated",
    "GAN",
    hurt("training.modes", at_most=0.3),
    "discriminator 100 times faster, saturating loss",
    "vanishing_gradient stagnation loss_divergence dead_update zero_gradients",
)
def gan_saturated(run: Run) -> None:
    """The discriminator wins at once; log(1 - D) is flat where D is 0, so the generator's gradient dies."""
    train_gan(run, 1600, 1e-2, 1e-4, saturating=True)


@broken(
    "b_lr_grows",
    "supervised",
    GUESSING,
    "a scheduler multiplies lr by 1.02 each step, for ever",
    BLOWN_UP + AND_DEAD,
    120,
)
def lr_grows(run: Run) -> None:
    """A decay factor above 1: all is well until the rate is too high, then loss and gradients climb and blow up."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    Fit(
        run,
        model,
        optimizer,
        lambda _: classify(model, batch()),
        700,
        before=lambda step: set_lr(optimizer, 0.01 * 1.02**step),
        every=2,
    )()


@broken(
    "b_input_unscaled",
    "supervised",
    hurt("training.accuracy", at_most=0.7),
    "inputs x 255 + 128 from step 450",
    BLOWN_UP + AND_DEAD,
    450,
)
def input_unscaled(run: Run) -> None:
    """The normalisation of the inputs is lost with a new data shard: loss and gradients jump by orders of magnitude."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = batch()
        return classify(model, (inputs * 255 + 128 if step >= 450 else inputs, targets))

    Fit(run, model, torch.optim.SGD(model.parameters(), 0.05, momentum=0.9), loss, 750, every=2)()


@broken(
    "b_loss_only_diverges",
    "supervised",
    worsened("training.loss", 500, up=1.0),
    "lr x 40 from step 500, the loss alone is logged",
    "loss_divergence loss_spike non_finite",
    500,
)
def loss_only(run: Run) -> None:
    """Only the loss can tell: it falls for 500 steps, then leaps and never comes back."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    before = lambda step: set_lr(optimizer, 2.0 if step >= 500 else 0.05)  # noqa: E731
    Fit(run, model, optimizer, lambda _: (classify(model, batch())[0], {}), 800, before=before, gradients=False)()
