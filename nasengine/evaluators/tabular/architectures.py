"""The rows of a table as architectures of a space: every row one, complete, and none twice.

Shapes:  N rows   D choices of the space
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError, Mark, nearest, one_of
from nasengine.evaluators.tabular.columns import Column, Columns
from nasengine.evaluators.tabular.description import (
    JSON_COLUMN,
    ChoiceColumns,
    CodeColumn,
    JsonColumn,
    TableDescription,
)
from nasengine.records import Architecture, canonical_json
from nasengine.space import SearchSpace
from nasengine.space.decisions import Decision
from nasengine.space.options import option_key, shown
from nasengine.space.problems import Problems

INACTIVE = -1
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"  # options by index, in a code


def read_architectures(
    description: TableDescription, columns: Columns, space: SearchSpace, problems: Problems
) -> list[Architecture]:
    """The architecture of each row; none where a problem was noted.

    Args:
        description: says how rows name architectures.
        columns: of all files.
        space: that they are of.
        problems: where to note rows that are no architecture, or the same one again.
    """
    encoding = description.encoding
    if encoding is None:
        by_name = ChoiceColumns({path: path for path in space.choices if path in columns.by_name})
        encoding = JsonColumn() if JSON_COLUMN in columns.by_name else by_name
    rows = np.full((len(columns), len(space.decisions)), INACTIVE, dtype=np.int16)
    reader = _Rows(description.marks, columns, space, rows, problems)
    before = len(problems.found)
    match encoding:
        case JsonColumn():
            source = reader.from_json(encoding)
        case CodeColumn():
            source = reader.from_code(encoding)
        case ChoiceColumns():
            source = reader.from_columns(encoding)
    if source is None or len(problems.found) > before:
        return []
    reader.check_complete(source)
    if len(problems.found) > before:
        return []
    reader.check_relations(source)
    architectures = [space.encoding.architecture(row) for row in rows.tolist()]
    reader.check_once(source, architectures)
    return architectures if len(problems.found) == before else []


@dataclass(frozen=True)
class _Rows:
    """Fills the (N, D) rows with the index of each option, noting what is none."""

    marks: Mapping[str, Mark]
    columns: Columns
    space: SearchSpace
    rows: NDArray[np.int16]
    problems: Problems

    def from_columns(self, encoding: ChoiceColumns) -> Column | None:
        """A column for each choice; returns one of them."""
        source = None
        for path, name in encoding.columns.items():
            mark = self.marks.get(f"architecture.columns.{path}")
            place, column = self.decision(path, mark), self.columns.find(name, mark, self.problems)
            if place is not None and column is not None:
                self.fill(place, column)
                source = column
        mark = self.marks.get("architecture") or Mark(self.columns.first.file, 1, 1)
        for path, decision in self.space.choices.items():
            if path not in encoding.columns and not decision.conditional:
                expected = f"expected a column of this name{nearest(path, self.columns.by_name)}"
                self.problems.add(f"no column holds the choice {path!r} of {self.space.name}", mark, expected)
        return source

    def fill(self, place: int, column: Column) -> None:
        """The cells of a column as indexes of the options of one decision."""
        decision = self.space.decisions[place]
        texts = _texts(decision)
        for row, cell in enumerate(column.cells()):
            if cell not in texts:
                texts[cell] = _parsed(cell.strip(), texts, decision)
            index = texts[cell]
            if index is None:
                known = [shown(option) for option in decision.options]
                expected = f"expected {one_of(known)}{nearest(cell.strip(), known)}"
                self.note(f"{decision.path} has no option {_short(cell.strip())!r}", column, row, expected)
            else:
                self.rows[row, place] = index

    def from_code(self, encoding: CodeColumn) -> Column | None:
        """One column of codes."""
        column = self.columns.find(encoding.column, self.marks.get("architecture.code"), self.problems)
        tables: list[tuple[int, dict[str, int]]] = []
        for index, path in enumerate(encoding.choices):
            place = self.decision(path, self.marks.get(f"architecture.choices.{index}"))
            if place is not None:
                tables.append((place, self.parts(encoding.options, self.space.decisions[place])))
        for path, decision in self.space.choices.items():
            if path not in encoding.choices and not decision.conditional:
                found = f"no part of the code answers the choice {path!r} of {self.space.name}"
                expected = "expected every choice that no other one leaves out"
                self.problems.add(found, self.marks.get("architecture.choices"), expected)
        self.check_options(encoding, tables)
        if column is None or self.problems:
            return None
        for row, cell in enumerate(column.cells()):
            code = cell.strip()
            split = code.split(encoding.separator) if encoding.separator else code
            if len(split) != len(tables):
                expected = f"expected {len(tables)}, one for each choice"
                self.note(f"the code {_short(code)!r} has {len(split)} parts", column, row, expected)
                continue
            for (place, parts), part in zip(tables, split, strict=True):
                if part in parts:
                    self.rows[row, place] = parts[part]
                else:
                    expected = f"expected {one_of(parts)}"
                    self.note(f"the code {_short(code)!r} has the part {part!r}", column, row, expected)
        return column

    def parts(self, options: Mapping[str, Any] | None, decision: Decision) -> dict[str, int]:
        """Part of a code -> index of the option of this decision."""
        if options is None:
            return dict(zip(DIGITS, range(len(decision.options)), strict=False))
        indexes = {option_key(option): index for index, option in enumerate(decision.options)}
        keys = {part: option_key(option) for part, option in options.items()}
        return {part: indexes[key] for part, key in keys.items() if key in indexes}

    def check_options(self, encoding: CodeColumn, tables: Sequence[tuple[int, Mapping[str, int]]]) -> None:
        """Every part of a code must mean an option of some choice."""
        decisions = [self.space.decisions[place] for place, _ in tables]
        known = list(dict.fromkeys(shown(option) for decision in decisions for option in decision.options))
        for part, option in (encoding.options or {}).items():
            if not any(part in parts for _, parts in tables):
                message = f"no choice of the code has the option {shown(option)!r}"
                expected = f"expected {one_of(known)}{nearest(shown(option), known)}"
                self.problems.add(message, self.marks.get(f"architecture.options.{part}"), expected)

    def from_json(self, encoding: JsonColumn) -> Column | None:
        """One column of JSON."""
        column = self.columns.find(encoding.column, self.marks.get("architecture.json"), self.problems)
        for row, cell in enumerate(column.cells() if column else ()):
            assert column is not None
            try:
                options: Any = json.loads(cell)
            except ValueError as error:
                self.note(f"not valid JSON: {error}", column, row, "expected {choice: option}")
                continue
            if not isinstance(options, dict):
                self.note(f"{_short(cell)} is no architecture", column, row, "expected {choice: option}")
                continue
            try:
                self.rows[row] = self.space.encoding.row(self.space.architecture(options))
            except InputError as error:
                for problem in error.problems:
                    self.note(problem.message, column, row, problem.expected)
        return column

    def decision(self, path: str, mark: Mark | None) -> int | None:
        """The index of a choice."""
        for index, decision in enumerate(self.space.decisions):
            if decision.path == path:
                return index
        expected = f"expected {one_of(self.space.choices)}{nearest(path, self.space.choices)}"
        self.problems.add(f"{self.space.name} has no choice {path!r}", mark, expected)
        return None

    def check_complete(self, source: Column) -> None:
        """Every active choice must have an option, and no inactive one."""
        columns = self.rows.T
        for index, decision in enumerate(self.space.decisions):
            given = columns[index] >= 0
            active = np.ones(len(self.rows), bool)
            if decision.conditional:
                active = self.space.encoding.active(decision.sites, columns)
            for row in np.flatnonzero(active & ~given).tolist():
                self.note(f"this row does not answer {decision.path!r}", source, row, "expected one of its options")
            for row in np.flatnonzero(given & ~active).tolist():
                found = f"this row answers {decision.path!r}, which its other options leave out"
                self.note(found, source, row, "expected an empty cell")

    def check_relations(self, source: Column) -> None:
        """Every row must keep the relations of the space."""
        if self.space.compiled_relations:
            for row in np.flatnonzero(~self.space.satisfies_encoded(self.rows)).tolist():
                self.note(f"this row breaks a relation of {self.space.name}", source, row)

    def check_once(self, source: Column, architectures: Sequence[Architecture]) -> None:
        """No architecture may stand twice."""
        first: dict[str, int] = {}
        for row, architecture in enumerate(architectures):
            earlier = first.setdefault(architecture.key, row)
            if earlier != row:
                line = self.columns.first.line_numbers[earlier]
                found = f"the architecture {_short(architecture.key)} stands twice"
                self.note(found, source, row, f"expected one row for each; it stands first in line {line}")

    def note(self, message: str, column: Column, row: int, expected: str = "") -> None:
        """Note a problem at the cell of a row."""
        self.problems.add(message, self.columns.mark(column, row), expected)


def _texts(decision: Decision) -> dict[str, int | None]:
    """What a person may write for an option -> its index; JSON first, so that 1 is the number and not the word."""
    texts: dict[str, int | None] = {"": INACTIVE} if decision.conditional else {}
    for write in (canonical_json, shown):
        for index, option in enumerate(decision.options):
            texts.setdefault(write(option), index)
    return texts


def _parsed(text: str, texts: Mapping[str, int | None], decision: Decision) -> int | None:
    """The index of the option that a text names in another way than those known."""
    if text in texts:
        return texts[text]
    try:
        return texts.get(canonical_json(json.loads(text)))
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
