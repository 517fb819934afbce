"""A strategy as it would be with a published table: its search phase alone, the table in place of its evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.evaluators import Table
from nasengine.evaluators.plan import known_task
from nasengine.evaluators.tabular import Tabulated, load_table
from nasengine.objectives import Constraint, Direction, Objective
from nasengine.report.judging import Known
from nasengine.search.language.settings import SearchPhase, Strategy
from nasengine.search.language.sources import settings_of_evaluator
from nasengine.search.language.strategy import strategy_from_mapping
from nasengine.search.run_file import RunSettings
from nasengine.search.searching import all_constraints
from nasengine.space import SearchSpace


def with_table(
    strategy: Strategy,
    table: Tabulated,
    file: str,
    *,
    trials: int,
    lag: int | None = None,
    objectives: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
) -> Strategy:
    """The search phase of a strategy, measured by a table.

    Args:
        strategy: with exactly one search phase; others are left out.
        table: loaded; `file` is how strategies name it.
        trials: of the search, in place of its own budget.
        lag: in place of its own.
        objectives: measurements of the table, in place of its own; bounds on these stay.
        overrides: settings to change afterwards, as `--set` takes them.

    Raises:
        InputError: it cannot do without its other phases, wants what the table does not measure, or an override
            that does not fit.
    """
    phase = _search_phase(strategy)
    metrics = table.description.metrics
    wanted: dict[str, Any] = dict(strategy.plain()["objectives"])
    if objectives is not None:
        wanted = {name: _objective(name, wanted.get(name), metrics) for name in objectives}
    _check_measured(strategy, wanted, table)
    kept = {key: value for key, value in phase.plain().items() if key not in ("evaluator", "budget", "from")}
    evaluator: dict[str, Any] = {"type": "table", "file": file}
    if "scheduler" in kept:
        evaluator["budget"] = _whole_budget(strategy, table)
    content = {
        "name": strategy.name,
        "objectives": wanted,
        "lag": strategy.lag if lag is None else lag,
        "phases": [{"search": {**kept, "evaluator": evaluator, "budget": {"trials": trials}}}],
    }
    return strategy_from_mapping(content, strategy.file or strategy.name, overrides=overrides)


def known_by(settings: RunSettings, objectives: Sequence[Objective]) -> Known | None:
    """What the table of a run knows; None if the run was measured otherwise.

    Args:
        settings: of the run.
        objectives: those that are judged.

    Raises:
        InputError: the table is missing, has changed, or does not measure what the run was bounded by.
    """
    space = settings.space
    evaluator = settings_of_evaluator(_search_phase(settings.strategy))
    if not isinstance(evaluator, Table):
        return None
    table = load_table(evaluator.describe(space, known_task(space)), space, settings.data_folder)
    if any(objective.name not in table.values for objective in objectives):
        return None
    first = objectives[0]
    measurement = table.description.measurements[first.name]

    def losses(values: Sequence[float], objective: Objective) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array(values, dtype=float) * (-1 if objective.direction == "maximize" else 1)

    return Known(
        name=table.description.name,
        rows=table.rows,
        measured={item.name: losses(_largest(table, item.name), item) for item in objectives},
        true=losses(table.truth(first.name), first),
        truth=measurement.truth or first.name,
        feasible=_feasible(table, all_constraints(space, settings.strategy), settings.strategy),
    )


def load_for(file: str, space: SearchSpace, data_folder: str | None) -> Tabulated:
    """The table that strategies name by `file`.

    Raises:
        InputError: it is missing, or does not fit the space.
    """
    return load_table(Table(file).describe(space, known_task(space)), space, data_folder)


def _search_phase(strategy: Strategy) -> SearchPhase:
    phases = [phase for phase in strategy.phases if isinstance(phase, SearchPhase)]
    if len(phases) != 1:
        found = f"the strategy {strategy.name} has {len(phases)} search phases"
        raise InputError(Problem(found, expected="expected exactly one, the one that is compared"))
    phase = phases[0]
    if phase.origins or phase.require or phase.evaluator is None:
        found = f"the search of {strategy.name} reads what its other phases leave, which a table cannot stand for"
        raise InputError(Problem(found, expected="expected a search that only asks for measurements"))
    return phase


def _objective(name: str, before: Any, metrics: Mapping[str, Direction]) -> Any:
    """How an objective is written: the table's direction, and the strategy's bounds on it."""
    if name not in metrics:
        expected = f"expected {one_of(metrics)}{nearest(name, metrics)}"
        raise InputError(Problem(f"the table does not measure the objective {name!r}", expected=expected))
    return {**before, "direction": metrics[name]} if isinstance(before, Mapping) else metrics[name]


def _check_measured(strategy: Strategy, wanted: Mapping[str, Any], table: Tabulated) -> None:
    metrics = table.description.metrics
    missing = [name for name in wanted if name not in metrics]
    if missing:
        raise InputError(
            [
                Problem(
                    f"the strategy {strategy.name} is about {name!r}, which the table {table.description.name} "
                    "does not measure",
                    expected=f"expected {one_of(metrics)}{nearest(name, metrics)}; others are named by --objectives",
                )
                for name in missing
            ]
        )


def _whole_budget(strategy: Strategy, table: Tabulated) -> dict[str, float]:
    """The largest budget that the table tells apart, for a strategy that gives candidates parts of it."""
    for name, measurement in table.description.measurements.items():
        if measurement.unit is not None:
            return {measurement.unit: max(table.values[name])}
    found = f"the strategy {strategy.name} measures candidates under parts of a budget"
    expected = f"expected a table with columns by budget, which {table.description.name} has not"
    raise InputError(Problem(found, expected=expected))


def _largest(table: Tabulated, name: str) -> Sequence[float]:
    columns = table.values[name]
    return columns[max(columns)]


def _feasible(
    table: Tabulated, constraints: Sequence[Constraint], strategy: Strategy
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(N,) which architectures keep the bounds of a strategy."""
    kept = np.ones(len(table.architectures), dtype=np.bool_)
    for constraint in constraints:
        if constraint.name not in table.values:
            found = (
                f"{strategy.name} bounds {constraint.name}, which the table {table.description.name} does not measure"
            )
            raise InputError(Problem(found, expected="expected bounds on its measurements, so that its best is known"))
        values = np.array(_largest(table, constraint.name))
        if constraint.low is not None:
            kept &= values >= constraint.low
        if constraint.high is not None:
            kept &= values <= constraint.high
    if not kept.any():
        raise InputError(f"no architecture of the table {table.description.name} keeps the bounds of {strategy.name}")
    return kept
