"""A table loaded and checked whole: which architecture measured what.

The data file of a description lies beside it, or else below the folder of the run's data (`--data-dir`), or else below
the folder that the environment variable NASENGINE_DATA names.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nasengine.costs import COSTS
from nasengine.errors import InputError, Mark, Problem, nearest, one_of
from nasengine.evaluators.tabular.architectures import read_architectures
from nasengine.evaluators.tabular.columns import join_columns
from nasengine.evaluators.tabular.csv_file import read_csv
from nasengine.evaluators.tabular.description import JSON_COLUMN, Measurement, TableDescription, find_table
from nasengine.evaluators.tabular.numbers import read_numbers
from nasengine.evaluators.tabular.reading import read_description
from nasengine.objectives import Direction
from nasengine.records import Architecture
from nasengine.space import SearchSpace, load_space
from nasengine.space.problems import Problems

VARIABLE = "NASENGINE_DATA"


@dataclass(frozen=True, eq=False)
class Tabulated:
    """A table of N architectures.

    Args:
        description: what it says of itself.
        architectures: N.
        rows: canonical key of an architecture -> its number.
        values: measurement -> budget -> N numbers, smallest budget first.
        report: the same of what is only looked at after a search.
    """

    description: TableDescription
    architectures: tuple[Architecture, ...]
    rows: Mapping[str, int] = field(repr=False)
    values: Mapping[str, Mapping[float, Sequence[float]]] = field(repr=False)
    report: Mapping[str, Mapping[float, Sequence[float]]] = field(repr=False)

    def at(self, name: str, budget: Mapping[str, float]) -> Sequence[float] | None:
        """N numbers of one measurement: those of the largest budget that is not above this one; None below the least.

        Args:
            name: of a measurement.
            budget: of a job; one that does not name the unit of the measurement is as large as can be.
        """
        columns = self.values[name]
        unit = self.description.measurements[name].unit
        amount = budget.get(unit) if unit is not None else None
        fitting = [least for least in columns if amount is None or least <= amount]
        return columns[max(fitting)] if fitting else None

    def truth(self, name: str) -> Sequence[float]:
        """N numbers that say what a measurement is really worth: its own under the largest budget if nothing else."""
        truth = self.description.measurements[name].truth
        columns = self.values[name] if truth is None else self.report[truth]
        return columns[max(columns)]


def describe(
    file: str, space: SearchSpace, directions: Mapping[str, Direction] | None, known: Mapping[str, Direction]
) -> TableDescription:
    """What a table says of itself; of a CSV file, what the names of its columns say.

    Args:
        file: a CSV file, a description, or the name of a shipped one.
        space: that the table is of.
        directions: measurement -> which way is better, for a CSV file; None: those of known names.
        known: names whose direction is known: the task's metrics.

    Raises:
        InputError: no such table, or everything wrong with its description or its header.
    """
    path = find_table(file)
    if path.suffix != ".csv":
        if directions is not None:
            found = f"measurements are given for {file}, but a description says itself what is measured"
            raise InputError(Problem(found, expected="expected them in the description"))
        return read_description(path)
    table = read_csv(path)
    costs: dict[str, Direction] = {name: about.direction for name, about in COSTS.items()}
    better = {**costs, **known} if directions is None else directions
    problems = Problems({table.file: table.lines})
    measured = {}
    for place, name in enumerate(table.header):
        if name in better:
            measured[name] = Measurement(name, better[name], ((0.0, name),))
        elif directions is None and name != JSON_COLUMN and name not in space.choices:
            names = (*space.choices, JSON_COLUMN, *better)
            expected = (
                f"expected choices and {one_of(better)}, or `measurements: {{{name}: maximize}}`{nearest(name, names)}"
            )
            problems.add(f"the column {name!r} is no choice of {space.name}", table.mark(None, place), expected)
    for name in directions or ():
        if name not in measured:
            expected = f"expected {one_of(table.header, 30)}{nearest(name, table.header)}"
            problems.add(f"{file} has no column {name!r} that is measured", None, expected)
    if not measured and not problems:
        problems.add(f"{file} measures nothing", table.mark(None, 0), f"expected columns such as {one_of(better)}")
    problems.check()
    return TableDescription(path.stem, path, path.name, measurements=measured)


def load_table(description: TableDescription, space: SearchSpace, data_folder: str | None) -> Tabulated:
    """Read and check a table, or take it from memory if its files have not changed since.

    Args:
        description: of the table.
        space: that its rows are architectures of.
        data_folder: where to look for data that do not lie beside the description.

    Raises:
        InputError: a file that is missing, or everything wrong with the files.
    """
    files = tuple(_find(description, index, data_folder) for index in range(len(description.joins) + 1))
    versions = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _load(_Described(description), space, versions)


def signature(path: Path, data_folder: str | None) -> str:
    """A hash of everything that a table's numbers are read from; words for people do not count.

    Args:
        path: a CSV file or a description.
        data_folder: as of `load_table`.

    Raises:
        InputError: a file that is missing, or a description that is wrong.
    """
    if path.suffix == ".csv":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    description = read_description(path)
    told = (description.encoding, description.joins, description.measurements, description.report)
    said = hashlib.sha256(repr(told).encode())
    for index in range(len(description.joins) + 1):
        said.update(_find(description, index, data_folder).read_bytes())
    return said.hexdigest()


def check_table(file: str) -> list[Problem]:
    """Everything wrong with a description, and, if it names its space, with its rows."""
    try:
        description = read_description(find_table(file))
        if description.space is not None:
            load_table(description, load_space(description.space), None)
    except InputError as error:
        return list(error.problems)
    return []


class _Described:
    """A description that is equal to any other with the same content."""

    def __init__(self, description: TableDescription) -> None:
        self.description = description
        self.said = repr(description)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Described) and self.said == other.said

    def __hash__(self) -> int:
        return hash(self.said)


@functools.lru_cache(maxsize=4)
def _load(described: _Described, space: SearchSpace, versions: tuple[tuple[str, int, int], ...]) -> Tabulated:
    description = described.description
    first, *joined = (read_csv(Path(file)) for file, _, _ in versions)
    lines = {file.file: file.lines for file in (first, *joined)}
    texts = {**lines, str(description.file): description.lines or lines.get(str(description.file), ())}
    problems = Problems(texts)
    marks = description.marks
    columns = join_columns(first, tuple(zip(description.joins, joined, strict=True)), marks, problems)
    problems.check()
    architectures = read_architectures(description, columns, space, problems)

    def numbers(measured: Mapping[str, Measurement], where: str) -> dict[str, dict[float, list[float]]]:
        return {
            name: read_numbers(measurement, columns, marks.get(f"{where}.{name}"), problems)
            for name, measurement in measured.items()
        }

    values, report = numbers(description.measurements, "measurements"), numbers(description.report, "report")
    if problems and description.space not in (None, space.name):
        problems = Problems(texts)  # all others follow from this one
        mark = marks.get("space") or Mark(str(description.file), 1, 1)
        problems.add(f"the table is of the space {description.space}, not of {space.name}", mark)
    problems.check()
    rows = {architecture.key: row for row, architecture in enumerate(architectures)}
    return Tabulated(description, tuple(architectures), rows, values, report)


def _find(description: TableDescription, index: int, data_folder: str | None) -> Path:
    """The first file of a table (0) or one joined to it.

    Raises:
        InputError: it is in none of the places where it may be.
    """
    data = description.data if index == 0 else description.joins[index - 1].data
    named = os.environ.get(VARIABLE)
    places = [description.file.parent, *(Path(folder).expanduser() for folder in (data_folder, named) if folder)]
    for place in places:
        if (place / data).is_file():
            return place / data
    mark = description.marks.get("data" if index == 0 else f"join.{index - 1}.data")
    tried = ", ".join(str(place / data) for place in places)
    advice = f"expected one of {tried}" if len(places) > 1 else f"expected {tried}"
    hint = f"{advice}; or name the folder of the data by --data-dir or {VARIABLE}"
    text = description.lines[mark.line - 1] if mark is not None and description.lines else ""
    raise InputError(Problem(f"the table {description.name} has no file {data!r}", mark, hint, text))
