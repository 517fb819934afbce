"""Copies of known layers: they are what their constructors make, share nothing, and nobody else sees them."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from nasengine.build.initial_weights import WithoutInitialWeights
from nasengine.build.known_layers import CLASSES, KnownLayers

LAYERS = {
    "convolution": lambda: nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False),
    "same padding": lambda: nn.Conv1d(4, 8, 3, padding="same"),
    "transposed": lambda: nn.ConvTranspose2d(4, 8, 2, stride=2),
    "batch norm": lambda: nn.BatchNorm2d(6, eps=1e-3),
    "batch norm without averages": lambda: nn.BatchNorm1d(6, affine=False, track_running_stats=False),
    "linear": lambda: nn.Linear(3, 5),
    "layer norm": lambda: nn.LayerNorm(5),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "embedding": lambda: nn.Embedding(4, 3),
}


class Ones(nn.Linear):
    """Has a weight that is not learned."""

    def reset_parameters(self) -> None:
        self.weight.requires_grad_(False)


def described(layer: nn.Module) -> dict[str, object]:
    tensors = {
        name: (type(t), t.shape, t.dtype, t.device.type, t.requires_grad)
        for name, t in layer.state_dict(keep_vars=True).items()
    }
    plain = {name: value for name, value in vars(layer).items() if name not in ("_parameters", "_buffers")}
    return {"order": list(vars(layer)), "plain": plain, "tensors": tensors}


@pytest.mark.parametrize("name", LAYERS)
def test_a_copy_is_what_the_constructor_makes_and_shares_nothing_that_can_change(name):
    with torch.device("meta"), WithoutInitialWeights():
        expected = LAYERS[name]()
        with KnownLayers():
            first, second = LAYERS[name](), LAYERS[name]()
    assert described(first) == described(second) == described(expected)
    changeable = (dict, set, list, torch.Tensor)
    for a, b in (
        (vars(first), vars(second)),
        (first._parameters, second._parameters),
        (first._buffers, second._buffers),
    ):
        assert all(a[key] is not b[key] for key in a if isinstance(a[key], changeable))


def test_equal_arguments_of_other_types_and_other_default_types_are_told_apart():
    with torch.device("meta"), KnownLayers():
        assert [nn.Linear(2, 2, bias).bias is None for bias in (True, False)] == [False, True]
        assert [type(nn.BatchNorm1d(2, eps).eps) for eps in (1, 1.0)] == [int, float]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), KnownLayers():
            assert nn.Linear(2, 2).weight.dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_subclass_that_changes_what_the_constructor_does_is_constructed():
    with torch.device("meta"), KnownLayers():
        nn.Linear(3, 3)
        assert [Ones(3, 3).weight.requires_grad for _ in range(2)] == [False, False]
        assert nn.Linear(3, 3).weight.requires_grad


def test_a_layer_with_memory_is_drawn_anew():
    with KnownLayers():
        first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    assert first.weight.device.type == "cpu"
    assert not torch.equal(first.weight, second.weight)


def test_what_a_constructor_makes_elsewhere_or_of_another_type_is_no_copy():
    with torch.device("meta"), KnownLayers():
        nn.Linear(3, 4)
        with torch.device("cpu"):
            assert nn.Linear(3, 4).weight.device.type == "cpu"
        torch.set_default_dtype(torch.float64)
        try:
            assert nn.Linear(3, 4).weight.dtype is torch.float64
        finally:
            torch.set_default_dtype(torch.float32)
        assert nn.Linear(3, 4).weight.dtype is torch.float32


def test_layers_first_met_in_inference_mode_can_be_trained_elsewhere():
    with torch.inference_mode(), torch.device("meta"), KnownLayers():
        nn.Linear(11, 13)
    with torch.device("meta"), KnownLayers():
        layers = [nn.Linear(11, 13) for _ in range(2)]
    assert not any(layer.weight.is_inference() for layer in layers)


def test_an_error_within_and_entering_twice_leave_the_classes_as_they_were():
    before = [kind.__init__ for kind in CLASSES]
    with pytest.raises(ValueError, match="divisible"), torch.device("meta"), KnownLayers(), KnownLayers():
        nn.Conv2d(3, 4, 1, groups=2)
    assert [kind.__init__ for kind in CLASSES] == before
    assert nn.Linear(2, 2).weight.device.type == "cpu"


class Late(nn.Module):
    """Comes after the layer in the order of classes, and before what the layer's constructor calls."""

    def register_parameter(self, name, param):
        super().register_parameter(name, param)
        self.seen = [*getattr(self, "seen", []), name]


class Mixed(nn.Linear, Late):
    pass


def test_what_stands_behind_the_layer_in_the_order_of_classes_is_asked_too():
    with torch.device("meta"), KnownLayers():
        nn.Linear(2, 3)
        assert [Mixed(2, 3).seen for _ in range(2)] == [["weight", "bias"]] * 2
        assert "seen" not in vars(nn.Linear(2, 3))


def test_other_threads_and_everybody_afterwards_construct_as_ever():
    before = [kind.__init__ for kind in CLASSES]
    found = []
    with torch.device("meta"), KnownLayers():
        nn.Linear(7, 7)
        thread = threading.Thread(target=lambda: found.append(nn.Linear(7, 7)))
        thread.start()
        thread.join()
    assert found[0].weight.device.type == "cpu"
    assert [kind.__init__ for kind in CLASSES] == before
