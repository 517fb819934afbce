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
SMALL_TABLES = (LARGEST_TABLE, 4_096, 1)  # up to here tables count as equally good: see `_order`
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


NOTHING = Factor((), np.ones(()))  # stands where a factor was taken away, so that its memory is free


class TooEntangledError(Exception):
    """Some table would have more than `LARGEST_TABLE` entries; the callers know what to do instead."""


def eliminate(
    sizes: Sequence[int], ranks: Sequence[float], factors: Iterable[Factor], *, exact: bool
) -> tuple[list[Elimination], Any]:
    """Sum out every variable.

    Args:
        sizes: number of states of each variable.
        ranks: as far as tables stay small, variables of higher rank go first.
        factors: over the variables.
        exact: whole numbers of any size; otherwise double precision, each factor scaled to a largest entry of 1.

    Returns: (what was eliminated in order, the sum over all assignments; up to scale unless exact).

    Raises:
        TooEntangledError: a table would be too large.
    """
    total: Any = 1
    held: list[Factor] = []
    of: list[set[int]] = [set() for _ in sizes]

    def hold(factor: Factor) -> None:
        nonlocal total
        factor = factor if exact else _scaled(factor)
        if not factor.scope:
            total = total * factor.table.item()
            return
        for v in factor.scope:
            of[v].add(len(held))
        held.append(factor)

    for factor in factors:
        hold(without_fixed(factor, sizes))
    done = []
    for variable in _best_order(sizes, ranks, [factor.scope for factor in held]):
        numbers = sorted(of[variable])
        gathered = [held[number] for number in numbers]
        for number in numbers:
            for v in held[number].scope:
                of[v].discard(number)
            held[number] = NOTHING
        step, message = _summed_out(variable, gathered)
        done.append(step)
        hold(message)
    return done, total


def _summed_out(variable: int, factors: Sequence[Factor]) -> tuple[Elimination, Factor]:
    given = tuple(sorted({v for factor in factors for v in factor.scope} - {variable}))
    table = _spread(factors[0], (*given, variable))
    for factor in factors[1:]:
        table = table * _spread(factor, (*given, variable))
    return Elimination(variable, given, table), Factor(given, np.asarray(table.sum(axis=-1)))


def _scaled(factor: Factor) -> Factor:
    table = factor.table.astype(np.float64)
    largest = table.max()
    return Factor(factor.scope, table / largest) if largest > 0 else Factor(factor.scope, table)


def _best_order(sizes: Sequence[int], ranks: Sequence[float], scopes: Sequence[tuple[int, ...]]) -> list[int]:
    """Of a few orders, the one with the fewest entries in all; that of the ranks if it is nearly as good."""
    best: tuple[int, list[int]] | None = None
    for small in SMALL_TABLES:
        entries, largest, order = _order(sizes, ranks, scopes, small)
        if largest <= LARGEST_TABLE and (best is None or 4 * entries < best[0]):
            best = entries, order
    if best is None:
        raise TooEntangledError
    return best[1]


def _order(
    sizes: Sequence[int], ranks: Sequence[float], scopes: Sequence[tuple[int, ...]], small: int
) -> tuple[int, int, list[int]]:
    """An order of elimination: smallest table next, and the highest rank where no table is above `small` entries.

    Returns: (entries of all tables, of the largest table, the order).
    """
    neighbours: list[set[int]] = [set() for _ in sizes]
    for scope in scopes:
        for v in scope:
            neighbours[v].update(scope)

    def entries(v: int) -> int:
        scope = neighbours[v] | {v}
        return math.prod(sizes[u] for u in scope) if len(scope) <= MOST_AXES else LARGEST_TABLE + 1

    queue = [(max(entries(v), small), -ranks[v], v) for v, size in enumerate(sizes) if size > 1]
    heapq.heapify(queue)
    order: list[int] = []
    gone = [size == 1 for size in sizes]
    total = largest = 0
    while queue:
        cost, rank, variable = heapq.heappop(queue)
        if gone[variable]:
            continue
        now = entries(variable)
        if max(now, small) > cost:  # it has grown since; a cheaper entry of the same variable comes earlier
            heapq.heappush(queue, (max(now, small), rank, variable))
            continue
        gone[variable] = True
        order.append(variable)
        total, largest = total + now, max(largest, now)
        around = neighbours[variable] - {variable}
        for v in around:
            neighbours[v] |= around
            neighbours[v].discard(variable)
            heapq.heappush(queue, (max(entries(v), small), -ranks[v], v))
    return total, largest, order


def _spread(factor: Factor, scope: tuple[int, ...]) -> NDArray[Any]:
    """The factor's table with one axis for each variable of a larger scope, of length 1 where it does not matter."""
    places = [scope.index(v) for v in factor.scope]
    order = sorted(range(len(places)), key=places.__getitem__)
    shape = [1] * len(scope)
    for axis, place in enumerate(places):
        shape[place] = factor.table.shape[axis]
    return factor.table.transpose(order).reshape(shape)


def without_fixed(factor: Factor, sizes: Sequence[int]) -> Factor:
    """The factor without its variables of one state."""
    kept = [axis for axis, v in enumerate(factor.scope) if sizes[v] > 1]
    return Factor(
        tuple(factor.scope[axis] for axis in kept),
        factor.table.reshape([factor.table.shape[axis] for axis in kept]),
    )
