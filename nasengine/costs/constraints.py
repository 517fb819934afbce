"""The constraints of a space: bounds on costs, priced before anything is trained."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasengine.costs.pricing import Pricer
from nasengine.costs.records import COSTS
from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.holes import Bound
from nasengine.space.problems import Problems
from nasengine.space.tables import Matrix

LARGEST_COUNT = 5_000_000  # architectures that feasible_size goes through
CHUNK = 20_000


def check_constraints(space: SearchSpace) -> list[Problem]:
    """What is wrong with the `constraints:` of a space, each with its place and the nearest name."""
    problems = Problems(space.tree.lines)
    for bound in space.constraints:
        if bound.cost not in COSTS:
            expected = f"expected {one_of(COSTS)}{nearest(bound.cost, COSTS)}"
            problems.add(f"unknown cost {bound.cost!r} in constraints", bound.mark, expected)
    return list(problems.found)


def breaches(constraints: Sequence[Bound], pricer: Pricer, architecture: Architecture) -> list[str]:
    """Which constraints an architecture breaks, in words: "macs 5,100,000 above 4,000,000"."""
    amounts = pricer.price(architecture).as_dict()
    found = []
    for bound in constraints:
        amount = amounts[bound.cost]
        if bound.low is not None and amount < bound.low:
            found.append(f"{bound.cost} {amount:,} below {_written(bound.low)}")
        if bound.high is not None and amount > bound.high:
            found.append(f"{bound.cost} {amount:,} above {_written(bound.high)}")
    return found


def _written(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:,}"


def feasible(space: SearchSpace, pricer: Pricer, rows: Matrix) -> NDArray[np.bool_]:
    """(N,) which of (N, D) encoded architectures satisfy the constraints of the space.

    Raises:
        InputError: a constraint on a cost that does not exist.
    """
    _refuse_unknown(space)
    inside = np.ones(len(rows), bool)
    if space.constraints:
        amounts = pricer.price_encoded(rows, tuple({bound.cost for bound in space.constraints}))
        for bound in space.constraints:
            if bound.low is not None:
                inside &= amounts[bound.cost] >= bound.low
            if bound.high is not None:
                inside &= amounts[bound.cost] <= bound.high
    return inside


def feasible_size(space: SearchSpace, pricer: Pricer) -> int:
    """How many architectures satisfy relations and constraints, by going through all of them.

    Raises:
        InputError: a constraint on a cost that does not exist, or too many architectures to go through.
    """
    _refuse_unknown(space)
    if not space.constraints:
        return space.size(feasible=True)
    if space.size() > LARGEST_COUNT:
        raise InputError(
            f"{space.name} has {space.size():,} architectures, too many to price each "
            f"(at most {LARGEST_COUNT:,}); draw some inside the constraints instead"
        )
    architectures = iter(space.enumerate())
    total = 0
    while chunk := list(itertools.islice(architectures, CHUNK)):
        total += int(feasible(space, pricer, space.encode_many(chunk)).sum())
    return total


def _refuse_unknown(space: SearchSpace) -> None:
    problems = check_constraints(space)
    if problems:
        raise InputError(problems)
