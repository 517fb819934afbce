"""A search phase: its parts made from the strategy, its constraints priced, its trials run by the search loop."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasengine.algorithms.schedulers import Scheduler
from nasengine.costs.pricing import Pricer
from nasengine.errors import BuildError, InputError
from nasengine.evaluators import EvaluatorSettings, make_evaluator, shared_arrays
from nasengine.evaluators.trial_checkpoints import FOLDER as CHECKPOINTS
from nasengine.evaluators.trial_checkpoints import TrialCheckpoints
from nasengine.execution import EXECUTORS, Executor, MakeEvaluator, Share, on_cluster
from nasengine.objectives import Constraint, Objective, ParetoFront, best_first
from nasengine.records import Architecture, Trial, canonical_json
from nasengine.registry import look_up
from nasengine.runs import Journal, write_atomically
from nasengine.search.board import Board
from nasengine.search.deriving import derive, probabilities_for
from nasengine.search.events import Note, OnEvent, PhaseEnded, PhaseSkipped, PhaseStarted, SearchProgress
from nasengine.search.figures import number, plural
from nasengine.search.inheriting import artifact_folder
from nasengine.search.language.settings import Phase, SearchPhase, Strategy
from nasengine.search.language.sources import settings_of_evaluator
from nasengine.search.language.values import make_algorithm, make_scheduler
from nasengine.search.loop import SearchEvent, SearchOutcome, run_search
from nasengine.search.needs import counted_constraints, counted_objectives, merges_isomorphic, metrics_of
from nasengine.search.run_file import RunSettings
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain

RANKING = "architectures.jsonl"
TENSORBOARD = "tensorboard"
NO_TENSORBOARD = "TensorBoard is not installed, so the run has no tensorboard/ folder"
SHOWN = ("params", "macs")
PILOT_DRAWS, OFTEN_KEPT = 24, 2


def search(run: Path, settings: RunSettings, phase: SearchPhase, journal: Journal, on_event: OnEvent) -> None:
    """Run a search phase, or go on with it; leaves RUN/<phase>/architectures.jsonl, best first.

    Raises:
        InputError: the constraints leave nothing to search, or a component refuses its settings.
        RunError: the journal does not fit, or workers cannot start.
        KeyboardInterrupt: after Ctrl-C; the journal holds everything that was measured.
    """
    ranking = run / phase.name / RANKING
    if ranking.is_file():
        on_event(PhaseSkipped(phase.name, "finished before"))
        return
    strategy = settings.strategy
    constraints = all_constraints(settings.space, strategy)
    domain = make_domain(settings.space, phase, constraints)
    probabilities = probabilities_for(run, settings.space, strategy, phase)
    algorithm = make_algorithm(phase, domain, strategy.objectives, settings.seed, constraints, probabilities)
    if phase.evaluator is None:
        assert probabilities is not None, "an algorithm that needs no evaluator reads its answer off them"
        price = make_price(settings.space, phase, strategy.objectives, constraints)
        derive(run, phase, algorithm, probabilities, price, RANKING, on_event)
        return
    plan = evaluation_plan(settings, phase, phase.evaluator.component.plain())
    artifact = artifact_folder(run, strategy, phase)
    if artifact is not None:
        plan["artifact"] = str(artifact)
    checkpoints: TrialCheckpoints | None = None
    if phase.scheduler is not None:
        algorithm = make_scheduler(phase, algorithm)
        checkpoints = TrialCheckpoints(run / phase.name / CHECKPOINTS)
        plan["checkpoints"] = str(checkpoints.folder.resolve())
    make = functools.partial(make_evaluator, plan)
    needs = settings_of_evaluator(phase)
    share = functools.partial(shared_arrays, plan) if needs is not None and needs.needs_data else None
    limits = phase.budget.amounts if phase.budget else {}
    trials = limits.get("trials")
    on_event(PhaseStarted(phase.name, phase.kind))
    with contextlib.ExitStack() as stack:
        group = jobs_at_once(settings, phase, needs)
        executor = stack.enter_context(make_executor(settings, make, share, group=group))
        watch: Callable[[SearchEvent], None] = stack.enter_context(
            _Watch(run, phase.name, strategy.objectives, journal, on_event)
        )
        if checkpoints is not None and isinstance(algorithm, Scheduler):
            watch = _Sweep(checkpoints, algorithm, watch)
        outcome = run_search(
            algorithm,
            executor,
            journal,
            trials=None if trials is None else int(trials),
            lag=strategy.lag,
            seed=settings.seed,
            budget=phase.evaluator.budget.amounts if phase.evaluator.budget else {},
            objectives=strategy.objectives,
            constraints=constraints,
            price=make_price(settings.space, phase, strategy.objectives, constraints),
            seconds=limits.get("seconds"),
            on_event=watch,
            phase=phase.name,
            identity=settings.space.identity if merges_isomorphic(settings.space, phase) else None,
        )
    ranked = best_first(outcome.trials, strategy.objectives)
    write_ranking(ranking, ranked)
    if checkpoints is not None:
        checkpoints.clear()
    on_event(PhaseEnded(phase.name, outcome.elapsed_s, summary(outcome, ranked, strategy.objectives)))


def all_constraints(space: SearchSpace, strategy: Strategy) -> tuple[Constraint, ...]:
    """The space's bounds on costs, then the strategy's."""
    of_space = (Constraint(bound.cost, bound.low, bound.high) for bound in space.constraints)
    return (*of_space, *strategy.constraints)


def make_domain(space: SearchSpace, phase: Phase, constraints: Sequence[Constraint]) -> Domain:
    """What may be proposed or prepared for: all of the space, or what keeps the constraints known without a trial.

    Raises:
        InputError: no architecture keeps the constraints; the message gives what the space can do.
    """
    if not constraints:
        return Domain(space)
    bounds = counted_constraints(space, constraints, metrics_of(space, phase) if isinstance(phase, SearchPhase) else {})
    if not bounds:
        return Domain(space)
    pricer = pricer_of(space, canonical_json(dict(phase.network)))

    names = list(dict.fromkeys(bound.name for bound in bounds))

    def accepts(architecture: Architecture) -> bool:
        try:
            priced = pricer.price_encoded(space.encode(architecture)[None], names)
        except BuildError:  # its trial will fail and say why
            return True
        amounts = {name: int(priced[name][0]) for name in names}
        return not any(bound.breach(amounts) for bound in bounds)

    return Domain(space, accepts, draw=_draw(space, pricer, bounds, accepts))


def make_price(
    space: SearchSpace, phase: SearchPhase, objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> Callable[[Architecture], dict[str, float]] | None:
    """The costs that join the measurements of a trial: those an objective or a constraint names and the evaluator
    does not measure; None for none.

    Where networks are run, params and macs come along for people: counting them directly takes milliseconds.
    """
    metrics = metrics_of(space, phase)
    bounded = [item.name for item in counted_constraints(space, constraints, metrics)]
    names = list(dict.fromkeys((*counted_objectives(objectives, metrics), *bounded)))
    evaluator = settings_of_evaluator(phase)
    budget = None if phase.evaluator is None else phase.evaluator.budget
    runs = evaluator is None or (evaluator.needs_network and (budget is not None or evaluator.needs_supernet))
    if not names and not runs:
        return None
    pricer = pricer_of(space, canonical_json(dict(phase.network)))
    if runs:
        if not names:
            pricer = Pricer(space, network=phase.network or None, compile_after=sys.maxsize)
        names = list(dict.fromkeys((*names, *SHOWN)))

    def price(architecture: Architecture) -> dict[str, float]:
        amounts = pricer.price_encoded(space.encode(architecture)[None], names)
        return {name: int(amounts[name][0]) for name in names}

    return price


@functools.lru_cache(maxsize=4)
def pricer_of(space: SearchSpace, network: str) -> Pricer:
    """The pricer of a space, kept because its tables take seconds to find; `network` is canonical JSON."""
    return Pricer(space, network=json.loads(network) or None)


def _draw(
    space: SearchSpace, pricer: Pricer, bounds: Sequence[Constraint], accepts: Callable[[Architecture], bool]
) -> Callable[[np.random.Generator], Architecture] | None:
    """How to draw what keeps the bounds; None: draw anything and throw away, which is quicker where much keeps them.

    Both ways draw from the same distribution.
    """
    rng = np.random.default_rng(0)
    kept = sum(accepts(space.sample(rng)) for _ in range(PILOT_DRAWS))
    if kept >= OFTEN_KEPT:
        return None
    searchable = []
    for bound in bounds:
        with contextlib.suppress(InputError):  # a cost that depends on too much at once; `accepts` keeps its bound
            pricer.walk(bound.name)
            searchable.append(bound)
    return pricer.within(windows(searchable)).sample if searchable else None


def windows(bounds: Iterable[Constraint]) -> dict[str, tuple[float | None, float | None]]:
    """cost -> (least, most); several bounds on one cost hold together."""
    found: dict[str, tuple[float | None, float | None]] = {}
    for bound in bounds:
        low, high = found.get(bound.name, (None, None))
        lows = [end for end in (low, bound.low) if end is not None]
        highs = [end for end in (high, bound.high) if end is not None]
        found[bound.name] = (max(lows, default=None), min(highs, default=None))
    return found


def evaluation_plan(settings: RunSettings, phase: Phase, component: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker process rebuilds an evaluator from, see `evaluators.make_evaluator`: plain values only.

    Args:
        settings: of the run.
        phase: whose data and network are meant.
        component: the evaluator's type and settings.
    """
    return {
        "space": dict(settings.space.tree.resolved),
        "evaluator": dict(component),
        "data": {**phase.data.plain(), "name": settings.data, "folder": settings.data_folder},
        "network": dict(phase.network),
        "device": settings.device,
        "deterministic": settings.deterministic,
        "plugins": list(settings.plugins),
        # Only where it changes anything, since checkpoints of a retraining are known by their plan.
        **({"seed": settings.seed} if component.get("order") == "shared" else {}),
    }


def make_executor(settings: RunSettings, make: MakeEvaluator, share: Share | None, *, group: int = 1) -> Executor:
    """The run's executor.

    Args:
        settings: of the run.
        make: makes the evaluator.
        share: gives the arrays that workers on a cluster need; None where they need none.
        group: how many jobs the evaluator wants at once; under a time limit for a trial it is handed one.
    """
    kind = look_up(EXECUTORS, settings.executor, "executor")
    workers, timeout_s, threads = settings.workers, settings.trial_seconds, settings.threads
    group = group if timeout_s is None else 1
    if on_cluster(kind):
        return kind(
            make,
            workers=workers,
            timeout_s=timeout_s,
            threads=threads,
            group=group,
            address=settings.address,
            gpus=settings.gpus,
            share=share,
        )
    return kind(make, workers=workers, timeout_s=timeout_s, threads=threads, group=group)


def jobs_at_once(settings: RunSettings, phase: Phase, evaluator: EvaluatorSettings | None) -> int:
    """How many jobs the evaluator of a phase wants to be handed at once."""
    if evaluator is None:
        return 1
    space = settings.space
    any_one = space.sample(np.random.default_rng(0))
    return evaluator.jobs_at_once(
        space, any_one, device=settings.device, batch=phase.data.batch, network=dict(phase.network)
    )


def write_ranking(path: Path, ranked: Iterable[Trial]) -> None:
    """One line an architecture, best first; one that was stopped says so, and under which budget."""
    lines = (
        canonical_json(
            {
                "rank": rank,
                "trial": trial.number,
                "architecture": trial.architecture.to_json(),
                "measurements": dict(trial.measurements),
                **({} if trial.completed else {"status": trial.status, "budget": dict(trial.candidate.budget or {})}),
            }
        )
        for rank, trial in enumerate(ranked)
    )
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def read_ranking(path: Path) -> list[dict[str, Any]]:
    """The lines that `write_ranking` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def summary(outcome: SearchOutcome, ranked: Sequence[Trial], objectives: Sequence[Objective]) -> str:
    """One line on what a search found."""
    counts = {
        status: sum(trial.status == status for trial in outcome.trials)
        for status in ("completed", "infeasible", "stopped", "failed")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "none"
    if not ranked:
        return f"{plural(len(outcome.trials), 'trial')} ({told})"
    best = ranked[0].measurements
    values = ", ".join(f"{objective.name} {number(best[objective.name])}" for objective in objectives)
    after = f" after {ranked[0].reason}" if ranked[0].status == "stopped" else ""
    return f"{plural(len(outcome.trials), 'trial')} ({told}); best: trial {ranked[0].number} with {values}{after}"


class _Sweep:
    """Removes the checkpoints that no trial can need any more, as a search goes on; passes events on."""

    def __init__(
        self, checkpoints: TrialCheckpoints, scheduler: Scheduler, on_event: Callable[[SearchEvent], None]
    ) -> None:
        self._checkpoints, self._scheduler, self._on_event = checkpoints, scheduler, on_event

    def __call__(self, progress: SearchEvent) -> None:
        if progress.kind in ("told", "resumed") and self._checkpoints.folder.is_dir():
            left = None if progress.trials is None else progress.trials - progress.asked
            self._checkpoints.keep(self._scheduler.resumable(left), progress.told)
        self._on_event(progress)


class _Watch:
    """Follows a search: keeps the best and the front, feeds TensorBoard, and passes events on."""

    def __init__(
        self, run: Path, phase: str, objectives: Sequence[Objective], journal: Journal, on_event: OnEvent
    ) -> None:
        self._phase, self._objectives, self._on_event = phase, objectives, on_event
        self._front = ParetoFront(objectives)
        self._best: Trial | None = None
        self._front_size = 0
        history = journal.history(phase)
        known = history.trials
        for trial in known:
            self._add(trial)
        self._board: Board | None = None
        try:
            details = {number: result.details for number, result in history.finished.items()}
            self._board = Board(run / TENSORBOARD / phase, objectives, known, details)
        except ImportError:
            on_event(Note(NO_TENSORBOARD))

    def __call__(self, progress: SearchEvent) -> None:
        if progress.kind == "ended" and progress.trial is not None:
            self._add(progress.trial)
            if self._board is not None:
                self._board.add(progress.trial, progress.details)
        self._on_event(SearchProgress(self._phase, progress, self._best, self._front_size))

    def _add(self, trial: Trial) -> None:
        if self._front.add(trial):
            self._front_size = len(self._front)
        first = self._objectives[0]
        if trial.completed and (
            self._best is None or first.loss(trial.measurements) < first.loss(self._best.measurements)
        ):
            self._best = trial

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *unused: object) -> None:
        if self._board is not None:
            self._board.close()
