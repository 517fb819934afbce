"""A run as the report wants it: plain records taken from its folder, then one HTML file."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasengine.algorithms.probabilities import PROBABILITIES
from nasengine.costs import costs
from nasengine.errors import BuildError, InputError, Problem
from nasengine.objectives import best_first
from nasengine.records import Architecture, Trial
from nasengine.report.records import RunRecord, Searched, Trained, Winner
from nasengine.report.run_page import run_page
from nasengine.runs import JOURNAL_NAME, History, lock_holder, write_atomically
from nasengine.search.language.settings import Budget, PreparePhase, RetrainPhase, SearchPhase, Strategy
from nasengine.search.language.sources import inherits_from
from nasengine.search.prepared import HISTORY, PREPARED
from nasengine.search.prepared_record import prepared_record
from nasengine.search.retrained import RESULTS, Retrained, spreads
from nasengine.search.run_file import NAME, RunSettings, to_yaml
from nasengine.search.run_view import Run
from nasengine.search.searching import RANKING
from nasengine.space import SearchSpace
from nasengine.supernet.artifact import ABOUT, TABLE, WEIGHTS
from nasengine.wording import duration, number, plural

REPORT = "report.html"
FILES = {
    NAME: "everything the run was begun with",
    JOURNAL_NAME: "every trial, as it was asked, ended and told",
    REPORT: "this page",
    "best": "the best network: model.py, weights.safetensors, model.onnx where onnx is installed",
    "tensorboard": "objectives of every trial, and training curves, for TensorBoard",
}
OF_PHASES = {
    WEIGHTS: "its shared weights",
    TABLE: "what it knows of every architecture: probability, score and steps of each model",
    PROBABILITIES: "the probability of every option of every choice",
    ABOUT: "what its shared weights are of: space, arguments of the network, sampler",
    HISTORY: "its epochs",
    RANKING: "its completed architectures, best first",
}


def report(run: Run | str | Path, to: str | Path | None = None) -> Path:
    """Write the report of a run, done or not: one HTML file that opens anywhere, offline.

    Args:
        run: it, or its folder.
        to: the file; without it RUN/report.html. An earlier one is replaced.

    Returns: the file.

    Raises:
        RunError: the folder is no run.
        InputError: plotly, which draws the charts, is not installed; the run needs a plug-in that is missing; or `to`
            is a folder.
    """
    run = run if isinstance(run, Run) else Run(run)
    path = Path(to) if to is not None else run.folder / REPORT
    if path.is_dir():
        raise InputError(Problem(f"{path} is a folder", expected=f"expected a file to write, such as {path / REPORT}"))
    write_atomically(path, run_page(record_of(run)).html())
    return path


def record_of(run: Run) -> RunRecord:
    """Everything that the report of a run shows, as plain records."""
    settings, folder = run.settings, shlex.quote(str(run.folder))
    strategy, space = settings.strategy, settings.space
    searches = tuple(_searched(run, phase) for phase in strategy.phases if isinstance(phase, SearchPhase))
    retrained = run.retrained
    prepared = [
        prepared_record(run, phase, searches, [("budget", budget_words(phase.budget))])
        for phase in strategy.phases
        if isinstance(phase, PreparePhase)
    ]
    summary = [
        ("space", f"{space.name}: {space.about}" if space.about else space.name),
        ("architectures", f"{space.size(architecture_part=bool(space.unexpanded)):,}"),
        ("strategy", f"{strategy.name}: {strategy.about}" if strategy.about else strategy.name),
        ("objectives", ", ".join(f"{objective.direction} {objective.name}" for objective in strategy.objectives)),
        ("constraints", "; ".join(_bounds(settings))),
        ("data", " ".join(filter(None, (settings.data, _in_brackets(settings.pixels.get("about")))))),
        ("seed", str(settings.seed)),
        ("folder", str(run.folder)),
    ]
    return RunRecord(
        title=f"{space.name} searched by {strategy.name}",
        state=_state(run),
        folder=str(run.folder),
        space=space,
        objectives=strategy.objectives,
        summary=[(what, words) for what, words in summary if words],
        prepared=[one for one in prepared if one.epochs],
        searches=searches,
        trained=tuple(_trained(retrained)),
        winner=_winner(run, searches, retrained),
        known=_known(space, searches),
        repeat=[(what, words) for what, words in _repeat(settings) if words],
        command=settings.environment.command,
        again=list(_again(run, folder, searches, retrained)),
        files=list(_files(run, retrained)),
        texts={
            "The strategy, every default written out": to_yaml(strategy.plain()),
            "The space, as searched": to_yaml(dict(space.tree.resolved)),
        },
    )


def _in_brackets(text: Any) -> str:
    return f"({text})" if text else ""


def _bounds(settings: RunSettings) -> Iterator[str]:
    of_space = [(bound.cost, bound.low, bound.high) for bound in settings.space.constraints]
    of_strategy = [(bound.name, bound.low, bound.high) for bound in settings.strategy.constraints]
    for name, low, high in (*of_space, *of_strategy):
        below = "" if low is None else f"{number(low)} ≤ "
        yield below + name + ("" if high is None else f" ≤ {number(high)}")


def _state(run: Run) -> str:
    writer = lock_holder(run.folder)
    if writer is not None:
        return "The run is going on; this page shows it as it was when the page was written."
    files = {"prepare": PREPARED, "search": RANKING, "retrain": RESULTS}
    left = [phase.name for phase in run.strategy.phases if not (run.folder / phase.name / files[phase.kind]).is_file()]
    when = run.settings.environment.began.replace("T", " ").replace("+00:00", " UTC")
    began = f"Begun {when}. " if when else ""
    return began + (f"Not finished: {', '.join(left)} to be done." if left else "Finished.")


def _searched(run: Run, phase: SearchPhase) -> Searched:
    history = run.history_of(phase.name)
    trials = history.trials
    ranked = best_first(trials, run.strategy.objectives)
    evaluator = phase.evaluator
    about = [
        ("algorithm", _component(phase.algorithm.type, phase.algorithm.settings)),
        ("scheduler", "" if phase.scheduler is None else _component(phase.scheduler.type, phase.scheduler.settings)),
        ("measured by", "" if evaluator is None else _measured_by(run.strategy, phase)),
        ("budget of a trial", "" if evaluator is None else budget_words(evaluator.budget)),
        ("budget of the search", budget_words(phase.budget)),
    ]
    return Searched(
        name=phase.name,
        about=[(what, words) for what, words in about if words],
        ended=_ended(run, phase, history, len(trials)),
        trials=trials,
        ranked=tuple(trial for trial in ranked if trial.completed) or tuple(ranked),
        asked=len(history.asked),
        reused=sum(record.same_as is not None for record in history.asked),
        seconds={trial: result.seconds for trial, result in history.finished.items()},
        ended_s=history.ended_s,
        details={trial: result.details for trial, result in history.finished.items() if result.details},
        elapsed_s=history.elapsed_s,
    )


def _measured_by(strategy: Strategy, phase: SearchPhase) -> str:
    """The type of an evaluator, of a table with its file, and whose weights are inherited."""
    assert phase.evaluator is not None, "asked for a phase that has one"
    component, origin = phase.evaluator.component, inherits_from(strategy, phase)
    if phase.evaluator.start is not None:
        return f"{component.type}, trained from the weights of {origin}"
    if origin is not None:
        return _component(f"{component.type} of {origin}", component.settings)
    file = component.settings.get("file")
    return f"{component.type} {file}" if isinstance(file, str) else component.type


def _component(name: str, settings: Mapping[str, Any]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in settings.items() if not isinstance(value, Mapping))
    return f"{name} ({said})" if said else name


def budget_words(budget: Budget | None) -> str:
    """20 epochs, 2 h 00 min; empty for none."""
    if budget is None:
        return ""
    words = ", ".join(
        duration(amount) if unit == "seconds" else _amount(unit, amount) for unit, amount in budget.amounts.items()
    )
    return f"{words} for each model" if budget.per_model else words


def _amount(unit: str, amount: float) -> str:
    """1 epoch, 2 epochs."""
    words = unit.replace("_", " ")
    return f"{amount:,g} {words.removesuffix('s') if amount == 1 else words}"


def _ended(run: Run, phase: SearchPhase, history: History, ended: int) -> str:
    """What ended a search, from what it left."""
    limits = phase.budget.amounts if phase.budget else {}
    if not (run.folder / phase.name / RANKING).is_file():
        if lock_holder(run.folder) is not None:
            return "nothing yet: it is going on"
        return "an interruption; nasengine resume goes on with it" if history.asked else ""
    trials, seconds = limits.get("trials"), limits.get("seconds")
    if trials is not None and ended >= trials:
        return f"its budget of {plural(int(trials), 'trial')}"
    if seconds is not None and history.elapsed_s >= seconds:
        return f"its budget of {duration(seconds)}"
    return "the algorithm, which had nothing left to propose"


def _trained(records: Sequence[Retrained]) -> Iterator[Trained]:
    for (phase, label), group in itertools.groupby(records, key=lambda record: (record.phase, _label(record))):
        members = list(group)
        completed = [record for record in members if record.completed]
        yield Trained(
            phase=phase,
            label=label,
            architecture=members[0].architecture,
            trial=members[0].trial,
            budget=", ".join(_amount(unit, amount) for unit, amount in members[0].budget.items()),
            figures={name: str(spread) for name, spread in spreads(completed).items()},
            failed=[(record.name, record.reason) for record in members if not record.completed],
            curves=[record.curve for record in completed],
        )


def _label(record: Retrained) -> str:
    return record.name.rpartition("-seed-")[0]


def _winner(run: Run, searches: Sequence[Searched], retrained: Sequence[Retrained]) -> Winner | None:
    if any(record.completed for record in retrained):
        best = run.best
        trial, architecture = best.trial, best.architecture
        network = next((record.network for record in best.retrained if record.completed), {})
    elif searches and searches[-1].ranked:
        trial = searches[-1].ranked[0]
        architecture = trial.architecture
        network = [phase.network for phase in run.strategy.phases if isinstance(phase, SearchPhase)][-1]
    else:
        return None
    what = "The retrained architecture" if trial is None else f"Trial {trial.number}"
    return Winner(architecture, what, dict(network))


def _known(space: SearchSpace, searches: Sequence[Searched]) -> dict[str, dict[str, float]]:
    """What is known of the named architectures: costs that were published or counted, and what the search measured."""
    found: dict[str, dict[str, float]] = {}
    measured: dict[Architecture, Trial] = {}
    for search in searches:
        measured |= {trial.architecture: trial for trial in search.trials if trial.completed}
    for name, known in space.known.items():
        values: dict[str, float] = {}
        try:
            values |= costs(space, known.architecture).as_dict()
        except (InputError, BuildError):  # a space without networks, or one whose network cannot run
            values |= known.costs
        trial = measured.get(known.architecture)
        found[name] = {**values, **(trial.measurements if trial else {})}
    return found


def _repeat(settings: RunSettings) -> Iterator[tuple[str, str]]:
    environment = settings.environment
    yield "began", environment.began
    yield "versions", ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    yield "commit of the working folder", environment.git_commit
    yield "seed", str(settings.seed)
    yield "device", settings.device + (", deterministic kernels" if settings.deterministic else "")
    workers = f", {plural(settings.workers, 'worker')}" if settings.workers > 1 else ""
    yield "executor", f"{settings.executor}{workers}, {plural(settings.threads, 'thread')} of torch in each process"
    yield "data folder", settings.data_folder or ""
    yield "plug-ins", ", ".join(settings.plugins)


def _again(
    run: Run, folder: str, searches: Sequence[Searched], retrained: Sequence[Retrained]
) -> Iterator[tuple[str, str]]:
    if not _state(run).endswith("Finished."):
        yield "go on with it", f"nasengine resume {folder}"
    ranked = searches[-1].ranked if searches else ()
    if ranked and any(isinstance(phase, RetrainPhase) for phase in run.strategy.phases):
        yield "train one longer, and test it", f"nasengine retrain {folder} --architecture {ranked[0].number}"
    if any(record.completed for record in retrained):
        yield "the best as plain PyTorch", f"nasengine export {folder} --to DIR"
    yield "what failed and why", f"nasengine status {folder}"


def _files(run: Run, retrained: Sequence[Retrained]) -> Iterator[tuple[str, str]]:
    for name, what in FILES.items():
        if (run.folder / name).exists() or name == REPORT:
            yield name, what
    for phase in run.strategy.phases:
        for name, what in OF_PHASES.items():
            if phase.kind != "retrain" and (run.folder / phase.name / name).is_file():
                yield f"{phase.name}/{name}", what
    for phase_name in dict.fromkeys(record.phase for record in retrained):
        yield f"{phase_name}/{RESULTS}", "its trainings with figures and curves; each has a folder with its weights"
