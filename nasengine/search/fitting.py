"""Does a strategy fit a space? Asked before anything runs: an impossible pair is refused with every reason.

What is checked: the space describes networks that can be built; each objective is measured by the evaluator or is a
cost, and points its way; constraints are on costs; the data set has the channels and classes of the task; the
`network:` of a phase changes only what is not searched; known architectures and earlier runs exist; and nothing is
asked for that this version cannot do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nasengine.build import check_space as check_networks
from nasengine.build.network import refuse_what_has_no_network
from nasengine.costs import COSTS, check_constraints, check_known
from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.evaluators import make_task
from nasengine.search.deriving import check_deriving
from nasengine.search.inheriting import check_inheriting
from nasengine.search.language.places import place_of
from nasengine.search.language.settings import Phase, PreparePhase, RetrainPhase, SearchPhase, Strategy
from nasengine.search.language.sources import reads_probabilities, reads_weights, settings_of_evaluator
from nasengine.search.language.values import check_algorithm, check_scheduler, check_training
from nasengine.search.needs import metrics_of
from nasengine.search.overriding import check_network
from nasengine.search.preparing import check_prepare
from nasengine.search.run_file import RunSettings
from nasengine.search.searching import all_constraints, make_domain
from nasengine.space import SearchSpace
from nasengine.space.problems import Problems

ENUMERABLE = 1_000_000


def check_fit(settings: RunSettings) -> None:
    """Refuse an impossible pair of space and strategy.

    Args:
        settings: of the run that would begin.

    Raises:
        InputError: with every reason.
    """
    space, strategy = settings.space, settings.strategy
    if any(_needs_network(space, strategy, phase) for phase in strategy.phases):
        refuse_what_has_no_network(space)
        problems = check_space(space)
    else:
        problems = check_constraints(space)
    if problems:
        raise InputError(problems)
    problems = list(_check_phases(space, strategy))
    for index, phase in enumerate(strategy.phases):
        if isinstance(phase, PreparePhase):
            problems += check_prepare(space, strategy, phase)
        problems += check_inheriting(space, strategy, phase, settings.data)
        if isinstance(phase, SearchPhase):
            problems += _check_held_out(strategy, phase)
            problems += _check_components(space, strategy, phase)
            problems += _check_objectives(space, strategy, phase)
            problems += _check_end(space, strategy, phase)
        if isinstance(phase, RetrainPhase):
            problems += _check_retrain(space, strategy, phase, strategy.phases[:index])
    if problems:
        raise InputError(list(dict.fromkeys(problems)))


def check_space(space: SearchSpace) -> list[Problem]:
    """Everything wrong with a space that can be said before a strategy is known; a proxy has no task to be right for.

    Its networks, the costs that its constraints name, its task, and then its known architectures, each at its mark.
    """
    if space.tree.root_key != "network":
        return []
    problems = Problems(space.tree.lines)
    problems.extend(check_networks(space))
    problems.extend(check_constraints(space))
    try:
        make_task(space)
    except InputError as error:
        problems.extend(error.problems)
    if not problems:
        problems.extend(check_known(space))
    return list(problems.found)


def _needs_network(space: SearchSpace, strategy: Strategy, phase: Phase) -> bool:
    """Whether a phase builds networks or counts what they cost; one whose settings are wrong is taken to."""
    if not isinstance(phase, SearchPhase):
        return True
    try:
        evaluator, metrics = settings_of_evaluator(phase), metrics_of(space, phase)
    except InputError:
        return True
    if evaluator is None or evaluator.needs_network:
        return True
    named = [item.name for item in strategy.objectives] + [item.name for item in all_constraints(space, strategy)]
    return any(name in COSTS and name not in metrics for name in named)


def _check_held_out(strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    try:
        evaluator = settings_of_evaluator(phase)
    except InputError:
        return
    if evaluator is None or not evaluator.needs_data:
        return
    if phase.data.validation == 0 and phase.data.held_out_per_class is None:
        yield strategy.problem(
            f"phases.{phase.name}.data" if f"phases.{phase.name}.data" in strategy.marks else "data.validation",
            f"the phase {phase.name!r} holds no images out, so nothing could compare its candidates",
            "expected data.validation above 0, such as 0.2",
        )


def _check_components(space: SearchSpace, strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    """Make the algorithm and the evaluator's settings, which refuse values that only they can judge."""
    try:
        domain = make_domain(space, phase, all_constraints(space, strategy))
    except InputError as error:
        place = f"objectives.{strategy.constraints[0].name}" if strategy.constraints else ""
        for problem in error.problems:
            yield strategy.problem(place, problem.message, problem.expected) if place else problem
        return
    yield from check_algorithm(strategy, phase, domain)
    yield from check_scheduler(strategy, phase)
    yield from check_training(strategy, phase)


def _check_objectives(space: SearchSpace, strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    if phase.evaluator is None:  # nothing is measured; objectives say what other phases are about
        return
    try:
        metrics = metrics_of(space, phase)
    except InputError as error:
        component = f"phases.{phase.name}.evaluator"
        for problem in error.problems:
            place = place_of(strategy, component, phase.evaluator.component.settings, problem.message)
            yield strategy.problem(place, problem.message, problem.expected)
        return
    known: dict[str, str] = {**{name: about.direction for name, about in COSTS.items()}, **metrics}
    evaluator = phase.evaluator.component.type if phase.evaluator else "none"
    for objective in strategy.objectives:
        path = f"objectives.{objective.name}"
        if objective.name not in known:
            yield strategy.problem(
                path,
                f"the objective {objective.name!r} is neither a cost nor measured by the evaluator {evaluator!r}",
                f"expected {one_of(known)}{nearest(objective.name, known)}",
            )
        elif objective.direction != known[objective.name]:
            yield strategy.problem(
                path,
                f"the objective {objective.name!r} is to {objective.direction}, but better is the other way",
                f"expected {objective.name}: {known[objective.name]}",
            )
    for constraint in strategy.constraints:
        if constraint.name not in known:
            yield strategy.problem(
                f"objectives.{constraint.name}",
                f"the constraint on {constraint.name!r} is on nothing that is counted or measured",
                f"expected {one_of(known)}{nearest(constraint.name, known)}",
            )


def _check_end(space: SearchSpace, strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    if phase.budget is None and space.size() > ENUMERABLE and not reads_probabilities(phase):
        yield strategy.problem(
            f"phases.{phase.name}",
            f"the phase {phase.name!r} has no budget, and {space.name} has {float(space.size()):.3g} architectures",
            "expected `budget:`, such as {trials: 100} or {hours: 2}",
        )


def _check_phases(space: SearchSpace, strategy: Strategy) -> Iterator[Problem]:
    for phase in strategy.phases:
        yield from check_network(space, strategy, phase)
        yield from _check_origins(strategy, phase)
        if isinstance(phase, SearchPhase):
            yield from check_deriving(space, strategy, phase)
            if phase.origins and not reads_weights(phase) and not reads_probabilities(phase):
                reads = f"the algorithm {phase.algorithm.type!r} reads no artifact"
                yield strategy.problem(f"phases.{phase.name}.from", f"{reads}, so `from` would change nothing")


def _check_origins(strategy: Strategy, phase: Phase) -> Iterator[Problem]:
    named = [("from", name) for name in phase.origins]
    if isinstance(phase, RetrainPhase) and phase.start is not None:
        named.append(("start", phase.start))
    if isinstance(phase, SearchPhase) and phase.evaluator is not None and phase.evaluator.start is not None:
        named.append(("evaluator.start", phase.evaluator.start))
    for key, name in named:
        if "/" in name and not Path(name).is_dir():
            path = f"phases.{phase.name}.{key}"
            yield strategy.problem(path, f"there is no folder {name!r}", "expected RUN/PHASE of another run")


def _check_retrain(
    space: SearchSpace, strategy: Strategy, phase: RetrainPhase, before: tuple[Phase, ...]
) -> Iterator[Problem]:
    path = f"phases.{phase.name}"
    if phase.when == "not_converged":
        message = "when: not_converged asks how a prepare phase ended, and none can run in this version"
        yield strategy.problem(f"{path}.when", message)
    if phase.quantization == "fake":
        message = f"{space.name} has no quantization rules that a training could follow"
        yield strategy.problem(f"{path}.quantization", message)
    if phase.budget is None:
        yield strategy.problem(path, f"the phase {phase.name!r} has no budget", "expected such as {epochs: 100}")
    if len(phase.origins) > 1:
        message = f"the phase {phase.name!r} takes its architectures from one place, not from {len(phase.origins)}"
        yield strategy.problem(f"{path}.from", message, "expected one phase, or RUN/PHASE of another run")
    if phase.origins and phase.architecture is not None:
        message = f"the phase {phase.name!r} names its architecture, so `from` would change nothing"
        yield strategy.problem(f"{path}.from", message, "expected one of them; weights are named by `start:`")
    yield from check_training(strategy, phase)
    yield from _check_architecture(space, strategy, phase, before)


def _check_architecture(
    space: SearchSpace, strategy: Strategy, phase: RetrainPhase, before: tuple[Phase, ...]
) -> Iterator[Problem]:
    path = f"phases.{phase.name}.architecture"
    wanted: Any = phase.architecture
    if isinstance(wanted, Mapping):
        try:
            space.architecture(wanted)
        except InputError as error:
            for problem in error.problems:
                yield strategy.problem(path, problem.message, problem.expected)
    elif isinstance(wanted, str) and wanted.startswith("known."):
        name = wanted.removeprefix("known.")
        if name not in space.known:
            expected = f"expected {one_of(space.known)}{nearest(name, space.known)}"
            yield strategy.problem(path, f"{space.name} knows no architecture {name!r}", expected)
    elif isinstance(wanted, str) and not any(isinstance(other, SearchPhase) for other in before):
        yield strategy.problem(path, f"{wanted} is a trial of a search, and no search phase stands before")
