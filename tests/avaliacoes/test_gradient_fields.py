"""Gradient figures from arrays, look-alikes and torch modules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from avaliacoes.gradients import ModelRefused, component_of, measure


class Parameter:
    def __init__(self, grad: Any) -> None:
        self.grad = grad


class Model:
    def __init__(self, **grads: Any) -> None:
        self._grads = grads

    def named_parameters(self) -> Any:
        return [(name.replace("__", "."), Parameter(grad)) for name, grad in self._grads.items()]


def test_norm_zeros_and_components_of_a_look_alike() -> None:
    """An object with named_parameters gives total and per-component figures, and counts what has no gradient."""
    found = measure(Model(actor__w=np.array([3.0, 0.0]), critic__w=np.array([[4.0]]), critic__b=None))
    assert found["grad_norm"] == pytest.approx(5.0)
    assert found["grad_max"] == 4.0
    assert found["grad_zeros_ratio"] == pytest.approx(1 / 3)
    assert (found["grad_norm_actor"], found["grad_norm_critic"]) == (3.0, 4.0)
    assert found["params_without_grad"] == 1


@pytest.mark.parametrize(
    "gradients", [np.ones(4), [np.ones(2), np.ones(2)], {"a": {"w": np.ones(3)}, "b": [np.ones(1)]}]
)
def test_gradients_given_as_arrays(gradients: Any) -> None:
    """Arrays, lists and nested dicts of arrays are the gradients themselves."""
    assert measure(gradients)["grad_norm"] == pytest.approx(2.0)


def test_non_finite_gradients_are_seen() -> None:
    """A NaN anywhere shows in the norm, and in the largest magnitude whatever the order of parameters."""
    found = measure({"a": np.array([np.nan]), "b": np.array([1.0])})
    assert math.isnan(found["grad_norm"]) and math.isnan(found["grad_max"])
    assert math.isnan(measure({"b": np.array([1.0]), "a": np.array([np.nan])})["grad_max"])


def test_unreadable_objects_are_refused_by_name() -> None:
    """What has no gradients is refused by an error that says what is expected."""
    with pytest.raises(ModelRefused, match="named_parameters"):
        measure(object())
    assert measure(Model(a=["text"])) == {"params_unreadable": 1}


def test_components_of_sb3_policies() -> None:
    """Parameter names of actor-critic policies fall into actor, critic and features."""
    names = [
        "action_net.weight",
        "log_std",
        "mlp_extractor.policy_net.0.bias",
        "actor.mu.weight",
        "q_net.q_net.0.weight",
    ]
    assert [component_of(name) for name in names] == ["actor", "actor", "actor", "actor", "critic"]
    assert component_of("vf_features_extractor.cnn.0.weight") == "features"
    assert component_of("module.encoder.weight") == "encoder" and component_of("max.weight") == "max_"
    assert component_of("pixels.weight") == "pixels"


@pytest.mark.torch
def test_torch_tensors_of_every_kind() -> None:
    """Dense, sparse, half, bfloat16, complex and huge gradients are measured, none raises."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
    assert measure(model) == {"params_without_grad": 4}
    model(torch.ones(2, 4)).sum().backward()
    wanted = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters()))
    assert measure(model)["grad_norm"] == pytest.approx(wanted, rel=1e-5)
    for kind in (torch.float16, torch.bfloat16, torch.complex64):
        assert measure({"w": torch.full((4,), 2.0, dtype=kind)})["grad_norm"] == pytest.approx(4.0)
    sparse = torch.sparse_coo_tensor([[0, 2]], [3.0, 4.0], (10,))
    assert measure({"w": sparse}) == pytest.approx({"grad_norm": 5.0, "grad_max": 4.0, "grad_zeros_ratio": 0.8})
    assert measure({"w": torch.full((4,), 1e30)})["grad_norm"] == pytest.approx(2e30, rel=1e-5)
