"""A prepare phase: its trainer made from the strategy and run in this process, on the run's device.

Nothing of it is in the journal. What it leaves lies in RUN/<phase>/, `prepared.json` last; a phase that was
interrupted goes on from its own checkpoints.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from nasengine.errors import InputError, Problem
from nasengine.evaluators.plan import load_materials
from nasengine.preparation import PreparationEpoch, PreparationInputs
from nasengine.search.board import Curves
from nasengine.search.events import Note, OnEvent, PhaseEnded, PhaseSkipped, PhaseStarted, PreparationProgress
from nasengine.search.language.places import place_of
from nasengine.search.language.settings import PreparePhase, Strategy
from nasengine.search.language.values import make_trainer
from nasengine.search.overriding import sound_overrides
from nasengine.search.prepared import is_prepared, last_checkpoint, read_history, write_prepared
from nasengine.search.run_file import RunSettings
from nasengine.search.searching import TENSORBOARD, all_constraints, evaluation_plan, make_domain
from nasengine.space import SearchSpace
from nasengine.supernet.errors import SupernetError


def prepare(run: Path, settings: RunSettings, phase: PreparePhase, on_event: OnEvent) -> None:
    """Run a prepare phase, or what is left of it.

    Raises:
        InputError: the data set is missing, or the trainer refuses its settings.
        TrialError: a loss that is no finite number.
        RunError: the folder holds another preparation.
        KeyboardInterrupt: after Ctrl-C; the phase goes on from its last checkpoint.
    """
    folder = run / phase.name
    if is_prepared(folder):
        on_event(PhaseSkipped(phase.name, "finished before"))
        return
    on_event(PhaseStarted(phase.name, phase.kind))
    began = time.monotonic()
    before = sum(line.get("seconds", 0.0) for line in read_history(folder)[: last_checkpoint(folder)])  # resumed
    trainer = make_trainer(phase)
    materials = load_materials(evaluation_plan(settings, phase, {"type": "standalone"}))
    images = materials.inputs()
    assert images.training is not None, "materials have images"
    assert images.validation is not None, "materials have both parts, though this one may be empty"
    assert phase.budget is not None, "asked for in check_prepare"
    inputs = PreparationInputs(
        domain=make_domain(settings.space, phase, all_constraints(settings.space, settings.strategy)),
        task=materials.task,
        training=images.training,
        validation=images.validation,
        device=images.device,
        folder=folder,
        budget=phase.budget.amounts,
        per_model=phase.budget.per_model,
        network=dict(phase.network),
        batch=images.batch,
        augmentation=images.augmentation,
        seed=settings.seed,
        deterministic=settings.deterministic,
        versions=settings.environment.versions,
        on_note=lambda message: on_event(Note(message)),
    )
    with contextlib.ExitStack() as stack:
        curves: Curves | None = None
        with contextlib.suppress(ImportError):  # without TensorBoard
            known = {phase.trainer.type: read_history(folder)}
            curves = Curves(run / TENSORBOARD / phase.name, known)
            stack.callback(curves.close)

        def on_epoch(epoch: PreparationEpoch) -> None:
            if curves is not None:
                curves.grow(phase.trainer.type, {"epoch": epoch.epoch, **epoch.measurements})
            on_event(
                PreparationProgress(phase.name, epoch.epoch, epoch.epochs, dict(epoch.measurements), epoch.seconds)
            )

        summary = trainer.prepare(inputs, on_epoch)
    seconds = before + time.monotonic() - began
    write_prepared(folder, phase.trainer.type, summary, seconds)
    on_event(PhaseEnded(phase.name, seconds, summary))


def check_prepare(space: SearchSpace, strategy: Strategy, phase: PreparePhase) -> Iterator[Problem]:
    """What is wrong with a prepare phase for a space whose networks can be built."""
    path = f"phases.{phase.name}"
    if phase.origins:
        message = f"the trainer {phase.trainer.type!r} reads no artifact, so `from` would change nothing"
        yield strategy.problem(f"{path}.from", message)
    if phase.budget is None:
        yield strategy.problem(path, f"the phase {phase.name!r} has no budget", "expected such as {epochs: 100}")
        return
    try:
        domain = make_domain(space, phase, all_constraints(space, strategy))
        make_trainer(phase).check(
            domain, network=sound_overrides(space, phase), budget=phase.budget.amounts, batch=phase.data.batch
        )
    except InputError as error:
        for problem in error.problems:
            found = place_of(strategy, path, phase.trainer.settings, problem.message)
            place = f"{path}.budget" if "budget" in problem.message else found
            yield strategy.problem(place, problem.message, problem.expected)
    except SupernetError as error:
        yield strategy.problem(path, error.problem.message, error.problem.expected)
