"""Keys: what a tensor of a network is called wherever its network is built, so that networks can share it.

A module's key is the path of the space's node that it was built for, or its parent's key and its name there. Paths
hold the labels of chosen options, and slots keep their index when one before them is empty; so two tensors have the
same key if and only if they belong to the same place of the space, whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from nasengine.supernet.leaves import Leaf, Role, declared_axes, foreign_kind, leaf_of, roles_of, with_factors

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
Slots = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A module of a network.

    Args:
        key: its name.
        module: itself.
        leaf: its row of the table of layers, if it has one.
        factors: of its own parameters, name -> what the first axis is made of.
    """

    key: str
    module: nn.Module
    leaf: Leaf | None
    factors: dict[str, tuple[int, ...]]


class Held(NamedTuple):
    """A tensor that a network learns or keeps statistics in, and where it hangs.

    A tuple, as every new network has hundreds.

    Args:
        key: of the tensor; one tensor that hangs in several places has the key of the first.
        layer: the key of the layer it belongs to.
        slots, name: the dictionary that it hangs in, and its key there.
        tensor: itself.
        shape: of the tensor.
        leaf: the layer's row of the table.
        roles: what its axes stand for.
        factors: what its first axis is made of, where that was declared.
        foreign: the name of the layer's class, if it is one of PyTorch that is not in the table.
    """

    key: str
    layer: str
    slots: Slots
    name: str
    tensor: Tensor
    shape: tuple[int, ...]
    leaf: Leaf | None
    roles: tuple[Role, ...]
    factors: tuple[int, ...] | None
    foreign: str = ""


def layers(network: nn.Module, leave_out: Collection[int] = ()) -> Iterator[Layer]:
    """Every module once, with its key; an attention of PyTorch is one layer, its parts are not listed.

    Args:
        leave_out: ids of modules that are not to be entered.
    """
    seen: set[int] = set(leave_out)
    start = str(vars(network).get("node_path", "network"))
    waiting: list[tuple[str, nn.Module, tuple[int, ...] | None]] = [(start, network, None)]
    while waiting:
        key, module, factors = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        leaf = leaf_of(module)
        if leaf is not None and factors is not None:
            leaf = with_factors(leaf, factors, key)
        declared = dict(declared_axes(module))
        yield Layer(key, module, leaf, {name: f for name, f in declared.items() if name in module._parameters})
        if isinstance(module, nn.MultiheadAttention):
            continue
        for name, child in reversed(module._modules.items()):
            if child is not None:
                child_key = vars(child).get("node_path") or f"{key}.{name}"
                waiting.append((child_key, child, declared.get(name)))


def tensors(network: nn.Module, leave_out: Collection[int] = ()) -> Iterator[Held]:
    """Every parameter that is trained, and every running statistic of a norm.

    What else a module holds (fixed parameters, tables of indices) its constructor computes from its arguments: it
    belongs to the one network, not to the shared weights.
    """
    first: dict[int, str] = {}
    for layer in layers(network, leave_out):
        if not layer.module._parameters and not layer.module._buffers:
            continue
        foreign = foreign_kind(layer.module) if layer.leaf is None and layer.module._parameters else ""
        for prefix, owner in _owners(layer.module):
            learned = [(owner._parameters, name, t) for name, t in owner._parameters.items()]
            counted = [(owner._buffers, name, t) for name, t in owner._buffers.items() if name in STATISTICS]
            for slots, name, tensor in (*learned, *(counted if isinstance(owner, _NormBase) else ())):
                if tensor is None or (slots is owner._parameters and not tensor.requires_grad):
                    continue
                full = prefix + name
                key = first.setdefault(id(tensor), f"{layer.key}.{full}")
                factors = layer.factors.get(name) if layer.leaf is None else layer.leaf.factors
                roles = roles_of(layer.module, full, tensor)
                shape = tuple(tensor.shape)
                yield Held(key, layer.key, slots, name, tensor, shape, layer.leaf, roles, factors, foreign)


def _owners(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield "", module
    if isinstance(module, nn.MultiheadAttention):
        yield "out_proj.", module.out_proj
