"""Plans: which architectures one masked pass can hold.

They may differ in widths, kernels, presence and the type of an option. What else a choice changes (a stride, where is
pooled, an activation, a scale that depends on a width) makes it structural: architectures share a pass only if they
agree in all structural choices. Which choices those are is read from the networks of the space (`lookup`), and
where running masks beside views shows another (`proof`), it is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nasengine.records import Architecture
from nasengine.supernet.facts import Fact
from nasengine.supernet.lookup import ABSENT, Lookup, Row

Key = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Architectures that run together.

    Args:
        architectures: of the plan.
        positions: where they stood among those asked for.
        key: the options of the structural choices, the same for all of them.
        masked: by masks in one pass; else as views, one after the other.
        note: why not by masks.
    """

    architectures: tuple[Architecture, ...]
    positions: tuple[int, ...]
    key: Key
    masked: bool
    note: str = ""


class Structure:
    """The structural choices of a space.

    Args:
        lookup: of the space.
        more: columns found structural by running.
    """

    def __init__(self, lookup: Lookup, more: Sequence[int] = ()) -> None:
        self.lookup = lookup
        self.columns: tuple[int, ...] = ()
        self._found: set[int] = set(more)
        self.read()

    def read(self) -> None:
        """Take in what the lookup has learned."""
        lookup = self.lookup
        for column, decision in enumerate(lookup.space.decisions):
            if decision.path.startswith("task."):
                self._found.add(column)  # another input
        for fact in lookup.values:
            if fact[0] == "form" and lookup.varying(fact):
                self._found |= self.choices_of(fact)
        self.columns = tuple(sorted(self._found))

    def add(self, columns: Sequence[int]) -> None:
        """These choices are structural too."""
        self._found |= set(columns)
        self.columns = tuple(sorted(self._found))

    def choices_of(self, fact: Fact) -> set[int]:
        """The choices that change a fact of a layer while the layer is there."""
        columns = self.lookup.columns[fact]
        values = {place: value for place, value in self.lookup.values[fact].items() if value != ABSENT}
        found: set[int] = set()
        for index, column in enumerate(columns):
            rest: dict[Row, object] = {}
            for place, value in values.items():
                if rest.setdefault(place[:index] + place[index + 1 :], value) != value:
                    found.add(column)
                    break
        there = set(self.lookup.columns.get(("there", fact[1]), ()))
        return found or set(columns) - there or set(columns)

    def key(self, row: Sequence[int]) -> Key:
        """The options of the structural choices in the row of an architecture."""
        return tuple(row[column] for column in self.columns)

    def base(self, key: Key) -> Row:
        """The row of the largest architecture with these options of the structural choices."""
        wishes = list(self.lookup.wishes)
        for column, option in zip(self.columns, key, strict=True):
            if option >= 0:
                wishes[column] = option
        return self.lookup.row(wishes)

    def group(self, rows: np.ndarray) -> dict[Key, list[int]]:
        """Which of (K, D) rows agree in all structural choices, in order of appearance."""
        groups: dict[Key, list[int]] = {}
        for position, row in enumerate(rows[:, list(self.columns)].tolist()):
            groups.setdefault(tuple(row), []).append(position)
        return groups
