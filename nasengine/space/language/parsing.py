"""Finds a space file, by path or by shipped name, and takes it through the grammar pass."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.space.holes import SpaceTree
from nasengine.space.language.extends import resolve_extends
from nasengine.space.language.grammar import read_space
from nasengine.space.language.yaml import parse_document

_PACKAGE = Path(__file__).resolve().parent.parent.parent


def shipped(kind: Literal["search_spaces", "strategies", "search_spaces/tables"]) -> dict[str, Path]:
    """name -> file of what ships with nasengine: inside the installed package, or beside it in a checkout."""
    for folder in (_PACKAGE / "shipped" / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def find_file(path_or_name: str | Path, kind: Literal["search_spaces", "strategies"]) -> Path:
    """The file meant by a path, or by the name of a shipped space or strategy.

    Raises:
        InputError: neither a file nor a shipped name; the nearest names are given.
    """
    path = Path(path_or_name)
    text = str(path_or_name)
    known = shipped(kind)
    if text in known:
        return known[text]
    looks_like_a_path = isinstance(path_or_name, Path) or path.suffix in (".yaml", ".yml") or len(path.parts) != 1
    try:
        if looks_like_a_path or path.is_file():
            return path
    except (OSError, ValueError):
        pass
    what = "space" if kind == "search_spaces" else "strategy"
    raise InputError(
        Problem(
            f"there is no {what} {text!r}",
            expected=f"expected a file, or a shipped {what}: {one_of(known)}{nearest(text, known)}",
        )
    )


def parse_space(text: str, file: str) -> SpaceTree:
    """The grammar pass over the text of a space file.

    Args:
        text: YAML.
        file: its path, for messages and for the folder in which `extends` looks.

    Raises:
        InputError: every problem found, with its place.
    """
    parsed = parse_document(text, file)
    lines = {file: parsed.lines}
    root = resolve_extends(parsed.documents[0], file, lines, lambda: shipped("search_spaces"))
    return read_space(root, file, lines)
