"""The training loop that the torch runs share, and their small synthetic data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.corpus_runs.scenario import Run

Tensor = torch.Tensor
SIDE = 12
CLASSES = 6


class Moved:
    """|dw| / |w| of all weights since the last call, as the Stable-Baselines3 callback measures it."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._weights = list(parameters)
        self._before = self._flat()

    def _flat(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([weight.detach().reshape(-1) for weight in self._weights])

    def __call__(self) -> float:
        before, self._before = self._before, self._flat()
        return float((self._before - before).norm() / (before.norm() + 1e-12))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


@dataclass(slots=True)
class Fit:
    """A plain training loop, logged as a user would: the loss each step, the gradient between `backward` and clipping.

    Args:
        loss: step -> the loss to minimise and what else to log (numbers).
        before: called with the step before its batch is drawn: schedules and faults live here.
        every: one gradient record per so many steps.
        accumulate: optimizer step each so many batches.
        gradients: False logs the loss alone.
    """

    run: Run
    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[int], tuple[Tensor, dict[str, float]]]
    steps: int
    before: Callable[[int], None] | None = None
    clip: float | None = None
    every: int = 1
    accumulate: int = 1
    gradients: bool = True
    log_every: int = 1
    after: Callable[[int], None] | None = None

    def __call__(self) -> None:
        log = self.run.log
        moved = Moved(self.model.parameters())
        for step in range(self.steps):
            if self.before is not None:
                self.before(step)
            if step % self.accumulate == 0:
                self.optimizer.zero_grad()
            loss, metrics = self.loss(step)
            (loss / self.accumulate).backward()
            if step % self.log_every == 0:
                lr = self.optimizer.param_groups[0]["lr"]
                log.log_training_step(step=step, loss=loss.detach(), lr=lr, **metrics)
            steps_now = (step + 1) % self.accumulate == 0
            if self.gradients and steps_now and step // self.accumulate % self.every == 0:
                # Before the first step there is no update to tell of.
                ratio: dict[str, Any] = {} if step < self.accumulate else {"weight_update_ratio": moved()}
                log.log_gradient_info(model=self.model, step=step, **ratio)
            if self.clip is not None and steps_now:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            if steps_now:
                self.optimizer.step()
            if self.after is not None:
                self.after(step)


def shapes(rng: np.random.Generator, count: int, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """Images [count, 1, 12, 12] of six kinds of strokes at random places under noise, and their classes [count]."""
    labels = rng.integers(0, CLASSES, count)
    images = rng.normal(0.0, noise, (count, 1, SIDE, SIDE)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(0, SIDE - 6, 2)
        patch = np.zeros((6, 6), np.float32)
        if label in (0, 4):
            patch[2:4, :] = 1.0
        if label in (1, 4):
            patch[:, 2:4] = 1.0
        if label in (2, 5):
            patch[np.arange(6), np.arange(6)] = 1.4
        if label in (3, 5):
            patch[np.arange(6), np.arange(6)[::-1]] = 1.4
        image[0, row : row + 6, column : column + 6] += patch
    return torch.from_numpy(images), torch.from_numpy(labels)


def cnn(norm: bool = False) -> nn.Sequential:
    """A small convolutional classifier of `shapes`."""
    layers: list[nn.Module] = [nn.Conv2d(1, 12, 3, padding=1)]
    layers += [nn.BatchNorm2d(12)] if norm else []
    layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1)]
    layers += [nn.BatchNorm2d(24)] if norm else []
    layers += [nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24 * 9, CLASSES)]
    return nn.Sequential(*layers)


class Batches:
    """Draws batches of a data set, with replacement."""

    def __init__(self, run: Run, inputs: Tensor, targets: Tensor, size: int = 64) -> None:
        self._rng, self.inputs, self.targets, self.size = run.rng, inputs, targets, size

    def __call__(self) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(self._rng.integers(0, len(self.inputs), self.size))
        return self.inputs[chosen], self.targets[chosen]


def classify(model: nn.Module, batch: tuple[Tensor, Tensor], **options: Any) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy and accuracy of one batch."""
    inputs, targets = batch
    logits = model(inputs)
    right = (logits.argmax(1) == targets).float().mean()
    return nn.functional.cross_entropy(logits, targets, **options), {"accuracy": float(right)}


def adding(rng: np.random.Generator, count: int, length: int) -> tuple[Tensor, Tensor]:
    """The adding problem: sequences [count, length, 2] of numbers and two marks; the target is the marked numbers' sum."""
    numbers = rng.random((count, length)).astype(np.float32)
    marks = np.zeros((count, length), np.float32)
    for row in marks:
        row[rng.choice(length, 2, replace=False)] = 1.0
    inputs = np.stack([numbers, marks], axis=2)
    return torch.from_numpy(inputs), torch.from_numpy((numbers * marks).sum(1, keepdims=True))


class LastOf(nn.Module):
    """A recurrent network read at its last step."""

    def __init__(self, cell: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.cell(inputs)[0][:, -1])
        return out


class Copier(nn.Module):
    """A causal transformer over `symbols` + 1 tokens."""

    def __init__(self, symbols: int, length: int, width: int = 48) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols + 1, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, symbols + 1)

    def forward(self, tokens: Tensor) -> Tensor:
        size = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(size)
        out: Tensor = self.head(self.blocks(self.embed(tokens) + self.place[:size], mask=mask, is_causal=True))
        return out


def copy_loss(model: Copier, rng: np.random.Generator, symbols: int, half: int) -> tuple[Tensor, dict[str, float]]:
    """Next-token loss on the second half of `x1..xn, sep, x1..xn`, which repeats the first."""
    first = torch.from_numpy(rng.integers(0, symbols, (32, half)))
    tokens = torch.cat([first, torch.full((32, 1), symbols), first], 1)
    logits = model(tokens[:, :-1])[:, half:]
    loss = nn.functional.cross_entropy(logits.reshape(-1, symbols + 1), first.reshape(-1))
    return loss, {"accuracy": float((logits.argmax(2) == first).float().mean())}
