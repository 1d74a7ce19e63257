"""Gradient norms of every optimizer step of a torch model, as they are *before* clipping.

A training that clips leaves a `.grad` that hides an explosion, so reading it after the update is too late. Two
taps see the gradients in time and change nothing:

- `torch.nn.utils.clip_grad_norm_` is wrapped while any watch is on. It computes the norm before clipping anyway; the wrapper
  keeps that result for parameters of a watched model and passes every other call through.
- a pre-hook of each optimizer measures the steps that were not clipped.

What is kept are tensors on the model's own device; they become numbers once per `take()`. A code that bound
`clip_grad_norm_` under another name before the watch began is not seen by the first tap: its norms are those after clipping.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch

from avaliacoes.gradients import component_of

#: Steps per `take()` at which components and zeros are measured too: they cost more than the norm.
SAMPLES: Final = 6
#: Beyond this many weights, remembering them for `weight_update_ratio` costs too much memory.
MAX_REMEMBERED_WEIGHTS: Final = 5_000_000
_COMPACT_AT: Final = 512

_lock = threading.Lock()
_owners: dict[int, GradientWatch] = {}
_original_clip: Callable[..., Any] | None = None


def _watching_clip(parameters: Any, max_norm: float, norm_type: float = 2.0, *args: Any, **kwargs: Any) -> Any:
    clip = _original_clip or _watching_clip_fallback
    parameters = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
    watch = _owners.get(id(parameters[0])) if parameters else None
    if watch is None:
        return clip(parameters, max_norm, norm_type, *args, **kwargs)
    watch.before_clip(parameters)
    total = clip(parameters, max_norm, norm_type, *args, **kwargs)
    watch.after_clip(parameters, total if float(norm_type) == 2.0 else None)
    return total


def _watching_clip_fallback(*args: Any, **kwargs: Any) -> Any:
    from torch.nn.utils.clip_grad import clip_grad_norm_

    return clip_grad_norm_(*args, **kwargs)


class GradientWatch:
    """Watches the optimizer steps of one model between `start()` and `stop()`.

    Args:
        model: the module whose parameters are watched.
        optimizers: those that step them.

    `take()` gives the fields of one record for the steps since the last `take()`: `grad_norm` (mean over the steps,
    before clipping), `grad_norm_max`, `grad_zeros_ratio`, `grad_norm_<part>` and `grad_zeros_ratio_<part>` (means over
    sampled steps), `weight_update_ratio` (|dw| / |w| since the last `take()`) and `optimizer_steps`. With several
    optimizers, `grad_norm` is the root of the sum of squares over them.
    """

    def __init__(self, model: torch.nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        self._names = {id(parameter): component_of(name) for name, parameter in model.named_parameters()}
        self._taps = [_Tap(optimizer, self._names) for optimizer in optimizers]
        self._weights = [weight for tap in self._taps for weight in tap.parameters]
        self._before: list[torch.Tensor] | None = None
        self._handles: list[Any] = []
        self.failures = 0

    def start(self) -> None:
        """Begin to watch; a second call does nothing."""
        global _original_clip
        if self._handles:
            return
        self._handles = [tap.optimizer.register_step_pre_hook(self._on_step) for tap in self._taps]
        self._remember()
        with _lock:
            for tap in self._taps:
                _owners.update((id(parameter), self) for parameter in tap.parameters)
            if _original_clip is None:
                _original_clip = torch.nn.utils.clip_grad_norm_
                torch.nn.utils.clip_grad_norm_ = _watching_clip

    def stop(self) -> None:
        """Leave the model and torch as they were; a second call does nothing."""
        global _original_clip
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._before = None
        with _lock:
            for key in [key for key, owner in _owners.items() if owner is self]:
                del _owners[key]
            # Somebody who wrapped the function after us keeps our wrapper, which then only passes calls through.
            if not _owners and torch.nn.utils.clip_grad_norm_ is _watching_clip and _original_clip is not None:
                torch.nn.utils.clip_grad_norm_ = _original_clip
                _original_clip = None

    def before_clip(self, parameters: list[torch.Tensor]) -> None:
        """The wrapper is about to clip these parameters."""
        self._guarded(lambda tap: tap.sample_if_due(), parameters)

    def after_clip(self, parameters: list[torch.Tensor], total: torch.Tensor | None) -> None:
        """The wrapper has clipped; `total` is the L2 norm from before, None when another norm was used."""
        self._guarded(lambda tap: tap.clipped(total), parameters)

    def _guarded(self, act: Callable[[_Tap], None], parameters: list[torch.Tensor]) -> None:
        first = id(parameters[0])
        for tap in self._taps:
            if first in tap.ids:
                try:
                    act(tap)
                except Exception:  # measuring must never stop a training; counted and shown in the record
                    self.failures += 1

    def _on_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        for tap in self._taps:
            if tap.optimizer is optimizer:
                try:
                    tap.stepping()
                except Exception:  # as above
                    self.failures += 1

    def _remember(self) -> None:
        if sum(weight.numel() for weight in self._weights) <= MAX_REMEMBERED_WEIGHTS:
            self._before = [weight.detach().clone() for weight in self._weights]

    def _update_ratio(self) -> torch.Tensor | None:
        if not self._before:
            return None
        with torch.no_grad():
            changes = torch._foreach_sub([weight.detach() for weight in self._weights], self._before)
            moved, size = _total(changes), _total(self._before)
            torch._foreach_copy_(self._before, [weight.detach() for weight in self._weights])
            return moved / (size + 1e-12)

    def take(self) -> dict[str, float | int]:
        """The fields of one record, empty if no optimizer stepped since the last call."""
        steps = sum(tap.steps for tap in self._taps)
        if not steps:
            return {}
        numbers: dict[str, float | int] = {}
        squares: dict[str, float] = {}
        zeros: dict[str, float] = {}
        elements: dict[str, int] = {}
        for tap in self._taps:
            norms, empties = tap.take()
            for key, value in norms.items():
                squares[key] = squares.get(key, 0.0) + value * value
            for part, (empty, count) in empties.items():
                zeros[part] = zeros.get(part, 0.0) + empty
                elements[part] = elements.get(part, 0) + count
        numbers.update((key, value**0.5) for key, value in squares.items())
        if sum(elements.values()):
            numbers["grad_zeros_ratio"] = sum(zeros.values()) / sum(elements.values())
            if len(elements) > 1:
                numbers.update((f"grad_zeros_ratio_{part}", zeros[part] / elements[part]) for part in elements)
        if sum(key.startswith("grad_norm_") and key != "grad_norm_max" for key in numbers) < 2:
            numbers = {k: v for k, v in numbers.items() if not k.startswith("grad_norm_") or k == "grad_norm_max"}
        ratio = self._update_ratio()
        if ratio is not None:
            numbers["weight_update_ratio"] = float(ratio)
        numbers["optimizer_steps"] = steps
        if self.failures:
            numbers["measuring_failed"] = self.failures
        return numbers


def _total(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """The L2 norm over all elements of all tensors (on the first one's device)."""
    norms: Sequence[torch.Tensor] = torch._foreach_norm(list(tensors))
    total: torch.Tensor = torch.linalg.vector_norm(torch.stack([x.to(norms[0].device, torch.float32) for x in norms]))
    return total


class _Tap:
    """What one optimizer's steps showed since the last `take()`."""

    def __init__(self, optimizer: torch.optim.Optimizer, names: dict[int, str]) -> None:
        self.optimizer = optimizer
        self.parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        self.ids = {id(weight) for weight in self.parameters}
        self._names = names
        self.steps = 0
        self._every = 8
        self._done_for_step = False
        self._last_sample = -1
        self._norms: list[torch.Tensor] = []
        self._folded: tuple[int, torch.Tensor, torch.Tensor] | None = None
        self._samples: list[tuple[list[str], torch.Tensor, torch.Tensor, list[int]]] = []

    def _gradients(self) -> tuple[list[str], list[torch.Tensor]]:
        pairs = [(self._names.get(id(w), "other"), w.grad) for w in self.parameters if w.grad is not None]
        dense = [g.coalesce().values() if g.is_sparse else g for _, g in pairs]
        return [part for part, _ in pairs], [g if g.is_floating_point() else g.abs() for g in dense]

    def sample_if_due(self) -> None:
        """At every few steps: norm and zeros of each parameter."""
        if self.steps % self._every or self._last_sample == self.steps:
            return
        self._last_sample = self.steps
        parts, gradients = self._gradients()
        if not gradients:
            return
        with torch.no_grad():
            device = gradients[0].device
            norms = torch.stack([norm.to(device, torch.float32) for norm in torch._foreach_norm(gradients)])
            filled = torch.stack([torch.count_nonzero(g).to(device) for g in gradients])
        self._samples.append((parts, norms, filled, [g.numel() for g in gradients]))

    def clipped(self, total: torch.Tensor | None) -> None:
        if total is not None and not self._done_for_step:
            self._keep(total.detach())

    def stepping(self) -> None:
        """The optimizer is about to step: measure now if no clipping did."""
        if not self._done_for_step:
            self.sample_if_due()
            _, gradients = self._gradients()
            if gradients:
                with torch.no_grad():
                    self._keep(_total(gradients))
        self._done_for_step = False
        self.steps += 1

    def _keep(self, norm: torch.Tensor) -> None:
        self._done_for_step = True
        self._norms.append(norm.reshape(()).to(torch.float32))
        if len(self._norms) >= _COMPACT_AT:
            self._fold()

    def _fold(self) -> None:
        """Add the norms kept so far to (count, sum, max), without fetching them from the device."""
        if not self._norms:
            return
        norms = torch.stack(self._norms)
        self._norms = []
        # max and maximum keep a NaN, which is what a reader must see.
        count, total, largest = len(norms), norms.sum(), norms.max()
        if self._folded is not None:
            count, total = count + self._folded[0], total + self._folded[1]
            largest = torch.maximum(largest, self._folded[2])
        self._folded = count, total, largest

    def take(self) -> tuple[dict[str, float], dict[str, tuple[float, int]]]:
        """Norms by field, and per component (zero elements, elements) over the sampled steps; begins anew."""
        self._fold()
        found: dict[str, float] = {}
        if self._folded is not None:
            count, total, largest = self._folded
            found["grad_norm"], found["grad_norm_max"] = torch.stack([total / count, largest]).tolist()
        sums: dict[str, list[float]] = {}
        zeros: dict[str, tuple[float, int]] = {}
        numbers = torch.cat([sample[1] for sample in self._samples]).tolist() if self._samples else []
        filled = torch.cat([sample[2] for sample in self._samples]).tolist() if self._samples else []
        at = 0
        for parts, _, _, sizes in self._samples:
            squares: dict[str, float] = {}
            for part, size in zip(parts, sizes, strict=True):
                squares[part] = squares.get(part, 0.0) + numbers[at] ** 2
                empty, count = zeros.get(part, (0.0, 0))
                zeros[part] = (empty + size - filled[at], count + size)
                at += 1
            for part, square in squares.items():
                sums.setdefault(part, []).append(square**0.5)
        for part, values in sums.items():
            found[f"grad_norm_{part}"] = sum(values) / len(values)
        self._every = max(1, self.steps // SAMPLES)
        self._samples, self._folded, self._last_sample, self.steps = [], None, -1, 0
        return found, zeros
