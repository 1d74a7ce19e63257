"""Further torch loops: healthy ones with spikes, sparse gradients or a second start, and three quiet faults."""

from __future__ import annotations

import copy

import torch
from torch import nn

from benchmarks.corpus_runs.outcome import ends, hurt
from benchmarks.corpus_runs.scenario import Run, broken, healthy
from benchmarks.corpus_runs.torch_broken import NOT_MOVING
from benchmarks.corpus_runs.torch_healthy import ACCURATE
from benchmarks.corpus_runs.torch_tasks import Batches, Fit, Moved, Tensor, classify, cnn, shapes


@healthy(
    "h_outliers",
    "supervised",
    ends("training.typical_error", at_most=0.15),
    "heavy-tailed targets: single batches cost 100 times more",
)
def outliers(run: Run) -> None:
    inputs = torch.randn(4000, 8)
    clean = (2 * inputs[:, :1]).sin() + inputs[:, 1:2]
    wild = torch.from_numpy(run.rng.standard_t(1.6, (4000, 1))).float()
    batch = Batches(run, inputs, clean + 0.1 * wild)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = batch()
        errors = (model(x) - y).square()
        return errors.mean(), {"typical_error": float(errors.detach().median())}

    Fit(run, model, torch.optim.Adam(model.parameters(), 3e-3), loss, 1000, clip=1.0, every=2)()


@healthy(
    "h_embeddings",
    "embedding",
    ends("training.accuracy", at_least=0.6),
    "a table of 2,000 rows of which a batch touches few: nearly all gradients are 0",
)
def embeddings(run: Run) -> None:
    table, head = nn.Embedding(2000, 16), nn.Linear(16, 10)
    model = nn.ModuleDict({"table": table, "head": head})
    words = torch.from_numpy(run.rng.zipf(1.3, 60_000) % 2000)
    topics = torch.from_numpy(run.rng.integers(0, 10, 2000))[words]
    batch = Batches(run, words, topics)

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        return classify(nn.Sequential(table, head), batch())

    Fit(run, model, torch.optim.Adam(model.parameters(), 1e-2), loss, 1000, every=2)()


@healthy(
    "h_denoising_diffusion",
    "generative",
    ends("training.loss", at_most=0.75),
    "noise prediction: after the first steps the loss is noise about a high floor",
)
def diffusion(run: Run) -> None:
    images, _ = shapes(run.rng, 3000, noise=0.05)
    batch = Batches(run, images.flatten(1), images.flatten(1))
    model = nn.Sequential(nn.Linear(145, 192), nn.SiLU(), nn.Linear(192, 192), nn.SiLU(), nn.Linear(192, 144))

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        clean, _targets = batch()
        time, noise = torch.rand(len(clean), 1), torch.randn_like(clean)
        mixed = (1 - time).sqrt() * clean + time.sqrt() * noise
        return (model(torch.cat([mixed, time], 1)) - noise).square().mean(), {}

    Fit(run, model, torch.optim.AdamW(model.parameters(), 1e-3), loss, 1500, clip=1.0, every=3)()


@healthy(
    "h_resumed",
    "supervised",
    ACCURATE,
    "killed at step 520 and resumed from the checkpoint of step 400: 120 steps are logged twice",
)
def resumed(run: Run) -> None:
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    moved = Moved(model.parameters())
    kept: dict[str, object] = {}
    step, again = 0, False
    while step < 900:
        if step == 400 and not again:
            kept = copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        if step == 520 and not again:
            model.load_state_dict(kept["model"])  # type: ignore[arg-type]
            optimizer.load_state_dict(kept["optimizer"])  # type: ignore[arg-type]
            step, again = 400, True
            moved()
        optimizer.zero_grad()
        loss, metrics = classify(model, batch())
        loss.backward()
        run.log.log_training_step(step=step, loss=loss.detach(), lr=1e-3, **metrics)
        if step % 2 == 1:
            run.log.log_gradient_info(model=model, step=step, weight_update_ratio=moved())
        optimizer.step()
        step += 1


@broken(
    "b_half_underflow",
    "supervised",
    hurt("training.accuracy", at_most=0.45),
    "half-precision gradients of a loss that is 1e-9 of itself",
    "zero_gradients vanishing_gradient dead_update stagnation",
)
def half_underflow(run: Run) -> None:
    """Mixed precision with a scaler that has shrunk to nothing: every gradient underflows to exactly 0 in 16 bits."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    for weight in model.parameters():
        weight.register_hook(lambda gradient: (gradient * 1e-9).half().float())
    Fit(
        run,
        model,
        torch.optim.SGD(model.parameters(), 0.05, momentum=0.9),
        lambda _: classify(model, batch()),
        600,
        every=2,
    )()


@broken(
    "b_momentum_one",
    "supervised",
    hurt("training.accuracy", at_most=0.45),
    "momentum 1.0",
    "gradient_explosion loss_divergence loss_spike non_finite stagnation zero_gradients",
)
def momentum_one(run: Run) -> None:
    """A momentum without any decay: the weights fly on past every minimum, further each time."""
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    Fit(
        run,
        model,
        torch.optim.SGD(model.parameters(), 0.05, momentum=1.0),
        lambda _: classify(model, batch()),
        700,
        every=2,
    )()


@broken(
    "b_few_epochs_frozen",
    "supervised",
    hurt("training.accuracy", at_most=0.4),
    "requires_grad off for all but the last bias",
    NOT_MOVING,
)
def few_frozen(run: Run) -> None:
    """Fine-tuning with the freeze applied one layer too far: 30 epochs, 30 records, and the loss stays at chance."""
    model, (inputs, labels) = cnn(), shapes(run.rng, 1200)
    for weight in list(model.parameters())[:-1]:
        weight.requires_grad_(False)
    optimizer = torch.optim.Adam([list(model.parameters())[-1]], 1e-3)
    moved = Moved(model.parameters())
    for epoch in range(30):
        total = right = 0.0
        for part in torch.randperm(len(inputs)).split(50):
            optimizer.zero_grad()
            loss, metrics = classify(model, (inputs[part], labels[part]))
            loss.backward()
            optimizer.step()
            total, right = total + loss.item() / 24, right + metrics["accuracy"] / 24
        run.log.log_training_step(step=epoch, loss=total, accuracy=right, lr=1e-3)
        run.log.log_gradient_info(model=model, step=epoch, weight_update_ratio=moved())
