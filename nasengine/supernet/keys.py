"""Keys: what a tensor of a network is called wherever its network is built, so that networks can share it.

A module's key is the path of the space's node that it was built for, or its parent's key and its name there. Paths
hold the labels of chosen options, and slots keep their index when one before them is empty; so two tensors have the
same key if and only if they belong to the same place of the space, whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor that a network learns or keeps statistics in, and where it hangs.

    Args:
        key: of the tensor; one tensor that hangs in several places has the key of the first.
        owner: the module that holds it.
        layer: the key of the layer it belongs to: `owner`, or the attention whose part `owner` is.
        name: within that layer.
        slot: the dictionary that it hangs in, and its key there.
        tensor: itself.
    """

    key: str
    owner: nn.Module
    layer: str
    name: str
    slot: tuple[dict[str, Tensor | None], str]
    tensor: Tensor


def layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, with its key; an attention of PyTorch is one layer, its parts are not listed."""
    seen: set[int] = set()
    waiting: list[tuple[str, nn.Module]] = [(vars(network).get("node_path", "network"), network)]
    while waiting:
        key, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield key, module
        if isinstance(module, nn.MultiheadAttention):
            continue
        waiting.extend(
            (vars(child).get("node_path") or f"{key}.{name}", child)
            for name, child in reversed(module._modules.items())
            if child is not None
        )


def tensors(network: nn.Module) -> Iterator[Held]:
    """Every parameter that is trained, and every running statistic of a norm.

    What else a module holds (fixed parameters, tables of indices) its constructor computes from its arguments: it
    belongs to the one network, not to the shared weights.
    """
    first: dict[int, str] = {}
    for layer, module in layers(network):
        for prefix, owner in _owners(module):
            for slots, parameters in ((owner._parameters, True), (owner._buffers, False)):
                for name, tensor in slots.items():
                    if tensor is None:
                        continue
                    if parameters and not tensor.requires_grad:
                        continue
                    if not parameters and not (isinstance(owner, _NormBase) and name in STATISTICS):
                        continue
                    key = first.setdefault(id(tensor), f"{layer}.{prefix}{name}")
                    yield Held(key, owner, layer, prefix + name, (slots, name), tensor)  # type: ignore[arg-type]


def _owners(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield "", module
    if isinstance(module, nn.MultiheadAttention):
        yield "out_proj.", module.out_proj
