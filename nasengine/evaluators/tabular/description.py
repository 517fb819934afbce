"""What a table says: its files, how their columns encode architectures, and what they measure.

A description is a YAML file (docs/reference/table_descriptions.md); a plain CSV file describes itself by the names of
its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from nasengine.errors import InputError, Mark, Problem, nearest, one_of
from nasengine.evaluators.tabular.columns import Join
from nasengine.objectives import Direction
from nasengine.space import shipped

TABLES: Final = "search_spaces/tables"  # where those that ship with nasengine lie
JSON_COLUMN = "architecture"


@dataclass(frozen=True, slots=True)
class CodeColumn:
    """Architectures as short codes: one part for each choice.

    Args:
        column: of the codes, read as text.
        choices: the choice that each part answers, in order.
        options: part -> option, for all choices alike; None: the option's index (0-9, then a-z).
        separator: between the parts; empty: each part is one character.
    """

    column: str
    choices: tuple[str, ...]
    options: Mapping[str, Any] | None = None
    separator: str = ""


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """Architectures as JSON: {choice: option}."""

    column: str = JSON_COLUMN


@dataclass(frozen=True, slots=True)
class ChoiceColumns:
    """A column for each choice; an empty cell where the choice is inactive. `columns`: choice -> column."""

    columns: Mapping[str, str]


Encoding: TypeAlias = CodeColumn | JsonColumn | ChoiceColumns | None  # None: by the names of the columns


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing that was measured.

    Args:
        name: as objectives call it.
        direction: which way is better.
        columns: (budget, column), smallest budget first; a single (0, column) where no budget is told apart.
        unit: of the budgets ("epochs"); None for a single column.
        scale: what the cells are multiplied by, in decimals.
        missing: what an empty cell counts as; None: it is an error.
        truth: the name of the report's measurement that says what this one is really worth.
    """

    name: str
    direction: Direction
    columns: tuple[tuple[float, str], ...]
    unit: str | None = None
    scale: str = "1"
    missing: float | None = None
    truth: str | None = None


@dataclass(frozen=True)
class TableDescription:
    """A table before its data are read.

    Args:
        name, about, source: for people.
        file: the description, or the CSV file that describes itself.
        space: the name of the space that it is of, if it says.
        data: the CSV file, relative to the description or to a folder of data.
        joins: further files.
        encoding: how rows name architectures.
        measurements: what a search is told.
        report: what is only looked at after a search.
        marks: dotted path -> place in the description; `lines` its lines, for excerpts.
    """

    name: str
    file: Path
    data: str
    about: str = ""
    source: str = ""
    space: str | None = None
    joins: tuple[Join, ...] = ()
    encoding: Encoding = None
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    report: Mapping[str, Measurement] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict, repr=False)
    lines: tuple[str, ...] = field(default=(), repr=False)

    @property
    def metrics(self) -> dict[str, Direction]:
        """What a search is told -> which way is better."""
        return {name: measurement.direction for name, measurement in self.measurements.items()}


def is_shipped(file: str) -> bool:
    """Whether this is the name of a table that ships with nasengine."""
    return file in shipped(TABLES)


def find_table(file: str, *, or_else: str = "") -> Path:
    """The file meant by a path, or by the name of a table that ships with nasengine.

    Args:
        file: the path or the name.
        or_else: what the caller would take beside a table.

    Raises:
        InputError: neither; the nearest names are given.
    """
    known, others = shipped(TABLES), or_else and f"{or_else}, "
    if file in known:
        return known[file]
    path = Path(file).expanduser()
    if path.suffix in (".csv", ".yaml", ".yml") or len(path.parts) > 1 or path.is_file():
        if path.is_file():
            return path
        raise InputError(
            Problem(f"there is no table {file!r}", expected=f"expected {others}a .csv file or a description .yaml")
        )
    expected = f"expected {others}a .csv or .yaml file, or a shipped table: {one_of(known)}{nearest(file, known)}"
    raise InputError(Problem(f"there is no table {file!r}", expected=expected))
