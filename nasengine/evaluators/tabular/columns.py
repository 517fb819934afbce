"""The columns of a CSV file and of those joined to it on a key, as one set of columns with one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nasengine.errors import Mark, nearest, one_of
from nasengine.evaluators.tabular.csv_file import CsvFile
from nasengine.space.problems import Problems


@dataclass(frozen=True, slots=True)
class Join:
    """A further file.

    Args:
        data: where it lies.
        on: the column that both files have, with the same value in rows that belong together.
        prefix: before the names of its columns.
    """

    data: str
    on: str
    prefix: str = ""


@dataclass(frozen=True, eq=False)
class Column:
    """One column, a row for each of the first file.

    Args:
        source: the file that it stands in.
        place: which of its columns it is.
        rows: for each row of the first file that of `source`, -1 where it has none; None: the same.
    """

    source: CsvFile
    place: int
    rows: Sequence[int] | None = None

    def cells(self) -> list[str]:
        """N texts; an empty one where the joined file has no row."""
        cells = self.source.cells(self.place)
        return cells if self.rows is None else ["" if row < 0 else cells[row] for row in self.rows]

    def mark(self, row: int, first: CsvFile) -> Mark:
        """Where the cell of a row stands; where a joined file has none, the row of the first file."""
        if self.rows is None:
            return self.source.mark(row, self.place)
        found = self.rows[row]
        return Mark(first.file, first.line_numbers[row], 1) if found < 0 else self.source.mark(found, self.place)


@dataclass(frozen=True, eq=False)
class Columns:
    """All columns by name.

    Args:
        first: the file whose rows are the architectures.
        by_name: of all files; those of a joined file with its prefix.
    """

    first: CsvFile
    by_name: Mapping[str, Column] = field(repr=False)

    def __len__(self) -> int:
        return len(self.first.rows)

    def find(self, name: str, mark: Mark | None, problems: Problems) -> Column | None:
        """The column of this name; None after noting, at `mark`, that there is none."""
        if name not in self.by_name:
            known = tuple(self.by_name)
            expected = f"expected {one_of(known, 30)}{nearest(name, known)}"
            problems.add(f"no file of the table has a column {name!r}", mark, expected)
        return self.by_name.get(name)

    def mark(self, column: Column, row: int) -> Mark:
        """Where a cell stands."""
        return column.mark(row, self.first)


def join_columns(
    first: CsvFile, joined: Sequence[tuple[Join, CsvFile]], marks: Mapping[str, Mark], problems: Problems
) -> Columns:
    """The columns of all files; what keeps files from being joined is noted.

    Args:
        first: its columns keep their names.
        joined: further files.
        marks: where `join.INDEX` stands in the description.
        problems: where to note keys that are missing or stand twice, and names that are taken.
    """
    by_name = {name: Column(first, place) for place, name in enumerate(first.header)}
    for index, (join, file) in enumerate(joined):
        mark = marks.get(f"join.{index}")
        if not _has_key(join, (first, file), mark, problems):
            continue
        keys: dict[str, int] = {}
        place = file.header.index(join.on)
        for row, cell in enumerate(file.cells(place)):
            key = cell.strip()
            earlier = keys.setdefault(key, row)
            if earlier != row:
                found = f"a second row has {join.on} {key!r}, the first in line {file.line_numbers[earlier]}"
                problems.add(found, file.mark(row, place), "expected one row for each value of the key")
        rows = [keys.get(cell.strip(), -1) for cell in first.cells(first.header.index(join.on))]
        for other, name in enumerate(file.header):
            if other == place:
                continue
            if join.prefix + name in by_name:
                found = f"two files have a column {join.prefix + name!r}"
                problems.add(found, mark, "expected `prefix:`, put before the names of the joined file")
            else:
                by_name[join.prefix + name] = Column(file, other, rows)
    return Columns(first, by_name)


def _has_key(join: Join, files: Sequence[CsvFile], mark: Mark | None, problems: Problems) -> bool:
    missing = [file for file in files if join.on not in file.header]
    for file in missing:
        expected = f"expected {one_of(file.header, 30)}{nearest(join.on, file.header)}"
        problems.add(f"{file.file} has no column {join.on!r} to be joined on", mark, expected)
    return not missing
