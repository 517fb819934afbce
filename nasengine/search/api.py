"""Searching from Python: `search`, `resume`, `retrain`, `open_run`, `export`. The command line calls these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasengine.errors import InputError, Problem
from nasengine.execution import leave_if_importing_main
from nasengine.export import Exported, Preprocessing, Trained
from nasengine.export import export as export_trained
from nasengine.runs import Journal, create_run_folder
from nasengine.search.events import Event, Note, OnEvent, RunEnded, RunStarted
from nasengine.search.fitting import check_fit
from nasengine.search.language.settings import PreparePhase, RetrainPhase, SearchPhase, Strategy
from nasengine.search.language.strategy import strategy_from_mapping
from nasengine.search.new_run import new_run_settings
from nasengine.search.phases import fixed_threads, header, run_phases
from nasengine.search.placement import moved, place
from nasengine.search.retraining import retrain as run_retrain
from nasengine.search.run_file import RunSettings, write_run_file
from nasengine.search.run_view import Found, Run
from nasengine.space import SearchSpace
from nasengine.wording import plural

__all__ = ["Found", "Run", "export", "open_run", "resume", "retrain", "search"]

SMALL_BATCH = 16
FEW_STEPS = 4  # in an epoch


def search(
    space: SearchSpace | str | Path,
    strategy: Strategy | str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    run: str | Path | None = None,
    seed: int = 0,
    trials: int | None = None,
    epochs: float | None = None,
    time: str | float | None = None,
    device: str = "auto",
    executor: str = "in_process",
    workers: int | None = None,
    trial_time: str | float | None = None,
    address: str | None = None,
    gpus: float = 0,
    threads: int = 1,
    deterministic: bool = False,
    set: Iterable[str] = (),
    plugins: Iterable[str] = (),
    on_event: OnEvent | None = None,
) -> Run:
    """Search a space by a strategy, in a new run folder, until every phase is done.

    Args:
        space: as loaded, or a file, or the name of a shipped one; `strategy` likewise.
        data: name of a data set; without it the strategy's, or the one that ships with nasengine.
        data_dir: the folder where it lies.
        run: the run's folder, which must be new or empty; without it runs/SPACE-STRATEGY-N.
        seed: of every draw.
        trials: how many candidates the search measures, instead of the strategy's number.
        epochs: how long each of them is trained.
        time: how long the search may take: "2h", "90m", or seconds.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1".
        executor: "in_process"; "local": worker processes on this machine, so that a trial can crash alone; "ray":
            workers on a cluster.
        workers: how many; without it one for each core, or as many as a named cluster has room for.
        trial_time: longest that one trial may take (not in process).
        address: of the Ray cluster: "auto" (the one on this machine) or HOST:PORT; without it a cluster of its own on
            this machine.
        gpus: that each worker on a cluster is given; 0.5 puts two on a GPU. The device "auto" is then a GPU.
        threads: of torch in each process that measures; runs with the same number give the same figures on a CPU.
        deterministic: on a GPU, use only kernels that repeat bit for bit (slower).
        set: other settings of the strategy: "search.population=50".
        plugins: Python modules whose classes the YAML files may name; importing them runs their code.
        on_event: called with every event, see `search.events`.

    Returns: the run; `run.best`, `run.trials`, `run.front`, `run.retrained`, `run.folder`.

    Raises:
        InputError: something in the arguments or files is wrong, or the strategy cannot search this space; nothing
            has run then, and no folder was made.
        RunError: a phase came to nothing, such as a search in which every trial failed.
        KeyboardInterrupt: after Ctrl-C; `resume` goes on.
    """
    leave_if_importing_main()
    settings = new_run_settings(
        space,
        strategy,
        data=data,
        data_dir=data_dir,
        seed=seed,
        trials=trials,
        epochs=epochs,
        time=time,
        device=device,
        executor=executor,
        workers=workers,
        trial_time=trial_time,
        address=address,
        gpus=gpus,
        threads=threads,
        deterministic=deterministic,
        set=set,
        plugins=plugins,
    )
    folder = create_run_folder(settings.space.name, settings.strategy.name, folder=run)
    write_run_file(folder, settings)
    return _go(folder, settings, on_event)


def resume(
    folder: str | Path,
    *,
    executor: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus: float | None = None,
    data_dir: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> Run:
    """Go on with a run after an interruption, a crash or a kill, as if nothing had happened.

    Phases, trials and trainings that are done are not done again; a run that is done stays as it is.

    Args:
        folder: of the run.
        executor, workers, address, gpus: where the rest of it is measured, as in `search`; without them where the run
            was begun. The trials are the same everywhere.
        data_dir: where the data set lies now.
        on_event: as in `search`.

    Raises:
        RunError: the folder is no run, is being written by another process, or is damaged.
        InputError: its data set or a plug-in is missing, or its device; or an executor that cannot do what is asked.
        KeyboardInterrupt: after Ctrl-C; calling again goes on.
    """
    leave_if_importing_main()
    run = Run(folder)
    settings = place(run.settings, executor=executor, workers=workers, address=address, gpus=gpus)
    return _go(run.folder, moved(settings, data_dir), on_event)


def open_run(folder: str | Path) -> Run:
    """Look at a run, done or not, without writing to it.

    Raises:
        RunError: the folder is no run.
    """
    return Run(folder)


def retrain(
    folder: str | Path,
    architecture: int | str | Mapping[str, Any],
    *,
    set: Iterable[str] = (),
    on_event: OnEvent | None = None,
) -> Run:
    """Train one architecture of a run's space as its retrain phase does, and test it.

    It is done in a phase of its own, RETRAIN-NAME; repeating the call goes on with it.

    Args:
        folder: of the run.
        architecture: number of a trial, "known.NAME", or choice -> option.
        set: settings of the retrain phase to change: "retrain.budget.epochs=100", "retrain.name=longer".
        on_event: as in `search`.

    Raises:
        InputError: no such architecture, or a setting that is wrong.
        RunError: the run has no retrain phase, is being written, or the training failed.
    """
    leave_if_importing_main()
    run = Run(folder)
    found = run.find(architecture)
    template = next((phase for phase in reversed(run.strategy.phases) if isinstance(phase, RetrainPhase)), None)
    if template is None:
        raise InputError(f"the strategy of {folder} has no retrain phase to take the settings from")
    word, label = _named(found, architecture)
    named = {"architecture": word, "name": f"{template.name}-{label}"}
    plain = {key: value for key, value in template.plain().items() if key not in ("best", "from")}
    earlier = [
        {phase.kind: phase.plain()} for phase in run.strategy.phases if isinstance(phase, PreparePhase | SearchPhase)
    ]
    content = {**run.strategy.plain(), "phases": [*earlier, {"retrain": {**plain, **named}}]}
    settings = replace(run.settings, strategy=strategy_from_mapping(content, f"{folder}/run.yaml", overrides=set))
    phase = settings.strategy.phases[-1]
    assert isinstance(phase, RetrainPhase)
    check_fit(settings)
    tell = on_event or _silent
    with Journal(run.folder, header(run.settings)) as journal, fixed_threads(settings):
        tell(RunStarted(run.folder, run.space.name, run.strategy.name, (phase.name,), resumed=True))
        run_retrain(run.folder, settings, phase, journal, tell)
        tell(RunEnded(run.folder))
    return run


def export(found: Found | Run | Trained, to: str | Path) -> Exported:
    """Write a trained network as plain PyTorch files, proved equal to it: model.py, weights.safetensors, model.onnx.

    Args:
        found: `run.best`, `run.find(…)`, a run (its best), or anything trained elsewhere.
        to: the folder to write.

    Raises:
        InputError: it was never retrained, so there are no weights; or `to` holds something else.
        ExportError: the files do not prove equal; nothing is left at `to`.
    """
    if isinstance(found, Run):
        found = found.best
    return export_trained(trained(found) if isinstance(found, Found) else found, to)


def trained(found: Found) -> Trained:
    """What `export` needs to know of an architecture that a run has found.

    Raises:
        InputError: it was never retrained.
    """
    record = next((record for record in found.retrained if record.completed), None)
    if record is None:
        advice = "expected a strategy with a retrain phase, or `nasengine retrain RUN --architecture …` first"
        raise InputError(Problem("this architecture has no trained weights to export", expected=advice))
    settings = found.run.settings
    pixels = settings.pixels
    about = {
        "run": str(found.run.folder),
        "strategy": settings.strategy.name,
        "data": " ".join(filter(None, (settings.data, pixels.get("about") and f"({pixels['about']})"))),
        "trained for": ", ".join(f"{amount:g} {unit}" for unit, amount in record.budget.items()),
        "seed": str(record.seed),
        "device": settings.device,
    }
    if found.trial is not None:
        about["trial"] = str(found.trial.number)
    for name, spread in found.spreads.items():
        if spread.n > 1:
            about[f"{name} over {spread.n} seeds"] = str(spread)
    preprocessing = (
        Preprocessing(tuple(pixels["mean"]), tuple(pixels["std"]), tuple(pixels["class_names"]))
        if "mean" in pixels
        else None
    )
    return Trained(
        found.run.space,
        found.architecture,
        record.weights,
        network=record.network,
        preprocessing=preprocessing,
        measurements=found.measurements,
        about=about,
    )


def _go(folder: Path, settings: RunSettings, on_event: OnEvent | None) -> Run:
    tell = on_event or _silent

    def tell_with_notes(event: Event) -> None:
        tell(event)
        if isinstance(event, RunStarted):
            for message in _notes(settings):
                tell(Note(message))

    run_phases(folder, settings, tell_with_notes)
    return Run(folder)


def _notes(settings: RunSettings) -> Iterator[str]:
    """What is no error, but probably not what was meant."""
    lag = settings.strategy.lag
    if settings.workers > lag:
        yield f"{settings.workers} workers, but at most {lag} trials run at once: that is the strategy's lag"
    data, images = settings.strategy.data, settings.pixels.get("training_images")
    if images is None:
        return
    used = min(images, data.limit or images)
    held_out = data.held_out_per_class * len(settings.pixels["class_names"]) if data.held_out_per_class else None
    left = used - (round(used * data.validation) if held_out is None else held_out)
    steps = max(1, left // data.batch)
    if steps < FEW_STEPS:  # nothing is learnt in so few, and every network looks alike
        many = f"{plural(steps, 'step')} an epoch"
        smaller = data.batch > SMALL_BATCH and left // SMALL_BATCH > steps
        advice = f"try --set data.batch={SMALL_BATCH}" if smaller else "take more images"
        yield f"{plural(left, 'training image')} in batches of {data.batch} are {many}; {advice}"


def _silent(event: Event) -> None:
    """Nobody listens."""


def _named(found: Found, wanted: int | str | Mapping[str, Any]) -> tuple[Any, str]:
    """How a strategy file would name the architecture, and a word for it that can be part of a folder's name."""
    if isinstance(wanted, str) and wanted.startswith("known."):
        return wanted, wanted.replace(".", "-")
    if found.trial is not None:
        return f"trial.{found.trial.number}", f"trial-{found.trial.number}"
    return found.architecture.to_json(), "given"
