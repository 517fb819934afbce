"""The `known:` architectures of a space: whether they cost what the file says, and keep its constraints."""

from __future__ import annotations

from collections.abc import Iterator

from nasengine.costs.constraints import breaches
from nasengine.costs.pricing import Pricer
from nasengine.costs.records import COSTS
from nasengine.errors import BuildError, Problem, nearest, one_of
from nasengine.space import SearchSpace


def check_known(space: SearchSpace) -> list[Problem]:
    """What is wrong with the known architectures of a space whose types, shapes and constraints are right."""
    pricer = Pricer(space)
    return [problem for name in space.known for problem in _check_entry(space, name, pricer)]


def _check_entry(space: SearchSpace, name: str, pricer: Pricer) -> Iterator[Problem]:
    entry, known = space.tree.known[name], space.known[name]
    if not space.satisfies(known.architecture):
        yield Problem(f"known.{name} breaks the relations of the space", entry.mark)
    try:
        amounts = pricer.price(known.architecture).as_dict()
    except BuildError as error:
        yield Problem(f"known.{name} has no network that runs: {error}", entry.mark)
        return
    for cost, given in known.costs.items():
        mark = entry.cost_marks[cost]
        if cost not in COSTS:
            expected = f"expected {one_of(COSTS)}{nearest(cost, COSTS)}"
            yield Problem(f"unknown cost {cost!r} in known.{name}", mark, expected)
        elif amounts[cost] != given:
            expected = f"expected {amounts[cost]}, which its network costs"
            yield Problem(f"known.{name}.{cost} is {given:.15g}", mark, expected)
    for breach in breaches(space.constraints, pricer, known.architecture) if space.constraints else ():
        yield Problem(f"known.{name} breaks a constraint of the space: {breach}", entry.mark)
