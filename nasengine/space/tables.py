"""Costs as tables over few decisions each, and the pricing of whole matrices of architectures by them.

A space has too many architectures to price one by one, but a layer's cost depends on few of its decisions.
A table lists the cost of some layers for every combination of the decisions they depend on; the cost of an
architecture is the sum over tables (or, for a peak, the largest). Architectures come encoded: one row of
option indices, -1 for a decision that is not part of the architecture, which is one more value here.

Shapes:  N architectures   D decisions of the space
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasengine.space.decisions import Decision
from nasengine.space.relations import CompiledRelation

Matrix = NDArray[np.int16]
Amounts = NDArray[np.int64]

UNKNOWN = np.int64(-1)  # a combination that no architecture of the space has
IMPOSSIBLE = np.int64(-2)  # a combination whose architectures have no network
LARGEST_TABLE = 2_000_000  # numbers in one table


@dataclass(frozen=True, slots=True)
class Table:
    """What some layers cost for every combination of a few decisions.

    Args:
        scope: indices of the decisions, ascending.
        amounts: one axis for each decision, of length options + 1; index 0 is "not part of the architecture",
            index i + 1 option i. `UNKNOWN` or `IMPOSSIBLE` where there is nothing to price.
    """

    scope: tuple[int, ...]
    amounts: NDArray[Any]

    def look_up(self, matrix: Matrix) -> NDArray[Any]:
        """The entry of each row of `matrix` (N, D): (N,)."""
        if not self.scope:
            return np.broadcast_to(self.amounts, (len(matrix),))
        place = np.zeros(len(matrix), np.int64)
        for decision, length in zip(self.scope, self.amounts.shape, strict=True):
            place *= length
            place += matrix[:, decision]
            place += 1
        return np.asarray(self.amounts.reshape(-1)[place])

    def look_up_one(self, row: Sequence[int]) -> int:
        """The entry of one row (D,), in plain numbers: for a single row numpy's calls cost ten times the work."""
        place = 0
        for decision, length in zip(self.scope, self.amounts.shape, strict=True):
            place = place * length + row[decision] + 1
        return int(self.amounts.item(place))


@dataclass(frozen=True, slots=True)
class CostTables:
    """One cost of a whole space: the sum of its tables' entries, or the largest of them."""

    name: str
    reduction: Literal["sum", "max"]
    tables: tuple[Table, ...]

    def price(self, matrix: Matrix) -> Amounts:
        """Cost of each row of `matrix` (N, D): (N,); `UNKNOWN` where there is no network."""
        if len(matrix) == 1:
            return np.array([self._price_one(matrix[0].tolist())], np.int64)
        total = np.zeros(len(matrix), np.int64)
        known = np.ones(len(matrix), bool)
        for table in self.tables:
            amounts = table.look_up(matrix)
            known &= amounts >= 0
            if self.reduction == "sum":
                total += amounts
            else:
                np.maximum(total, amounts, out=total)
        total[~known] = UNKNOWN
        return total

    def _price_one(self, row: Sequence[int]) -> int:
        amounts = [table.look_up_one(row) for table in self.tables]
        if min(amounts, default=0) < 0:
            return int(UNKNOWN)
        return sum(amounts) if self.reduction == "sum" else max(amounts, default=0)


def merge(tables: Iterable[Table], reduction: Literal["sum", "max"]) -> tuple[Table, ...]:
    """The same costs in fewer tables: axes that do not matter dropped, tables inside a larger scope added to it."""
    merged: dict[tuple[int, ...], NDArray[np.int64]] = {}
    for table in sorted(map(_without_idle_axes, tables), key=lambda t: (-len(t.scope), t.scope)):
        home = next((scope for scope in merged if set(table.scope) <= set(scope)), None)
        if home is None:
            merged[table.scope] = table.amounts.astype(np.int64)
            continue
        amounts = merged[home]
        axes = [home.index(decision) for decision in table.scope]
        shape = [1] * len(home)
        for axis, length in zip(axes, table.amounts.shape, strict=True):
            shape[axis] = length
        other = table.amounts.reshape(shape)
        both = amounts + other if reduction == "sum" else np.maximum(amounts, other)
        both = np.where((amounts == IMPOSSIBLE) | (other == IMPOSSIBLE), IMPOSSIBLE, both)
        merged[home] = np.where((amounts == UNKNOWN) | (other == UNKNOWN), UNKNOWN, both)
    return tuple(Table(scope, amounts) for scope, amounts in merged.items())


def _without_idle_axes(table: Table) -> Table:
    """Drop decisions along which all known entries agree."""
    scope, amounts = list(table.scope), table.amounts
    for axis in reversed(range(len(scope))):
        known = amounts != UNKNOWN
        lowest = np.where(known, amounts, np.iinfo(np.int64).max).min(axis=axis)
        highest = np.where(known, amounts, np.iinfo(np.int64).min).max(axis=axis)
        if np.all((lowest == highest) | ~known.any(axis=axis)):
            amounts = np.where(known.any(axis=axis), highest, UNKNOWN)
            del scope[axis]
    return Table(tuple(scope), amounts)


def activity_table(decisions: Sequence[Decision], index: int) -> Table | None:
    """Whether a decision is part of the architecture exactly when it should be; None if it always is.

    Raises:
        OverflowError: the decision depends on too many others to list every combination.
    """
    decision = decisions[index]
    if not decision.conditional:
        return None
    scope = tuple(sorted(decision.above | {index}))
    shape = tuple(len(decisions[i].options) + 1 for i in scope)
    if math.prod(shape) > LARGEST_TABLE:
        raise OverflowError(f"{decision.path} is decided at {len(scope) - 1} places")
    active = np.zeros(shape, bool)
    for site in decision.sites:
        picked = [np.ones(length, bool) for length in shape]
        for parent, taken in site:
            picked[scope.index(parent)] = np.isin(np.arange(-1, len(decisions[parent].options)), list(taken))
        active[np.ix_(*picked)] = True
    answered = np.arange(shape[scope.index(index)]) > 0
    along = [1] * len(scope)
    along[scope.index(index)] = -1
    return Table(scope, active == answered.reshape(along))


def relation_table(decisions: Sequence[Decision], relation: CompiledRelation) -> Table:
    """Whether each combination of the decisions that a relation names satisfies it.

    Raises:
        OverflowError: it names too many to list every combination.
    """
    scope = tuple(sorted(set(relation.columns)))
    shape = tuple(len(decisions[i].options) + 1 for i in scope)
    if math.prod(shape) > LARGEST_TABLE:
        raise OverflowError(f"a relation names {len(scope)} choices")
    rows = np.full((math.prod(shape), len(decisions)), -1, np.int16)
    rows[:, list(scope)] = np.indices(shape).reshape(len(scope), -1).T - 1
    return Table(scope, relation.holds_many(rows).reshape(shape))


def complete(decisions: Sequence[Decision], preferred: Sequence[Matrix], rng: np.random.Generator) -> Matrix:
    """A row of the space that takes each decision from the first of some rows to answer it, else at random.

    Args:
        preferred: rows (D,) of option indices; negative where a row has no answer.
    Returns: (D,) the row; -1 for decisions that are not part of it.
    """
    row = np.full(len(decisions), -1, np.int16)
    for index, decision in enumerate(decisions):
        if decision.is_active(row):
            answers = (given[index] for given in preferred)
            found = next((answer for answer in answers if answer >= 0), None)
            row[index] = rng.integers(len(decision.options)) if found is None else found
    return row


def combinations(
    decisions: Sequence[Decision], scope: Sequence[int], limit: int, given: Mapping[int, int] | None = None
) -> Matrix:
    """Every combination of the decisions in `scope` that some architecture has, relations left aside.

    Args:
        limit: how many combinations there may be.
        given: {decision: index of its option, or -1}: only combinations with these; all of them in `scope`.
    Returns: (K, D), one row for each combination, with what above the scope makes it possible filled in;
        -2 where a decision does not matter.
    Raises:
        OverflowError: there are more than `limit`.
    """
    needed = set(scope)
    for index in reversed(range(len(decisions))):
        if index in needed:
            needed |= decisions[index].above
    order = sorted(needed)
    rows = np.full((1, len(decisions)), -2, np.int16)
    for position, index in enumerate(order):
        decision = decisions[index]
        is_active = np.zeros(len(rows), bool)
        for site in decision.sites:
            holds = np.ones(len(rows), bool)
            for parent, taken in site:
                holds &= np.isin(rows[:, parent], list(taken))
            is_active |= holds
        on, off = rows[is_active], rows[~is_active]
        count = len(decision.options)
        if len(on) * count + len(off) > 50 * limit:
            raise OverflowError(f"more than {limit} combinations")
        on = np.repeat(on, count, axis=0)
        on[:, index] = np.tile(np.arange(count, dtype=np.int16), len(on) // count)
        off[:, index] = -1
        rows = np.concatenate([on, off])
        if given and index in given:
            rows = rows[rows[:, index] == given[index]]
        later = {parent for other in order[position + 1 :] for parent in decisions[other].above}
        keep = [i for i in order[: position + 1] if i in later or i in set(scope)]
        if keep:
            _, first = np.unique(rows[:, keep], axis=0, return_index=True)
            rows = rows[np.sort(first)]
        else:
            rows = rows[:1]
        if len(rows) > limit and set(keep) <= set(scope):
            raise OverflowError(f"more than {limit} combinations")
    return rows
