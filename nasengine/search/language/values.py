"""Values of a strategy that only the constructors they are meant for can judge: a tournament larger than its
population, a momentum of 1.5. The constructors are called, and what they refuse is said at the place it stands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence

from nasengine.algorithms import Algorithm
from nasengine.errors import InputError, Problem
from nasengine.evaluators.plan import evaluator_settings
from nasengine.objectives import Constraint, Objective
from nasengine.search.language.settings import Component, RetrainPhase, SearchPhase, Strategy
from nasengine.search.language.tables import built_tables
from nasengine.space import space_from_mapping
from nasengine.space.domain import Domain


def make_algorithm(
    phase: SearchPhase,
    domain: Domain,
    objectives: Sequence[Objective],
    seed: int,
    constraints: Sequence[Constraint] = (),
) -> Algorithm:
    """The phase's algorithm.

    Args:
        phase: whose algorithm is meant.
        domain, objectives, seed: as every algorithm takes them.
        constraints: of the search, for algorithms that have an argument of this name.

    Raises:
        InputError: it refuses its settings.
    """
    constructor = built_tables()["algorithm"][phase.algorithm.type]
    handed = {"constraints": tuple(constraints)} if "constraints" in inspect.signature(constructor).parameters else {}
    made: Algorithm = constructor(domain, objectives, seed=seed, **handed, **phase.algorithm.settings)
    return made


def check_values(strategy: Strategy) -> Iterator[Problem]:
    """What constructors refuse whatever the space."""
    for phase in strategy.phases:
        if isinstance(phase, SearchPhase):
            yield from check_algorithm(strategy, phase, _any_domain(phase.algorithm))
        if isinstance(phase, SearchPhase | RetrainPhase):
            yield from check_training(strategy, phase)


def check_algorithm(strategy: Strategy, phase: SearchPhase, domain: Domain) -> Iterator[Problem]:
    """What the algorithm of a phase refuses."""
    place = f"phases.{phase.name}.algorithm"
    return _refused(strategy, place, lambda: make_algorithm(phase, domain, strategy.objectives, seed=0))


def check_training(strategy: Strategy, phase: SearchPhase | RetrainPhase) -> Iterator[Problem]:
    """What the evaluator or the trainer of a phase refuses."""
    if isinstance(phase, RetrainPhase):
        yield from _refused(strategy, f"phases.{phase.name}", lambda: evaluator_settings(phase.trainer.plain()))
    elif phase.evaluator is not None:
        component = phase.evaluator.component
        yield from _refused(strategy, f"phases.{phase.name}.evaluator", lambda: evaluator_settings(component.plain()))


def _refused(strategy: Strategy, place: str, make: Callable[[], object]) -> Iterator[Problem]:
    try:
        make()
    except InputError as error:
        for problem in error.problems:
            yield strategy.problem(place, problem.message, problem.expected)


def _any_domain(algorithm: Component) -> Domain:
    """The domain of a space of two architectures, which knows whatever architectures the algorithm asks for by name."""
    names = algorithm.settings.get("known")
    known = {str(name): {"architecture": {"network.width": 1}} for name in names} if isinstance(names, list) else {}
    task = {"kind": "any", "input": [1, 1, 1]}
    network = {"type": "any", "width": {"choice": [1, 2]}}
    return Domain(space_from_mapping({"name": "any", "task": task, "network": network, "known": known}))
