"""The private network of an architecture: the plain network without memory for weights.

Its weights have no values until something is put into their places. What its constructors compute besides them
(tables of indices, fixed parameters) has its real values: a block that holds such things is built on the CPU. Blocks
are constructed once for their arguments and cloned from then on, where that gives what the constructor would make.
"""

from __future__ import annotations

import functools
import gc
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.build import ModuleCall, NodeError, check_overrides, instantiate, refuse_what_has_no_network
from nasengine.build.initial_weights import WithoutInitialWeights
from nasengine.build.known_layers import KnownLayers
from nasengine.build.module_call import SCALARS
from nasengine.build.network import explicit_network
from nasengine.errors import InputError
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.supernet.casting import Own, Pattern
from nasengine.supernet.cloning import modules_of
from nasengine.supernet.keys import Held, tensors
from nasengine.supernet.skeletons import Skeletons, parts_of

META = torch.device("meta")
_NO_TENSORS = frozenset({type(None), bool, int, float, str, tuple, list, dict, set, OrderedDict})
MOST_DRAWN = 100  # networks that are built ahead, a few milliseconds each
IN_A_ROW = 10
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
    def pattern(self) -> Pattern | None:
        """What further ones are cast from; None if only the constructor can make them."""
        return Pattern.of(self.module, self.path, self.held)


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
        refuse_what_has_no_network(space)
        check_overrides(space, overrides)
        self.space, self.overrides, self.device, self.dtype = space, overrides, device, dtype
        self._blocks: OrderedDict[Hashable, Pattern | None] = OrderedDict()  # what makes another
        self._skeletons = Skeletons()
        self._constructions = self._casts = 0  # of blocks that hold no others

    def network(self, architecture: Architecture) -> Private:
        """The private network of an architecture; it belongs to the caller alone, and is in training mode.

        Raises:
            NodeError: it cannot be built.
        """
        state = torch.get_rng_state()
        collects = gc.isenabled()
        gc.disable()  # thousands of small dictionaries are made; looking through all of memory for them takes longer
        try:
            call = explicit_network(self.space.fill(architecture), self.overrides)
            self._skeletons.begin()
            with torch.inference_mode(False):  # what is kept of it will be trained
                return Private(*self._build(call, {}))
        finally:
            if collects:
                gc.enable()
            torch.set_rng_state(state)

    def meet(self, make: Callable[[Architecture], object]) -> None:
        """Have networks made that are drawn by lot, so that most blocks of those to come are known.

        It ends early when nothing new is met any more, or never anything that was met before.

        Args:
            make: what makes a network by this builder.
        """
        rng = np.random.default_rng(0)
        new = old = 0  # how many networks in a row are all new, or not new at all
        for _ in range(MOST_DRAWN):
            if max(new, old) >= IN_A_ROW:
                return
            constructed, again = self._constructions, self._casts
            try:
                make(self.space.sample(rng))
            except (InputError, NodeError):
                return  # whoever asks for an architecture that cannot be built hears of it then
            new = new + 1 if self._casts == again else 0
            old = old + 1 if self._constructions == constructed else 0

    def _build(self, call: ModuleCall, here: dict[Hashable, _Block]) -> Own:
        """A module and its tensors.

        Args:
            here: parts of this network that are made of other modules, by what they are made of.
        """
        inner: list[ModuleCall] = []
        _collect(call.arguments, inner)
        if inner:
            length = len(call.path)
            key: Hashable = call.configuration, tuple(part.path[length:] for part in inner)
            block = here.get(key)
            if block is not None and block.pattern is not None:
                return block.pattern.cast(call.path)
            here[key] = block = self._constructed(call, here)
            return block.module, block.held
        known = call.configuration in self._blocks
        pattern = self._blocks[call.configuration] if known else None
        if pattern is not None:
            self._casts += 1
            return pattern.cast(call.path)
        block = self._constructed(call, here)
        if not known:
            self._constructions += 1
            if len(self._blocks) >= MOST_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[call.configuration] = block.pattern
        return block.module, block.held  # which the pattern, taken before, does not know

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

    def _made(self, whole: ModuleCall, nested: set[int]) -> Own:
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
            with device, WithoutInitialWeights(), KnownLayers():
                return instantiate(call)
        except NodeError as error:
            if device.type == "meta" and isinstance(error.__cause__, (NotImplementedError, RuntimeError)):
                return None
            raise


def _collect(value: Any, found: list[ModuleCall]) -> None:
    """The calls among arguments, and those among theirs."""
    if type(value) in SCALARS:
        return
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
    for part in modules_of(network, leave_out):
        own = vars(part)
        for slots in (own["_parameters"], own["_buffers"], own):
            for name, value in slots.items():
                if type(value) not in _NO_TENSORS and isinstance(value, Tensor) and id(value) not in shared:
                    yield slots, name, value
