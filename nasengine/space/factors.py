"""Exact sums over all architectures: variables, factors between a few of them, and their elimination one by one.

A factor is a table of weights over the states of some variables; an assignment weighs the product of its entries.
Eliminating a variable multiplies the factors that hold it and sums it out, which leaves one factor over its
neighbours; after the last variable the total is left. Kept in order, the products are also a sampler: going back,
each variable is drawn from its table at the states of those neighbours (Dechter, "Bucket elimination", Artificial
Intelligence 113, 1999). Spaces are nearly trees, so that tables stay small.

Architectures are counted in whole numbers without bound (tables of dtype object), and weighed in logarithms: the
branches of one space can differ by more orders of magnitude than a float has.
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
        table: number or log weight of each state (last axis) at each combination of states of `given`.
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
        exact: whether tables hold whole numbers; otherwise they hold the logarithms of weights.

    Returns: (what was eliminated in order, the sum over all assignments or its logarithm).

    Raises:
        TooEntangledError: a table would be too large.
    """
    total: Any = 1 if exact else 0.0
    held: list[Factor] = []
    of: list[set[int]] = [set() for _ in sizes]

    def hold(factor: Factor) -> None:
        nonlocal total
        if not factor.scope:
            total = total * factor.table.item() if exact else total + factor.table.item()
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
        step, message = _summed_out(variable, gathered, exact)
        done.append(step)
        hold(message)
    return done, total


def _summed_out(variable: int, factors: Sequence[Factor], exact: bool) -> tuple[Elimination, Factor]:
    given = tuple(sorted({v for factor in factors for v in factor.scope} - {variable}))
    table = _spread(factors[0], (*given, variable))
    for factor in factors[1:]:
        spread = _spread(factor, (*given, variable))
        table = table * spread if exact else table + spread
    message = table.sum(axis=-1) if exact else log_of_sum(table)
    return Elimination(variable, given, table), Factor(given, np.asarray(message))


def log_of_sum(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the sum over the last axis of what has these logarithms."""
    largest = table.max(axis=-1)
    base = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        summed: NDArray[np.float64] = np.log(np.exp(table - base[..., None]).sum(axis=-1)) + base
    return summed


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
        if len(neighbours[v]) > MOST_AXES:
            return LARGEST_TABLE + 1
        return math.prod(sizes[u] for u in neighbours[v] | {v})

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
