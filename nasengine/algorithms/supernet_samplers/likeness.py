"""How many small changes two architectures are apart.

A change moves a number to the next option, an item of a subset to the next place of its list, takes an item in or
leaves one out, or takes any other option in place of one that is a word. A choice that only one of two has is one
change.

Shapes:  C architectures   D choices
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.decisions import Decision


def changes_apart(space: SearchSpace, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
    """(C, C) how many changes lie between each two."""
    rows = space.encode_many(architectures)  # (C, D)
    apart = np.zeros((len(rows), len(rows)))
    for column, decision in enumerate(space.decisions):
        taken = rows[:, column]  # -1 where inactive, which is the last row of the table
        apart += _between_options(decision)[taken[:, None], taken[None]]
    return apart


def _between_options(decision: Decision) -> NDArray[np.float64]:
    """(options + 1, options + 1) changes between options; the last is that the choice is not there."""
    options = decision.options
    apart = 1 - np.eye(len(options) + 1)
    if decision.kind == "subset":
        items = list(dict.fromkeys(item for option in options for item in option))
        inside = np.array([[item in option for item in items] for option in options], dtype=float)
        before = inside.cumsum(axis=1)
        # Between subsets of one size, moving items place by place; otherwise what is in one alone.
        moves = np.abs(before[:, None] - before[None]).sum(axis=-1)
        alone = np.abs(inside[:, None] - inside[None]).sum(axis=-1)
        sizes = inside.sum(axis=1)
        apart[:-1, :-1] = np.where(sizes[:, None] == sizes[None], moves, alone)
    elif len(options) > 1 and all(isinstance(option, (int, float)) for option in options):
        ranks = np.argsort(np.argsort([float(option) for option in options]))
        apart[:-1, :-1] = np.abs(ranks[:, None] - ranks[None])
    return apart
