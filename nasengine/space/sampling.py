"""Draws architectures, one at a time as objects or many at a time as rows.

`uniform` draws every distinct architecture that satisfies the relations with the same probability (times the
product of the weights of its options), however unequal the branches of a conditional space are: each variable of
the space's model is drawn from its table of the elimination, backwards, so nothing is rejected. A relation whose
tables would be too large is left to rejection instead. `choice` is the other published habit: each active choice
on its own, by its weights alone; it favours what small branches hold, and rejects what breaks a relation.

Each draw takes one random number per variable that is not determined yet, by the alias method (Walker, "An
efficient method for generating discrete random variables with general distributions", ACM TOMS 3(3), 1977).

Shapes:  N rows (architectures)   D columns (decisions)   V variables of the model   B rows of a block
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError
from nasengine.space.decisions import Decision
from nasengine.space.encoding import INACTIVE, Rows
from nasengine.space.factors import Elimination, TooEntangledError, eliminate
from nasengine.space.model import Model
from nasengine.space.relations import CompiledRelation

By = Literal["uniform", "choice"]

BLOCK = 4_096  # rows drawn at a time: their variables fit a core's cache
MOST_TRIES = 10_000  # rejected draws in a row, on average, before giving up


@dataclass(frozen=True, slots=True)
class _Draw:
    """How one variable is drawn.

    Args:
        variable: which.
        given, strides: the row of the tables is the sum of stride × state over these variables drawn before.
        states: of the variable.
        row_of: which of the distinct rows belongs to each combination; None where there is only one row.
        keep, other: alias tables of the distinct rows, flat: state k of row r stands with probability keep[r, k],
            otherwise other[r, k] is taken. None where the state follows from the given ones.
        only: that state, per combination.
        fair: whether there is one row, and every state in it is equally likely.
    """

    variable: int
    given: tuple[int, ...]
    strides: tuple[int, ...]
    states: int
    row_of: NDArray[np.int64] | None
    keep: NDArray[np.float64] | None
    other: NDArray[np.int64] | None
    only: NDArray[np.int64] | None
    fair: bool


class Sampler:
    """Draws rows of one space.

    Args:
        decisions: of the space.
        relations: that every row must satisfy.
        by: see the module.

    Raises:
        InputError: no architecture satisfies the relations, or (uniform only) the choices depend on each other too
            much for exact sampling.
    """

    def __init__(self, decisions: Sequence[Decision], relations: Sequence[CompiledRelation], by: By = "uniform"):
        self.decisions = tuple(decisions)
        self.options = tuple(len(decision.options) for decision in self.decisions)
        if by == "choice":
            self.rejecting = tuple(relations)
            model = Model(self.decisions, weighted=True)
            order = sorted(model.definitions, key=lambda v: model.ranks[v])
            steps: Iterable[Elimination] = (
                Elimination(v, model.definitions[v].scope[:-1], model.definitions[v].table)
                for v in order
                if model.sizes[v] > 1
            )
            steps = [_without_fixed(step, model.sizes) for step in steps]
        else:
            model, steps, self.rejecting = _exact(self.decisions, relations)
        self.variables = len(model.sizes)
        self.draws = tuple(_prepare(step) for step in steps)
        self.random = sum(draw.only is None for draw in self.draws)
        self._plain = tuple(_as_plain(draw) for draw in self.draws)

    def row(self, rng: np.random.Generator) -> list[int]:
        """One canonical row of D indices; the same as `rows(rng, 1)` gives.

        Raises:
            InputError: relations left to rejection refused every draw.
        """
        for _ in range(MOST_TRIES):
            row = self._row(rng)
            if all(relation.holds(row) for relation in self.rejecting):
                return row
        raise self._refused(0, MOST_TRIES)

    def rows(self, rng: np.random.Generator, n: int) -> Rows:
        """(N, D) canonical rows.

        Raises:
            InputError: relations left to rejection refused nearly every draw.
        """
        result = np.empty((n, len(self.decisions)), dtype=np.int16)
        have = tried = 0
        while have < n:
            size = BLOCK if self.rejecting and n > 1 else min(BLOCK, n - have)
            block = self._block(rng, size)
            tried += size
            for relation in self.rejecting:
                block = block[relation.holds_many(block)]
            block = block[: n - have]
            result[have : have + len(block)] = block
            have += len(block)
            if tried > MOST_TRIES * (have + 1):
                raise self._refused(have, tried)
        return result

    def _refused(self, accepted: int, tried: int) -> InputError:
        return InputError(
            f"{accepted:,} of {tried:,} architectures drawn satisfy the relations: too few to sample by rejection"
        )

    def _block(self, rng: np.random.Generator, size: int) -> Rows:
        uniform = iter(rng.random((self.random, size)))  # (random, B)
        state = np.zeros((self.variables, size), dtype=np.int64)  # (V, B)
        for draw in self.draws:
            row: NDArray[np.int64] | int = 0
            for variable, stride in zip(draw.given, draw.strides, strict=True):
                row = row + state[variable] * stride
            if draw.only is not None:
                state[draw.variable] = draw.only[row]
                continue
            scaled = next(uniform) * draw.states
            place = scaled.astype(np.int64)
            if draw.fair:
                state[draw.variable] = place
                continue
            assert draw.keep is not None
            assert draw.other is not None
            scaled -= place
            entry = place if draw.row_of is None else place + draw.row_of[row] * draw.states
            state[draw.variable] = np.where(scaled < draw.keep[entry], place, draw.other[entry])
        rows = np.empty((size, len(self.decisions)), dtype=np.int16)
        for column, options in enumerate(self.options):
            rows[:, column] = state[column]
            if self.decisions[column].conditional:
                rows[state[column] == options, column] = INACTIVE
        return rows

    def _row(self, rng: np.random.Generator) -> list[int]:
        uniform = iter(rng.random(self.random).tolist())
        state = [0] * self.variables
        for variable, given, states, row_of, keep, other, only, fair in self._plain:
            if fair:
                state[variable] = int(next(uniform) * states)
                continue
            row = 0
            for before, stride in given:
                row += state[before] * stride
            if only is not None:
                state[variable] = only[row]
                continue
            scaled = next(uniform) * states
            place = int(scaled)
            entry = place + row_of[row] * states
            state[variable] = place if scaled - place < keep[entry] else other[entry]
        return [INACTIVE if taken == options else taken for taken, options in zip(state, self.options, strict=False)]


def _exact(
    decisions: tuple[Decision, ...], relations: Sequence[CompiledRelation]
) -> tuple[Model, list[Elimination], tuple[CompiledRelation, ...]]:
    """The tables to draw from in order, and the relations that they do not cover."""

    def attempt(covered: Sequence[CompiledRelation]) -> tuple[Model, list[Elimination]]:
        model = Model(decisions, weighted=True)
        for relation in covered:
            model.add(relation)
        steps, total = eliminate(model.sizes, model.ranks, model.factors, exact=False)
        if not total > 0:
            raise InputError("no architecture satisfies the relations of this space")
        return model, steps[::-1]

    try:
        return *attempt(relations), ()
    except TooEntangledError:
        pass
    covered: list[CompiledRelation] = []
    rejecting: list[CompiledRelation] = []
    for relation in relations:
        try:
            attempt([*covered, relation])
            covered.append(relation)
        except TooEntangledError:
            rejecting.append(relation)
    try:
        return *attempt(covered), tuple(rejecting)
    except TooEntangledError:
        raise InputError(
            "the choices of this space depend on each other too much for exact uniform sampling; "
            "draw each choice on its own instead (by='choice')"
        ) from None


def _without_fixed(step: Elimination, sizes: Sequence[int]) -> Elimination:
    kept = [axis for axis, v in enumerate(step.given) if sizes[v] > 1]
    shape = [step.table.shape[axis] for axis in kept] + [step.table.shape[-1]]
    return Elimination(step.variable, tuple(step.given[axis] for axis in kept), step.table.reshape(shape))


def _prepare(step: Elimination) -> _Draw:
    """The tables of one variable, with equal rows kept once."""
    states = step.table.shape[-1]
    strides = tuple(int(np.prod(step.table.shape[axis + 1 : -1])) for axis in range(len(step.given)))
    table = step.table.reshape(-1, states).astype(np.float64)
    totals = table.sum(axis=1)
    possible = totals > 0
    if (np.count_nonzero(table, axis=1)[possible] == 1).all():
        return _Draw(
            step.variable, step.given, strides, states, None, None, None, table.argmax(axis=1).astype(np.int64), False
        )
    probabilities = np.where(possible[:, None], table / np.where(possible, totals, 1)[:, None], 1 / states)
    distinct, row_of = np.unique(probabilities, axis=0, return_inverse=True)
    aliases = [_alias(row) for row in distinct]
    keep = np.concatenate([keep for keep, _ in aliases])
    other = np.concatenate([other for _, other in aliases])
    fair = len(distinct) == 1 and bool(np.all(distinct == distinct[0, 0]))
    rows = None if len(distinct) == 1 else row_of.reshape(-1).astype(np.int64)
    return _Draw(step.variable, step.given, strides, states, rows, keep, other, None, fair)


def _alias(probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Alias tables of one distribution (Vose's order of filling)."""
    states = len(probabilities)
    scaled = (probabilities * states).tolist()
    keep, other = [1.0] * states, list(range(states))
    small = [state for state, share in enumerate(scaled) if share < 1]
    large = [state for state, share in enumerate(scaled) if share >= 1]
    while small and large:
        poor, rich = small.pop(), large[-1]
        keep[poor], other[poor] = scaled[poor], rich
        scaled[rich] -= 1 - scaled[poor]
        if scaled[rich] < 1:
            small.append(large.pop())
    richest = int(np.argmax(probabilities))
    for state in small:  # left by rounding: a state of probability 0 must not be kept
        keep[state], other[state] = scaled[state], richest
    return np.array(keep), np.array(other, dtype=np.int64)


def _as_plain(draw: _Draw) -> tuple[Any, ...]:
    """The same in plain Python values, which are faster one at a time."""
    given = tuple(zip(draw.given, draw.strides, strict=True))
    rows = [0] if draw.row_of is None else draw.row_of.tolist()
    if draw.row_of is None and draw.only is None:
        given = ()
    return (
        draw.variable,
        given,
        draw.states,
        rows,
        None if draw.keep is None else draw.keep.tolist(),
        None if draw.other is None else draw.other.tolist(),
        None if draw.only is None else draw.only.tolist(),
        draw.fair,
    )
