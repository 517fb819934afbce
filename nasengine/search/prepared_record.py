"""A prepare phase as the report wants it: what it did, its epochs, and what a mixture assigned to its models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nasengine.errors import InputError, NasEngineError
from nasengine.evaluators.tabular import load_table
from nasengine.evaluators.tabular.description import TABLES
from nasengine.evaluators.tabular.reading import read_description
from nasengine.records import Architecture
from nasengine.report.records import Prepared, Searched
from nasengine.search.agreeing import truth_of
from nasengine.search.language.settings import PreparePhase
from nasengine.search.prepared import read_history
from nasengine.search.run_view import Run
from nasengine.space import shipped
from nasengine.supernet.artifact import TABLE
from nasengine.wording import duration


def prepared_record(
    run: Run, phase: PreparePhase, searches: Sequence[Searched], more: Sequence[tuple[str, str]] = ()
) -> Prepared:
    """A phase, done or not.

    Args:
        run: that it is of.
        phase: which.
        searches: of the run; the last one's ranking is held against the scores of a mixture where nothing better is.
        more: facts of the phase: (what, words).
    """
    folder = run.folder / phase.name
    epochs = read_history(folder)
    about = [*_trainer(phase), *more]
    if epochs:
        seconds = duration(sum(epoch.get("seconds", 0.0) for epoch in epochs))
        about.append(("epochs", f"{len(epochs):,} in {seconds}"))
    table, damage = _table(run, folder)
    if damage:
        about.append(("left out", damage))
    owners = next((epoch["owners"] for epoch in epochs if "owners" in epoch), None)
    configurations: list[Architecture] = []
    if table:
        configurations = list(table["configurations"])
    elif owners is not None:  # not done yet: in the order of the space, as a mixture lists them
        listed = list(islice(run.space.enumerate(), len(owners) + 1))
        configurations = listed if len(listed) == len(owners) else []
    truth, truth_is = _truth(run, searches) if configurations else ({}, "")
    return Prepared(
        name=phase.name,
        about=[(what, words) for what, words in about if words],
        epochs=epochs,
        configurations=configurations,
        probabilities=table.get("probabilities", ()),
        visits=table.get("visits", ()),
        truth=truth,
        truth_is=truth_is,
    )


def _table(run: Run, folder: Path) -> tuple[dict[str, Any], str]:
    """What the sampler knows in the end, its configurations as architectures; or nothing, and why."""
    file = folder / TABLE
    if not file.is_file():
        return {}, ""
    try:
        table = json.loads(file.read_bytes())
        configurations = [run.space.architecture(options) for options in table["configurations"]]
        for name in ("probabilities", "visits"):
            rows = np.array(table.get(name) or np.zeros((len(configurations), 1)), dtype=float)
            if rows.ndim != 2 or len(rows) != len(configurations):
                raise ValueError(f"{name} of other configurations")
    except (AttributeError, KeyError, TypeError, ValueError, NasEngineError) as error:
        return {}, f"{TABLE} is damaged: {str(error).splitlines()[0]}"
    return {**table, "configurations": configurations}, ""


def _trainer(phase: PreparePhase) -> Iterator[tuple[str, str]]:
    """What trains, and the sampler with its settings."""
    yield "trained by", phase.trainer.type
    sampler = phase.trainer.settings.get("sampler")
    if isinstance(sampler, Mapping):
        said = ", ".join(f"{key} {value}" for key, value in sampler.items() if key != "type")
        yield "sampler", f"{sampler.get('type')} ({said})" if said else str(sampler.get("type"))
    elif sampler is not None:
        yield "sampler", str(sampler)


def _truth(run: Run, searches: Sequence[Searched]) -> tuple[dict[Architecture, float], str]:
    """What architectures are worth, larger is better: as a shipped table of the space says, or the last search."""
    objective = run.strategy.objectives[0]
    for path in shipped(TABLES).values():
        try:
            description = read_description(path)
            if description.space != run.space.name:
                continue
            table = load_table(description, run.space, run.settings.data_folder)
            truth = truth_of(run.space, table, objective, None)
        except InputError:  # its data lie elsewhere, or it measures something else
            continue
        values = {one: truth.sign * truth.values[one.key] for one in table.architectures}
        return values, f"{truth.name} of the table {truth.table}"
    sign = 1 if objective.direction == "maximize" else -1
    for search in reversed(searches):
        measured = {
            trial.architecture: sign * trial.measurements[objective.name]
            for trial in search.trials
            if trial.completed and objective.name in trial.measurements
        }
        if measured:
            return measured, f"{objective.name} as measured in the end by {search.name}"
    return {}, ""
