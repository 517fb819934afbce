"""A CSV file in which every cell has a place, so that what is wrong with it is shown where it stands."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from nasengine.errors import InputError, Mark, Problem
from nasengine.space.problems import Problems

LARGEST_BYTES = 500_000_000


@dataclass(frozen=True, eq=False)
class CsvFile:
    """A file with a header.

    Args:
        file: how it is named in messages.
        header: the names of its columns.
        rows: N lists of cells, as many in each as there are columns.
        line_numbers: where each row begins, counted from 1.
        lines: of the file, for excerpts.
    """

    file: str
    header: tuple[str, ...]
    rows: list[list[str]]
    line_numbers: list[int]
    lines: tuple[str, ...] = field(repr=False)

    def cells(self, column: int) -> list[str]:
        """N cells of one column."""
        return [row[column] for row in self.rows]

    def mark(self, row: int | None, column: int) -> Mark:
        """The place of a cell; of the column's name where `row` is None."""
        line = 1 if row is None else self.line_numbers[row]
        return Mark(self.file, line, _start(self.lines[line - 1], column))


def read_csv(path: Path) -> CsvFile:
    """Read a file.

    Raises:
        InputError: it cannot be read, is no text or no CSV; or everything wrong with its header and its rows.
    """
    shown = str(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(f"{shown!r} has {size:,} bytes; a table has at most {LARGEST_BYTES:,}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{shown!r} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        found = f"byte 0x{error.object[error.start]:02x} is not UTF-8 text"
        raise InputError(Problem(found, Mark(shown, line, 1), "expected a CSV file in UTF-8")) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    line_numbers: list[int] = []
    before = 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                line_numbers.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise InputError(Problem(f"not valid CSV: {error}", Mark(shown, before + 1, 1))) from error
    if not rows:
        raise InputError(Problem("the file is empty", Mark(shown, 1, 1), "expected a header and at least one row"))
    header = tuple(name.strip() for name in rows[0])
    made = CsvFile(shown, header, rows[1:], line_numbers[1:], tuple(re.split("\r\n|\n|\r", text)))
    _check_shape(made)
    return made


def _check_shape(made: CsvFile) -> None:
    """Every column must have a name of its own, and every row a cell for each."""
    problems = Problems({made.file: made.lines})
    seen: set[str] = set()
    for column, name in enumerate(made.header):
        if not name or name in seen:
            found = f"a second column is called {name!r}" if name else f"column {column + 1} has no name"
            problems.add(found, made.mark(None, column), "expected a name of its own for each column")
        seen.add(name)
    if not made.rows:
        problems.add("the table has no rows", Mark(made.file, 1, 1), "expected one row for each architecture")
    width = len(made.header)
    for row, cells in enumerate(made.rows):
        if len(cells) != width:
            found = f"this row has {len(cells)} cells, but the header names {width} columns"
            problems.add(found, Mark(made.file, made.line_numbers[row], 1), "expected a cell for each column")
    problems.check()


def _start(line: str, column: int) -> int:
    """Where in a line (from 1) a cell begins, commas inside quotes being part of a cell."""
    quoted, commas = False, 0
    for place, character in enumerate(line, 1):
        if commas == column:
            return place
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            commas += 1
    return len(line) + 1 if commas == column else 1
