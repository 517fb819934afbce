"""Published measurements of architectures, read from CSV files.

description    what a table says of itself; `reading` reads it from YAML
csv_file       a CSV file in which every cell has a place
columns        several files joined on a key, as one set of columns
architectures  the cells of a row as an architecture of the space
numbers        the cells of a column as measurements
loading        all of it checked, as a `Tabulated`
"""

from __future__ import annotations

from nasengine.evaluators.tabular.description import Measurement, TableDescription, find_table
from nasengine.evaluators.tabular.loading import Tabulated, check_table, describe, load_table, signature

__all__ = [
    "Measurement",
    "TableDescription",
    "Tabulated",
    "check_table",
    "describe",
    "find_table",
    "load_table",
    "signature",
]
