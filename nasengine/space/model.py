"""A space as variables and factors: what counting and exact sampling sum over.

Every decision is a variable with a state for each option, and a last one for "inactive" if it may be. A context
(being below an option that was taken, or at one of the places that use a `let` entry) is a variable of two states
that all decisions of that context share. A relation is one table if that is small; otherwise a chain of tables
through variables that remember a running sum, or the last value seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nasengine.space.decisions import Condition, Decision, Site
from nasengine.space.factors import LARGEST_TABLE, Factor, TooEntangledError
from nasengine.space.relations import CompiledRelation

ONE_TABLE = 4_096  # states of all decisions of a relation, up to which it is one table


@dataclass(slots=True)
class Model:
    """The variables and factors of a space.

    Args:
        decisions: of the space; variable i is decision i, further variables follow.
        weighted: whether an option counts by its weight or as one.
        leaves: decisions whose option matters to nothing else, to be counted without a variable of their own.

    Attributes:
        sizes: states of each variable.
        ranks: parents have lower ranks than what depends on them.
        definitions: for each variable but those of relations, its factor; its last axis is the variable's own, the
            others belong to variables of lower rank.
        relations: factors of the relations added.
    """

    decisions: tuple[Decision, ...]
    weighted: bool
    leaves: frozenset[int] = frozenset()
    sizes: list[int] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    definitions: dict[int, Factor] = field(default_factory=dict)
    relations: list[Factor] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index, decision in enumerate(self.decisions):
            self._variable(1 if index in self.leaves else len(decision.options) + decision.conditional, index)
        contexts: dict[tuple[Site, ...], int] = {}
        for index, decision in enumerate(self.decisions):
            if decision.conditional and decision.sites not in contexts:
                contexts[decision.sites] = self._context(decision.sites)
            if index in self.leaves:
                total = sum(decision.weights) if self.weighted else len(decision.options)
                active = [[1], [total]] if decision.conditional else [total]
                given = (contexts[decision.sites],) if decision.conditional else ()
                self._define(index, given, np.array(active))
                continue
            weights = np.array(decision.weights if self.weighted else [1] * len(decision.options))
            if not decision.conditional:
                self._define(index, (), weights)
                continue
            table = np.zeros((2, len(weights) + 1), dtype=weights.dtype)
            table[0, -1] = 1
            table[1, :-1] = weights
            self._define(index, (contexts[decision.sites],), table)

    @property
    def factors(self) -> list[Factor]:
        return [*self.definitions.values(), *self.relations]

    def _variable(self, size: int, rank: float) -> int:
        self.sizes.append(size)
        self.ranks.append(rank)
        return len(self.sizes) - 1

    def _define(self, variable: int, given: tuple[int, ...], table: NDArray[np.generic]) -> None:
        self.definitions[variable] = Factor((*given, variable), _counted(table, self.weighted))

    def _context(self, sites: tuple[Site, ...]) -> int:
        """A variable that is 1 where some site holds: a chain that looks at one site after the other."""
        before = None
        for *first, last in sorted((sorted(site, key=_parent) for site in sites), key=lambda site: _parent(site[-1])):
            held = None
            for condition in first:
                held = self._gate(condition, held, None)
            before = self._gate(last, held, before)
        assert before is not None
        return before

    def _gate(self, condition: Condition, held: int | None, before: int | None) -> int:
        """A variable that is 1 where a condition holds and `held` is 1, or `before` is 1."""
        parent, taken = condition
        holds = np.zeros(self.sizes[parent], dtype=np.int64)
        holds[sorted(taken)] = 1
        if held is not None:
            holds = np.stack([np.zeros_like(holds), holds])  # (held, state of parent)
        if before is not None:
            holds = np.stack([holds, np.ones_like(holds)])  # (before, …)
        given = tuple(variable for variable in (before, held, parent) if variable is not None)
        now = self._variable(2, parent + 0.5)
        self._define(now, given, np.stack([1 - holds, holds], axis=-1))
        return now

    def add(self, relation: CompiledRelation) -> None:
        """Add a relation.

        Raises:
            TooEntangledError: its tables would be too large.
        """
        columns = relation.columns
        if math.prod(self.sizes[column] for column in columns) <= ONE_TABLE and len(columns) <= 12:
            self._add_table(relation)
        elif relation.ordered is None:
            self._add_sum(relation)
        else:
            self._add_order(relation)

    def _add_table(self, relation: CompiledRelation) -> None:
        columns = relation.columns
        shape = [self.sizes[column] for column in columns]
        states = np.array(list(itertools.product(*map(range, shape))), dtype=np.int64).reshape(-1, len(columns))
        rows = np.full((len(states), len(self.decisions)), -1, dtype=np.int64)
        for axis, column in enumerate(columns):
            options = len(self.decisions[column].options)
            rows[:, column] = np.where(states[:, axis] < options, states[:, axis], -1)
        table = relation.holds_many(rows).reshape(shape)
        if not table.all():
            self._relate(columns, table)

    def _relate(self, scope: Sequence[int], table: NDArray[np.bool_]) -> None:
        self.relations.append(Factor(tuple(scope), _counted(table.astype(np.int64), self.weighted)))

    def _values(self, relation: CompiledRelation, place: int) -> list[int | None]:
        """The value of each state of the decision at a place of a relation; None where it is inactive."""
        column = relation.columns[place]
        inactive: list[int | None] = [None] * self.decisions[column].conditional
        return [*relation.values[place], *inactive]

    def _add_sum(self, relation: CompiledRelation) -> None:
        places = sorted(range(len(relation.columns)), key=relation.columns.__getitem__)
        terms = [[value or 0 for value in self._values(relation, place)] for place in places]
        least = [sum(map(min, terms[i:])) for i in range(len(terms) + 1)]
        most = [sum(map(max, terms[i:])) for i in range(len(terms) + 1)]
        sums, before = [0], None
        for i, place in enumerate(places):
            column = relation.columns[place]
            reached = sorted({total + term for total in sums for term in terms[i]})
            kept = [
                total
                for total in reached
                if (relation.high is None or total + least[i + 1] <= relation.high)
                and (relation.low is None or total + most[i + 1] >= relation.low)
            ]
            if len(sums) * len(terms[i]) * len(kept) > LARGEST_TABLE:
                raise TooEntangledError
            index = {total: state for state, total in enumerate(kept)}
            table = np.zeros((len(sums), len(terms[i]), max(1, len(kept))), dtype=np.bool_)
            for s, total in enumerate(sums):
                for t, term in enumerate(terms[i]):
                    if total + term in index:
                        table[s, t, index[total + term]] = True
            now = self._variable(table.shape[-1], column + 0.25)
            self._relate((*([] if before is None else [before]), column, now), table[0] if before is None else table)
            before, sums = now, kept or [0]

    def _add_order(self, relation: CompiledRelation) -> None:
        compare = relation.ordered
        assert compare is not None
        before: int | None = None
        last: list[int | None] = [None]
        rank = 0.0
        for place, column in enumerate(relation.columns):
            values = self._values(relation, place)
            rank = max(rank, column)
            fine = np.array([[a is None or b is None or bool(compare(a, b)) for b in values] for a in last])
            if None not in values:
                if before is not None:
                    self._relate((before, column), fine)
                before, last = column, values
                continue
            after = sorted({b if b is not None else a for a in last for b in values}, key=lambda v: (v is None, v or 0))
            table = np.zeros((len(last), len(values), len(after)), dtype=np.bool_)
            for i, a in enumerate(last):
                for j, b in enumerate(values):
                    table[i, j, after.index(a if b is None else b)] = fine[i, j]
            now = self._variable(len(after), rank + 0.25)
            self._relate((*([] if before is None else [before]), column, now), table[0] if before is None else table)
            before, last = now, list(after)


def _parent(condition: Condition) -> int:
    return condition[0]


def _counted(table: NDArray[np.generic], weighted: bool) -> NDArray[np.generic]:
    """Whole numbers without bound where architectures are counted; logarithms where they are weighed."""
    if not weighted:
        return table.astype(object)
    with np.errstate(divide="ignore"):
        return np.log(table.astype(np.float64))
