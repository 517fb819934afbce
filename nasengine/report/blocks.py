"""What a section of a page is made of: texts, tables, figures, drawings; each writes its own HTML.

Every string is taken as text and escaped, whatever it holds; only a `Drawing` is markup, made by `report` itself.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from nasengine.wording import number

LONG = 40  # letters of a cell, beyond which it may be broken into lines
Attribute = Literal["changed", "quiet", "strong"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell or a fact that stands out: changed (a choice that differs), quiet, strong."""

    text: str
    look: Attribute


Cell: TypeAlias = str | int | float | Mark | None


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str

    def html(self) -> str:
        return f"<p>{escaped(self.text)}</p>"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    text: str

    def html(self) -> str:
        return f"<h3>{escaped(self.text)}</h3>"


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy, such as a command; long ones scroll in their own box."""

    text: str
    label: str = "code"

    def html(self) -> str:
        return f'<pre tabindex="0" aria-label="{escaped(self.label)}"><code>{escaped(self.text)}</code></pre>'


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms with what is known of them, one pair a line."""

    facts: Sequence[tuple[str, Cell]]

    def html(self) -> str:
        rows = "".join(f"<dt>{escaped(term)}</dt><dd>{_cell(fact)}</dd>" for term, fact in self.facts)
        return f"<dl>{rows}</dl>"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head. A column whose cells are all numbers (percentages, None) is aligned right.

    Args:
        head: one name a column; the first column names its row.
        rows: of cells.
        caption: what the table shows, in a sentence.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def html(self) -> str:
        right = [
            bool(self.rows) and all(_is_number(row[column]) for row in self.rows) for column in range(len(self.head))
        ]
        looks = [' class="right"' if aligned else "" for aligned in right]
        head = "".join(
            f'<th scope="col"{look}>{escaped(name)}</th>' for name, look in zip(self.head, looks, strict=True)
        )
        body = "".join(f"<tr>{self._row(row, looks)}</tr>" for row in self.rows)
        caption = f"<caption>{escaped(self.caption)}</caption>" if self.caption else ""
        label = escaped(self.caption or ", ".join(self.head))
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
            f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    @staticmethod
    def _row(row: Sequence[Cell], looks: Sequence[str]) -> str:
        first, *rest = zip(row, looks, strict=True)
        return f'<th scope="row"{first[1]}>{_cell(first[0])}</th>' + "".join(
            f"<td{look or _long(cell)}>{_cell(cell)}</td>" for cell, look in rest
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """A plotly figure.

    Args:
        data: traces as plotly.js takes them: plain values and arrays. Colours may be "@series-1", "@ink/0.5" (see
            `theme`). Words in `text`, `name` and titles are read by plotly as a little HTML: pass them by `escaped`.
        layout: what differs from the page's own layout (fonts, margins, grid and colours are set by the page).
        caption: what it shows, in a sentence; stands below it.
        alt: the same for those who cannot see it: what is to be read from it.
        height: in pixels, on a wide screen.
    """

    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    caption: str
    alt: str
    height: int = 420

    def html(self) -> str:
        content = json_in_html({"data": self.data, "layout": self.layout})
        return (
            f'<figure><div class="chart" role="img" aria-label="{escaped(self.alt)}" style="height:{self.height}px">'
            f'</div><script type="application/json">{content}</script>'
            f"<figcaption>{escaped(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG picture that scrolls in its own box where it is wider than the screen.

    Args:
        svg: markup, every word in it escaped by whoever drew it.
        caption, alt: as of a `Figure`.
    """

    svg: str
    caption: str
    alt: str

    def html(self) -> str:
        return (
            f'<figure><div class="scroll drawing" role="img" tabindex="0" aria-label="{escaped(self.alt)}">{self.svg}'
            f"</div><figcaption>{escaped(self.caption)}</figcaption></figure>"
        )


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that are folded until somebody opens them; no figures, which need a place to be drawn in."""

    summary: str
    blocks: Sequence[Text | Code | Facts | Table | Drawing] = field(default_factory=tuple)

    def html(self) -> str:
        inside = "".join(block.html() for block in self.blocks)
        return f"<details><summary>{escaped(self.summary)}</summary>{inside}</details>"


@dataclass(frozen=True, slots=True)
class Columns:
    """Blocks side by side, below one another where the screen is too narrow; no figures."""

    blocks: Sequence[Text | Code | Facts | Table | Drawing]

    def html(self) -> str:
        return f'<div class="columns">{"".join(f"<div>{block.html()}</div>" for block in self.blocks)}</div>'


Block: TypeAlias = Text | Heading | Code | Facts | Table | Figure | Drawing | Details | Columns


def escaped(text: str) -> str:
    """Text that stays text in HTML, in its attributes, and in plotly's labels; control characters become spaces."""
    return html.escape("".join(c if c >= " " or c in "\n\t" else " " for c in text))


def json_in_html(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element. Numbers in six digits."""
    text = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    """Arrays as lists; what is no number as null, which plotly leaves out."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
    return value


def _is_number(cell: Cell) -> bool:
    cell = cell.text if isinstance(cell, Mark) else cell
    return cell is None or isinstance(cell, int | float) or (isinstance(cell, str) and cell.endswith(" %"))


def _long(cell: Cell) -> str:
    """The look of a cell whose text may take several lines."""
    return ' class="long"' if isinstance(cell, str) and len(cell) > LONG else ""


def _cell(cell: Cell) -> str:
    if cell is None:
        return '<span class="quiet">–</span>'
    if isinstance(cell, Mark):
        return f'<span class="{cell.look}">{escaped(cell.text)}</span>'
    if isinstance(cell, float) and cell.is_integer() and abs(cell) >= 1000:
        cell = int(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return escaped(number(cell) if isinstance(cell, float) else str(cell))
