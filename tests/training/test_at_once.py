"""What is done at once for all layers of a captured step gives the numbers of a step that does it layer by layer."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import nasengine as nas
from nasengine.training.at_once import layers_at_once
from nasengine.training.batches import Normalize
from tests.training.networks import TASK, same, small_network, synthetic_part, weights

PART = synthetic_part(32)
PIXELS = Normalize(PART.mean, PART.std)(PART.images)


class Reading(nn.Module):
    """Uses a weight of a layer as it is, beside the layer; a layer twice; and one that is tied to another."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small_network()
        self.twice, self.tied, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.again = nn.Linear(4, 4)
        self.again.weight = self.tied.weight
        self.frozen.requires_grad_(False)
        self.read: list[torch.dtype] = []

    def forward(self, x):
        self.read.append(self.twice.weight.dtype)
        x = self.twice(self.twice(self.body(x)))
        return self.again(self.tied(self.frozen(x))) + self.twice.weight.sum()


class Counted(TorchDispatchMode):
    """Counts casts."""

    def __init__(self) -> None:
        super().__init__()
        self.casts = 0

    def __torch_dispatch__(self, function, kinds, arguments=(), more=None):
        self.casts += function is torch.ops.aten._to_copy.default
        return function(*arguments, **(more or {}))


def gradients(network: nn.Module, context, dtype=torch.bfloat16, x=PIXELS, y=PART.labels) -> list[torch.Tensor]:
    with context, torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16, cache_enabled=False):
        loss = TASK.loss(network(x).float(), y)
    loss.backward()
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("make", [small_network, Reading])
def test_weights_statistics_and_gradients_are_the_same_bit_for_bit(make, dtype):
    torch.manual_seed(0)
    network = make()
    before = weights(network)
    layer_by_layer = gradients(network, contextlib.nullcontext(), dtype)
    statistics = weights(network)
    network.load_state_dict(before)
    network.zero_grad(set_to_none=True)
    at_once = gradients(network, layers_at_once(network, dtype), dtype)
    assert same(weights(network), statistics)
    assert not same(before, statistics)
    assert len(at_once) == len(layer_by_layer)
    # A layer that runs twice adds up its gradients before they are cast back, as with autocast's cache.
    close = {"rtol": 0.02, "atol": 0.01} if make is Reading and dtype == torch.bfloat16 else {"rtol": 0, "atol": 0}
    for one, other in zip(at_once, layer_by_layer, strict=True):
        torch.testing.assert_close(one, other, **close)


def test_only_a_layers_own_forward_finds_what_was_cast():
    network = Reading()
    own = dict(network.named_parameters())
    gradients(network, layers_at_once(network, torch.bfloat16))
    assert network.read == [torch.float32]
    assert all(parameter is own[name] for name, parameter in network.named_parameters())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


def test_in_a_compiled_block_all_code_finds_cast_weights_and_batches_are_counted_where_they_are():
    network = Reading()
    own, before = dict(network.named_parameters()), weights(network)
    layer_by_layer = gradients(network, contextlib.nullcontext())
    statistics, network.read = weights(network), []
    network.load_state_dict(before)
    network.zero_grad(set_to_none=True)
    at_once = gradients(network, layers_at_once(network, torch.bfloat16, [network]))
    assert network.read == [torch.bfloat16]
    assert same(weights(network), statistics)
    assert all(parameter is own[name] for name, parameter in network.named_parameters())
    for one, other in zip(at_once, layer_by_layer, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.01)


def test_a_forward_that_fails_leaves_the_layers_as_they_were():
    network = small_network()
    own = dict(network.named_parameters())
    count = network[1].num_batches_tracked
    with pytest.raises(RuntimeError), layers_at_once(network, torch.bfloat16):
        network(PIXELS[:, :, :1, :1].expand(-1, 3, -1, -1))
    assert all(parameter is own[name] for name, parameter in network.named_parameters())
    assert network[1].num_batches_tracked is count
    assert count.item() == 0


def test_a_residual_network_casts_all_its_weights_and_gradients_by_one_operation_each():
    space = nas.load_space("pooling_resnet20")
    network = nas.build(space, space.known["default"].architecture, seed=0)
    x, y = torch.rand(4, 3, 32, 32), torch.arange(4)
    with Counted() as layer_by_layer:
        gradients(network, contextlib.nullcontext(), x=x, y=y)
    with Counted() as at_once:
        gradients(network, layers_at_once(network, torch.bfloat16), x=x, y=y)
    assert layer_by_layer.casts - at_once.casts == 2 * 23
