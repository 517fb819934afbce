"""Weights of a supernet that a later phase uses: where they lie, and whether it may use them.

A search phase whose evaluator scores with inherited weights takes those of the prepare phase before it, or of the one
that its `from:` names. Stand-alone trainings, in a search or a retrain phase, start from the one that `start:` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasengine.errors import InputError, NasEngineError, Problem, RunError
from nasengine.search.language.settings import Phase, PreparePhase, RetrainPhase, SearchPhase, Strategy
from nasengine.search.language.sources import check_weights, inherits_from, no_averages, settings_of_evaluator
from nasengine.search.run_file import NAME as RUN_FILE
from nasengine.search.run_file import read_run_file
from nasengine.space import SearchSpace
from nasengine.supernet.artifact import ABOUT, SupernetArtifact

SPLIT = ("validation", "held_out_per_class", "limit", "seed")  # of the data settings: which images are trained on


def artifact_folder(run: Path, strategy: Strategy, phase: SearchPhase) -> Path | None:
    """Where the supernet lies whose weights the candidates of a phase inherit; None where they inherit none."""
    origin = inherits_from(strategy, phase)
    if origin is None:
        return None
    return (Path(origin) if "/" in origin else run / origin).resolve()


def holds_supernet(folder: Path) -> bool:
    """Whether a phase has left shared weights here."""
    return (folder / ABOUT).is_file()


def check_inheriting(space: SearchSpace, strategy: Strategy, phase: Phase, data: str | None) -> Iterator[Problem]:
    """What is wrong with the weights that a phase would use.

    Args:
        space: that is searched.
        strategy, phase: one of its phases.
        data: name of the run's data set.
    """
    if isinstance(phase, RetrainPhase):
        yield from _check_retrain(space, strategy, phase)
        return
    if not isinstance(phase, SearchPhase) or phase.evaluator is None:
        return
    try:
        evaluator = settings_of_evaluator(phase)
    except InputError:  # noted by who checks its settings
        return
    if evaluator is None:
        return
    refused = list(check_weights(strategy, phase, evaluator))
    yield from refused
    origin = None if refused else inherits_from(strategy, phase)
    if origin is not None:
        place = f"phases.{phase.name}." + ("from" if phase.evaluator.start is None else "evaluator.start")
        yield from _check_origin(space, strategy, phase, origin, place, data)
        missing = no_averages(evaluator)
        if missing is not None and "/" in origin and trained_by_masks(Path(origin)):
            yield strategy.problem(f"phases.{phase.name}.evaluator.statistics", missing.message, missing.expected)


def trained_by_masks(folder: Path) -> bool:
    """Whether the shared weights in a folder were trained several architectures in a pass, by masks."""
    try:
        return SupernetArtifact.read(folder).about.get("several") == "masks"
    except NasEngineError:  # noted by who checks the folder
        return False


def _check_origin(
    space: SearchSpace, strategy: Strategy, phase: SearchPhase, origin: str, place: str, data: str | None
) -> Iterator[Problem]:
    """The weights that candidates inherit are there, of this space, and were made without the images held out here."""
    if "/" in origin:
        yield from _check_folder(space, strategy, Path(origin), place)
        try:
            theirs = _split_of_run(Path(origin))
        except RunError as error:
            yield strategy.problem(place, str(error), "expected RUN/PHASE of a run that can be read")
            return
        named, ours = theirs.pop("name", data), _split(phase)
        if theirs and (theirs != ours or named != data):
            yield _seen(strategy, phase, origin, place, {**theirs, "name": named})
        return
    prepared = strategy.phase(origin)
    if not isinstance(prepared, PreparePhase):
        message = f"{origin!r} is a phase of the kind {prepared.kind}, which leaves no shared weights"
        yield strategy.problem(place, message, "expected a prepare phase")
    elif _split(prepared) != _split(phase):
        yield _seen(strategy, phase, origin, place, _split(prepared))


def _check_folder(space: SearchSpace, strategy: Strategy, folder: Path, place: str) -> Iterator[Problem]:
    if not folder.is_dir():  # noted by who checks origins
        return
    try:
        artifact = SupernetArtifact.read(folder)
        artifact.check(space)
        artifact.check_weights()
    except InputError as error:
        for problem in error.problems:
            yield strategy.problem(place, problem.message, problem.expected)
    except NasEngineError as error:
        yield strategy.problem(place, str(error), "expected RUN/PHASE of a prepare phase")


def _check_retrain(space: SearchSpace, strategy: Strategy, phase: RetrainPhase) -> Iterator[Problem]:
    """A retraining starts from a prepare phase or a retrain phase; a search leaves no weights."""
    if phase.start is None:
        return
    place = f"phases.{phase.name}.start"
    if "/" in phase.start:
        if holds_supernet(Path(phase.start)):
            yield from _check_folder(space, strategy, Path(phase.start), place)
    elif isinstance(strategy.phase(phase.start), SearchPhase):
        message = f"{phase.start!r} is a phase of the kind search, which leaves no weights"
        yield strategy.problem(place, message, "expected a prepare phase or a retrain phase")


def _seen(strategy: Strategy, phase: SearchPhase, origin: str, place: str, theirs: Mapping[str, Any]) -> Problem:
    given = ", ".join(f"{key} {value}" for key, value in theirs.items())
    message = f"the phase {phase.name!r} compares candidates on images that the weights of {origin!r} were trained on"
    return strategy.problem(place, message, f"expected the data of both to be divided alike, here: {given}")


def _split(phase: Phase) -> dict[str, Any]:
    return {key: value for key, value in phase.data.plain().items() if key in SPLIT}


def _split_of_run(folder: Path) -> dict[str, Any]:
    """How the data of RUN/PHASE were divided, and `name`d; empty where no run file says so."""
    if not (folder.parent / RUN_FILE).is_file():
        return {}
    content = read_run_file(folder.parent)
    phases: Sequence[Mapping[str, Any]] = content["strategy"]["phases"]
    for entry in phases:
        for phase in entry.values():
            if phase["name"] == folder.name:
                kept = {key: value for key, value in phase["data"].items() if key in SPLIT}
                return {**kept, "name": content["data"]["name"]}
    return {}
