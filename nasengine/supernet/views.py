"""A view: the private network of one architecture, its tensors put in as parts of the shared weights.

Where a part is the whole tensor, the shared parameter itself is put in and costs nothing. Other parts are taken afresh
before each run, in one step, and let go after it, so that a view that is only kept needs no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.supernet.cuts import Bundle, Cut, Part, Shelf
from nasengine.supernet.keys import Held, Slots
from nasengine.supernet.private import Private
from nasengine.supernet.weights import Store


@dataclass(slots=True)
class _Statistic:
    """A running statistic that is gathered: its place, the network's last copy, the shared tensor, the part."""

    slots: Slots
    name: str
    own: Tensor
    whole: Tensor
    cut: Cut

    @property
    def in_place(self) -> bool:
        """Whether the network uses it, and no other that was put there for a while."""
        return self.slots[self.name] is self.own

    def take(self) -> None:
        """Put in a copy, a new one for each run: the backward of an earlier run may still ask for that run's own."""
        self.own = self.slots[self.name] = self.cut.of(self.whole)


class View:
    """Puts shared weights into a private network, which runs on them from then on.

    Args:
        private: the network.
        store: the shared weights.
        cuts: the part of each tensor of the network.
        shelf: of the store, where parts that were used before are found.
    """

    def __init__(self, private: Private, store: Store, cuts: Sequence[Cut], shelf: Shelf | None = None) -> None:
        shelf = shelf or Shelf()
        self._places: list[tuple[Slots, str]] = []  # of parts that autograd must see being taken
        self._statistics: list[_Statistic] = []
        taken: list[Part] = []
        with torch.inference_mode(False), torch.no_grad():
            for held, cut in zip(private.held, cuts, strict=True):
                whole = store[held.key]
                part = shelf.part(cut, whole)
                if part.is_whole:
                    held.slots[held.name] = whole
                elif part.is_learned:
                    self._places.append((held.slots, held.name))
                    taken.append(part)
                elif part.view is not None:
                    held.slots[held.name] = part.view
                else:
                    own = held.slots[held.name] = cut.of(whole)
                    self._statistics.append(_Statistic(held.slots, held.name, own, whole, cut))
            self._bundle = Bundle(taken)
            # What hangs there between runs: views, and where there is none what has no memory.
            idle = zip(taken, self._places, strict=True)
            self._idle = [slots[name] if part.view is None else part.view for part, (slots, name) in idle]
            self._put(self._idle)
        if self._places or self._statistics:
            private.network.register_forward_pre_hook(self.before)
            private.network.register_forward_hook(self.after)

    def before(self, network: nn.Module, _: Any) -> None:
        """Take the parts that the coming run needs."""
        self._put(self._bundle.take())
        for statistic in self._statistics:
            if statistic.in_place:
                statistic.take()

    def after(self, network: nn.Module, _: Any, output: Any) -> None:
        """Let the parts go; write statistics that were gathered back to where they were taken from."""
        self._put(self._idle)
        if network.training:
            for statistic in self._statistics:
                if statistic.in_place:
                    # As norms themselves do, unseen by autograd: the largest network may have used the whole before.
                    statistic.cut.write(statistic.whole.data, statistic.own)

    def _put(self, parts: Sequence[Tensor]) -> None:
        for (slots, name), part in zip(self._places, parts, strict=True):
            slots[name] = part


def copy_out(held: Sequence[Held], store: Store, cuts: Sequence[Cut]) -> None:
    """Copy the shared values into the tensors of a network of its own."""
    with torch.no_grad():
        for each, cut in zip(held, cuts, strict=True):
            each.tensor.copy_(cut.of(store[each.key]))
