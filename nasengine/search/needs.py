"""What the phases of a strategy need of a run: images, networks that can be built, costs counted beforehand.

An evaluator says what it needs and what it measures (`evaluators.EvaluatorSettings`). What it measures itself is not
counted; a cost that it does not measure is, and then the space must describe networks.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from nasengine.build import check_space as check_networks
from nasengine.build.network import refuse_what_has_no_network
from nasengine.costs import COSTS
from nasengine.errors import InputError
from nasengine.evaluators.plan import known_task
from nasengine.objectives import Constraint, Direction, Objective
from nasengine.search.language.settings import SearchPhase, Strategy
from nasengine.search.language.sources import settings_of_evaluator
from nasengine.space import SearchSpace


def needs_data(strategy: Strategy) -> bool:
    """Whether any phase looks at images: all do but a search whose evaluator needs none."""
    for phase in strategy.phases:
        evaluator = settings_of_evaluator(phase) if isinstance(phase, SearchPhase) else None
        if evaluator is None or evaluator.needs_data:
            return True
    return False


def merges_isomorphic(space: SearchSpace, phase: SearchPhase) -> bool:
    """Whether a phase measures architectures once that are one network written differently."""
    evaluator = settings_of_evaluator(phase)
    return space.has_cells and evaluator is not None and evaluator.merges_isomorphic


def metrics_of(space: SearchSpace, phase: SearchPhase) -> Mapping[str, Direction]:
    """What the evaluator of a phase measures.

    Raises:
        InputError: it refuses its settings, or they name what is not there.
    """
    evaluator = settings_of_evaluator(phase)
    return {} if evaluator is None else evaluator.metrics(space, known_task(space))


def counted_objectives(objectives: Sequence[Objective], metrics: Mapping[str, Direction]) -> list[str]:
    """The objectives that are counted beforehand: costs that the evaluator does not measure."""
    return [item.name for item in objectives if item.name in COSTS and item.name not in metrics]


def counted_constraints(
    space: SearchSpace, constraints: Sequence[Constraint], metrics: Mapping[str, Direction]
) -> list[Constraint]:
    """The bounds that are kept beforehand: those on costs, unless only the evaluator can tell what they are."""
    return [item for item in constraints if item.name in COSTS and (item.name not in metrics or has_networks(space))]


@functools.lru_cache(maxsize=8)
def has_networks(space: SearchSpace) -> bool:
    """Whether the space describes networks that can be built, so that their costs can be counted."""
    try:
        refuse_what_has_no_network(space)
    except InputError:
        return False
    return not check_networks(space)
