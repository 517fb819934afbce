"""Names of choices and architectures, as short as they can be said."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from nasengine.records import Architecture
from nasengine.report.blocks import escaped

LINE, LINES = 60, 14


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Path -> its last names, as few as no other path ends with; a number keeps the name before it."""
    paths = list(paths)
    endings: dict[str, int] = {}
    for path in paths:
        for ending in set(_endings(path)):
            endings[ending] = endings.get(ending, 0) + 1
    return {path: next((ending for ending in _endings(path) if endings[ending] == 1), path) for path in paths}


def _endings(path: str) -> list[str]:
    """What the path ends with, shortest first, none of which begins with a number."""
    words = path.split(".")
    return [".".join(words[at:]) for at in range(len(words) - 1, -1, -1) if not words[at].isdecimal()] or [path]


def option_text(option: Any) -> str:
    """An option of a choice."""
    if isinstance(option, (tuple, list)):
        return "[" + ", ".join(map(option_text, option)) + "]"
    if option is None or isinstance(option, bool):
        return "none" if option is None else str(option).lower()
    return str(option)


def in_words(architecture: Architecture, names: Mapping[str, str]) -> str:
    """Every choice with the option taken: "width 16, kernel 3"."""
    return ", ".join(f"{names.get(path, path)} {option_text(option)}" for path, option in architecture.items())


def in_lines(architecture: Architecture, names: Mapping[str, str]) -> str:
    """The same in short lines for a box that plotly shows; the end of a very long one is left out."""
    lines = textwrap.wrap(in_words(architecture, names), LINE, break_long_words=True, break_on_hyphens=False)
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"… ({len(architecture)} choices)"]
    return "<br>".join(map(escaped, lines))
