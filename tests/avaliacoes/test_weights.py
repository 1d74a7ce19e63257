"""How far weights moved since they were last looked at."""

from __future__ import annotations

import os
from typing import Any

import pytest

from avaliacoes.weights import SAMPLE, STILL, WeightMemory

try:
    import torch
except ImportError:
    if os.environ.get("CI", "").lower() == "true":
        raise
    pytest.skip("torch is not installed", allow_module_level=True)

pytestmark = pytest.mark.torch


def moved(model: Any, share: float) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.0 + share)


def test_the_ratio_is_the_share_by_which_weights_moved() -> None:
    """The first look gives nothing, the next |dw| / |w|, for small models and for such that are sampled."""
    for model in (torch.nn.Linear(7, 3), torch.nn.Linear(1500, 700)):
        memory = WeightMemory()
        assert memory.ratio(model) is None
        moved(model, 0.01)
        assert memory.ratio(model) == pytest.approx(0.01, rel=1e-3)
        moved(model, -0.5)
        assert memory.ratio(model) == pytest.approx(0.5, rel=1e-3)
    assert sum(weight.numel() for weight in model.parameters()) > 2 * SAMPLE


def test_weights_that_stand_still_are_believed_after_a_while() -> None:
    """Accumulated gradients are not taken for a dead update; weights that never move are."""
    memory, model = WeightMemory(), torch.nn.Linear(3, 3)
    memory.ratio(model)
    for _ in range(STILL - 1):
        assert memory.ratio(model) is None
    assert memory.ratio(model) == 0.0
    moved(model, 0.1)
    assert memory.ratio(model) == pytest.approx(0.1, rel=1e-3)


def test_what_cannot_be_measured_is_left_out() -> None:
    """No torch module, a model without trainable weights, a model that changed its size: no ratio, no error."""
    memory = WeightMemory()
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    assert memory.ratio({"w": [1.0]}) is None
    assert memory.ratio(frozen) is None and memory.ratio(frozen) is None
    grown = torch.nn.Sequential(torch.nn.Linear(2, 2))
    memory.ratio(grown)
    grown.append(torch.nn.Linear(2, 2))
    assert memory.ratio(grown) is None


def test_no_model_is_held_alive() -> None:
    """A model that the training drops is gone from the memory, too."""
    memory = WeightMemory()
    memory.ratio(torch.nn.Linear(2, 2))
    assert len(memory._seen) == 0
