"""What costs keep for every shipped space and every type: hooks and an independent liveness count the same."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nasengine.build import check_space, example_input, instantiate, resolve
from nasengine.costs import COSTS, costs, count_modules, measure, total
from nasengine.networks import NETWORK_TYPES
from nasengine.networks.blocks.transformer import Attention
from nasengine.space import SearchSpace, load_space
from tests.contracts.examples import space_with
from tests.contracts.shipped_spaces import CASES


def hooked(network: nn.Module, example: Tensor) -> dict[str, int]:
    """MACs and parameters by forward hooks on the layers that have weights, and on attention for its two products."""
    macs = 0

    def convolution(module: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * module.in_channels // module.groups * int(np.prod(module.kernel_size))

    def linear(module: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs
        macs += output[0].numel() * module.in_features

    def attention(module: Attention, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal macs
        macs += 2 * inputs[0].shape[1] ** 2 * module.heads * module.head_dim  # queries x keys, probabilities x values

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(convolution)
        elif isinstance(module, nn.Linear):
            module.register_forward_hook(linear)
        elif isinstance(module, Attention):
            module.register_forward_hook(attention)
    with torch.no_grad():
        network.eval()(example)
    params = sum(parameter.numel() for parameter in network.parameters())
    return {"params": params, "macs": macs, "bitops": macs * 32 * 32, "size_bytes": params * 4}


class AliveStorages(TorchDispatchMode):
    """The bytes that Python itself keeps alive at each operation: never less than the ideal liveness."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.weights = {t.untyped_storage()._cdata for t in (*network.parameters(), *network.buffers())}
        self.alive = [weakref.ref(example)]
        self.peak = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        output = function(*arguments, **(keywords or {}))
        self.alive += [weakref.ref(t) for t in (output if isinstance(output, (tuple, list)) else [output])]
        storages = [t.untyped_storage() for t in (ref() for ref in self.alive) if t is not None]
        sizes = {s._cdata: s.nbytes() for s in storages if s._cdata not in self.weights}
        self.peak = max(self.peak, sum(sizes.values()))
        return output


def kept_alive(network: nn.Module, example: Tensor) -> int:
    with torch.no_grad(), AliveStorages(network.eval(), example) as mode:
        network(example)
    return mode.peak


def on_meta(space: SearchSpace, architecture) -> nn.Module:
    with torch.device("meta"):
        return instantiate(resolve(space, architecture))


@pytest.mark.parametrize("name", CASES)
def test_costs_are_those_of_hooks_on_the_layers(name):
    space = load_space(name)
    rng = np.random.default_rng(0)
    known = [known.architecture for known in space.known.values()]
    for architecture in [*known[:1], *(space.sample(rng) for _ in range(4))]:
        expected = hooked(on_meta(space, architecture), example_input(space, architecture))
        found = costs(space, architecture).as_dict()
        assert {cost: found[cost] for cost in expected} == expected


@pytest.mark.parametrize("name", CASES)
def test_known_costs_are_those_of_the_pricer(name):
    space = load_space(name)
    for known in space.known.values():
        found = costs(space, known.architecture).as_dict()
        assert {cost: found[cost] for cost in known.costs} == known.costs


@pytest.mark.parametrize("name", CASES)
def test_the_peak_lies_between_the_largest_layer_and_what_python_keeps(name):
    space = load_space(name)
    architecture = space.sample(np.random.default_rng(1))
    network, example = on_meta(space, architecture), example_input(space, architecture)
    most = 0

    def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal most
        most = max(most, inputs[0].nbytes + output.nbytes)

    handles = [m.register_forward_hook(hook) for m in network.modules() if isinstance(m, nn.Conv2d)]
    bound = kept_alive(network, example)
    for handle in handles:
        handle.remove()
    assert most <= costs(space, architecture).peak_activation_bytes <= bound


@pytest.mark.parametrize("name", CASES)
def test_parts_are_named_after_nodes_and_add_up(name):
    space = load_space(name)
    architecture = space.sample(np.random.default_rng(2))
    parts = measure(space, architecture)
    assert total(parts.values()) == costs(space, architecture)
    assert all(part.split(".")[0] == "network" for part in parts)


@pytest.mark.parametrize("type_name", NETWORK_TYPES)
def test_every_type_costs_what_hooks_count_on_meta_and_on_the_cpu(type_name):
    space = space_with(type_name)
    assert check_space(space) == []
    architecture = next(space.enumerate())
    found = costs(space, architecture)
    expected = hooked(on_meta(space, architecture), example_input(space, architecture))
    assert {cost: found.as_dict()[cost] for cost in expected} == expected
    real = instantiate(resolve(space, architecture))
    assert total(count_modules(real, example_input(space, architecture, device="cpu")).values()) == found


def test_every_cost_is_described():
    assert set(COSTS) == {"params", "macs", "bitops", "size_bytes", "peak_activation_bytes"}
    assert all(about.what and about.unit and about.direction == "minimize" for about in COSTS.values())
