"""A retrain phase: which architectures are trained again, with which seeds and from which weights.

Nothing of it is in the journal, which the search reads: each training that ended has its line in
RUN/<phase>/results.jsonl (`retrained.py`), and those that completed are not run again.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nasengine.errors import RunError
from nasengine.evaluators import shared_arrays
from nasengine.evaluators.plan import evaluator_settings
from nasengine.execution import EXECUTORS, Executor, InProcess, on_cluster
from nasengine.records import Architecture, Job, Result
from nasengine.registry import look_up
from nasengine.runs import Journal
from nasengine.search.board import Curves
from nasengine.search.events import (
    Event,
    OnEvent,
    PhaseEnded,
    PhaseSkipped,
    PhaseStarted,
    TrainingEnded,
    TrainingProgress,
)
from nasengine.search.final_training import TrainingPlan, make_final_training
from nasengine.search.inheriting import holds_supernet
from nasengine.search.language.settings import Phase, RetrainPhase, SearchPhase
from nasengine.search.retrained import RESULTS, WEIGHTS, Retrained, append_result, read_results, summary
from nasengine.search.run_file import RunSettings
from nasengine.search.searching import (
    RANKING,
    TENSORBOARD,
    evaluation_plan,
    jobs_at_once,
    make_executor,
    read_ranking,
)
from nasengine.training import EpochRecord


@dataclass(frozen=True, slots=True)
class Chosen:
    """An architecture to train: where it comes from, and which earlier training it continues, if any."""

    label: str
    architecture: Architecture
    rank: int = 0
    trial: int | None = None
    continues: tuple[Path, ...] = ()  # weights of its earlier trainings, one a repeat


def retrain(run: Path, settings: RunSettings, phase: RetrainPhase, journal: Journal, on_event: OnEvent) -> None:
    """Run a retrain phase, or what is left of it.

    Args:
        run: its folder.
        settings: of the run.
        phase: one of its strategy's.
        journal: open, so that nobody else writes the run; read for `trial.NUMBER`.
        on_event: told of the progress.

    Raises:
        RunError: there is nothing to train, or every training failed.
        InputError: the data set is missing.
        KeyboardInterrupt: after Ctrl-C; what was being trained goes on from its last checkpoint.
    """
    began = time.monotonic()
    wanted = list(trainings(run, settings, phase, chosen(run, settings, phase, journal)))
    done = {record.name: record for record in read_results(run, phase.name) if record.completed}
    curves: Curves | None = None
    with contextlib.suppress(ImportError):  # without TensorBoard
        curves = Curves(run / TENSORBOARD / phase.name, {name: record.curve for name, record in done.items()})
    left = [training for training in wanted if training[0].name not in done]
    if not left:
        on_event(PhaseSkipped(phase.name, "finished before"))
        return
    on_event(PhaseStarted(phase.name, phase.kind))
    plan = training_plan(run, settings, phase, [record.name for record, _ in left], [start for _, start in left])
    failed: list[Retrained] = []
    with contextlib.ExitStack() as stack:
        if curves is not None:
            stack.callback(curves.close)
        executor = stack.enter_context(_executor(settings, phase, plan, _shown(curves, on_event)))
        for index, (record, _) in enumerate(left):
            executor.submit(Job(index, record.architecture, record.budget, record.seed))
        for result in executor.results():
            record = ended(left[result.trial][0], result)
            append_result(run, record)
            if curves is not None:
                curves.ended(record.name, record.curve)
            if record.completed:
                done[record.name] = record
            else:
                failed.append(record)
            on_event(TrainingEnded(phase.name, len(done) + len(failed), len(wanted), record.to_json()))
    records = [done[record.name] for record, _ in wanted if record.name in done]
    on_event(PhaseEnded(phase.name, time.monotonic() - began, summary(records)))
    if not records:
        raise RunError(f"every training of the phase {phase.name!r} failed; the first: {failed[0].reason}")


def _shown(curves: Curves | None, on_event: OnEvent) -> OnEvent:
    """Passes events on, and shows the epochs among them on TensorBoard."""

    def watch(event: Event) -> None:
        if curves is not None and isinstance(event, TrainingProgress):
            curves.grow(event.name, {"epoch": event.epoch, **event.measurements})
        on_event(event)

    return watch


def chosen(run: Path, settings: RunSettings, phase: RetrainPhase, journal: Journal) -> list[Chosen]:
    """What the phase trains, best first.

    Raises:
        RunError: nothing that could be trained was found before.
    """
    space, wanted = settings.space, phase.architecture
    if isinstance(wanted, Mapping):
        return [Chosen("given", space.architecture(wanted))]
    if isinstance(wanted, str):
        kind, _, name = wanted.partition(".")
        if kind == "known":
            return [Chosen(f"known-{name}", space.known[name].architecture)]
        return [_trial(settings, phase, journal, int(name))]
    origin = phase.origins[0] if phase.origins else _last_search(settings, phase)
    folder = Path(origin) if "/" in origin else run / origin
    if (folder / RESULTS).is_file():
        return _continued(folder)[: phase.best]
    ranking = read_ranking(folder / RANKING) if (folder / RANKING).is_file() else []
    if not ranking:
        raise RunError(f"the phase {phase.name!r} has nothing to train: no trial of {origin!r} completed")
    return [
        Chosen(
            "derived" if line["trial"] is None else f"trial-{line['trial']}",
            Architecture(line["architecture"]),
            line["rank"],
            line["trial"],
        )
        for line in ranking[: phase.best]
    ]


def trainings(
    run: Path, settings: RunSettings, phase: RetrainPhase, architectures: Iterable[Chosen]
) -> Iterator[tuple[Retrained, str | None]]:
    """Every training of the phase as the record it will become, with the file of the weights it starts from."""
    for choice in architectures:
        for repeat in range(phase.seeds):
            start = choice.continues[repeat % len(choice.continues)] if choice.continues else None
            if phase.start is not None:
                start = start_weights(run, phase.start)
            record = Retrained(
                phase=phase.name,
                name=f"{choice.label}-seed-{repeat}",
                architecture=choice.architecture,
                rank=choice.rank,
                trial=choice.trial,
                repeat=repeat,
                seed=training_seed(settings.seed, repeat),
                budget=phase.budget.amounts if phase.budget else {},
                status="failed",
                network=phase.network,
                folder=run,
            )
            yield record, None if start is None else str(start.resolve())


def training_seed(seed: int, repeat: int) -> int:
    """The seed of the initial weights, the order of images and the augmentation of one training."""
    return int(np.random.SeedSequence([seed, repeat], spawn_key=(2,)).generate_state(1)[0])


def training_plan(
    run: Path, settings: RunSettings, phase: RetrainPhase, names: Sequence[str], starts: Sequence[str | None]
) -> TrainingPlan:
    """What the processes that train need to know."""
    plan = evaluation_plan(settings, phase, phase.trainer.plain())
    return TrainingPlan(plan, str((run / phase.name).resolve()), tuple(names), tuple(starts))


def start_weights(run: Path, origin: str) -> Path:
    """The weights that a phase left: its supernet (the folder), its only file, or that of its first completed training.

    Raises:
        RunError: it left none.
    """
    folder = Path(origin) if "/" in origin else run / origin
    if holds_supernet(folder):
        return folder
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    for record in sorted(read_results(folder.parent, folder.name), key=lambda record: (record.rank, record.repeat)):
        if record.completed and record.weights.is_file():
            return record.weights
    raise RunError(f"{folder} holds no weights to start from")


def ended(record: Retrained, result: Result) -> Retrained:
    """The record with what came of it."""
    return replace(
        record,
        status="completed" if result.status == "completed" else "failed",
        measurements=dict(result.measurements),
        reason=result.reason,
        seconds=result.seconds,
        curve=tuple(result.details.get("curve", ())),
    )


def _trial(settings: RunSettings, phase: RetrainPhase, journal: Journal, number: int) -> Chosen:
    history = journal.history(_last_search(settings, phase))
    for record in history.asked:
        if record.trial == number:
            return Chosen(f"trial-{number}", record.candidate.architecture, trial=number)
    raise RunError(f"the phase {phase.name!r} wants trial {number}, but the search asked {len(history.asked)}")


def _last_search(settings: RunSettings, phase: RetrainPhase) -> str:
    before: list[Phase] = []
    for other in settings.strategy.phases:
        if other.name == phase.name:
            break
        before.append(other)
    return next(other.name for other in reversed(before) if isinstance(other, SearchPhase))


def _continued(folder: Path) -> list[Chosen]:
    """The architectures that an earlier retrain phase trained, each with the weights of all its repeats."""
    found: dict[Architecture, list[Retrained]] = {}
    for record in read_results(folder.parent, folder.name):
        if record.completed:
            found.setdefault(record.architecture, []).append(record)
    if not found:
        raise RunError(f"no training in {folder} completed, so there is nothing to go on with")
    return [
        Chosen(
            records[0].name.rpartition("-seed-")[0],
            architecture,
            records[0].rank,
            records[0].trial,
            tuple(record.weights for record in sorted(records, key=lambda record: record.repeat)),
        )
        for architecture, records in found.items()
    ]


def _executor(settings: RunSettings, phase: RetrainPhase, plan: TrainingPlan, on_event: OnEvent) -> Executor:
    workers = min(settings.workers or len(plan.names), len(plan.names))
    group = jobs_at_once(settings, phase, evaluator_settings(phase.trainer.plain()))
    if workers > 1 or on_cluster(look_up(EXECUTORS, settings.executor, "executor")):
        placed = replace(settings, workers=workers, trial_seconds=None)
        share = functools.partial(shared_arrays, plan.plan)
        return make_executor(placed, functools.partial(make_final_training, plan), share, group=group)

    def on_epoch(name: str, record: EpochRecord) -> None:
        measured = {"loss": record.loss, "rate": record.rate}
        on_event(TrainingProgress(phase.name, name, record.epoch, record.epochs, measured, record.seconds))

    return InProcess(functools.partial(make_final_training, plan, on_epoch), threads=settings.threads, group=group)
