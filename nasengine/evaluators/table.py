"""The table evaluator: what an architecture is worth was measured before and published; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nasengine.errors import InputError, Problem
from nasengine.evaluators.evaluator import EvaluatorInputs, EvaluatorSettings
from nasengine.evaluators.tabular import TableDescription, Tabulated, describe, find_table, load_table, signature
from nasengine.evaluators.tabular.description import is_shipped
from nasengine.evaluators.tabular.reading import read_description
from nasengine.objectives import DIRECTIONS, Direction
from nasengine.records import Job, Result
from nasengine.space import SearchSpace
from nasengine.tasks import Task


@dataclass(frozen=True, slots=True)
class Table(EvaluatorSettings):
    """Which table, as a strategy writes it.

    Args:
        file: a CSV file, a description of one in YAML, or the name of a table that ships with nasengine.
        measurements: for a CSV file: column -> maximize or minimize. Without it every column must be a choice, a metric
            of the task or a cost.
        sha256: of the table's files; others are refused. A run keeps it, so that it goes on with what it began with.

    Raises:
        InputError: a direction that is none, or a name that is no shipped table's.
    """

    needs_data: ClassVar[bool] = False
    needs_budget: ClassVar[bool] = False
    needs_network: ClassVar[bool] = False
    merges_isomorphic: ClassVar[bool] = False

    file: str
    measurements: Mapping[str, str] | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        wrong = [(name, word) for name, word in (self.measurements or {}).items() if word not in DIRECTIONS]
        problems = [
            Problem(f"the measurement {name!r} has the direction {word!r}", expected="expected maximize or minimize")
            for name, word in wrong
        ]
        if problems:
            raise InputError(problems)
        find_table(self.file)

    @property
    def splits_budget(self) -> bool:
        """Whether the table tells budgets apart."""
        path = find_table(self.file)
        return path.suffix != ".csv" and any(m.unit for m in read_description(path).measurements.values())

    def metrics(self, space: SearchSpace, task: Task | None) -> Mapping[str, Direction]:
        """What the table's description says, or the names of its columns."""
        return self.describe(space, task).metrics

    def pinned(self, data_folder: str | None) -> Mapping[str, Any]:
        """The file as any folder can name it, and what it held."""
        path = find_table(self.file)
        file = self.file if is_shipped(self.file) else str(path.resolve())
        return {"file": file, "sha256": signature(path, data_folder)}

    def evaluator(self, inputs: EvaluatorInputs) -> TableEvaluator:
        """See `EvaluatorSettings.evaluator`; the table is read and checked, once in a process."""
        if self.sha256 is not None:
            found = signature(find_table(self.file), inputs.data_folder)
            if found != self.sha256:
                message = f"the table {self.file} has changed since the run began: its files have the SHA-256 {found}"
                raise InputError(Problem(message, expected=f"expected {self.sha256}"))
        return TableEvaluator(load_table(self.describe(inputs.space, inputs.task), inputs.space, inputs.data_folder))

    def describe(self, space: SearchSpace, task: Task | None) -> TableDescription:
        """What the table says of itself."""
        better = None
        if self.measurements is not None:
            better = {
                name: direction
                for name in self.measurements
                for direction in DIRECTIONS
                if self.measurements[name] == direction
            }
        return describe(self.file, space, better, {} if task is None else task.metrics)


class TableEvaluator:
    """Looks architectures up.

    Args:
        table: loaded.
    """

    def __init__(self, table: Tabulated) -> None:
        self.table = table
        self._units = sorted({m.unit for m in table.description.measurements.values() if m.unit is not None})
        self._rows: dict[tuple[float | None, ...], list[tuple[float, ...]] | str] = {}

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """Those of the table."""
        return self.table.description.metrics

    def evaluate(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """What the table says of each architecture; one that it does not have fails."""
        names = tuple(self.table.values)
        for job in jobs:
            row = self.table.rows.get(job.architecture.key)
            values = self.rows_at(job.budget)
            if row is None:
                reason = f"the table {self.table.description.name} has no architecture {job.architecture.key}"
                yield Result(job.trial, "failed", reason=reason)
            elif isinstance(values, str):
                yield Result(job.trial, "failed", reason=values)
            else:
                yield Result(job.trial, "completed", dict(zip(names, values[row], strict=True)))

    def rows_at(self, budget: Mapping[str, float]) -> list[tuple[float, ...]] | str:
        """For each row all measurements under a budget; or why there are none."""
        key = tuple(budget.get(unit) for unit in self._units)
        if key not in self._rows:
            self._rows[key] = self._make_rows(budget)
        return self._rows[key]

    def _make_rows(self, budget: Mapping[str, float]) -> list[tuple[float, ...]] | str:
        columns = []
        for name, measurement in self.table.description.measurements.items():
            column = self.table.at(name, budget)
            if column is None:
                least = min(self.table.values[name])
                amount = f"{budget[measurement.unit or '']:g} {measurement.unit}"
                table = self.table.description.name
                return f"the table {table} has no {name} after {amount}, the least is {least:g}"
            columns.append(column)
        return list(zip(*columns, strict=True))
