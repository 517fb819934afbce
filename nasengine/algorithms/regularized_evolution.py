"""Regularized evolution: the oldest dies, the best of a random few has a child.

Source: [RE] Real, Aggarwal, Huang, Le, "Regularized Evolution for Image Classifier Architecture Search",
        AAAI 2019, arXiv:1802.01548, algorithm 1 (there also called aging evolution)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.known import known_architectures
from nasengine.errors import InputError, Problem
from nasengine.fronts import non_dominated_ranks
from nasengine.objectives import Losses, Objective, losses
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space.domain import Domain

TRIES_FOR_A_NEW_CHILD = 20


class RegularizedEvolution(Algorithm):
    """Aging evolution [RE] on a population that lags behind.

    The first `population` candidates are random. Each later one is a mutation of a parent that wins a
    tournament among the living, which are the last `population` completed trials told.

    Differs from the paper:
    - Trials are told with a lag, so the population at ask(k) holds trials up to k - lag only; tournaments begin
      as soon as `tournament` of them are living, and until then candidates stay random.
    - Several objectives: the parent is drawn from the contestants that no other contestant dominates, each
      with equal chance. With one objective that is the best of them, as in the paper (ties by lot).
    - Failed, stopped and infeasible trials join no population and have no children.
    - A mutation seen before is tried again, up to 20 times; then it is proposed all the same, so that a space
      with few neighbours never stalls.

    Args:
        population: how many live (P in [RE]).
        tournament: how many contestants are drawn, with replacement as in the paper (S in [RE]).
        known: names of known architectures of the space that come first, in place of random ones.
    """

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        population: int = 100,
        tournament: int = 25,
        known: Sequence[str] = (),
    ) -> None:
        super().__init__(domain, objectives, seed=seed)
        if not 2 <= tournament <= population:
            found = f"regularized_evolution with tournament {tournament} and population {population}"
            raise InputError(Problem(found, expected="expected 2 <= tournament <= population"))
        self.population = population
        self.tournament = tournament
        self._first = known_architectures(domain, known)
        self._living: deque[tuple[Losses, Trial]] = deque(maxlen=population)  # oldest first
        self._proposed: set[Architecture] = set()

    def ask(self, trial_number: int) -> Candidate:
        rng = self.generator(trial_number)
        if trial_number < len(self._first):
            candidate = Candidate(self._first[trial_number])
        elif trial_number < self.population or len(self._living) < self.tournament:
            candidate = Candidate(self.domain.sample(rng))
        else:
            candidate = self._child(rng)
        self._proposed.add(candidate.architecture)
        return candidate

    def tell(self, trial: Trial) -> None:
        if trial.completed:
            self._living.append((losses(trial.measurements, self.objectives), trial))

    def _child(self, rng: np.random.Generator) -> Candidate:
        parent = self._parent(rng)
        child: Architecture | None = None
        for _ in range(TRIES_FOR_A_NEW_CHILD):
            child = self.domain.mutate(parent.architecture, rng)
            if child is None or child not in self._proposed:
                break
        if child is None:  # nothing near the parent keeps the constraints
            return Candidate(self.domain.sample(rng))
        return Candidate(child, (parent.number,))

    def _parent(self, rng: np.random.Generator) -> Trial:
        drawn = rng.integers(len(self._living), size=self.tournament)
        contestants = [self._living[index] for index in dict.fromkeys(drawn.tolist())]
        if len(self.objectives) == 1:  # the front is the least loss, found without an array
            least = min(point for point, _ in contestants)
            best = [trial for point, trial in contestants if point == least]
        else:
            ranks = non_dominated_ranks(np.array([point for point, _ in contestants])).tolist()
            best = [trial for (_, trial), rank in zip(contestants, ranks, strict=True) if rank == 0]
        return best[int(rng.integers(len(best)))]
