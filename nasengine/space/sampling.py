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

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasengine.errors import InputError
from nasengine.space.decisions import Decision
from nasengine.space.encoding import INACTIVE, Rows
from nasengine.space.factors import Elimination, TooEntangledError, eliminate, without_fixed
from nasengine.space.model import Model
from nasengine.space.relations import CompiledRelation

By = Literal["uniform", "choice"]

BLOCK, BLOCK_NUMBERS = 4_096, 2_000_000  # rows drawn at a time, and their variables in all
MOST_TRIES = 10_000  # rejected draws in a row, on average, before giving up


@dataclass(frozen=True, slots=True)
class _Draw:
    """How one variable is drawn.

    Args:
        variable: which.
        given, strides: the row of the tables is the sum of stride × state over these variables, drawn before.
        width: a random place is one of 0 … width - 1.
        forced: the state that each row forces, -1 where the random place decides; None if no row forces one.
        rows, keep, other: alias tables, None where a random place is the state. The entry of place k in row r is
            k + rows[r] × width: the place stands with probability keep[entry], otherwise other[entry] is taken.
    """

    variable: int
    given: tuple[int, ...]
    strides: tuple[int, ...]
    width: int
    forced: NDArray[np.int64] | None
    rows: NDArray[np.int64] | None = None
    keep: NDArray[np.float64] | None = None
    other: NDArray[np.int64] | None = None

    @property
    def random(self) -> bool:
        """Whether it takes a random number at all."""
        return self.width > 0


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
            defined = [without_fixed(model.definitions[v], model.sizes) for v in order if model.sizes[v] > 1]
            steps = [Elimination(factor.scope[-1], factor.scope[:-1], factor.table) for factor in defined]
        else:
            model, steps, self.rejecting = _exact(self.decisions, relations)
        self.variables = len(model.sizes)
        self.draws = tuple(_prepare(step) for step in steps)
        self.widths = np.array([draw.width for draw in self.draws if draw.random], dtype=np.float64)

    @functools.cached_property
    def _plain(self) -> tuple[list[tuple[int, int]], list[tuple[Any, ...]]]:
        """The draws in plain Python values, faster one at a time: (those that depend on nothing, the others)."""
        free, others = [], []
        place = 0
        for draw in self.draws:
            if not draw.given and draw.forced is None and draw.keep is None:
                free.append((draw.variable, place))
            else:
                single = draw.given[0] if len(draw.given) == 1 and draw.keep is None else -1
                given = tuple(zip(draw.given, draw.strides, strict=True))
                tables = [
                    None if table is None else table.tolist()
                    for table in (draw.forced, draw.rows, draw.keep, draw.other)
                ]
                others.append((draw.variable, single, given, place, draw.random, draw.width, *tables))
            place += draw.random
        return free, others

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
        most = min(BLOCK, max(1, BLOCK_NUMBERS // max(1, self.variables)))
        have = tried = 0
        while have < n:
            size = most if self.rejecting and n > 1 else min(most, n - have)
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
        scaled = rng.random((len(self.widths), size)) * self.widths[:, None]  # (random draws, B)
        places = scaled.astype(np.int64)
        state = np.zeros((self.variables, size), dtype=np.int64)  # (V, B)
        number = 0
        for draw in self.draws:
            row: NDArray[np.int64] | int = 0
            for variable, stride in zip(draw.given, draw.strides, strict=True):
                row = row + (state[variable] * stride if stride > 1 else state[variable])
            if not draw.random:
                assert draw.forced is not None
                state[draw.variable] = draw.forced[row]
                continue
            place = places[number]
            if draw.keep is not None:
                assert draw.rows is not None
                assert draw.other is not None
                entry = place + draw.rows[row] * draw.width
                place = np.where(scaled[number] - place < draw.keep[entry], place, draw.other[entry])
            elif draw.forced is not None:
                forced = draw.forced[row]
                place = np.where(forced < 0, place, forced)
            state[draw.variable] = place
            number += 1
        rows = np.empty((size, len(self.decisions)), dtype=np.int16)
        for column, options in enumerate(self.options):
            rows[:, column] = state[column]
            if self.decisions[column].conditional:
                rows[state[column] == options, column] = INACTIVE
        return rows

    def _row(self, rng: np.random.Generator) -> list[int]:
        scaled = rng.random(len(self.widths)) * self.widths
        places = scaled.astype(np.int64).tolist()
        state = [0] * self.variables
        free, others = self._plain
        for variable, number in free:
            state[variable] = places[number]
        for variable, single, given, number, random, width, forced, rows, keep, other in others:
            if single >= 0:  # by far the most common: one boolean context above
                taken = forced[state[single]]
                state[variable] = places[number] if taken < 0 else taken
                continue
            row = 0
            for before, stride in given:
                row += state[before] * stride
            if not random:
                state[variable] = forced[row]
                continue
            place = places[number]
            if keep is not None:
                entry = place + rows[row] * width
                place = place if scaled[number] - place < keep[entry] else other[entry]
            elif forced[row] >= 0:
                place = forced[row]
            state[variable] = place
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
        if total == -math.inf:
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


def _prepare(step: Elimination) -> _Draw:
    """The tables of one variable, in the simplest form that says the same."""
    states = step.table.shape[-1]
    strides = tuple(int(np.prod(step.table.shape[axis + 1 : -1])) for axis in range(len(step.given)))
    table = _weights(step.table.reshape(-1, states))
    possible = np.count_nonzero(table, axis=1)  # states; none in a row that never comes up
    free = table[possible > 1]
    if not len(free):
        return _Draw(step.variable, step.given, strides, 0, table.argmax(axis=1).astype(np.int64))
    width = np.count_nonzero(free[0])
    if np.all(free[:, :width] == free[:, :1]) and not np.any(free[:, width:]):
        forced = np.where(possible > 1, -1, table.argmax(axis=1)).astype(np.int64)
        if np.all(possible > 1):
            return _Draw(step.variable, (), (), int(width), None)
        return _Draw(step.variable, step.given, strides, int(width), forced)
    totals = table.sum(axis=1, keepdims=True)
    probabilities = np.divide(table, totals, out=np.full_like(table, 1 / states), where=totals > 0)
    distinct, rows = np.unique(probabilities, axis=0, return_inverse=True)
    aliases = [_alias(row) for row in distinct]
    keep = np.concatenate([keep for keep, _ in aliases])
    other = np.concatenate([other for _, other in aliases])
    return _Draw(step.variable, step.given, strides, states, None, rows.reshape(-1).astype(np.int64), keep, other)


def _weights(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of weights, the largest of each row 1; rounded to 13 digits, so that equal weights are equal numbers."""
    largest = logarithms.max(axis=1, keepdims=True)
    mantissa, exponent = np.frexp(np.exp(logarithms - np.where(np.isfinite(largest), largest, 0.0)))
    weights: NDArray[np.float64] = np.ldexp(np.round(mantissa, 13), exponent)
    return weights


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
