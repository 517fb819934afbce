"""What is known of PyTorch's layers: which axes of their tensors follow their input, which their output channels.

A layer that is not in this table shares its tensors by prefix: the first n of each axis. Where an axis is made of
several (the queries, keys and values of one linear layer), the module that holds the layer says so in plain Python:

    class Attention(nn.Module):
        axes = {"qkv": (3, "heads", "head_dim")}        # numbers, and names of its attributes

Then the first heads of each of the three are taken, and not the first rows of them all.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from nasengine.errors import Problem
from nasengine.networks.blocks import normalization
from nasengine.supernet.errors import SupernetError

NAME = "axes"
LEAVES = (
    nn.Linear, _ConvNd, nn.Embedding, nn.MultiheadAttention, _NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU
)  # fmt: skip


class Role(enum.Enum):
    """What the places along one axis of a tensor stand for."""

    FIRST = "the first ones are shared, whatever they are"
    IN = "input channels"
    OUT = "output channels"
    GROUPED = "output channels of groups of input channels"
    TRIPLE = "input channels three times: queries, keys, values"
    KERNEL = "a side of a kernel, shared around its centre"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A layer of the table.

    Args:
        kind: the name of its class.
        inputs, outputs: numbers of channels; inputs is None for a layer that takes indices.
        groups: of a convolution.
        follows: its output channels are its input channels (norms, attention of PyTorch, depthwise convolutions).
        dim: the axis of the channels in its input.
        factors: what its outputs are made of, where that was declared.
    """

    kind: str
    inputs: int | None
    outputs: int
    groups: int = 1
    follows: bool = False
    dim: int = 1
    factors: tuple[int, ...] | None = None


def leaf_of(module: nn.Module) -> Leaf | None:
    """The row of a module; None for one that is not in the table."""
    of: Any = type(module)
    if not _may_be_leaf(of):
        return None
    kind = of.__name__
    match module:
        case nn.Linear():
            return Leaf(kind, module.in_features, module.out_features, dim=-1)
        case _ConvNd():
            return Leaf(kind, module.in_channels, module.out_channels, module.groups, follows=module.groups > 1)
        case nn.Embedding():
            return Leaf(kind, None, module.embedding_dim, dim=-1)
        case nn.MultiheadAttention():
            return Leaf(kind, module.embed_dim, module.embed_dim, follows=True, dim=-1)
        case _NormBase():
            return Leaf(kind, module.num_features, module.num_features, follows=True)
        case nn.GroupNorm():
            return Leaf(kind, module.num_channels, module.num_channels, follows=True)
        case normalization.LayerNorm():  # of feature maps, and not of tokens
            return Leaf(kind, module.normalized_shape[-1], module.normalized_shape[-1], follows=True)
        case nn.LayerNorm() | nn.RMSNorm():
            length = module.normalized_shape[-1]
            return Leaf(kind, length, length, follows=True, dim=-1)
        case nn.PReLU() if module.num_parameters > 1:
            return Leaf(kind, module.num_parameters, module.num_parameters, follows=True)
    return None


@functools.lru_cache(maxsize=1000)
def _may_be_leaf(kind: Any) -> bool:
    return issubclass(kind, LEAVES)


def foreign_kind(module: nn.Module) -> str:
    """The name of the class of PyTorch that a module is of; empty for a user's own, and for what only holds others."""
    for kind in type(module).__mro__:
        if kind is nn.Module or kind.__name__ in ("ModuleList", "ModuleDict", "Sequential", "PReLU"):
            return ""
        if kind.__module__.startswith("torch.nn.modules"):
            return kind.__name__
    return ""


def roles_of(module: nn.Module, name: str, tensor: Tensor) -> tuple[Role, ...]:
    """What each axis of a layer's tensor stands for.

    Args:
        name: of the tensor within the layer.
    """
    axes = tensor.dim()
    first = (Role.FIRST,) * axes
    match module:
        case nn.Linear():
            return (Role.OUT, Role.IN)[:axes]
        case _ConvTransposeNd() if module.groups == 1:
            return (Role.IN, Role.OUT, *(Role.KERNEL,) * (axes - 2)) if name == "weight" else (Role.OUT,)
        case _ConvTransposeNd():
            return (Role.IN, Role.FIRST, *(Role.KERNEL,) * (axes - 2)) if name == "weight" else (Role.GROUPED,)
        case _ConvNd() if module.groups == 1:
            return (Role.OUT, Role.IN, *(Role.KERNEL,) * (axes - 2)) if name == "weight" else (Role.OUT,)
        case _ConvNd():
            return (Role.GROUPED, Role.FIRST, *(Role.KERNEL,) * (axes - 2)) if name == "weight" else (Role.GROUPED,)
        case nn.Embedding():
            return (Role.FIRST, Role.OUT)
        case nn.MultiheadAttention():
            if name in ("in_proj_weight", "in_proj_bias"):
                return (Role.TRIPLE, Role.IN)[:axes]
            return (Role.IN, Role.IN)[:axes] if name.startswith("out_proj") else (*first[1:], Role.IN)
        case _NormBase() | nn.GroupNorm() | nn.LayerNorm() | nn.RMSNorm() | nn.PReLU():
            return (*first[1:], Role.IN) if axes else ()
    return first


def declared_axes(module: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What a module's class says of the axes of its layers and parameters: (name, lengths of the parts).

    Raises:
        SupernetError: it names something that the module has not.
    """
    declared = getattr(type(module), NAME, None)
    if not isinstance(declared, dict):
        return
    for name, parts in declared.items():
        where = f"{type(module).__name__}.{NAME}[{name!r}]"
        if name not in module._modules and name not in module._parameters:
            continue  # an optional part that this one has not
        lengths = []
        for part in parts:
            length = part if isinstance(part, int) else getattr(module, part, None)
            if not isinstance(length, int):
                raise SupernetError(
                    Problem(
                        f"{where} names {part!r}, which is no whole number among the attributes of the module",
                        expected=f"set self.{part} in its constructor",
                    )
                )
            lengths.append(length)
        yield name, tuple(lengths)


def with_factors(leaf: Leaf, factors: tuple[int, ...], key: str) -> Leaf:
    """A leaf whose outputs are made of several axes.

    Raises:
        SupernetError: the product of these is another number than its outputs.
    """
    if math.prod(factors) != leaf.outputs:
        raise SupernetError(
            Problem(
                f"{key} has {leaf.outputs} output channels, but its module declares "
                f"{' x '.join(map(str, factors))} = {math.prod(factors)}",
                expected=f"the parts in `{NAME}` in the order in which the forward splits the channels",
            )
        )
    return replace(leaf, factors=factors)
