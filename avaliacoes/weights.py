"""How far a torch model's weights moved: |dw| / |w| since they were last looked at.

Healthy trainings move by about a thousandth per step (Karpathy, "Lecture 6" of CS231n, 2016); weights that stand still while the
loss is logged are a dead update. Whole weights are not copied: of a large model an evenly spaced sample stands for all.
"""

from __future__ import annotations

import math
import sys
import weakref
from typing import Any, Final

#: Elements remembered per model: the ratio of a sample this large is within a few per cent of the whole one's.
SAMPLE: Final = 200_000
#: Calls without any change until a ratio of 0 is believed: between the steps of accumulated gradients weights stand still.
STILL: Final = 16


class WeightMemory:
    """Remembers the weights of the models it is shown; holds none of them alive.

    `ratio(model)` is |dw| / |w| since the last call in which the weights had moved (L2, over trainable parameters, no unit). None the first
    time, for what is no torch module, while parameters cannot be read, and between the steps of accumulated gradients; 0.0 from
    the `STILL`th call without a change on.
    """

    def __init__(self) -> None:
        self._seen: weakref.WeakKeyDictionary[Any, tuple[Any, int]] = weakref.WeakKeyDictionary()

    def ratio(self, model: Any) -> float | None:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(model, torch.nn.Module):
            return None
        now = _sample(torch, model)
        before, still = self._seen.get(model, (None, 0))
        if now is None or before is None or before.shape != now.shape or before.device != now.device:
            if now is not None:
                self._seen[model] = (now, 0)
            return None
        moved, size = torch.stack([torch.linalg.vector_norm(now - before), torch.linalg.vector_norm(before)]).tolist()
        if moved == 0.0:
            self._seen[model] = (before, still + 1)
            return 0.0 if still + 1 >= STILL else None
        self._seen[model] = (now, 0)
        return float(moved / (size + 1e-12)) if math.isfinite(size) else math.nan


def _sample(torch: Any, model: Any) -> Any:
    """An evenly spaced sample of a model's trainable weights as one flat tensor, on the device of the first; None without any."""
    with torch.no_grad():
        weights = [weight.detach() for weight in model.parameters() if weight.requires_grad and weight.numel()]
        if not weights:
            return None
        every = max(1, -(-sum(weight.numel() for weight in weights) // SAMPLE))
        device = weights[0].device
        # A copy in any case: a view would move with the weights.
        return torch.cat([weight.reshape(-1)[::every].to(device, torch.float32) for weight in weights]).clone()
