"""The private network of an architecture: the plain network without memory for weights.

Its weights have no values until something is put into their places. What its constructors compute besides them
(tables of indices, fixed parameters) has its real values: a block that holds such things is built on the CPU. Blocks
are constructed once for their arguments and cloned from then on.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build import ModuleCall, NodeError, instantiate, resolve
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.cloning import clone, is_plain
from nasengine.supernet.keys import Held, layers, tensors

MOST_BLOCKS = 4096  # kept, of some kilobytes each


@dataclass(frozen=True, slots=True)
class Private:
    """A private network, and every place of it that a shared tensor belongs to."""

    network: nn.Module
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    """A constructed block at the path it was constructed for."""

    module: nn.Module
    path: str
    held: tuple[Held, ...]
    plain: bool


class Builder:
    """Makes private networks of the architectures of one space.

    Args:
        space: of the architectures.
        overrides: arguments of the root network that replace the space's.
        device, dtype: of what constructors compute besides weights.
    """

    def __init__(
        self, space: SearchSpace, overrides: Mapping[str, Any] | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.space, self.overrides, self.device, self.dtype = space, overrides, device, dtype
        self._blocks: OrderedDict[Hashable, _Block] = OrderedDict()

    def network(self, architecture: Architecture) -> Private:
        """The private network of an architecture; it belongs to the caller alone.

        Raises:
            NodeError: it cannot be built.
        """
        held: list[Held] = []
        state = torch.get_rng_state()
        try:
            module = self._module(resolve(self.space, architecture, network=self.overrides), held, set())
        finally:
            torch.set_rng_state(state)
        return Private(module, tuple(held))

    def _module(self, call: ModuleCall, held: list[Held], built: set[int]) -> nn.Module:
        nested: set[int] = set()
        arguments = {name: self._value(value, held, nested) for name, value in call.arguments.items()}
        if not nested:
            module = self._cloned(call, held)
        else:
            module = self._constructed(call, arguments, nested)
            held.extend(tensors(module, nested))
        vars(module)["node_path"] = call.path
        built.update((id(module), *nested))
        return module

    def _value(self, value: Any, held: list[Held], built: set[int]) -> Any:
        if isinstance(value, ModuleCall):
            return self._module(value, held, built)
        if isinstance(value, Mapping):
            return {key: self._value(item, held, built) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value(item, held, built) for item in value]
        return value

    def _cloned(self, call: ModuleCall, held: list[Held]) -> nn.Module:
        key = call.configuration
        block = self._blocks.get(key)
        if block is None:
            module = self._constructed(call, call.arguments, set())
            block = _Block(module, call.path, tuple(tensors(module)), is_plain(module))
            if len(self._blocks) >= MOST_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[key] = block
        if not block.plain:
            module = copy.deepcopy(block.module)
            vars(module)["node_path"] = call.path
            held.extend(tensors(module))
            return module
        moved: dict[int, dict[str, Any]] = {}
        module = clone(block.module, moved)
        length = len(block.path)
        held.extend(
            replace(h, key=call.path + h.key[length:], layer=call.path + h.layer[length:], slots=moved[id(h.slots)])
            for h in block.held
        )
        return module

    def _constructed(self, call: ModuleCall, arguments: Mapping[str, Any], nested: Collection[int]) -> nn.Module:
        """A module without memory; on the CPU where its constructor reads values, or keeps tensors besides weights."""
        if any(isinstance(value, ModuleCall) for value in arguments.values()):
            raise AssertionError("arguments are built first")
        whole = replace(call, arguments=arguments)
        try:
            with torch.device("meta"):
                module = instantiate(whole)
            if next(constants(module, nested), None) is None:
                return module
        except NodeError as error:
            if not isinstance(error.__cause__, (NotImplementedError, RuntimeError)):
                raise
        with torch.device("cpu"):
            module = instantiate(whole)
        for slots, name, value in list(constants(module, nested)):
            moved = value.detach().to(self.device, self.dtype if value.is_floating_point() else None)
            slots[name] = nn.Parameter(moved, requires_grad=False) if isinstance(value, nn.Parameter) else moved
        return module


def constants(network: nn.Module, leave_out: Collection[int] = ()) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Every tensor that is no shared weight: the dictionary it hangs in, its key there, itself."""
    shared = {id(held.tensor) for held in tensors(network, leave_out)}
    for layer in layers(network, leave_out):
        for part in layer.module.modules() if isinstance(layer.module, nn.MultiheadAttention) else (layer.module,):
            for slots in (part._parameters, part._buffers, vars(part)):
                for name, value in slots.items():
                    if isinstance(value, Tensor) and id(value) not in shared:
                        yield slots, name, value
