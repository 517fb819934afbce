"""Shapes found without memory are those that networks have; what is skipped on the way is still checked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nasengine.build.module_call import ModuleCall, NodeError
from nasengine.build.shapes import output_shape, skip_arithmetic, write_shape
from nasengine.networks import NETWORK_TYPES


def call(name: str, **arguments: Any) -> ModuleCall:
    return ModuleCall(NETWORK_TYPES[name], name, arguments, "network")


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (call("mbconv", in_channels=6, width=9, squeeze_excite=True, stride=2), (6, 7, 9)),
        (call("conv_norm_activation", in_channels=6, width=9, norm={"statistics": "batch"}), (6, 1, 1)),
        (call("basic_block", in_channels=6, width=9, pool=2), (6, 7, 9)),
        (call("linear_head", in_features=6, classes=4, hidden=3), (6,)),
        (call("linear", in_features=6, width=4), (5, 6)),
    ],
    ids=lambda value: value.type if isinstance(value, ModuleCall) else write_shape(value),
)
def test_a_shape_found_without_memory_is_that_of_the_module(made, shape):
    module = made.target(**made.arguments).eval()
    assert output_shape(made, shape) == module(torch.zeros(2, *shape)).shape[1:]


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm2d(4), (2, 5, 3, 3), "expected 4 channels, got 5"),
        (nn.BatchNorm2d(4), (2, 4), "expected 4D input"),
        (nn.BatchNorm1d(4), (2, 4, 3, 3), "expected 2D or 3D input"),
        (nn.LayerNorm(4), (2, 3, 5), "expected 4 at the end of the shape, got 2×3×5"),
        (nn.Linear(4, 8), (2, 3, 5), "expected 4 at the end of the shape, got 2×3×5"),
    ],
)
def test_a_layer_that_is_not_computed_still_checks_its_input(layer, shape, message):
    skip_arithmetic(layer)
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(shape))


def test_activations_of_a_user_that_change_the_shape_are_computed():
    class Half(nn.ReLU):
        def forward(self, x):
            return x[:, ::2]

    module = Half()
    skip_arithmetic(module)
    assert module(torch.zeros(2, 4)).shape == (2, 2)


def test_a_failure_is_not_remembered_as_a_shape():
    wrong = call("linear", in_features=6, width=4)
    for _ in range(2):
        with pytest.raises(NodeError, match="cannot take its input of 7"):
            output_shape(wrong, (7,))
    assert output_shape(wrong, (6,)) == (4,)


def test_a_module_that_loses_the_batch_is_reported():
    class Sum(nn.Module):
        def forward(self, x):
            return x.sum()

    with pytest.raises(NodeError, match="loses the batch: 2 images of 3 give one number"):
        output_shape(ModuleCall(Sum, "sum", {}, "network"), (3,))
