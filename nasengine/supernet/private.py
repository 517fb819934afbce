"""The private network of an architecture: the plain network without memory for weights.

Its weights have no values until something is put into their places. What its constructors compute besides them
(tables of indices, fixed parameters) has its real values: a block that holds such things is built on the CPU. Blocks
are constructed once for their arguments and cloned from then on.
"""

from __future__ import annotations

import copy
import functools
import gc
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build import ModuleCall, NodeError, instantiate, resolve
from nasengine.build.initial_weights import WithoutInitialWeights
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.cloning import clone, is_plain
from nasengine.supernet.keys import Held, layers, tensors
from nasengine.supernet.leaves import Leaf, Role
from nasengine.supernet.skeletons import Skeletons, parts_of

META = torch.device("meta")
MOST_BLOCKS = 4096  # kept, of some kilobytes each


@dataclass(frozen=True, slots=True)
class Private:
    """A private network, and every place of it that a shared tensor belongs to."""

    network: nn.Module
    held: tuple[Held, ...]


@dataclass(frozen=True)
class _Block:
    """A constructed block at the path it was constructed for, and its tensors."""

    module: nn.Module
    path: str
    held: tuple[Held, ...]

    @functools.cached_property
    def plain(self) -> bool:
        """Whether it can be cloned; looked at when it is wanted again."""
        return is_plain(self.module)

    def again(self, path: str) -> tuple[nn.Module, tuple[Held, ...]]:
        """Another one, at another path."""
        length = len(self.path)
        if not self.plain:
            module = copy.deepcopy(self.module)
            _move(module, path, length)
            return module, tuple(tensors(module))
        moved: dict[int, dict[str, Any]] = {}
        module = clone(self.module, moved)
        _move(module, path, length)
        return module, tuple(
            Held(path + h.key[length:], path + h.layer[length:], moved[id(h.slots)], *_rest(h)) for h in self.held
        )


def _rest(held: Held) -> tuple[str, Tensor, Leaf | None, tuple[Role, ...], tuple[int, ...] | None, str]:
    return held.name, held.tensor, held.leaf, held.roles, held.factors, held.foreign


def _move(module: nn.Module, path: str, length: int) -> None:
    """Put `path` in place of the first `length` letters of the paths of all nodes."""
    waiting: list[nn.Module | None] = [module]
    while waiting:
        part = waiting.pop()
        if part is not None:
            own = vars(part)
            if "node_path" in own:
                own["node_path"] = path + own["node_path"][length:]
            waiting.extend(part._modules.values())


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
        self._skeletons = Skeletons()

    def network(self, architecture: Architecture) -> Private:
        """The private network of an architecture; it belongs to the caller alone, and is in training mode.

        Raises:
            NodeError: it cannot be built.
        """
        state = torch.get_rng_state()
        collects = gc.isenabled()
        gc.disable()  # thousands of small dictionaries are made; looking through all of memory for them takes longer
        try:
            call = resolve(self.space, architecture, network=self.overrides)
            return Private(*self._build(call, {}))
        finally:
            if collects:
                gc.enable()
            torch.set_rng_state(state)

    def _build(self, call: ModuleCall, here: dict[Hashable, _Block]) -> tuple[nn.Module, tuple[Held, ...]]:
        """A module and its tensors.

        Args:
            here: parts of this network that are made of other modules, by what they are made of.
        """
        inner: list[ModuleCall] = []
        _collect(call.arguments, inner)
        length = len(call.path)
        key = call.configuration, tuple(part.path[length:] for part in inner)
        block = here.get(key) if inner else self._blocks.get(key)
        if block is None:
            block = self._constructed(call, here)
            if inner:
                here[key] = block
                return block.module, block.held
            if len(self._blocks) >= MOST_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[key] = block
        return block.again(call.path)

    def _constructed(self, call: ModuleCall, here: dict[Hashable, _Block]) -> _Block:
        """A module without memory; on the CPU where its constructor reads values, or keeps tensors besides weights."""
        held: list[Held] = []
        parts: list[nn.Module] = []

        def build(value: Any) -> Any:
            if isinstance(value, ModuleCall):
                module, tensors_of = self._build(value, here)
                held.extend(tensors_of)
                parts.append(module)
                return module
            if isinstance(value, Mapping):
                return {name: build(item) for name, item in value.items()}
            if isinstance(value, (list, tuple)):
                return [build(item) for item in value]
            return value

        whole = replace(call, arguments=build(call.arguments))
        if not parts:
            module, own = self._made(whole, set())
            return _Block(module, call.path, own)
        key = self._skeletons.key(call)
        places = list(parts_of(whole.arguments))
        around = self._skeletons.find(key, places, call.path)
        if around is None:
            nested = {id(part) for part in parts}
            construct = functools.partial(self._made, whole, nested)
            around = self._skeletons.learn(key, whole, places, functools.partial(self._on, META), construct)
        module, own = around
        return _Block(module, call.path, (*own, *held))

    def _made(self, whole: ModuleCall, nested: set[int]) -> tuple[nn.Module, tuple[Held, ...]]:
        """What a constructor makes of arguments that are built, and its own tensors."""
        module = self._on(META, whole)
        own = None if module is None else tuple(tensors(module, nested))
        if module is None or own is None or next(constants(module, own, nested), None) is not None:
            module = self._on(torch.device("cpu"), whole)
            assert module is not None
            own = tuple(tensors(module, nested))
            for slots, name, value in list(constants(module, own, nested)):
                moved = value.detach().to(self.device, self.dtype if value.is_floating_point() else None)
                slots[name] = nn.Parameter(moved, requires_grad=False) if isinstance(value, nn.Parameter) else moved
        return module, own

    def _on(self, device: torch.device, call: ModuleCall) -> nn.Module | None:
        """The module on a device; None if it cannot be made without memory."""
        try:
            with device, WithoutInitialWeights():
                return instantiate(call)
        except NodeError as error:
            if device.type == "meta" and isinstance(error.__cause__, (NotImplementedError, RuntimeError)):
                return None
            raise


def _collect(value: Any, found: list[ModuleCall]) -> None:
    """The calls among arguments, and those among theirs."""
    if isinstance(value, ModuleCall):
        found.append(value)
        _collect(value.arguments, found)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, found)


def constants(
    network: nn.Module, held: Collection[Held], leave_out: Collection[int] = ()
) -> Iterator[tuple[dict[str, Any], str, Tensor]]:
    """Every tensor that is no shared weight: the dictionary it hangs in, its key there, itself.

    Args:
        held: the shared ones.
        leave_out: ids of modules that are not to be entered.
    """
    shared = {id(each.tensor) for each in held}
    for layer in layers(network, leave_out):
        for part in layer.module.modules() if isinstance(layer.module, nn.MultiheadAttention) else (layer.module,):
            for slots in (part._parameters, part._buffers, vars(part)):
                for name, value in slots.items():
                    if isinstance(value, Tensor) and id(value) not in shared:
                        yield slots, name, value
