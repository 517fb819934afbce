"""Writes small space files around one part, and finds the place that a test marks with ¦."""

from __future__ import annotations

import textwrap

import pytest

from nasengine.errors import InputError, Problem
from nasengine.space.holes import MapOf, Node, SpaceTree
from nasengine.space.language.parsing import parse_space

FILE = "space.yaml"
HEAD = "name: small\ntask: {kind: image_classification, input: [3, 32, 32], classes: 10}\n"


def around(network: str = "{type: sequential, layers: []}", more: str = "", head: str = HEAD) -> str:
    """A whole file: the network in one line (or an indented block), more top-level keys below it."""
    return f"{head}network: {network}\n{textwrap.dedent(more)}"


def argument(value: str, more: str = "") -> Node:
    """What `value` becomes as the argument `a` of a network."""
    root = parse_space(around(f"{{type: net, a: {value}}}", more), FILE).root
    assert isinstance(root, MapOf)
    return root.entries["a"]


def tree(more: str) -> SpaceTree:
    """The space with `more` below its network."""
    return parse_space(around(more=more), FILE)


def problems(marked: str) -> tuple[Problem, ...]:
    """All problems of a text; the first stands at the first ¦ in it, the second at the second, and so on."""
    text, places = "", []
    for part in marked.split("¦"):
        text += part
        lines = text.split("\n")
        places.append((len(lines), len(lines[-1]) + 1))
    with pytest.raises(InputError) as caught:
        parse_space(text, FILE)
    found = caught.value.problems
    assert [(p.mark.line, p.mark.column) for p in found if p.mark] == places[:-1], str(caught.value)
    assert all(p.mark is not None and p.mark.file == FILE for p in found)
    assert all(p.line_text == text.split("\n")[p.mark.line - 1] for p in found if p.mark)
    return found


def only_problem(marked: str) -> Problem:
    """The one problem of a text, which stands at its one ¦."""
    (found,) = problems(marked)
    return found
