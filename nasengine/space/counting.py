"""The size of a space: how many distinct architectures it has, exactly and mostly without listing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nasengine.errors import InputError, Problem
from nasengine.records import Architecture
from nasengine.space.decisions import Decision
from nasengine.space.encoding import Encoding
from nasengine.space.enumeration import enumerate_rows
from nasengine.space.factors import TooEntangledError, eliminate
from nasengine.space.model import Model
from nasengine.space.relations import CompiledRelation

MOST_LISTED = 1_000_000


def count_all(decisions: Sequence[Decision]) -> int:
    """The number of distinct architectures, relations not counted.

    Raises:
        InputError: too many choices decide together whether others are active.
    """
    try:
        return _count(decisions, ())
    except TooEntangledError:
        raise InputError(
            "the size of this space cannot be counted: too many choices decide together whether others are active"
        ) from None


def count_feasible(
    encoding: Encoding, relations: Sequence[CompiledRelation], accepts: Callable[[Architecture], bool] | None = None
) -> int:
    """The number of distinct architectures that satisfy the relations, and that `accepts` takes if it is given.

    Raises:
        InputError: it takes listing more than a million architectures.
    """
    try:
        total = _count(encoding.decisions, relations)
        if accepts is None:
            return total
    except TooEntangledError:
        total = count_all(encoding.decisions)
    if total > MOST_LISTED:
        raise InputError(
            Problem(
                f"the feasible size needs a list of {total:,} architectures",
                expected=f"expected at most {MOST_LISTED:,}; estimate the share that is feasible by sampling",
            )
        )
    rows = enumerate_rows(encoding, relations)
    return sum(1 for row in rows if accepts is None or accepts(encoding.architecture(row)))


def _count(decisions: Sequence[Decision], relations: Sequence[CompiledRelation]) -> int:
    matter = {parent for decision in decisions for parent in decision.above}
    matter.update(column for relation in relations for column in relation.columns)
    leaves = frozenset(range(len(decisions))) - matter
    model = Model(tuple(decisions), weighted=False, leaves=leaves)
    for relation in relations:
        model.add(relation)
    _, total = eliminate(model.sizes, model.ranks, model.factors, exact=True)
    return int(total)
