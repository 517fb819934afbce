"""The cells of a column as measurements: finite numbers, scaled exactly."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

from nasengine.errors import Mark
from nasengine.evaluators.tabular.columns import Columns
from nasengine.evaluators.tabular.description import Measurement
from nasengine.space.problems import Problems


def read_numbers(
    measurement: Measurement, columns: Columns, mark: Mark | None, problems: Problems
) -> dict[float, list[float]]:
    """Budget -> N measurements; columns that are not there are noted and left out, so are cells that hold no number.

    Args:
        measurement: names the columns.
        columns: of all files.
        mark: where the measurement stands in the description.
        problems: where to note what is wrong.
    """
    found = {}
    for budget, name in measurement.columns:
        column = columns.find(name, mark, problems)
        if column is None:
            continue
        cells = column.cells()
        numbers = _numbers(measurement, set(cells))
        for row, cell in enumerate(cells):
            if numbers[cell] is None:
                if column.rows is not None and column.rows[row] < 0:
                    what = f"{measurement.name} is missing: {column.source.file} has no row for this one"
                elif not cell.strip():
                    what = f"{measurement.name} is missing: its cell in {name} is empty"
                else:
                    what = f"{measurement.name} is {cell.strip()[:40]!r}"
                problems.add(
                    what, columns.mark(column, row), "expected a finite number; an empty cell needs `missing:`"
                )
        values = (numbers[cell] for cell in cells)
        found[budget] = [math.nan if value is None else value for value in values]
    return found


def _numbers(measurement: Measurement, cells: set[str]) -> dict[str, float | None]:
    """The number of each different cell; None for what is none."""
    scale = Decimal(measurement.scale)
    found: dict[str, float | None] = {}
    for cell in cells:
        try:
            # In decimals, since 0.01 has no exact float: 92.01 % is to be 0.9201 and nothing else.
            value = float(cell) if scale == 1 else float(Decimal(cell.strip()) * scale)
        except (ValueError, InvalidOperation):
            value = math.nan
        found[cell] = value if math.isfinite(value) else None
        if not cell.strip():
            found[cell] = measurement.missing
    return found
