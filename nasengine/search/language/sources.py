"""Where a phase takes weights or probabilities from, and what of it a strategy shows to be wrong whatever the space.

Whether they are there, of this space, and made without the images held out, is for `search/inheriting.py` and
`search/deriving.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nasengine.algorithms import Algorithm
from nasengine.errors import InputError, Problem
from nasengine.evaluators import EvaluatorSettings
from nasengine.evaluators.plan import evaluator_settings
from nasengine.evaluators.supernet import InheritedWeights
from nasengine.search.language.settings import PreparePhase, SearchPhase, Strategy
from nasengine.search.language.tables import built_tables
from nasengine.search.language.values import keeps_averages

CONDITION = "probability"  # what a phase may require of the probabilities that it reads


def check_sources(strategy: Strategy) -> Iterator[Problem]:
    """What is wrong with what the search phases of a strategy would read."""
    for phase in strategy.phases:
        if not isinstance(phase, SearchPhase):
            continue
        yield from check_probabilities(strategy, phase)
        try:
            evaluator = settings_of_evaluator(phase)
        except InputError:  # noted by who checks its settings
            continue
        if evaluator is not None:
            yield from check_weights(strategy, phase, evaluator)


def settings_of_evaluator(phase: SearchPhase) -> EvaluatorSettings | None:
    """What the evaluator of a phase says of itself; None where a phase has none.

    Raises:
        InputError: it refuses its settings.
    """
    return None if phase.evaluator is None else evaluator_settings(phase.evaluator.component.plain())


def reads_weights(phase: SearchPhase) -> bool:
    """Whether the evaluator of a phase scores with shared weights; one whose settings are wrong is noted elsewhere."""
    try:
        evaluator = settings_of_evaluator(phase)
    except InputError:
        return True
    return evaluator is not None and evaluator.needs_supernet


def inherits_from(strategy: Strategy, phase: SearchPhase) -> str | None:
    """The phase, or RUN/PHASE of another run, whose shared weights the candidates of a phase inherit."""
    if phase.evaluator is None:
        return None
    if phase.evaluator.start is not None:
        return phase.evaluator.start
    evaluator = settings_of_evaluator(phase)
    if evaluator is None or not evaluator.needs_supernet:
        return None
    return _named_or_prepared(strategy, phase)


def check_weights(strategy: Strategy, phase: SearchPhase, evaluator: EvaluatorSettings) -> Iterator[Problem]:
    """Keys that the evaluator can do nothing with, and weights that it cannot do without."""
    assert phase.evaluator is not None, "asked for"
    path, kind = f"phases.{phase.name}", phase.evaluator.component.type
    if phase.evaluator.start is not None and not evaluator.starts:
        message = f"the evaluator {kind!r} trains nothing that could start from weights"
        yield strategy.problem(f"{path}.evaluator.start", message, "expected the evaluator standalone, or no `start:`")
    if not evaluator.needs_supernet:
        return
    if phase.evaluator.budget is not None:
        message = f"the evaluator {kind!r} trains nothing, so a budget for a trial would change nothing"
        yield strategy.problem(
            f"{path}.evaluator.budget", message, "expected the length of the training in the prepare phase's `budget:`"
        )
    if phase.network:
        message = f"the evaluator {kind!r} runs the networks that were prepared, so `network:` would change nothing"
        yield strategy.problem(f"{path}.network", message, "expected it in the prepare phase")
    if len(phase.origins) > 1:
        message = f"the phase {phase.name!r} takes its weights from one place, not from {len(phase.origins)}"
        yield strategy.problem(f"{path}.from", message, "expected one prepare phase, or RUN/PHASE of another run")
    elif inherits_from(strategy, phase) is None:
        message = f"the evaluator {kind!r} scores with shared weights, but no phase before {phase.name!r} prepares any"
        yield strategy.problem(f"{path}.evaluator", message, "expected a prepare phase, or `from:` RUN/PHASE of a run")
    else:
        yield from _check_averages(strategy, phase, evaluator)


def no_averages(evaluator: EvaluatorSettings) -> Problem | None:
    """What to say where weights come without running averages of norms; None where nobody asks for these."""
    if not isinstance(evaluator, InheritedWeights) or evaluator.statistics != "running":
        return None
    found = "statistics is running, and several architectures in one masked pass leave no averages of norms"
    return Problem(found, expected="expected statistics: recalibrate, or several: views in the prepare phase")


def _check_averages(strategy: Strategy, phase: SearchPhase, evaluator: EvaluatorSettings) -> Iterator[Problem]:
    """Averages that are asked for are kept while the weights are trained."""
    problem, origin = no_averages(evaluator), inherits_from(strategy, phase)
    prepared = None if origin is None or "/" in origin else strategy.phase(origin)
    if problem is None or not isinstance(prepared, PreparePhase):
        return
    with contextlib.suppress(InputError):  # settings that are refused are noted elsewhere
        if not keeps_averages(prepared):
            place = f"phases.{phase.name}.evaluator.statistics"
            yield strategy.problem(place, problem.message, problem.expected)


def reads_probabilities(phase: SearchPhase) -> bool:
    """Whether the algorithm of a phase reads what a prepare phase has learned."""
    kind = built_tables()["algorithm"].get(phase.algorithm.type)
    return isinstance(kind, type) and issubclass(kind, Algorithm) and kind.reads_probabilities


def probabilities_from(strategy: Strategy, phase: SearchPhase) -> str | None:
    """The phase, or RUN/PHASE of another run, whose probabilities the algorithm of a phase reads."""
    return _named_or_prepared(strategy, phase) if reads_probabilities(phase) else None


def check_probabilities(strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    """What is wrong with what the algorithm of a phase would read, and with what is required of it."""
    path = f"phases.{phase.name}"
    if not reads_probabilities(phase):
        if phase.require:
            message = f"the algorithm {phase.algorithm.type!r} reads no artifact, so there is nothing to require"
            yield strategy.problem(f"{path}.require", message)
        return
    for name, value in phase.require.items():
        if name != CONDITION:
            yield strategy.problem(f"{path}.require", f"unknown condition {name!r}", f"expected `{CONDITION}: 0.99`")
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
            message = f"require.{CONDITION} is {value!r}"
            yield strategy.problem(f"{path}.require", message, "expected a number above 0, at most 1")
    if phase.scheduler is not None:
        message = f"the algorithm {phase.algorithm.type!r} has one candidate, so there is nothing to cut short"
        yield strategy.problem(f"{path}.scheduler", message, "expected no `scheduler:`")
    origin = probabilities_from(strategy, phase)
    if len(phase.origins) > 1:
        message = f"the phase {phase.name!r} takes its probabilities from one place, not from {len(phase.origins)}"
        yield strategy.problem(f"{path}.from", message, "expected one prepare phase, or RUN/PHASE of another run")
    elif origin is None:
        message = f"the algorithm {phase.algorithm.type!r} reads probabilities, but no phase before learns any"
        yield strategy.problem(f"{path}.algorithm", message, "expected a prepare phase with `trainer: relaxed`")
    elif "/" not in origin and not _leaves_probabilities(strategy, origin):
        message = f"the phase {origin!r} leaves no probabilities"
        yield strategy.problem(f"{path}.algorithm", message, "expected a prepare phase with `trainer: relaxed`")


def _named_or_prepared(strategy: Strategy, phase: SearchPhase) -> str | None:
    """What `from:` names, else the last prepare phase before."""
    if phase.origins:
        return phase.origins[0]
    before = strategy.phases[: strategy.phases.index(phase)]
    return next((other.name for other in reversed(before) if isinstance(other, PreparePhase)), None)


def _leaves_probabilities(strategy: Strategy, name: str) -> bool:
    phase = strategy.phase(name)
    if not isinstance(phase, PreparePhase):
        return False
    trainer = built_tables()["prepare trainer"][phase.trainer.type]
    return bool(getattr(trainer, "leaves_probabilities", False))
