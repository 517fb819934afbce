"""Search phases that read their answer off probabilities a prepare phase has learned (`algorithm: derived`).

With an evaluator the one candidate is measured like any other and stands in the journal. Without, nothing is measured:
the phase leaves its architecture with costs and certainty in RUN/<phase>/architectures.jsonl, which a retrain phase
takes it from, and nothing in the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nasengine.algorithms import Algorithm
from nasengine.algorithms.probabilities import Probabilities
from nasengine.errors import InputError, NasEngineError, Problem, RunError
from nasengine.records import Architecture, canonical_json
from nasengine.runs import write_atomically
from nasengine.search.events import OnEvent, PhaseEnded, PhaseStarted
from nasengine.search.figures import number
from nasengine.search.language.settings import SearchPhase, Strategy
from nasengine.search.language.sources import CONDITION, check_probabilities, probabilities_from, reads_probabilities
from nasengine.space import SearchSpace


def probabilities_for(run: Path, space: SearchSpace, strategy: Strategy, phase: SearchPhase) -> Probabilities | None:
    """What the algorithm of a phase reads; None for one that reads nothing.

    Raises:
        RunError: there are no probabilities, or they are less certain than the phase requires.
        InputError: they are of another space.
    """
    if not reads_probabilities(phase):
        return None
    origin = probabilities_from(strategy, phase)
    assert origin is not None, "asked for before anything ran"
    folder = Path(origin) if "/" in origin else run / origin
    found = Probabilities.read(folder, space)
    least = phase.require.get(CONDITION)
    undecided = {} if least is None else found.below(float(least))
    if undecided:
        shown = ", ".join(f"{path} ({probability:.3g})" for path, probability in list(undecided.items())[:4])
        more = f" and {len(undecided) - 4} more" if len(undecided) > 4 else ""
        raise RunError(
            f"{folder.name} has not settled: {phase.name!r} requires a probability of {least}, and it is lower for "
            f"{shown}{more}; train longer, or require less"
        )
    return found


def derive(
    run: Path,
    phase: SearchPhase,
    algorithm: Algorithm,
    probabilities: Probabilities,
    price: Callable[[Architecture], Mapping[str, float]] | None,
    ranking: str,
    on_event: OnEvent,
) -> None:
    """Write down what the probabilities have settled on, unmeasured.

    Args:
        run: its folder.
        phase: has no evaluator.
        algorithm: asked once.
        probabilities: that it reads.
        price: what the architecture costs.
        ranking: name of the file.
        on_event: told of the phase.

    Raises:
        InputError: a constraint forbids it.
    """
    began = time.monotonic()
    on_event(PhaseStarted(phase.name, phase.kind))
    candidate = algorithm.ask(0)
    assert candidate is not None, "probabilities have a most probable architecture"
    architecture = candidate.architecture
    certainty = min(max(probabilities.of[path]) for path in architecture)
    measured = {CONDITION: certainty, **({} if price is None else price(architecture))}
    line = {"rank": 0, "trial": None, "architecture": architecture.to_json(), "measurements": measured}
    write_atomically(run / phase.name / ranking, canonical_json(line) + "\n")
    summary = f"derived, not measured; every option has a probability of at least {number(certainty)}"
    on_event(PhaseEnded(phase.name, time.monotonic() - began, summary))


def check_deriving(space: SearchSpace, strategy: Strategy, phase: SearchPhase) -> Iterator[Problem]:
    """What is wrong with what the algorithm of a phase would read, and with what is required of it."""
    yield from check_probabilities(strategy, phase)
    origin = probabilities_from(strategy, phase)
    if origin is not None and "/" in origin and len(phase.origins) == 1 and Path(origin).is_dir():
        yield from _check_folder(space, strategy, Path(origin), f"phases.{phase.name}.from")


def _check_folder(space: SearchSpace, strategy: Strategy, folder: Path, place: str) -> Iterator[Problem]:
    try:
        Probabilities.read(folder, space)
    except InputError as error:
        for problem in error.problems:
            yield strategy.problem(place, problem.message, problem.expected)
    except NasEngineError as error:
        yield strategy.problem(place, str(error), "expected RUN/PHASE of a prepare phase with `trainer: relaxed`")
