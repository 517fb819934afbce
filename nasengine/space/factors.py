"""Exact sums over all architectures: variables, factors between a few of them, and their elimination one by one.

A factor is a table of weights over the states of some variables; an assignment weighs the product of its entries.
Eliminating a variable multiplies the factors that hold it and sums it out, which leaves one factor over its
neighbours; after the last variable the total is left. Kept in order, the products are also a sampler: going back,
each variable is drawn from its table at the states of those neighbours (Dechter, "Bucket elimination", Artificial
Intelligence 113, 1999). Spaces are nearly trees, so that tables stay small.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_TABLE = 1_000_000  # entries
SMALL_TABLE = 4_096  # up to here the order of elimination follows the ranks, so that parents are drawn first
MOST_AXES = 60


@dataclass(frozen=True, slots=True)
class Factor:
    """A table with one axis for each variable of `scope`."""

    scope: tuple[int, ...]
    table: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Elimination:
    """One variable summed out.

    Args:
        variable: which.
        given: the variables its table depends on; all are eliminated later.
        table: weight of each state (last axis) at each combination of states of `given`.
    """

    variable: int
    given: tuple[int, ...]
    table: NDArray[Any]


class TooEntangledError(Exception):
    """Some table would have more than `LARGEST_TABLE` entries; the callers know what to do instead."""


def eliminate(
    sizes: Sequence[int], ranks: Sequence[float], factors: Iterable[Factor], *, exact: bool
) -> tuple[list[Elimination], Any]:
    """Sum out every variable.

    Args:
        sizes: number of states of each variable.
        ranks: where tables are small, variables of higher rank go first.
        factors: over the variables.
        exact: whole numbers of any size; otherwise double precision, each factor scaled to a largest entry of 1.

    Returns: (what was eliminated in order, the sum over all assignments; up to scale unless exact).

    Raises:
        TooEntangledError: a table would be too large.
    """
    held = _Held(sizes)
    for factor in factors:
        held.add(_without_fixed(factor, sizes), exact)
    queue = [(held.cost(v), -ranks[v], v) for v, size in enumerate(sizes) if size > 1]
    heapq.heapify(queue)
    done: list[Elimination] = []
    gone: set[int] = set()
    while queue:
        cost, rank, variable = heapq.heappop(queue)
        if variable in gone:
            continue
        now = held.cost(variable)
        if now > cost:
            heapq.heappush(queue, (now, rank, variable))
            continue
        if now > LARGEST_TABLE:
            raise TooEntangledError
        gone.add(variable)
        step, message = held.remove(variable)
        done.append(step)
        held.add(message, exact)
        for neighbour in step.given:
            heapq.heappush(queue, (held.cost(neighbour), -ranks[neighbour], neighbour))
    return done, held.total


class _Held:
    """The factors that are left."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.total: Any = 1
        self._factors: dict[int, Factor] = {}
        self._of: list[set[int]] = [set() for _ in sizes]
        self._next = 0

    def add(self, factor: Factor, exact: bool) -> None:
        table = factor.table
        if not exact:
            table = table.astype(np.float64)
            largest = table.max()
            table = table / largest if largest > 0 else table
        if not factor.scope:
            self.total = self.total * table.item()
            return
        self._factors[self._next] = Factor(factor.scope, table)
        for variable in factor.scope:
            self._of[variable].add(self._next)
        self._next += 1

    def scope(self, variable: int) -> set[int]:
        return {other for factor in self._of[variable] for other in self._factors[factor].scope} | {variable}

    def cost(self, variable: int) -> int:
        """Entries of the table that eliminating the variable needs; all small tables are equally good."""
        scope = self.scope(variable)
        entries = math.prod(self.sizes[v] for v in scope)
        return max(entries, SMALL_TABLE) if len(scope) <= MOST_AXES else LARGEST_TABLE + 1

    def remove(self, variable: int) -> tuple[Elimination, Factor]:
        given = tuple(sorted(self.scope(variable) - {variable}))
        scope = (*given, variable)
        table: NDArray[Any] = np.ones([self.sizes[v] for v in scope], dtype=np.int64).astype(object)
        numbers = sorted(self._of[variable])
        factors = [self._factors.pop(number) for number in numbers]
        if all(factor.table.dtype != object for factor in factors):
            table = table.astype(np.float64)
        for number, factor in zip(numbers, factors, strict=True):
            for v in factor.scope:
                self._of[v].discard(number)
            table = table * _spread(factor, scope)
        return Elimination(variable, given, table), Factor(given, np.asarray(table.sum(axis=-1)))


def _spread(factor: Factor, scope: tuple[int, ...]) -> NDArray[Any]:
    """The factor's table with one axis for each variable of a larger scope, of length 1 where it does not matter."""
    places = [scope.index(v) for v in factor.scope]
    order = sorted(range(len(places)), key=places.__getitem__)
    shape = [1] * len(scope)
    for axis, place in enumerate(places):
        shape[place] = factor.table.shape[axis]
    return factor.table.transpose(order).reshape(shape)


def _without_fixed(factor: Factor, sizes: Sequence[int]) -> Factor:
    """The factor without its variables of one state."""
    kept = [axis for axis, v in enumerate(factor.scope) if sizes[v] > 1]
    return Factor(
        tuple(factor.scope[axis] for axis in kept),
        factor.table.reshape([factor.table.shape[axis] for axis in kept]),
    )
