"""Values of a strategy that only the constructors they are meant for can judge: a tournament larger than its
population, a momentum of 1.5. The constructors are called, and what they refuse is said at the place it stands.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from nasengine.algorithms import Algorithm, RandomSearch
from nasengine.algorithms.probabilities import Probabilities
from nasengine.algorithms.schedulers import Scheduler
from nasengine.algorithms.supernet_samplers import SupernetSampler, make_sampler
from nasengine.errors import InputError, Problem
from nasengine.evaluators.plan import evaluator_settings
from nasengine.objectives import Constraint, Objective
from nasengine.preparation import PreparationSettings
from nasengine.preparation.settings import SharedWeights
from nasengine.search.language.places import place_of
from nasengine.search.language.settings import Component, Plain, PreparePhase, RetrainPhase, SearchPhase, Strategy
from nasengine.search.language.tables import built_tables
from nasengine.space import space_from_mapping
from nasengine.space.domain import Domain


def make_algorithm(
    phase: SearchPhase,
    domain: Domain,
    objectives: Sequence[Objective],
    seed: int,
    constraints: Sequence[Constraint] = (),
    probabilities: Probabilities | None = None,
) -> Algorithm:
    """The phase's algorithm, without its scheduler.

    Args:
        phase: whose algorithm is meant.
        domain, objectives, seed: as every algorithm takes them.
        constraints, probabilities: for algorithms that have an argument of this name.

    Raises:
        InputError: it refuses its settings.
    """
    constructor = built_tables()["algorithm"][phase.algorithm.type]
    known = {"constraints": tuple(constraints), "probabilities": probabilities}
    wanted = inspect.signature(constructor).parameters
    handed = {name: value for name, value in known.items() if name in wanted}
    made: Algorithm = constructor(domain, objectives, seed=seed, **handed, **phase.algorithm.settings)
    return made


def make_scheduler(phase: SearchPhase, source: Algorithm) -> Scheduler:
    """The phase's scheduler, which it must have; it takes its architectures from `source`.

    Raises:
        InputError: it refuses its settings, or cannot divide the budget of a trial.
    """
    assert phase.scheduler is not None, "asked for a phase that has one"
    assert phase.evaluator is not None, "a scheduler needs an evaluator, and that was checked"
    budget = phase.evaluator.budget.amounts if phase.evaluator.budget else {}
    constructor = built_tables()["scheduler"][phase.scheduler.type]
    made: Scheduler = constructor(source, budget=budget, **phase.scheduler.settings)
    return made


def make_trainer(phase: PreparePhase) -> PreparationSettings:
    """The settings of a phase's trainer.

    Raises:
        InputError: it refuses them.
    """
    made: PreparationSettings = built_tables()["prepare trainer"][phase.trainer.type](**phase.trainer.settings)
    return made


def check_values(strategy: Strategy) -> Iterator[Problem]:
    """What constructors refuse whatever the space."""
    for phase in strategy.phases:
        if isinstance(phase, SearchPhase):
            yield from check_algorithm(strategy, phase, _any_domain(phase.algorithm))
            yield from check_scheduler(strategy, phase)
        if isinstance(phase, SearchPhase | RetrainPhase):
            yield from check_training(strategy, phase)
        if isinstance(phase, PreparePhase):
            yield from _check_preparation(strategy, phase)


def check_algorithm(strategy: Strategy, phase: SearchPhase, domain: Domain) -> Iterator[Problem]:
    """What the algorithm of a phase refuses."""
    place = f"phases.{phase.name}.algorithm"
    settings = phase.algorithm.settings
    return _refused(strategy, place, settings, lambda: make_algorithm(phase, domain, strategy.objectives, seed=0))


def check_scheduler(strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    """What the scheduler of a phase refuses: its settings, an evaluator that trains nothing or cannot stop early."""
    if phase.scheduler is None:
        return
    place, name = f"phases.{phase.name}.scheduler", phase.scheduler.type
    if phase.evaluator is None:
        yield strategy.problem(place, f"the scheduler {name!r} has nothing measured that it could cut short")
        return
    evaluator = phase.evaluator.component
    if phase.evaluator.budget is None:
        message = f"the scheduler {name!r} divides the budget of a trial, and the evaluator {evaluator.type!r} has none"
        yield strategy.problem(place, message, "expected `budget:` with the evaluator, such as {epochs: 27}")
        return
    with contextlib.suppress(InputError):  # settings that the evaluator refuses are noted elsewhere
        if not evaluator_settings(evaluator.plain()).splits_budget:
            message = f"the evaluator {evaluator.type!r} measures under its whole budget only"
            yield strategy.problem(
                place, message, f"expected no `scheduler:`, or another evaluator than {evaluator.type}"
            )
    source = RandomSearch(_any_domain(Component("random_search")), strategy.objectives)
    yield from _refused(strategy, place, phase.scheduler.settings, lambda: make_scheduler(phase, source))


def check_training(strategy: Strategy, phase: SearchPhase | RetrainPhase) -> Iterator[Problem]:
    """What the evaluator or the trainer of a phase refuses."""
    if isinstance(phase, RetrainPhase):
        component, place = phase.trainer, f"phases.{phase.name}"
    elif phase.evaluator is not None:
        component, place = phase.evaluator.component, f"phases.{phase.name}.evaluator"
    else:
        return
    yield from _refused(strategy, place, component.settings, lambda: evaluator_settings(component.plain()))


def keeps_averages(phase: PreparePhase) -> bool:
    """Whether training keeps running averages of norms: masked passes, wherever they are the faster ones, keep none.

    Raises:
        InputError: the trainer or the sampler refuses its settings.
    """
    trainer = make_trainer(phase)
    if not isinstance(trainer, SharedWeights) or trainer.several == "views" or trainer.norms == "own":
        return True
    sampler = _any_sampler(phase)
    return sampler is None or sampler.in_one_pass == 1


def _check_preparation(strategy: Strategy, phase: PreparePhase) -> Iterator[Problem]:
    """What the trainer and the sampler of a phase refuse."""
    place, settings = f"phases.{phase.name}", phase.trainer.settings
    refused = list(_refused(strategy, place, settings, lambda: make_trainer(phase)))
    sampler = settings.get("sampler")
    arguments = sampler if isinstance(sampler, Mapping) else {}
    refused += _refused(strategy, f"{place}.sampler", arguments, lambda: _any_sampler(phase))
    yield from refused
    trainer = None if refused else make_trainer(phase)
    made = _any_sampler(phase) if isinstance(trainer, SharedWeights) else None
    if isinstance(trainer, SharedWeights) and made is not None:
        yield from _refused(strategy, place, settings, partial(trainer.check_passes, made, phase.data.batch))


def _any_sampler(phase: PreparePhase) -> SupernetSampler | None:
    """The sampler of a phase for a space of two architectures; None where none is named."""
    sampler = phase.trainer.settings.get("sampler")
    if sampler is None:
        return None
    component = {"type": sampler} if isinstance(sampler, str) else dict(sampler)
    constructor = built_tables()["sampler"][component.pop("type")]
    domain = _any_domain(Component(phase.trainer.type))
    smallest, largest = (domain.space.architecture({"network.width": width}) for width in (1, 2))
    return make_sampler(constructor, component, domain=domain, largest=largest, smallest=smallest)


def _refused(
    strategy: Strategy, place: str, settings: Mapping[str, Plain], make: Callable[[], object]
) -> Iterator[Problem]:
    try:
        make()
    except InputError as error:
        for problem in error.problems:
            where = place_of(strategy, place, settings, problem.message)
            yield strategy.problem(where, problem.message, problem.expected)


def _any_domain(algorithm: Component) -> Domain:
    """The domain of a space of two architectures, which knows whatever architectures the algorithm asks for by name."""
    names = algorithm.settings.get("known")
    known = {str(name): {"architecture": {"network.width": 1}} for name in names} if isinstance(names, list) else {}
    task = {"kind": "any", "input": [1, 1, 1]}
    network = {"type": "any", "width": {"choice": [1, 2]}}
    return Domain(space_from_mapping({"name": "any", "task": task, "network": network, "known": known}))
