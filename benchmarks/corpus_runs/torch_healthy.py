"""Healthy runs of plain torch loops: each looks alarming somewhere, and learns."""

from __future__ import annotations

import math

import torch
from torch import nn

from benchmarks.corpus_runs.outcome import both, ends
from benchmarks.corpus_runs.scenario import Run, healthy
from benchmarks.corpus_runs.torch_tasks import (
    CLASSES,
    Batches,
    Copier,
    Fit,
    LastOf,
    Moved,
    Tensor,
    adding,
    classify,
    cnn,
    copy_loss,
    set_lr,
    shapes,
)

ACCURATE = ends("training.accuracy", at_least=0.93)


@healthy("h_cnn_shapes", "supervised", ACCURATE, "a plain convolutional classifier")
def cnn_shapes(run: Run) -> None:
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000))
    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), lambda _: classify(model, batch()), 600)()


@healthy("h_bn_step_decay", "supervised", ACCURATE, "the rate falls tenfold twice, and the loss with it in steps")
def step_decay(run: Run) -> None:
    model, batch = cnn(norm=True), Batches(run, *shapes(run.rng, 4000), size=32)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    rates = {0: 0.05, 500: 0.005, 750: 0.0005}
    Fit(
        run,
        model,
        optimizer,
        lambda _: classify(model, batch()),
        900,
        before=lambda step: set_lr(optimizer, rates[step]) if step in rates else None,
        every=3,
    )()


@healthy(
    "h_label_smoothing", "supervised", ACCURATE, "the loss cannot fall below the smoothing's entropy: a high plateau"
)
def label_smoothing(run: Run) -> None:
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000, noise=0.3))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    Fit(run, model, optimizer, lambda _: classify(model, batch(), label_smoothing=0.3), 1200, every=4)()


@healthy("h_grad_accumulation", "supervised", ACCURATE, "one optimizer step per eight small batches")
def grad_accumulation(run: Run) -> None:
    model, batch = cnn(), Batches(run, *shapes(run.rng, 4000), size=8)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    Fit(run, model, optimizer, lambda _: classify(model, batch()), 3200, accumulate=8, log_every=2, clip=1.0)()


@healthy(
    "h_vae_shapes", "generative", ends("training.reconstruction", at_most=25.0), "the ELBO of a VAE stays far from 0"
)
def vae(run: Run) -> None:
    images, _ = shapes(run.rng, 4000, noise=0.05)
    batch = Batches(run, images.flatten(1), images.flatten(1))
    encoder = nn.Sequential(nn.Linear(144, 96), nn.ReLU(), nn.Linear(96, 16))
    decoder = nn.Sequential(nn.Linear(8, 96), nn.ReLU(), nn.Linear(96, 144))
    model = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        inputs, _targets = batch()
        mean, log_variance = encoder(inputs).chunk(2, 1)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        missed = 5 * (decoder(code) - inputs).square().sum(1).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return missed + divergence, {"reconstruction": missed.item(), "kl": divergence.item()}

    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), loss, 900, every=3)()


@healthy(
    "h_triplet",
    "metric learning",
    ends("training.loss", at_most=0.05),
    "met margins give a loss and a gradient of exactly 0",
)
def triplet(run: Run) -> None:
    images, labels = shapes(run.rng, 3000, noise=0.25)
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 96), nn.ReLU(), nn.Linear(96, 8))
    of_class = [torch.nonzero(labels == kind).flatten() for kind in range(CLASSES)]

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        kinds = run.rng.integers(0, CLASSES, 32)
        others = (kinds + run.rng.integers(1, CLASSES, 32)) % CLASSES
        picked = [
            torch.stack([images[of_class[kind][int(run.rng.integers(len(of_class[kind])))]] for kind in group])
            for group in (kinds, kinds, others)
        ]
        anchor, alike, other = (net(group) for group in picked)
        distance = nn.functional.triplet_margin_loss(anchor, alike, other, margin=0.5)
        return distance, {
            "active": float(((anchor - alike).norm(dim=1) - (anchor - other).norm(dim=1) > -0.5).float().mean())
        }

    Fit(run, net, torch.optim.Adam(net.parameters(), 1e-3), loss, 800, every=2)()


@healthy(
    "h_contrastive", "contrastive", ends("training.accuracy", at_least=0.8), "InfoNCE begins at log N and never nears 0"
)
def contrastive(run: Run) -> None:
    images, _ = shapes(run.rng, 2000, noise=0.2)
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 128), nn.ReLU(), nn.Linear(128, 32))

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        chosen = images[torch.from_numpy(run.rng.integers(0, len(images), 48))]
        views = [nn.functional.normalize(net(chosen + 0.3 * torch.randn_like(chosen)), dim=1) for _ in range(2)]
        scores = views[0] @ views[1].T / 0.2
        right = torch.arange(48)
        return nn.functional.cross_entropy(scores, right), {
            "accuracy": float((scores.argmax(1) == right).float().mean())
        }

    Fit(run, net, torch.optim.Adam(net.parameters(), 1e-3), loss, 800, every=2)()


def ring(run: Run, count: int) -> Tensor:
    """Points [count, 2] near eight places on a circle."""
    angle = torch.from_numpy(run.rng.integers(0, 8, count)) * (math.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], 1) * 2 + 0.05 * torch.randn(count, 2)


def near_ring(points: Tensor) -> float:
    """How many of eight places have at least 2 % of the points within 0.4: the share of modes found."""
    angles = torch.arange(8) * (math.pi / 4)
    places = torch.stack([angles.cos(), angles.sin()], 1) * 2
    close = torch.cdist(points, places) < 0.4
    return float((close.float().mean(0) > 0.02).float().mean())


def train_gan(run: Run, steps: int, lr_d: float, lr_g: float, saturating: bool = False, width: int = 64) -> None:
    """A GAN on `ring`; `loss` is the generator's, as GAN codes log it."""
    generator = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
    judge = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    opt_g = torch.optim.Adam(generator.parameters(), lr_g, betas=(0.5, 0.99))
    opt_d = torch.optim.Adam(judge.parameters(), lr_d, betas=(0.5, 0.99))
    entropy = nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(128, 1), torch.zeros(128, 1)
    moved = Moved(generator.parameters())
    for step in range(steps):
        fake = generator(torch.randn(128, 8))
        d_loss = entropy(judge(ring(run, 128)), ones) + entropy(judge(fake.detach()), zeros)
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()
        scores = judge(fake)
        g_loss = -entropy(scores, zeros) if saturating else entropy(scores, ones)
        opt_g.zero_grad()
        g_loss.backward()
        if step % 2 == 0:
            found = near_ring(fake.detach())
            run.log.log_training_step(step=step, loss=g_loss.detach(), d_loss=d_loss.detach(), lr=lr_g, modes=found)
            run.log.log_gradient_info(model=generator, step=step, weight_update_ratio=moved())
        opt_g.step()


@healthy("h_gan_ring", "GAN", ends("training.modes", at_least=0.7), "both losses oscillate for ever and neither falls")
def gan(run: Run) -> None:
    train_gan(run, 2400, 1e-3, 1e-3)


@healthy("h_transformer_copy", "supervised", ACCURATE, "nothing seems to happen for long, then the loss drops")
def transformer_copy(run: Run) -> None:
    model = Copier(12, 20)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    warm = lambda step: set_lr(optimizer, 3e-3 * min(1.0, (step + 1) / 100))  # noqa: E731
    Fit(run, model, optimizer, lambda _: copy_loss(model, run.rng, 12, 8), 700, before=warm, clip=1.0, every=4)()


@healthy("h_finetune_cosine", "supervised", ACCURATE, "frozen features, warm-up, then a cosine down to a rate of 0")
def finetune(run: Run) -> None:
    model = cnn()
    pretrain, batch = torch.optim.Adam(model.parameters(), 2e-3), Batches(run, *shapes(run.rng, 3000))
    for _ in range(250):
        pretrain.zero_grad()
        classify(model, batch())[0].backward()
        pretrain.step()
    for weight in model[0].parameters():
        weight.requires_grad_(False)
        weight.grad = None
    model[-1].reset_parameters()  # type: ignore[operator]
    steps, peak = 900, 2e-3
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], peak)

    def schedule(step: int) -> None:
        done = (step - 90) / (steps - 90)
        set_lr(optimizer, peak * (step + 1) / 90 if step < 90 else peak * 0.5 * (1 + math.cos(math.pi * done)))

    Fit(run, model, optimizer, lambda _: classify(model, batch()), steps, before=schedule, every=3)()


@healthy(
    "h_tiny_scale",
    "supervised",
    ends("training.loss", at_most=2e-7),
    "targets of 1e-3: losses of 1e-6 and gradients of 1e-5 are the unit's doing",
)
def tiny_scale(run: Run) -> None:
    weights = torch.from_numpy(run.rng.normal(size=(16, 1))).float() * 1e-3
    inputs = torch.randn(3000, 16)
    targets = torch.tanh(inputs @ weights * 300) * 1e-3
    batch = Batches(run, inputs, targets)
    head = nn.Linear(32, 1, bias=False)
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), head)
    with torch.no_grad():
        head.weight.mul_(1e-3)

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = batch()
        return (model(x) - y).square().mean(), {}

    Fit(run, model, torch.optim.Adam(model.parameters(), 1e-3), loss, 900, every=2)()


@healthy(
    "h_few_records",
    "supervised",
    both(ACCURATE, ends("training.val_loss", at_most=0.3)),
    "one record per epoch: 28 in all",
)
def few_records(run: Run) -> None:
    model, (inputs, labels) = cnn(), shapes(run.rng, 1500)
    held = shapes(run.rng, 500)
    optimizer = torch.optim.Adam(model.parameters(), 1.5e-3)
    moved = Moved(model.parameters())
    for epoch in range(28):
        total = right = 0.0
        for part in torch.randperm(len(inputs)).split(50):
            optimizer.zero_grad()
            loss, metrics = classify(model, (inputs[part], labels[part]))
            loss.backward()
            optimizer.step()
            total, right = total + loss.item() / 30, right + metrics["accuracy"] / 30
        with torch.no_grad():
            val_loss, val = classify(model, held)
        run.log.log_training_step(
            step=epoch, loss=total, accuracy=right, val_loss=val_loss, val_accuracy=val["accuracy"], lr=1.5e-3
        )
        run.log.log_gradient_info(model=model, step=epoch, weight_update_ratio=moved())


@healthy(
    "h_many_records",
    "supervised",
    ends("training.loss", at_most=0.3),
    "20,000 noisy records, most of them on the plateau",
    only_once=True,
)
def many_records(run: Run) -> None:
    inputs = torch.randn(5000, 6)
    targets = (inputs[:, :1] * inputs[:, 1:2]).sin() + 0.4 * torch.randn(5000, 1)
    batch = Batches(run, inputs, targets, size=16)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = batch()
        return (model(x) - y).square().mean(), {}

    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), loss, 20_000, every=10)()


@healthy(
    "h_loss_only",
    "supervised",
    ends("training.loss", at_most=1.0),
    "nothing is logged but the loss of a small LSTM",
)
def loss_only(run: Run) -> None:
    inputs, labels = shapes(run.rng, 3000, noise=0.2)
    batch = Batches(run, inputs.squeeze(1), labels)
    model = LastOf(nn.LSTM(12, 48, batch_first=True), 48, CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for _ in range(900):
        optimizer.zero_grad()
        loss, _metrics = classify(model, batch())
        loss.backward()
        optimizer.step()
        run.log.log_training_step(loss=loss.item())


@healthy(
    "h_val_gap",
    "supervised",
    both(ACCURATE, ends("training.val_loss", at_most=0.45)),
    "the validation loss is above the training loss, noisy, and stays there",
)
def val_gap(run: Run) -> None:
    model = nn.Sequential(cnn()[:-1], nn.Dropout(0.3), nn.Linear(24 * 9, CLASSES))
    batch, held = Batches(run, *shapes(run.rng, 500, noise=0.55)), shapes(run.rng, 200, noise=0.55)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.3)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        train_loss, metrics = classify(model, batch())
        if step % 20 == 0:
            model.eval()
            with torch.no_grad():
                metrics["val_loss"] = float(classify(model, held)[0])
            model.train()
        return train_loss, metrics

    Fit(run, model, optimizer, loss, 1000, every=4)()


@healthy(
    "h_curriculum_lstm",
    "supervised",
    ends("training.loss", at_most=0.05),
    "sequences grow longer twice: the loss jumps, and is learned again",
)
def curriculum(run: Run) -> None:
    model = LastOf(nn.LSTM(2, 48, batch_first=True), 48, 1)
    lengths = {0: 4, 500: 7, 1000: 10}
    length = [4]

    def before(step: int) -> None:
        length[0] = lengths.get(step, length[0])

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = adding(run.rng, 48, length[0])
        return (model(x) - y).square().mean(), {"length": length[0]}

    Fit(run, model, torch.optim.Adam(model.parameters(), 5e-3), loss, 1500, before=before, clip=1.0, every=4)()


@healthy(
    "h_poisson_negative",
    "supervised",
    ends("training.loss", at_most=-5.0),
    "a likelihood without its constant: the loss is negative and falls",
)
def poisson(run: Run) -> None:
    inputs = torch.randn(3000, 8)
    rate = (1.2 + inputs[:, :1] - 0.5 * inputs[:, 1:2]).exp()
    batch = Batches(run, inputs, torch.poisson(rate))
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def loss(_: int) -> tuple[Tensor, dict[str, float]]:
        x, y = batch()
        return nn.functional.poisson_nll_loss(model(x), y), {}

    Fit(run, model, torch.optim.Adam(model.parameters(), 2e-3), loss, 800, clip=5.0, every=2)()
