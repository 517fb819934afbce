"""A walk through the decisions of a space that needs to remember few of them at a time.

Tables over few decisions make a graph: decisions that share a table are neighbours. The walk takes one decision
after the other; a decision is forgotten as soon as every table it is in has been read. What must be remembered
at a moment is a *state*; a *transition* takes one more decision and reads the tables that became complete. Sums,
minima, maxima and histograms over all architectures are then sums, minima, … over the paths of the walk, found
by dynamic programming (variable elimination along a path: Dechter, "Bucket elimination", Artificial Intelligence
113, 1999). The order is found greedily, from several starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasengine.space.decisions import Decision
from nasengine.space.tables import CostTables, Table, activity_table

LARGEST_STEP = 4_000_000  # transitions of one step
STARTS = 12  # decisions tried as the first to be forgotten


@dataclass(frozen=True, slots=True)
class Step:
    """One decision of the walk.

    Args:
        decision: its index in the space.
        states: how many states there are after it.
        source: (T,) state before, of each transition.
        target: (T,) state after, ascending.
        option: (T,) option taken, -1 for none.
        weight: (T,) sampling weight of that option.
        cost: (T,) sum (or largest) of the entries read.
    """

    decision: int
    states: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    option: NDArray[np.int16]
    weight: NDArray[np.float64]
    cost: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Walk:
    """Every architecture of a space as a path; the first and last moment have one state."""

    costs: CostTables
    steps: tuple[Step, ...]
    width: int

    @property
    def empty(self) -> bool:
        """Whether no architecture satisfies the relations and has a price."""
        return not len(self.steps[-1].target) if self.steps else bool(self._price_of_the_only_one() < 0)

    def _price_of_the_only_one(self) -> int:
        """What the architecture of a space without choices costs."""
        return int(self.costs.price(np.empty((1, 0), np.int16))[0])

    def extreme(self, *, largest: bool) -> tuple[int, NDArray[np.int16]]:
        """The smallest (or largest) cost of all architectures, of which there are some, and one that has it: (D,)."""
        assert not self.empty
        if not self.steps:
            return self._price_of_the_only_one(), np.empty(0, np.int16)
        sign = -1 if largest else 1
        worst = np.iinfo(np.int64).max
        best = np.zeros(1, np.int64) if self.costs.reduction == "sum" else np.zeros(1, np.int64) * sign
        taken = []
        for step in self.steps:
            if self.costs.reduction == "sum":
                reached = best[step.source] + sign * step.cost
            else:
                reached = sign * np.maximum(sign * best[step.source], step.cost)
            order = np.lexsort((reached, step.target))
            _, first = np.unique(step.target[order], return_index=True)
            chosen = order[first]
            best = np.full(step.states, worst)
            best[step.target[chosen]] = reached[chosen]
            taken.append(chosen)
        row = np.full(self.width, -1, np.int16)
        state = 0
        for step, chosen in zip(reversed(self.steps), reversed(taken), strict=True):
            transition = chosen[state]
            row[step.decision] = step.option[transition]
            state = int(step.source[transition])
        return int(sign * best[0]), row


def walk(decisions: Sequence[Decision], costs: CostTables, relations: Iterable[Table] = ()) -> Walk:
    """Lay the walk of a space for one of its costs.

    Args:
        relations: tables of booleans: False where a combination breaks a relation.
    Raises:
        OverflowError: so many decisions hang together that the walk cannot be laid.
    """
    conditions = [*relations]
    for index in range(len(decisions)):
        table = activity_table(decisions, index)
        if table is not None:
            conditions.append(table)
        else:
            conditions.append(Table((index,), np.arange(len(decisions[index].options) + 1) > 0))
    order = _order([len(d.options) + 1 for d in decisions], [t.scope for t in (*conditions, *costs.tables)])
    pending: list[Table] = [*conditions, *costs.tables]
    remembered: list[int] = []
    states = np.zeros((1, 0), np.int16)
    steps = []
    for index in order:
        decision = decisions[index]
        columns = [*remembered, index]
        complete = [table for table in pending if set(table.scope) <= set(columns)]
        pending = [table for table in pending if not set(table.scope) <= set(columns)]
        step, remembered, states = _step(index, decision, columns, states, complete, pending, costs.reduction)
        steps.append(step)
    return Walk(costs, tuple(steps), len(decisions))


def _step(
    index: int,
    decision: Decision,
    columns: list[int],
    states: NDArray[np.int16],
    complete: Sequence[Table],
    pending: Sequence[Table],
    reduction: str,
) -> tuple[Step, list[int], NDArray[np.int16]]:
    options = np.arange(-1, len(decision.options), dtype=np.int16)
    if len(states) * len(options) > LARGEST_STEP:
        raise OverflowError(f"{len(states)} combinations to remember at {decision.path}")
    source = np.repeat(np.arange(len(states)), len(options))
    option = np.tile(options, len(states))
    rows = np.column_stack([states[source], option])
    place = {column: position for position, column in enumerate(columns)}
    possible = np.ones(len(rows), bool)
    cost = np.zeros(len(rows), np.int64)
    for table in complete:
        entries = Table(tuple(place[i] for i in table.scope), table.amounts).look_up(rows)
        if entries.dtype == np.bool_:
            possible &= entries
        else:
            possible &= entries >= 0
            cost = cost + entries if reduction == "sum" else np.maximum(cost, entries)
    source, option, rows, cost = source[possible], option[possible], rows[possible], cost[possible]
    needed = {i for table in pending for i in table.scope}
    kept = [column for column in columns if column in needed]
    after, target = _distinct(rows[:, [place[column] for column in kept]])
    sort = np.argsort(target, kind="stable")
    weights = np.array([1.0, *decision.weights])
    step = Step(index, len(after), source[sort], target[sort], option[sort], weights[option[sort] + 1], cost[sort])
    return step, kept, after


def _distinct(rows: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    if rows.shape[1] == 0 or len(rows) == 0:
        return rows[:1], np.zeros(len(rows), np.int64)
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    return distinct, inverse.reshape(-1).astype(np.int64)


def _order(lengths: Sequence[int], scopes: Sequence[tuple[int, ...]]) -> list[int]:
    """Every decision once; of several greedy orders, the one with the fewest combinations to go through."""
    neighbours: list[set[int]] = [{index} for index in range(len(lengths))]
    for scope in scopes:
        for index in scope:
            neighbours[index] |= set(scope)
    sizes = [math.log(length) for length in lengths]
    by_degree = sorted(range(len(lengths)), key=lambda i: sum(sizes[j] for j in neighbours[i]))
    starts = by_degree[:STARTS]
    return min((_greedy(start, sizes, neighbours) for start in starts), key=lambda found: found[0], default=(0.0, []))[
        1
    ]


def _greedy(start: int, sizes: Sequence[float], neighbours: Sequence[set[int]]) -> tuple[float, list[int]]:
    """Forget one decision after the other, each time whichever leaves least to remember; first of all `start`.

    Returns: about how many combinations the order goes through, and the order in which decisions are taken.
    """
    waiting = set(range(len(sizes)))
    remembered: set[int] = set()
    order: list[int] = []
    combinations = 0.0
    while waiting or remembered:
        best: tuple[float, float, int] | None = None
        for index in [start] if not order else sorted(waiting | remembered):
            now = remembered | neighbours[index]
            outside = waiting - now
            after = sum(sizes[i] for i in now if i in waiting | remembered and not neighbours[i].isdisjoint(outside))
            key = (after, sum(sizes[i] for i in now), index)
            if best is None or key < best:
                best = key
        assert best is not None
        for index in sorted(neighbours[best[2]] & waiting, key=lambda i: (i == best[2], i)):
            order.append(index)
            waiting.discard(index)
            remembered.add(index)
            combinations += math.exp(min(600.0, sum(sizes[i] for i in remembered)))
            remembered = {i for i in remembered if not neighbours[i].isdisjoint(waiting)}
        remembered.discard(best[2])
    return combinations, order
