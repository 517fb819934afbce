"""What commands print: tables and lines for people, JSON for scripts, complaints on the error stream.

On a terminal tables are drawn by rich; piped, they are plain columns that no width cuts off.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nasengine.wording import duration as duration
from nasengine.wording import number


def is_terminal() -> bool:
    """Whether a person reads the output as it comes."""
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """A line for people, or for a pipe."""
    print(text, flush=True)


def command(*words: object) -> str:
    """A command of nasengine as it can be pasted into a shell, whatever its paths hold."""
    return shlex.join(["nasengine", *map(str, words)])


def complain(text: str) -> None:
    """What went wrong, on the error stream."""
    print(text, file=sys.stderr, flush=True)


def emit(value: Any) -> None:
    """One JSON value on one line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def show_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; numbers are aligned right by their looks."""
    texts = [[_text(cell) for cell in row] for row in rows]
    right = [bool(texts) and all(_is_number(row[column]) for row in texts) for column in range(len(head))]
    if is_terminal():
        _draw(head, texts, right)
        return
    widths = [max(len(line[column]) for line in [list(head), *texts]) for column in range(len(head))]
    for line in [list(head), *texts]:
        cells = [
            cell.rjust(width) if align else cell.ljust(width)
            for cell, width, align in zip(line, widths, right, strict=True)
        ]
        say("  ".join(cells).rstrip())


def _draw(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, align in zip(head, right, strict=True):
        table.add_column(name, justify="right" if align else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in a cell are no markup
    Console(highlight=False).print(table)


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int):
        return count(cell)
    return number(cell) if isinstance(cell, float) else str(cell)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").replace("e+", "").replace("-", "").isdigit()


def count(value: int) -> str:
    """A whole number with thousands marked; beyond 15 digits, its first four and the power of ten."""
    return f"{value:,}" if abs(value) < 10**15 else f"{Decimal(value):.3e}"


def option(value: object) -> str:
    """An option of a choice, as short as it can be said."""
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(option(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "none"
    return str(value)
