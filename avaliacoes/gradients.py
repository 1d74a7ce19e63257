"""The health of a model's gradients in a few numbers, read from the parameters' `.grad`.

Nothing is imported that the caller has not imported: a torch module is known by its methods, and torch is taken from
`sys.modules`. All tensors of a device are reduced there and fetched by a single transfer.

Fields of a gradient record:

    grad_norm             L2 norm over all parameters
    grad_max              largest magnitude of a gradient's element
    grad_zeros_ratio      share of elements that are exactly 0, in [0, 1]
    grad_norm_<part>, grad_zeros_ratio_<part>     the same of one component, when there are several
    params_without_grad   parameters whose `.grad` is None (only when there are any)
    params_unreadable     parameters whose gradient could not be read (only when there are any)
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: More components than this are an unreadable chart: what comes later is summed up as "other".
MAX_COMPONENTS: Final = 24
_WRAPPERS: Final = ("module", "_orig_mod", "_fsdp_wrapped_module")
_RESERVED_PARTS: Final = ("max", "mean", "min", "std")
_ACTOR: Final = re.compile(r"(actor|action_net|action_dist|policy_net|log_std|latent_pi|pi|mu)(_|\d|\Z)")
_CRITIC: Final = re.compile(r"(critic|value|qf|q_net|quantile_net|vf)(_|\d|\Z)")


class ModelRefused(TypeError):
    """An object that has no gradients this module knows how to read."""


def component_of(name: str) -> str:
    """The component that a parameter belongs to, by its dotted name.

    The first segment, except for the names that policies of Stable-Baselines3 use: "actor", "critic", "features".

    >>> component_of("mlp_extractor.policy_net.0.weight"), component_of("critic.qf0.0.bias")
    ('actor', 'critic')
    >>> component_of("actor.features_extractor.cnn.0.weight"), component_of("encoder.0.weight"), component_of("0.bias")
    ('features', 'encoder', 'layer0')
    """
    segments = [segment for segment in name.split(".") if segment not in _WRAPPERS] or [name]
    if any("features_extractor" in segment for segment in segments):
        return "features"
    first = segments[0]
    if first == "mlp_extractor" and len(segments) > 1:
        first = {"policy_net": "actor", "value_net": "critic"}.get(segments[1], "features")
    if _ACTOR.match(first):
        return "actor"
    if _CRITIC.match(first):
        return "critic"
    if first.isdigit():
        return f"layer{first}"
    clean = re.sub(r"\W+", "_", first).strip("_").lower() or "model"
    return f"{clean}_" if clean in _RESERVED_PARTS else clean


@dataclass(slots=True)
class Sums:
    """What adds up over the parameters of one component."""

    squares: float = 0.0
    largest: float = 0.0
    zeros: int = 0
    elements: int = 0

    def add(self, norm: float, largest: float, zeros: int, elements: int) -> None:
        self.squares += norm * norm
        # max() would hide a NaN that comes second.
        self.largest = largest if largest != largest or largest > self.largest else self.largest
        self.zeros += zeros
        self.elements += elements

    def norm(self) -> float:
        return math.sqrt(self.squares) if self.squares == self.squares else math.nan

    def zeros_ratio(self) -> float:
        return self.zeros / self.elements if self.elements else 0.0


@dataclass(slots=True)
class Gradients:
    """Gradients of one model by component, and what could not be read."""

    parts: dict[str, Sums] = field(default_factory=dict)
    missing: int = 0
    unreadable: int = 0

    def part(self, name: str) -> Sums:
        if name not in self.parts and len(self.parts) >= MAX_COMPONENTS:
            name = "other"
        return self.parts.setdefault(name, Sums())

    def fields(self) -> dict[str, float | int]:
        """The record's fields; without any gradient only the counts of what is missing."""
        found: dict[str, float | int] = {}
        if self.parts:
            total = Sums()
            for part in self.parts.values():
                total.add(part.norm(), part.largest, part.zeros, part.elements)
            found = {"grad_norm": total.norm(), "grad_max": total.largest, "grad_zeros_ratio": total.zeros_ratio()}
            if len(self.parts) > 1:
                for name, part in self.parts.items():
                    found[f"grad_norm_{name}"] = part.norm()
                    found[f"grad_zeros_ratio_{name}"] = part.zeros_ratio()
        if self.missing:
            found["params_without_grad"] = self.missing
        if self.unreadable:
            found["params_unreadable"] = self.unreadable
        return found


def measure(model: Any) -> dict[str, float | int]:
    """The gradient fields of a model.

    Args:
        model: an object with `.named_parameters()` or `.parameters()` whose parameters have `.grad` (torch modules and
            look-alikes), or the gradients themselves as arrays: one array, a list, or a (nested) dict of them.

    Raises:
        ModelRefused: the object is none of these.
    """
    found = Gradients()
    tensors: list[tuple[str, Any]] = []
    torch = sys.modules.get("torch")
    for name, gradient in _gradients_of(model):
        if gradient is None:
            found.missing += 1
        elif torch is not None and isinstance(gradient, torch.Tensor):
            tensors.append((component_of(name), gradient))
        else:
            _add_array(found, component_of(name), gradient)
    if tensors:
        _add_tensors(torch, found, tensors)
    return found.fields()


def _gradients_of(model: Any) -> Iterator[tuple[str, Any]]:
    if callable(getattr(model, "named_parameters", None)):
        named: Iterable[tuple[str, Any]] = model.named_parameters()
        for name, parameter in named:
            yield str(name), getattr(parameter, "grad", None)
    elif callable(getattr(model, "parameters", None)):
        for position, parameter in enumerate(model.parameters()):
            yield f"layer{position}", getattr(parameter, "grad", None)
    elif isinstance(model, Mapping) or _is_array(model) or (isinstance(model, (list, tuple)) and model):
        yield from _leaves("", model)
    else:
        raise ModelRefused(
            f"cannot read gradients from {type(model).__name__}: expected an object with named_parameters() whose "
            "parameters have .grad, or the gradients as arrays in a dict or a list"
        )


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or (hasattr(value, "shape") and hasattr(value, "dtype"))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), below)
    elif isinstance(value, (list, tuple)) and any(_is_array(x) or isinstance(x, (Mapping, list, tuple)) for x in value):
        for position, below in enumerate(value):
            yield from _leaves(name or f"layer{position}", below)
    else:
        yield name or "model", value


def _add_array(found: Gradients, part: str, gradient: Any) -> None:
    import numpy as np

    try:
        values = np.abs(np.asarray(gradient)).astype(np.float64, copy=False).ravel()
    except (TypeError, ValueError, RuntimeError):
        found.unreadable += 1
        return
    if values.size:
        largest = float(values.max())
        norm = float(np.linalg.norm(values))
        if not math.isfinite(norm) and math.isfinite(largest):
            norm = float(np.linalg.norm(values / largest)) * largest
        found.part(part).add(norm, largest, int(values.size - np.count_nonzero(values)), int(values.size))


def _add_tensors(torch: Any, found: Gradients, tensors: list[tuple[str, Any]]) -> None:
    """Reduce every tensor where it lies, and fetch three numbers for each by one transfer per device."""
    waiting: dict[Any, list[tuple[str, int, Any, Any]]] = {}
    with torch.no_grad():
        for part, gradient in tensors:
            try:
                values, elements = _plain(torch, gradient)
                if not elements:
                    continue
                row = _reduced(torch, values) if values.numel() else torch.zeros(3, device=values.device)
                waiting.setdefault(row.device, []).append((part, elements, values, row))
            except (RuntimeError, TypeError, ValueError, NotImplementedError):
                found.unreadable += 1
        for rows in waiting.values():
            fetched = torch.stack([row for *_, row in rows]).tolist()
            for (part, elements, values, _), (norm, largest, nonzero) in zip(rows, fetched, strict=True):
                # The squares in a float32 norm overflow from 1e19 on and vanish below 1e-22: scale, this once.
                if math.isfinite(largest) and largest > 0 and (not math.isfinite(norm) or norm == 0.0):
                    norm = float(torch.linalg.vector_norm(values / largest)) * largest
                found.part(part).add(norm, largest, elements - round(nonzero), elements)


def _plain(torch: Any, gradient: Any) -> tuple[Any, int]:
    """A dense real tensor with the gradient's values, and the number of elements it stands for."""
    gradient = gradient.detach()
    if hasattr(gradient, "full_tensor"):
        gradient = gradient.full_tensor()
    elements = int(gradient.numel())
    if gradient.layout is not torch.strided:
        gradient = gradient.to_sparse().coalesce().values()
    if gradient.is_complex():
        gradient = gradient.abs()
    if gradient.dtype not in (torch.float32, torch.float64):
        gradient = gradient.float()
    return gradient, elements


def _reduced(torch: Any, values: Any) -> Any:
    """Norm, largest magnitude and number of elements that are not 0, as one tensor."""
    norm = torch.linalg.vector_norm(values)
    largest = torch.linalg.vector_norm(values, math.inf)
    return torch.stack([norm.float(), largest.float(), torch.count_nonzero(values).float()])
