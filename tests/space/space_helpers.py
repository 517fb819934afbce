"""Makes small spaces from a few lines of YAML, and reads the problems of bad ones."""

from __future__ import annotations

import textwrap

import pytest

from nasengine.errors import InputError, Problem
from nasengine.space import SearchSpace, parse_space

HEAD = "name: small\ntask: {kind: image_classification, input: [3, 32, 32], classes: 10}\n"


def space_of(text: str, head: str = HEAD) -> SearchSpace:
    """The space of a file without its first lines (name and task)."""
    return SearchSpace(parse_space(head + textwrap.dedent(text), "space.yaml"))


def problems_of(text: str) -> tuple[Problem, ...]:
    """Everything wrong with the space of such a file."""
    with pytest.raises(InputError) as caught:
        space_of(text)
    return caught.value.problems


def with_counts(space: SearchSpace) -> dict[str, int]:
    """path -> number of options, in the order of the space."""
    return {decision.path: len(decision.options) for decision in space.decisions}


# Branches of very different size, with a shared decision that only some of them use.
UNEQUAL = """
    let: {shared: {choice: [1, 2, 3]}}
    network:
      type: net
      main:
        choice:
          tiny: {type: tiny}
          large: {type: l, a: {choice: [1, 2, 3, 4]}, b: {use: shared}, c: {optional: {type: c, d: {choice: [5, 6]}}}}
      side: {choice: {plain: {type: plain}, sharing: {type: sharing, b: {use: shared}}}}
      blocks: {repeat: {choice: [0, 1, 2]}, of: {type: block, kernel: {choice: [3, 5]}}}
"""
