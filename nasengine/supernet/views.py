"""A view: the private network of one architecture, its tensors put in as parts of the shared weights.

Where a part is the whole tensor, the shared parameter itself is put in and costs nothing. Other parts are taken
afresh before each run that records gradients, in one step; without gradients the parts taken once are good for ever.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.supernet.cuts import Cut, TakeParts
from nasengine.supernet.keys import tensors
from nasengine.supernet.weights import Store


@dataclass(frozen=True, slots=True)
class _Place:
    slots: dict[str, Tensor | None]
    name: str
    key: str
    cut: Cut


class View:
    """Puts shared weights into a private network.

    Args:
        network: without memory for weights; from now on it runs on those of `store`.
        store: the shared weights.
        cuts: key -> the part that this architecture uses.
    """

    def __init__(self, network: nn.Module, store: Store, cuts: Mapping[str, Cut]) -> None:
        self.store = store
        self.parameters: list[_Place] = []  # parts that autograd must see being taken
        self.gathered: list[_Place] = []  # statistics that are no views
        with torch.inference_mode(False), torch.no_grad():
            for held in list(tensors(network)):
                slots, name = held.slot
                whole, cut = store[held.key], cuts[held.key]
                if cut.shape == tuple(whole.shape) and cut.is_view:
                    slots[name] = whole
                    continue
                place = _Place(slots, name, held.key, cut)
                slots[name] = cut.of(whole.detach())
                if isinstance(whole, nn.Parameter):
                    self.parameters.append(place)
                elif not cut.is_view:
                    self.gathered.append(place)
        self.cuts = tuple(place.cut for place in self.parameters)
        self.wholes = tuple(store[place.key] for place in self.parameters)
        self.ready = tuple(place.slots[place.name] if place.cut.is_view else None for place in self.parameters)
        self.own = [place.slots[place.name] for place in self.gathered]
        self.recorded = False  # whether the parts in the network are of a run that recorded gradients
        if self.parameters or self.gathered:
            network.register_forward_pre_hook(self.before)
        if self.gathered:
            network.register_forward_hook(self.after)
        self.network = weakref.ref(network)

    def before(self, network: nn.Module, _: Any) -> None:
        """Take the parts that the coming run needs."""
        if torch.is_grad_enabled():
            parts = TakeParts.apply(self.cuts, self.ready, *self.wholes)  # type: ignore[no-untyped-call]
            for place, part in zip(self.parameters, parts, strict=True):
                place.slots[place.name] = part
            self.recorded = True
        else:
            for place, part, whole in zip(self.parameters, self.ready, self.wholes, strict=True):
                if part is None:
                    place.slots[place.name] = place.cut.of(whole)
                elif self.recorded:
                    place.slots[place.name] = part
            self.recorded = False
        for place, own in zip(self.gathered, self.own, strict=True):
            if own is not None and place.slots[place.name] is own:
                own.copy_(place.cut.of(self.store[place.key]))

    def after(self, network: nn.Module, _: Any, output: Any) -> None:
        """Write statistics that were gathered back to where they were taken from."""
        if network.training:
            for place, own in zip(self.gathered, self.own, strict=True):
                if own is not None and place.slots[place.name] is own:
                    place.cut.write(self.store[place.key], own)
