"""Runs the phases of a strategy in order inside a run's folder; the same call begins a run and goes on with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from nasengine.runs import Header, Journal
from nasengine.search.events import OnEvent, RunEnded, RunStarted
from nasengine.search.language.settings import PreparePhase, RetrainPhase, SearchPhase
from nasengine.search.prepared import HISTORY, PREPARED
from nasengine.search.preparing import prepare
from nasengine.search.retraining import retrain
from nasengine.search.run_file import RunSettings
from nasengine.search.searching import search


def run_phases(folder: Path, settings: RunSettings, on_event: OnEvent) -> None:
    """Do what is left to do of a run.

    Args:
        folder: of the run; holds its run.yaml.
        settings: what run.yaml says.
        on_event: told of the progress.

    Raises:
        RunError: another process writes the run, its journal is damaged, or a phase cannot be done.
        InputError: data are missing, or a component refuses its settings.
        KeyboardInterrupt: after Ctrl-C; calling again goes on.
    """
    strategy = settings.strategy
    with Journal(folder, header(settings)) as journal, fixed_threads(settings):
        resumed = any(_begun(folder / phase.name) or journal.history(phase.name).canonical for phase in strategy.phases)
        names = tuple(phase.name for phase in strategy.phases)
        on_event(RunStarted(folder, settings.space.name, strategy.name, names, resumed))
        for phase in strategy.phases:
            if isinstance(phase, PreparePhase):
                prepare(folder, settings, phase, on_event)
            elif isinstance(phase, SearchPhase):
                search(folder, settings, phase, journal, on_event)
            elif isinstance(phase, RetrainPhase):
                retrain(folder, settings, phase, journal, on_event)
            else:
                raise TypeError(f"a phase of the kind {phase.kind}")
        on_event(RunEnded(folder))


def _begun(folder: Path) -> bool:
    """Whether a prepare phase has left anything."""
    return (folder / HISTORY).is_file() or (folder / PREPARED).is_file()


def header(settings: RunSettings) -> Header:
    """The first line of the run's journal."""
    space, strategy = settings.space, settings.strategy
    return Header(
        space=space.name,
        space_hash=space.hash,
        choices={path: list(decision.options) for path, decision in space.choices.items()},
        objectives={objective.name: objective.direction for objective in strategy.objectives},
        seed=settings.seed,
        lag=strategy.lag,
    )


@contextlib.contextmanager
def fixed_threads(settings: RunSettings) -> Iterator[None]:
    """Let torch compute with the run's number of threads, on which gradients depend, and put back what was."""
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
