"""Small changes of architectures: one decision changed, two parents mixed, all neighbours.

All three work on canonical rows and keep the relations. What a change makes active is drawn on its own by the
weights of its options; what it makes inactive is dropped. A subset changes by one item: swapped, added or removed.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from nasengine.errors import InputError
from nasengine.space.decisions import Decision
from nasengine.space.encoding import INACTIVE
from nasengine.space.relations import CompiledRelation

TRIES = 50  # random changes before all changes are gone through, and random repairs of one row


class Variation:
    """Changes of the architectures of one space.

    Args:
        decisions: of the space.
        relations: that every result satisfies, if the parents do.
    """

    def __init__(self, decisions: Sequence[Decision], relations: Sequence[CompiledRelation]) -> None:
        self.decisions = tuple(decisions)
        self.relations = tuple(relations)

    def mutate(self, row: Sequence[int], rng: np.random.Generator) -> list[int]:
        """One active decision changes to another option; each decision that can change is equally likely.

        If no change of a single decision satisfies the relations, others that they bind are changed along with it.

        Raises:
            InputError: the space has no other architecture that this way could find.
        """
        columns = self._changeable(row)
        for _ in range(TRIES if columns else 0):
            column = columns[int(rng.integers(len(columns)))]
            options = self._moves(column)(row[column])
            made = self._changed(row, column, options[int(rng.integers(len(options)))], rng)
            if self._holds(made):
                return made
        moves = [(column, option) for column in columns for option in self._moves(column)(row[column])]
        for place in rng.permutation(len(moves)).tolist():
            column, option = moves[place]
            made = self._changed(row, column, option, rng)
            if self._holds(made):
                return made
        for place in rng.permutation(len(moves)).tolist()[:TRIES]:
            column, option = moves[place]
            repaired = self._repaired(self._changed(row, column, option, rng), rng, kept=column)
            if repaired is not None and repaired != list(row):
                return repaired
        raise InputError("no mutation of this architecture was found that satisfies the relations of its space")

    def crossover(self, first: Sequence[int], second: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Each active decision comes from either parent with equal probability, or from the one that has it.

        A copy may be in neither: its slot comes from one parent, a larger shared count from the other. It is drawn.
        A child that breaks a relation is drawn again, then repaired by changing what the relation binds. If that
        fails too, the child is a copy of the first parent.
        """
        made = list(first)
        for _ in range(TRIES):
            made = [INACTIVE] * len(self.decisions)
            from_second = (rng.random(len(self.decisions)) < 0.5).tolist()
            for column, decision in enumerate(self.decisions):
                if decision.is_active(made):
                    a, b = first[column], second[column]
                    if a >= 0 and b >= 0:
                        made[column] = b if from_second[column] else a
                    else:
                        made[column] = max(a, b) if a >= 0 or b >= 0 else _drawn(decision, rng)
            if self._holds(made):
                return made
        return self._repaired(made, rng) or list(first)

    def neighbours(self, row: Sequence[int]) -> Iterator[list[int]]:
        """Every row that differs by one decision and satisfies the relations, in the order of `enumerate`.

        What the change makes active takes its first option.
        """
        for column in self._changeable(row):
            for option in self._moves(column)(row[column]):
                made = self._changed(row, column, option, None)
                if self._holds(made):
                    yield made

    def moves(self, column: int, option: int) -> list[int]:
        """The options that a mutation may give to one decision in place of this one."""
        return self._moves(column)(option)

    def _holds(self, row: Sequence[int]) -> bool:
        return all(relation.holds(row) for relation in self.relations)

    def _changeable(self, row: Sequence[int]) -> list[int]:
        return [column for column, taken in enumerate(row) if taken >= 0 and len(self.decisions[column].options) > 1]

    def _moves(self, column: int) -> _Moves:
        return self._all_moves[column]

    @functools.cached_property
    def _all_moves(self) -> tuple[_Moves, ...]:
        return tuple(map(_Moves, self.decisions))

    def _changed(self, row: Sequence[int], column: int, option: int, rng: np.random.Generator | None) -> list[int]:
        """The row with one option changed, and everything below active or inactive as that makes it."""
        made = list(row)
        made[column] = option
        for later in range(column + 1, len(made)):
            decision = self.decisions[later]
            if not decision.conditional:
                continue
            if not decision.is_active(made):
                made[later] = INACTIVE
            elif made[later] == INACTIVE:
                made[later] = 0 if rng is None else _drawn(decision, rng)
        return made

    def _repaired(self, row: list[int], rng: np.random.Generator, kept: int = -1) -> list[int] | None:
        """Change random decisions of broken relations until all hold; None if a bounded number does not do."""
        for _ in range(TRIES):
            broken = [relation for relation in self.relations if not relation.holds(row)]
            if not broken:
                return row
            columns = [
                column
                for column in broken[0].columns
                if column != kept and row[column] >= 0 and len(self.decisions[column].options) > 1
            ]
            if not columns:
                return None
            column = columns[int(rng.integers(len(columns)))]
            row = self._changed(row, column, int(rng.integers(len(self.decisions[column].options))), rng)
        return row if self._holds(row) else None


def _drawn(decision: Decision, rng: np.random.Generator) -> int:
    """An option by its weight."""
    total = list(itertools.accumulate(decision.weights))
    point = rng.random() * total[-1]
    return next((option for option, reached in enumerate(total) if point < reached), len(total) - 1)


class _Moves:
    """The options that one decision may change to from a given one."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def __call__(self, option: int) -> list[int]:
        if self.decision.kind != "subset":
            return [other for other in range(len(self.decision.options)) if other != option]
        taken = self.decision.options[option]
        items = [item for item in self._items if item not in taken]
        smaller = [taken[:i] + taken[i + 1 :] for i in range(len(taken))]
        moved = [
            *smaller,
            *(self._in_order((*rest, item)) for rest in smaller for item in items),
            *(self._in_order((*taken, item)) for item in items),
        ]
        return sorted(self._index[made] for made in moved if made in self._index)

    @functools.cached_property
    def _items(self) -> dict[object, int]:
        """item -> its place in the list (options stand in the order of `itertools.combinations`)."""
        return {item: i for i, item in enumerate(dict.fromkeys(itertools.chain(*self.decision.options)))}

    @functools.cached_property
    def _index(self) -> dict[tuple[object, ...], int]:
        return {option: i for i, option in enumerate(self.decision.options)}

    def _in_order(self, items: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(sorted(items, key=self._items.__getitem__))
