"""NSGA-II: the best fronts survive, those with most room first, and have children by crossover and mutation.

Shapes:  m members   d objectives   c constraints   D choices (columns of an encoded architecture)
Source: [NSGA2] Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
        IEEE TEVC 6(2), 2002
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.known import known_architectures
from nasengine.errors import InputError, Problem
from nasengine.fronts import Points, constrained_ranks, crowding_distances
from nasengine.objectives import Constraint, Losses, Objective, losses
from nasengine.records import Candidate, Trial
from nasengine.space.domain import Domain
from nasengine.space.encoding import Rows

ROUNDS = 10  # of making other children in place of those proposed before
DRAWS = 20  # of a random architecture, likewise


class NSGA2(Algorithm):
    """NSGA-II [NSGA2] over arrays, for one objective or several.

    The first `population` candidates are random. Later ones come in generations of `children`: before one is made,
    the trials told since the last join the population, and the best `population` of all survive, by front, then by
    crowding distance ([NSGA2] sec. III). Parents win binary tournaments in the same order. A child takes each choice
    from either parent with equal chance, and each of its choices then mutates with chance 1 / choices.

    With constraints that only a measurement can judge, feasible members stand before infeasible ones, and those in
    the order of their total violation (sec. VI).

    Late results. Nothing is waited for: a generation is made of what has been told by then, and trials that still
    run join before the next; with a lag of 16 these are the last 15. While fewer than two have joined, candidates
    stay random.

    Differs from the paper:
    - A generation may have fewer children than the population has members, so that results are put to use sooner.
    - Crossover is uniform: choices stand in no order whose neighbours should stay together.
    - An architecture is proposed again only if none of 10 rounds of children and 20 random draws is new.
    - Failed and stopped trials, and infeasible ones that did not measure every constraint, do not join.

    Args:
        constraints: of the search.
        population: how many survive (N in [NSGA2]).
        children: how many candidates are made at a time.
        known: names of known architectures of the space that come first, in place of random ones.
    """

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        constraints: Sequence[Constraint] = (),
        population: int = 100,
        children: int = 20,
        known: Sequence[str] = (),
    ) -> None:
        super().__init__(domain, objectives, seed=seed)
        if population < 2 or children < 1:
            found = f"nsga2 with population {population} and {children} children"
            raise InputError(Problem(found, expected="expected a population of at least 2 and at least one child"))
        self.constraints = tuple(constraints)
        self.population = population
        self.children = children
        self._first = known_architectures(domain, known)
        few = all(len(decision.options) <= 127 for decision in domain.space.decisions)
        self._packed = np.dtype(np.int8 if few else np.int16)  # of the rows in `_proposed`
        self._proposed: set[bytes] = set()
        self._running: dict[int, Rows] = {}  # trial -> row (D,); asked, not told yet
        self._arrived: list[_Arrival] = []  # told since the last generation
        self._brood: deque[_Proposal] = deque()  # children that are still to be asked for
        self._members = _Members(
            np.empty((0, len(domain.space.decisions)), dtype=np.int16),
            np.empty(0, dtype=np.int64),
            np.empty((0, len(self.objectives))),
            np.empty((0, len(self.constraints))),
            np.empty(0, dtype=np.int64),
        )

    def ask(self, trial_number: int) -> Candidate:
        proposal = self._next(trial_number)
        if proposal.fresh:  # a repeat brings nothing that the first of its kind does not
            self._running[trial_number] = proposal.row
        architecture = self.domain.space.encoding.architecture(proposal.row.tolist())
        return Candidate(architecture, proposal.parents)

    def tell(self, trial: Trial) -> None:
        row = self._running.pop(trial.number, None)
        if row is None or trial.status not in ("completed", "infeasible"):
            return
        if any(constraint.name not in trial.measurements for constraint in self.constraints):
            return
        violations = tuple(constraint.excess(trial.measurements) for constraint in self.constraints)
        if trial.completed:
            point = losses(trial.measurements, self.objectives)
        elif any(violations):
            point = (math.inf,) * len(self.objectives)
        else:
            return
        self._arrived.append(_Arrival(row, trial.number, point, violations))

    def _next(self, trial_number: int) -> _Proposal:
        if trial_number < len(self._first):
            row = self.domain.space.encode(self._first[trial_number])
            return _Proposal(row, (), self._is_new(row))
        if not self._brood:
            rng = self.generator(trial_number)
            if trial_number >= self.population:
                self._select()
                self._breed(rng)
            if not self._brood:
                return self._random(rng)
        return self._brood.popleft()

    def _select(self) -> None:
        if self._arrived:
            self._members = self._members.joined(self._arrived).best(self.population)
            self._arrived = []

    def _breed(self, rng: np.random.Generator) -> None:
        """Make a generation, new architectures as far as there are any."""
        members = self._members
        if len(members.numbers) < 2:
            return
        for _ in range(ROUNDS):
            missing = self.children - len(self._brood)
            if not missing:
                return
            mothers, fathers = _winners(members.places, 2 * missing, rng).reshape(2, missing)
            rows, pairs = self.domain.children(members.rows[mothers], members.rows[fathers], rng)
            numbers = members.numbers[np.stack([mothers[pairs], fathers[pairs]], axis=1)].tolist()
            for row, parents in zip(rows, numbers, strict=True):
                if self._is_new(row):
                    self._brood.append(_Proposal(row, tuple(dict.fromkeys(parents)), True))
        while len(self._brood) < self.children:
            self._brood.append(self._random(rng))

    def _random(self, rng: np.random.Generator) -> _Proposal:
        for _ in range(DRAWS):
            row = self.domain.space.encode(self.domain.sample(rng))
            if self._is_new(row):
                return _Proposal(row, (), True)
        return _Proposal(row, (), False)

    def _is_new(self, row: Rows) -> bool:
        """Whether a row was never proposed; from now on it was."""
        before = len(self._proposed)
        self._proposed.add(row.astype(self._packed).tobytes())
        return len(self._proposed) > before


@dataclass(frozen=True, slots=True)
class _Proposal:
    row: Rows  # (D,)
    parents: tuple[int, ...]
    fresh: bool  # not proposed before


@dataclass(frozen=True, slots=True)
class _Arrival:
    row: Rows  # (D,)
    number: int
    point: Losses  # infinite if infeasible
    violations: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Members:
    """A population.

    Args:
        rows: (m, D) canonical rows.
        numbers: (m,) their trials.
        points: (m, d) losses; infinite if infeasible.
        violations: (m, c) by how much each constraint is broken, 0 where it is kept.
        places: (m,) by front and room; equal where neither tells two apart, smaller is better.
    """

    rows: Rows
    numbers: NDArray[np.int64]
    points: Points
    violations: Points
    places: NDArray[np.int64]

    def joined(self, arrived: Sequence[_Arrival]) -> _Members:
        """With the newcomers behind; the places are not theirs yet."""
        return _Members(
            np.concatenate([self.rows, [arrival.row for arrival in arrived]]),
            np.concatenate([self.numbers, [arrival.number for arrival in arrived]]),
            np.concatenate([self.points, [arrival.point for arrival in arrived]]),
            np.concatenate([self.violations, np.array([a.violations for a in arrived]).reshape(len(arrived), -1)]),
            np.zeros(len(self.numbers) + len(arrived), dtype=np.int64),
        )

    def best(self, most: int) -> _Members:
        """So many at most, in the order of the crowded-comparison operator; who came first stands first in a tie."""
        ranks = constrained_ranks(self.points, self.violations)
        feasible = ~self.violations.any(axis=1)
        room = np.zeros(len(ranks))
        room[feasible] = crowding_distances(self.points[feasible], ranks[feasible])
        order = np.lexsort((-room, ranks))[:most]
        differs = np.diff(ranks[order], prepend=0).astype(np.bool_) | (room[order] != np.roll(room[order], 1))
        return _Members(
            self.rows[order], self.numbers[order], self.points[order], self.violations[order], np.cumsum(differs)
        )


def _winners(places: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(count,) who wins a binary tournament; ties by lot. All take part in as many, up to the last round."""
    pairs = len(places) // 2
    rounds = [rng.permutation(len(places))[: 2 * pairs].reshape(pairs, 2) for _ in range(-(-count // pairs))]
    first, second = np.concatenate(rounds)[:count].T
    winners: NDArray[np.intp] = np.where(places[first] <= places[second], first, second)  # who is first was drawn
    return winners
