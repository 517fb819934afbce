"""The private network of an architecture: the plain network without memory for weights.

Its weights have no values until something is put into their places. What its constructor computes besides them
(tables of indices, fixed parameters) has its real values: a block that holds such things is built on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build import ModuleCall, NodeError, instantiate, resolve
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.keys import layers, tensors


def private_network(
    space: SearchSpace,
    architecture: Architecture,
    overrides: Mapping[str, Any] | None,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Module:
    """The network of an architecture, its weights without memory, all else on `device`."""
    call = resolve(space, architecture, network=overrides)
    network = _without_memory(call)
    if network is None:
        state = torch.get_rng_state()
        try:
            with torch.device("cpu"):
                network = instantiate(call)
        finally:
            torch.set_rng_state(state)
        move_constants(network, device, dtype)
    return network


def _without_memory(call: ModuleCall) -> nn.Module | None:
    """None where the constructor needs memory: it reads a value, or keeps tensors that are no weights."""
    try:
        with torch.device("meta"):
            network = instantiate(call)
    except NodeError as error:
        if isinstance(error.__cause__, (NotImplementedError, RuntimeError)):
            return None
        raise
    return None if any(True for _ in constants(network)) else network


def constants(network: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Every tensor that is no shared weight: the dictionary it hangs in, its key there, itself."""
    shared = {id(held.tensor) for held in tensors(network)}
    for _, module in layers(network):
        for part in module.modules() if isinstance(module, nn.MultiheadAttention) else (module,):
            for slots in (part._parameters, part._buffers, vars(part)):
                for name, value in slots.items():
                    if isinstance(value, Tensor) and id(value) not in shared:
                        yield slots, name, value


def move_constants(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move what the constructor computed to a device; floating point takes `dtype`."""
    for slots, name, value in list(constants(network)):
        moved = value.detach().to(device=device, dtype=dtype if value.is_floating_point() else None)
        slots[name] = nn.Parameter(moved, requires_grad=False) if isinstance(value, nn.Parameter) else moved
