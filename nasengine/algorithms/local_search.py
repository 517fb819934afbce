"""Local search: measure the neighbours of the best so far, move to what is better, begin elsewhere when nothing is.

Sources: [LS]  White, Nolen, Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021,
               arXiv:2005.02960, algorithm 1
         [PLS] Paquete, Chiarandini, Stützle, "Pareto local optimum sets in the biobjective traveling salesman
               problem: an experimental study", in: Metaheuristics for Multiobjective Optimisation, 2004
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.known import known_architectures
from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.fronts import non_dominated_ranks
from nasengine.objectives import Losses, Objective, dominates, losses
from nasengine.records import Architecture, Candidate, Trial
from nasengine.space.domain import Domain

DRAWS = 20  # of a random architecture, in place of those proposed before
Leave = Literal["first", "all"]
LEAVE: tuple[str, ...] = get_args(Leave)


class LocalSearch(Algorithm):
    """Hill climbing with restarts [LS]; with several objectives Pareto local search [PLS].

    A climb begins at the best of the random trials that no climb has used yet. The acceptable neighbours of its best
    trial, the centre, are asked in random order; a better one becomes the centre. When all neighbours are told and
    none is better, the centre is a local optimum and the next climb begins. With several objectives a climb keeps
    the trials that none of its others dominates, takes one after the other for its centre, in random order, and
    ends when the neighbours of all are told.

    Any lag. Neighbours are asked ahead of the results of those before them. Where all are asked and some still run,
    a better one known by then is the next centre already; where none is known, random architectures are asked in the
    meantime, and the best of these is where the next climb begins.

    Differs from the papers:
    - An architecture is measured once: later climbs take what earlier ones learned of it.
    - Failed, stopped and infeasible trials are never better than anything.

    Args:
        leave: when to leave a centre. `first`: as soon as something better is told. `all`: once all its neighbours
            are asked, as in [LS].
        initial: how many random trials are told before the first climb begins.
        known: names of known architectures of the space that are the first of these.
    """

    def __init__(
        self,
        domain: Domain,
        objectives: Sequence[Objective],
        *,
        seed: int = 0,
        leave: Leave = "first",
        initial: int = 5,
        known: Sequence[str] = (),
    ) -> None:
        super().__init__(domain, objectives, seed=seed)
        if leave not in LEAVE:
            hint = nearest(leave, LEAVE)
            raise InputError(Problem(f"local_search with leave {leave!r}", expected=f"expected {one_of(LEAVE)}{hint}"))
        if initial < 1:
            raise InputError(Problem(f"local_search with initial {initial}", expected="expected at least 1"))
        self.leave = leave
        self.initial = initial
        self._first = known_architectures(domain, known)
        self._numbers: dict[Architecture, int] = {}  # of everything proposed: its first trial
        self._points: dict[int, tuple[Architecture, Losses]] = {}  # completed trials told
        self._beginnings: dict[int, Losses] = {}  # completed random trials that no climb has used
        self._random: set[int] = set()  # random trials not told yet
        self._begun = False
        self._best: dict[int, Losses] = {}  # of this climb: what none of its trials dominates
        self._explored: set[int] = set()  # of this climb: those that were the centre
        self._running: set[int] = set()  # neighbours of a centre of this climb that are not told yet
        self._centre = -1
        self._neighbours: list[Architecture] = []  # of the centre, not asked yet

    def ask(self, trial_number: int) -> Candidate:
        rng = self.generator(trial_number)
        if trial_number < len(self._first):
            return self._beginning(trial_number, self._first[trial_number])
        neighbour = self._neighbour(rng)
        if neighbour is not None:
            self._numbers[neighbour] = trial_number
            self._running.add(trial_number)
            return Candidate(neighbour, (self._centre,))
        for _ in range(DRAWS):
            architecture = self.domain.sample(rng)
            if architecture not in self._numbers:
                break
        return self._beginning(trial_number, architecture)

    def tell(self, trial: Trial) -> None:
        begins = trial.number in self._random
        climbs = trial.number in self._running
        self._random.discard(trial.number)
        self._running.discard(trial.number)
        if not trial.completed or not (begins or climbs):
            return
        point = losses(trial.measurements, self.objectives)
        self._points[trial.number] = trial.architecture, point
        if begins:
            self._beginnings[trial.number] = point
        else:
            self._join(trial.number, of_centre=trial.candidate.parents == (self._centre,))

    def _beginning(self, number: int, architecture: Architecture) -> Candidate:
        if self._numbers.setdefault(architecture, number) == number:
            self._random.add(number)
        return Candidate(architecture)

    def _neighbour(self, rng: np.random.Generator) -> Architecture | None:
        """The next to ask of this climb or of a new one; None if all of it are asked and some not told."""
        while True:
            while self._neighbours:
                neighbour = self._neighbours.pop()
                number = self._numbers.get(neighbour)
                if number is not None:
                    self._meet(number)
                elif self.domain.accepts(neighbour):
                    return neighbour
            waiting = [number for number in self._best if number not in self._explored]
            if waiting:
                self._explore(waiting[int(rng.integers(len(waiting)))], rng)
            elif self._running or not self._begin(rng):
                return None

    def _begin(self, rng: np.random.Generator) -> bool:
        """Begin a climb at the best random trial; False if none is told, or too few for the first."""
        if len(self._beginnings) < (1 if self._begun else self.initial):
            return False
        self._begun = True
        numbers = list(self._beginnings)
        ranks = non_dominated_ranks(np.array([self._beginnings[number] for number in numbers]))
        best = np.flatnonzero(ranks == 0)
        chosen = numbers[int(best[int(rng.integers(len(best)))])]
        self._best = {chosen: self._beginnings[chosen]}
        self._beginnings = {}
        self._explored = set()
        return True

    def _explore(self, number: int, rng: np.random.Generator) -> None:
        self._centre = number
        self._explored.add(number)
        around = list(self.domain.space.neighbours(self._points[number][0]))
        self._neighbours = [around[place] for place in rng.permutation(len(around)).tolist()]

    def _meet(self, number: int) -> None:
        """A neighbour of the centre was proposed before."""
        if number in self._points:
            self._join(number, of_centre=True)
        elif number in self._random:  # still running: from now on it belongs to the climb
            self._random.discard(number)
            self._running.add(number)

    def _join(self, number: int, *, of_centre: bool) -> None:
        """Take a completed trial into the climb if nothing there is as good."""
        point = self._points[number][1]
        if any(other == point or dominates(other, point) for other in self._best.values()):
            return
        self._best = {other: at for other, at in self._best.items() if not dominates(point, at)}
        self._best[number] = point
        if self._centre not in self._best and (self.leave == "first" or not of_centre):
            self._neighbours = []
