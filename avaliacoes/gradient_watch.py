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
#: Up to this many elements, one flat copy is cheaper than a kernel per tensor; beyond it, memory is dearer, weights are
#: not remembered and there is no `weight_update_ratio`.
MAX_COPIED: Final = 5_000_000
_COMPACT_AT: Final = 512

_lock = threading.Lock()
#: The first parameter of each watched optimizer, by id.
_owners: dict[int, _Tap] = {}
_original_clip: Callable[..., Any] | None = None


def _watching_clip(parameters: Any, max_norm: float, norm_type: float = 2.0, *args: Any, **kwargs: Any) -> Any:
    clip = _original_clip or unwrapped_clip
    parameters = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
    tap = _owners.get(id(parameters[0])) if parameters else None
    if tap is None:
        return clip(parameters, max_norm, norm_type, *args, **kwargs)
    tap.guarded(tap.sample_if_due)
    total = clip(parameters, max_norm, norm_type, *args, **kwargs)
    if norm_type == 2:
        tap.keep(total)
    return total


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
        self._before: torch.Tensor | None = None
        self._handles: list[Any] = []

    def start(self) -> None:
        """Begin to watch; a second call does nothing."""
        global _original_clip
        if self._handles:
            return
        self._handles = [tap.optimizer.register_step_pre_hook(tap.on_step) for tap in self._taps]
        self._remember()
        with _lock:
            for tap in self._taps:
                _owners.update((id(parameter), tap) for parameter in tap.parameters)
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
            for key in [key for key, owner in _owners.items() if owner in self._taps]:
                del _owners[key]
            # Somebody who wrapped the function after us keeps our wrapper, which then only passes calls through.
            if not _owners and torch.nn.utils.clip_grad_norm_ is _watching_clip and _original_clip is not None:
                torch.nn.utils.clip_grad_norm_ = _original_clip
                _original_clip = None

    def _remember(self) -> None:
        try:
            self._before = self._flat_weights()
        except RuntimeError:  # weights on several devices or of several types
            self._before = None

    def _flat_weights(self) -> torch.Tensor | None:
        if not self._weights or sum(weight.numel() for weight in self._weights) > MAX_COPIED:
            return None
        with torch.no_grad():
            return torch.cat([weight.detach().reshape(-1) for weight in self._weights])

    def _update_ratio(self) -> float | None:
        """|dw| / |w| since the last call."""
        before = self._before
        if before is None:
            return None
        self._before = now = self._flat_weights()
        if now is None:
            return None
        moved, size = torch.stack([torch.linalg.vector_norm(now - before), torch.linalg.vector_norm(before)]).tolist()
        return float(moved / (size + 1e-12))

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
            numbers["weight_update_ratio"] = ratio
        numbers["optimizer_steps"] = steps
        if failures := sum(tap.failures for tap in self._taps):
            numbers["measuring_failed"] = failures
        return numbers


def unwrapped_clip(*args: Any, **kwargs: Any) -> Any:
    """torch's own function, for a wrapper that somebody kept after the last watch ended."""
    from torch.nn.utils.clip_grad import clip_grad_norm_

    return clip_grad_norm_(*args, **kwargs)


def _norm(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The L2 norm over all elements of all tensors, as a float32 scalar on the first one's device."""
    if len(tensors) > 1 and sum(tensor.numel() for tensor in tensors) <= MAX_COPIED:
        try:
            tensors = [torch.cat([tensor.reshape(-1) for tensor in tensors])]
        except RuntimeError:  # several devices
            pass
    norms: Sequence[torch.Tensor] = torch._foreach_norm(tensors)
    if len(norms) == 1:
        return norms[0].float()
    device = tensors[0].device
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([norm.to(device, torch.float32) for norm in norms]))
    return norm


def _norm_and_filled(tensors: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """L2 norm and number of elements that are not 0, over all tensors, as float32 scalars."""
    if sum(tensor.numel() for tensor in tensors) <= MAX_COPIED:
        try:
            tensors = [torch.cat([tensor.reshape(-1) for tensor in tensors])]
        except RuntimeError:  # several devices
            pass
    device = tensors[0].device
    filled = torch.stack([torch.count_nonzero(tensor).to(device) for tensor in tensors]).sum()
    return _norm(tensors), filled.float()


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    if gradient.is_sparse:
        gradient = gradient.coalesce().values()
    return gradient if gradient.is_floating_point() else gradient.abs().float()


class _Tap:
    """What one optimizer's steps showed since the last `take()`."""

    def __init__(self, optimizer: torch.optim.Optimizer, names: dict[int, str]) -> None:
        self.optimizer = optimizer
        self.parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
        self._parts: dict[str, list[torch.Tensor]] = {}
        for weight in self.parameters:
            self._parts.setdefault(names.get(id(weight), "other"), []).append(weight)
        self.failures = 0
        self.steps = 0
        self._every = 8
        self._done_for_step = False
        self._last_sample = -1
        self._norms: list[torch.Tensor] = []
        self._folded: tuple[int, torch.Tensor, torch.Tensor] | None = None
        self._samples: list[tuple[str, int, torch.Tensor, torch.Tensor]] = []

    def guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # measuring must never stop a training; counted and shown in the record
            self.failures += 1

    def sample_if_due(self) -> None:
        """At every few steps: norm and zeros of each component."""
        if self.steps % self._every or self._last_sample == self.steps:
            return
        self._last_sample = self.steps
        with torch.no_grad():
            for part, weights in self._parts.items():
                gradients = [_dense(weight.grad) for weight in weights if weight.grad is not None]
                if gradients:
                    elements = sum(weight.numel() for weight in weights if weight.grad is not None)
                    self._samples.append((part, elements, *_norm_and_filled(gradients)))

    def on_step(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        """The optimizer is about to step: measure now if no clipping did."""
        if not self._done_for_step:
            self.guarded(self._measure)
        self._done_for_step = False
        self.steps += 1

    def _measure(self) -> None:
        self.sample_if_due()
        with torch.no_grad():
            gradients = [_dense(weight.grad) for weight in self.parameters if weight.grad is not None]
            if gradients:
                self.keep(_norm(gradients))

    def keep(self, norm: torch.Tensor) -> None:
        """The norm of this step, still on its device."""
        if not self._done_for_step:
            self._done_for_step = True
            self._norms.append(norm)
            if len(self._norms) >= _COMPACT_AT:
                self.guarded(self._fold)

    def _fold(self) -> None:
        """Add the norms kept so far to (count, sum, max), without fetching them from the device."""
        kept, self._norms = self._norms, []
        if not kept:
            return
        norms = torch.stack(kept).detach().float()
        # max and maximum keep a NaN, which is what a reader must see.
        count, total, largest = len(kept), norms.sum(), norms.max()
        if self._folded is not None:
            count, total = count + self._folded[0], total + self._folded[1]
            largest = torch.maximum(largest, self._folded[2])
        self._folded = count, total, largest

    def take(self) -> tuple[dict[str, float], dict[str, tuple[float, int]]]:
        """Norms by field, and per component (zero elements, elements) over the sampled steps; begins anew."""
        self.guarded(self._fold)
        found: dict[str, float] = {}
        zeros: dict[str, tuple[float, int]] = {}
        waiting = [tensor for sample in self._samples for tensor in sample[2:]]
        if self._folded is not None:
            waiting += self._folded[1:]
        # One transfer for all numbers of the interval.
        numbers = torch.stack(waiting).tolist() if waiting else []
        if self._folded is not None:
            found["grad_norm_max"] = numbers.pop()
            found["grad_norm"] = numbers.pop() / self._folded[0]
        sums: dict[str, list[float]] = {}
        for (part, elements, *_), norm, filled in zip(self._samples, numbers[::2], numbers[1::2], strict=True):
            sums.setdefault(part, []).append(norm)
            empty, count = zeros.get(part, (0.0, 0))
            zeros[part] = (empty + elements - filled, count + elements)
        for part, values in sums.items():
            found[f"grad_norm_{part}"] = sum(values) / len(values)
        self._every = max(1, self.steps // SAMPLES)
        self._samples, self._folded, self._last_sample, self.steps = [], None, -1, 0
        return found, zeros
