"""From a file, a shipped name or plain values to a search space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nasengine.errors import InputError, Mark, Problem
from nasengine.space.language.grammar import read_space
from nasengine.space.language.parsing import find_file, parse_space, shipped
from nasengine.space.language.yaml import from_plain, read_text
from nasengine.space.space import SearchSpace

__all__ = ["find_file", "load_space", "parse_space", "shipped", "space_from_mapping"]


def load_space(path_or_name: str | Path) -> SearchSpace:
    """Load a space from a file, or a shipped one by its name.

    Raises:
        InputError: every problem found, with its place.
    """
    path = find_file(path_or_name, "search_spaces")
    return SearchSpace(parse_space(read_text(path), str(path)))


def space_from_mapping(resolved: Mapping[str, object], file: str = "run.yaml") -> SearchSpace:
    """Rebuild a space from `SpaceTree.resolved`, the plain values that a run keeps of it.

    Raises:
        InputError: the values are no space, or one whose `extends` is not merged yet.
    """
    if "extends" in resolved:
        raise InputError(Problem("the space still extends another one", Mark(file, 1, 1), "expected a resolved space"))
    return SearchSpace(read_space(from_plain(resolved, file), file, {}))
