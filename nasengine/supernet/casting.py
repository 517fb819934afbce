"""Patterns: a mould together with the shared tensors of its tree, so that each cast knows its own without a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from nasengine.supernet.cloning import Mould
from nasengine.supernet.keys import Held

Own = tuple[nn.Module, tuple[Held, ...]]  # a module and its tensors
MOST_PATHS = 200  # that the names of the tensors are kept for


@dataclass(frozen=True, slots=True)
class Pattern:
    """Makes the same module anew at any path.

    Args:
        mould: of the module.
        path: that it was made for.
        held: its tensors there.
    """

    mould: Mould
    path: str
    held: tuple[Held, ...]
    _rows: dict[str, list[tuple[int, str, str, str, tuple[Any, ...]]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, module: nn.Module, path: str, held: tuple[Held, ...], holes: Sequence[nn.Module] = ()
    ) -> Pattern | None:
        """The pattern of a module; None if it cannot be copied.

        Args:
            held: its tensors, those of the holes left out.
            holes: modules in whose places others will stand.
        """
        mould = Mould.of(module, path, holes, [each.tensor for each in held])
        return None if mould is None else cls(mould, path, held)

    def cast(self, path: str, given: Sequence[nn.Module | None] = ()) -> Own:
        """A module of its own at a path, and its tensors.

        Args:
            given: what stands in the places of the holes.
        """
        rows = self._rows.get(path)
        if rows is None:
            if len(self._rows) >= MOST_PATHS:
                self._rows.clear()
            rows = self._rows[path] = self._named(path)
        made = self.mould.cast(path, given)
        module = made[self.mould.given]
        assert module is not None
        # By `tuple`, as a named tuple's own constructor takes twice as long.
        return module, tuple(
            tuple.__new__(Held, (key, layer, vars(made[number])[where], *rest))
            for number, where, key, layer, rest in rows
        )

    def _named(self, path: str) -> list[tuple[int, str, str, str, tuple[Any, ...]]]:
        """The place, the key, the layer, and the rest of each tensor at a path."""
        length = len(self.path)
        return [
            (*self.mould.places[id(each.slots)], path + each.key[length:], path + each.layer[length:], tuple(each[3:]))
            for each in self.held
        ]
