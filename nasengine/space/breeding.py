"""Children of whole generations at once: crossover and mutation on matrices of rows.

What `Variation` does to one architecture after the other, without its repair of relations: a space without
relations needs none. Columns that crossover or mutation make active take an option from the parent that has one,
and where neither has, one drawn by the weights.

Shapes:  N children   D columns (decisions)   O most options of a decision
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasengine.space.decisions import Decision
from nasengine.space.encoding import INACTIVE, Encoding, Rows
from nasengine.space.mutation import Variation


class Breeding:
    """Makes children in one space.

    Args:
        encoding: of the space.
        variation: of the same space; says which changes of a subset are small.
    """

    def __init__(self, encoding: Encoding, variation: Variation) -> None:
        self.encoding = encoding
        self.variation = variation
        decisions = encoding.decisions
        self.sizes = np.array([len(decision.options) for decision in decisions], dtype=np.int16)  # (D,)
        self.conditional = np.flatnonzero([decision.conditional for decision in decisions])
        self.subsets = np.flatnonzero([decision.kind == "subset" for decision in decisions])
        self.shares = _cumulative_shares([decisions[column] for column in self.conditional])

    def children(self, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
        """One child of each pair: uniform crossover, then each active choice changes with chance 1 / active choices.

        A child equal to a parent changes in at least one choice, if it has any to change.

        Args:
            first, second: (N, D) canonical rows of the parents.
            rng: of all draws.
        Returns: (N, D) canonical rows.
        """
        child = np.where(rng.random(first.shape) < 0.5, first, second)
        if len(self.conditional):
            child = np.where(child == INACTIVE, np.maximum(first, second), child)
            child = self.encoding.canonical(self._filled(child, rng))
        changes = self._chosen(child, first, second, rng)
        child = self._changed(child, changes, rng)
        return self.encoding.canonical(self._filled(child, rng)) if len(self.conditional) else child

    def _chosen(self, child: Rows, first: Rows, second: Rows, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(N, D) which choices mutate."""
        changeable = (child != INACTIVE) & (self.sizes > 1)
        count = np.maximum(changeable.sum(axis=1), 1)
        draws = np.where(changeable, rng.random(child.shape), 2.0)
        chosen: NDArray[np.bool_] = draws < 1 / count[:, None]
        copy = (child == first).all(axis=1) | (child == second).all(axis=1)
        forced = np.flatnonzero(copy & ~chosen.any(axis=1) & changeable.any(axis=1))
        if len(forced):
            chosen[forced, draws[forced].argmin(axis=1)] = True
        return chosen

    def _changed(self, rows: Rows, chosen: NDArray[np.bool_], rng: np.random.Generator) -> Rows:
        """The rows with another option in every chosen place, each of the others equally likely."""
        made = rows.copy()
        at, column = np.nonzero(chosen)
        size = self.sizes[column].astype(np.int64)  # sums of two options may be too large for a row
        step = 1 + (rng.random(len(at)) * (size - 1)).astype(np.int64)
        made[at, column] = (rows[at, column] + step) % size
        for place in np.flatnonzero(np.isin(column, self.subsets)):  # a subset moves by one item
            cell = at[place], column[place]
            moves = self.variation.moves(int(cell[1]), int(rows[cell]))
            made[cell] = moves[int(rng.integers(len(moves)))] if moves else rows[cell]
        return made

    def _filled(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """The rows with an option drawn by its weight in every inactive column; `canonical` drops what stays so."""
        if not len(self.conditional):
            return rows
        part = rows[:, self.conditional]
        draws = rng.random(part.shape)
        drawn = (draws[:, :, None] >= self.shares[None]).sum(axis=2)  # (N, conditional)
        made = rows.copy()
        made[:, self.conditional] = np.where(part == INACTIVE, drawn, part)
        return made


def _cumulative_shares(decisions: Sequence[Decision]) -> NDArray[np.float64]:
    """(decisions, O) the chance of this option or an earlier one; 1 for the last and beyond, 2 where none is drawn."""
    most = max((len(decision.options) for decision in decisions), default=0)
    shares = np.full((len(decisions), most), 2.0)
    for line, decision in zip(shares, decisions, strict=True):
        weights = np.cumsum(decision.weights)
        line[: len(weights) - 1] = weights[:-1] / weights[-1]
    return shares
