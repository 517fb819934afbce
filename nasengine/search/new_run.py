"""What a new run is begun with: arguments and files made into one `RunSettings`, all checked before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasengine.data import DEFAULT_DATASET, Dataset, load_data
from nasengine.errors import InputError, Problem
from nasengine.evaluators import load_plugins, make_evaluator, make_task
from nasengine.evaluators.plan import largest_input
from nasengine.registry import folders_of
from nasengine.search.fitting import check_fit
from nasengine.search.language.budgets import seconds
from nasengine.search.language.settings import Phase, SearchPhase, Strategy
from nasengine.search.language.sources import settings_of_evaluator
from nasengine.search.language.strategy import load_strategy, strategy_from_mapping
from nasengine.search.needs import needs_data
from nasengine.search.placement import place
from nasengine.search.run_file import RunSettings, environment
from nasengine.search.searching import evaluation_plan
from nasengine.space import SearchSpace, load_space


def new_run_settings(
    space: SearchSpace | str | Path,
    strategy: Strategy | str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
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
) -> RunSettings:
    """Everything that `search` checks before it begins; writes nothing.

    Args and Raises: those of `search`.
    """
    plugins = tuple(plugins)
    load_plugins(plugins)
    space = space if isinstance(space, SearchSpace) else load_space(space)
    strategy = _strategy(strategy, tuple(set), trials=trials, epochs=epochs, time=time)
    _check_numbers(seed=seed, threads=threads)
    folder = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
    settings = RunSettings(
        space=space,
        strategy=strategy,
        data=data or strategy.data.name or DEFAULT_DATASET,
        data_folder=folder,
        seed=seed,
        deterministic=deterministic,
        threads=threads,
        plugins=plugins,
        plugin_folders=folders_of(plugins),
        environment=environment(sys.argv),
    )
    settings = place(
        settings,
        executor=executor,
        workers=workers,
        address=address,
        gpus=gpus,
        trial_time=trial_time,
        device=device,
    )
    check_fit(settings)
    settings = make_evaluators(settings)
    if needs_data(strategy):
        return replace(settings, pixels=describe_data(load_run_data(settings)))
    if data is not None:
        found = f"the data set {data!r} is named, but no phase of {strategy.name} looks at images"
        raise InputError(Problem(found, expected="expected no data set"))
    return replace(settings, data=None)


def make_evaluators(settings: RunSettings) -> RunSettings:
    """Make the evaluators that need no images, so that what they refuse is refused before the run begins; keep their
    settings as they mean the same wherever the run is resumed.

    Raises:
        InputError: what they refuse, at its place in the strategy or in their own files.
    """
    phases: list[Phase] = []
    for phase in settings.strategy.phases:
        evaluator = settings_of_evaluator(phase) if isinstance(phase, SearchPhase) else None
        if not isinstance(phase, SearchPhase) or phase.evaluator is None or evaluator is None or evaluator.needs_data:
            phases.append(phase)
            continue
        component = phase.evaluator.component
        try:
            make_evaluator(evaluation_plan(settings, phase, component.plain()))
            pinned = evaluator.pinned(settings.data_folder)
        except InputError as error:
            raise InputError(
                [
                    problem
                    if problem.mark is not None
                    else settings.strategy.problem(f"phases.{phase.name}.evaluator", problem.message, problem.expected)
                    for problem in error.problems
                ]
            ) from error
        component = replace(component, settings={**component.settings, **pinned})
        phases.append(replace(phase, evaluator=replace(phase.evaluator, component=component)))
    return replace(settings, strategy=replace(settings.strategy, phases=tuple(phases)))


def load_run_data(settings: RunSettings) -> Dataset:
    """The run's data set, if it fits the space's task.

    Raises:
        InputError: it is missing, or has other channels or classes than the task.
    """
    task = make_task(settings.space)
    assert settings.data is not None, "a run that looks at images has a data set"
    return load_data(
        settings.data,
        settings.data_folder,
        shape=largest_input(settings.space),
        classes=getattr(task, "classes", None),
    )


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What run.yaml keeps of a data set."""
    return {
        "about": dataset.about,
        "shape": list(dataset.shape),
        "training_images": len(dataset.train_labels),
        "test_images": len(dataset.test_labels),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "class_names": list(dataset.class_names),
    }


def _strategy(
    strategy: Strategy | str | Path,
    overrides: tuple[str, ...],
    *,
    trials: int | None,
    epochs: float | None,
    time: str | float | None,
) -> Strategy:
    """The strategy with the overrides; the short options are overrides of every search phase."""
    loaded = strategy if isinstance(strategy, Strategy) else load_strategy(strategy)
    short = []
    for phase in loaded.phases:
        if isinstance(phase, SearchPhase):
            if trials is not None:
                short.append(f"{phase.name}.budget.trials={trials}")
            if time is not None:
                short.append(f"{phase.name}.budget.seconds={seconds(time)}")
            if epochs is not None and phase.evaluator is not None:
                short.append(f"{phase.name}.evaluator.budget={{epochs: {epochs}}}")
    overrides = (*short, *overrides)
    if not overrides:
        return loaded
    if isinstance(strategy, Strategy):
        return strategy_from_mapping(strategy.plain(), strategy.file or strategy.name, overrides=overrides)
    return load_strategy(strategy, overrides=overrides)


def _check_numbers(*, seed: int, threads: int) -> None:
    problems = []
    if seed < 0:
        problems.append(Problem(f"the seed is {seed}", expected="expected a whole number of at least 0"))
    if threads < 1:
        problems.append(Problem(f"threads is {threads}", expected="expected at least 1"))
    if problems:
        raise InputError(problems)
