"""Asynchronous successive halving: many architectures are trained a little, the best of them further, nobody waits.

Source: [ASHA] Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, "A System for Massively Parallel
        Hyperparameter Tuning", MLSys 2020, arXiv:1810.05934, algorithm 2
        [MO]   Schmucker, Donini, Zafar, Salinas, Archambeau, "Multi-objective Asynchronous Successive Halving", 2021,
        arXiv:2106.12639: which of several objectives' best go on
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, insort
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from nasengine.algorithms.algorithm import Algorithm
from nasengine.algorithms.schedulers.scheduler import Scheduler
from nasengine.errors import InputError, Problem
from nasengine.fronts import crowding_distances, non_dominated_ranks
from nasengine.objectives import Losses, losses
from nasengine.records import WHOLE, Architecture, Candidate, Trial

DEFAULT_RUNGS = 3
LENGTHS = ("epochs", "steps")  # units in which a training has a length


class SuccessiveHalving(Scheduler):
    """ASHA [ASHA]: of the architectures measured at a rung, the best 1/reduction are trained to the next.

    The top rung is the whole training, each rung below it 1/reduction of the one above (in whole epochs, or steps).
    A trial is asked for like this: from the highest rung down, if one of the best 1/reduction of those measured there
    has not gone on yet, the best such goes on; if there is none at any rung, a new architecture begins at the lowest.
    So a few bad trials never hold up the rest, at the price of some promotions that a full rung would not make.

    What the source of new architectures is told: each of its own candidates once, completed, with what was measured
    at the lowest rung. Its numbers are consecutive and its parents are mapped to the trials of the search. What is
    measured at higher rungs is kept from it: it is not comparable with what was measured at the lowest.

    With several objectives a rung is ordered by non-dominated rank and within it by crowding distance, as [MO] does
    (there NSGA-II's way is one of several); ties by trial number. That order is made anew when a rung has changed,
    which costs O(n log n) of its n trials; with one objective a trial costs O(log n) comparisons.

    Differs from the paper:
    - Deterministic: a promotion is decided by the trials told, in their order, not by whichever ended first.
    - Failed and infeasible trials are on no rung; an architecture proposed again is on the lowest rung only once.
    - When the source has nothing left, what can go on goes on, and the search ends when nothing can.

    Args:
        reduction: eta in [ASHA], also of one rung's length to the next.
        rungs: how many there are, the whole training included; 3 unless `smallest` is given.
        smallest: length of the lowest rung, in the unit of the budget, instead of `rungs`.
        horizon: `full` lays one learning-rate schedule out for the whole training, of which each rung sees a part;
            with `rung` the schedule ends at each rung, and begins anew over what a promotion adds.
    """

    def __init__(
        self,
        source: Algorithm,
        *,
        budget: Mapping[str, float],
        reduction: int = 3,
        rungs: int | None = None,
        smallest: float | None = None,
        horizon: Literal["full", "rung"] = "full",
    ) -> None:
        super().__init__(source, budget=budget)
        self.reduction = reduction
        self.unit, levels = _levels(budget, reduction, rungs, smallest)
        if horizon not in ("full", "rung"):
            found = f"horizon of successive_halving is {horizon!r}"
            raise InputError(Problem(found, expected="expected full or rung"))
        self.levels = levels
        self.budgets = [self._budget(level, horizon) for level in levels]
        self._rungs = [_Rung(reduction) for _ in levels[:-1]]
        self._rung_of: list[int] = []  # trial -> rung
        self._asked: list[Candidate] = []
        self._proposed: list[Candidate] = []  # by the source, in its own numbers
        self._begun: list[int] = []  # the source's number -> trial
        self._told = 0  # of the source's trials
        self._seen: set[Architecture] = set()  # on the lowest rung
        self._exhausted = False
        self._going_on: dict[int, int] = {}  # trial asked and not told -> the one it resumes
        self._running = 0  # trials asked and not told

    def _budget(self, level: float, horizon: str) -> Mapping[str, float] | None:
        """What training to one rung may spend, None for all of it: a part names the whole, and where schedules begin
        anew if they do.
        """
        whole = self.levels[-1]
        others = {unit: amount for unit, amount in self.budget.items() if unit != self.unit}
        if horizon == "rung":
            ends = {f"restart_{index}": end for index, end in enumerate(self.levels[:-1], start=1)}
            return {self.unit: level, f"{WHOLE}{self.unit}": whole, **ends, **others}
        return None if level == whole else {self.unit: level, f"{WHOLE}{self.unit}": whole, **others}

    def ask(self, trial_number: int) -> Candidate | None:
        for level in range(len(self._rungs) - 1, -1, -1):
            best = self._rungs[level].best_to_go_on()
            if best is not None:
                self._rungs[level].goes_on(best)
                self._going_on[trial_number] = best
                return self._note(
                    Candidate(self._asked[best].architecture, (), self.budgets[level + 1], best), level + 1
                )
        proposed = None if self._exhausted else self.source.ask(len(self._proposed))
        if proposed is None:
            self._exhausted = True
            return None
        parents = tuple(self._begun[parent] for parent in proposed.parents)
        self._proposed.append(proposed)
        self._begun.append(trial_number)
        return self._note(Candidate(proposed.architecture, parents, self.budgets[0]), 0)

    def _note(self, candidate: Candidate, level: int) -> Candidate:
        self._asked.append(candidate)
        self._rung_of.append(level)
        self._running += 1
        return candidate

    def tell(self, trial: Trial) -> None:
        level = self._rung_of[trial.number]
        self._running -= 1
        self._going_on.pop(trial.number, None)
        measured = trial.status in ("stopped", "completed")
        if level == 0:
            candidate = self._proposed[self._told]
            status = "completed" if measured else trial.status
            reason = "" if measured else trial.reason
            self.source.tell(Trial(self._told, candidate, status, trial.measurements, reason))
            self._told += 1
            if measured and trial.architecture in self._seen:
                return
            self._seen.add(trial.architecture)
        if measured and level < len(self._rungs):
            self._rungs[level].add(trial.number, losses(trial.measurements, self.objectives))

    def resumable(self, trials_left: int | None) -> Collection[int]:
        """With one objective a place in a rung only gets worse: what is too low even if all trials that run or are left
        came to this rung is out.
        """
        to_come = None if trials_left is None else self._running + trials_left
        waiting = {number for rung in self._rungs for number in rung.may_go_on(to_come)}
        return waiting.union(self._going_on.values())

    def contents(self) -> list[list[int]]:
        """The trials measured at each rung but the top one, lowest rung first, best first."""
        return [rung.best_first() for rung in self._rungs]


class _Rung:
    """What was measured under one budget, and who went on from there."""

    def __init__(self, reduction: int) -> None:
        self._reduction = reduction
        self._points: dict[int, Losses] = {}  # trial -> losses, in the order told
        self._waiting: list[tuple[Losses, int]] = []  # heap of those that have not gone on
        self._gone: list[tuple[Losses, int]] = []  # those that have, sorted
        self._ordered: list[int] | None = None

    def add(self, number: int, point: Losses) -> None:
        self._points[number] = point
        self._ordered = None
        heapq.heappush(self._waiting, (point, number))

    def best_to_go_on(self) -> int | None:
        """The best that has not gone on, if it is among the best 1/reduction."""
        places = len(self._points) // self._reduction
        if not places or not self._waiting:
            return None
        if len(self._waiting[0][0]) == 1:
            # All that are better than the best of the waiting have gone on, so these alone tell its place.
            first = self._waiting[0]
            return first[1] if bisect_left(self._gone, first) < places else None
        gone = {number for _, number in self._gone}
        return next((number for number in self.best_first()[:places] if number not in gone), None)

    def goes_on(self, number: int) -> None:
        entry = (self._points[number], number)
        if self._waiting[0] == entry:
            heapq.heappop(self._waiting)
        else:  # with several objectives the heap's order is not the rung's
            self._waiting.remove(entry)
            heapq.heapify(self._waiting)
        insort(self._gone, entry)

    def best_first(self) -> list[int]:
        """Its trials in order; kept until the next one is added."""
        if self._ordered is None:
            numbers = np.fromiter(self._points, dtype=np.int64, count=len(self._points))
            points = np.array(list(self._points.values()), dtype=float)
            if not len(numbers):
                return []
            if points.shape[1] == 1:
                order = np.lexsort((numbers, points[:, 0]))
            else:
                ranks = non_dominated_ranks(points)
                order = np.lexsort((numbers, -crowding_distances(points, ranks), ranks))
            self._ordered = [int(number) for number in numbers[order]]
        return self._ordered

    def may_go_on(self, to_come: int | None) -> Collection[int]:
        """Those that may yet be among the best 1/reduction if at most so many more are measured here."""
        waiting = {number for _, number in self._waiting}
        if to_come is None or (self._points and len(next(iter(self._points.values()))) > 1):
            return waiting
        places = (len(self._points) + to_come) // self._reduction
        return waiting.intersection(self.best_first()[:places])


def _levels(
    budget: Mapping[str, float], reduction: int, rungs: int | None, smallest: float | None
) -> tuple[str, list[float]]:
    """The unit of the rungs' lengths, and the lengths, shortest first."""
    units = [unit for unit in LENGTHS if unit in budget]
    problems = []
    if reduction < 2:
        problems.append(Problem(f"reduction of successive_halving is {reduction!r}", expected="expected at least 2"))
    if rungs is not None and smallest is not None:
        problems.append(Problem("successive_halving gives both rungs and smallest", expected="expected one of them"))
    if rungs is not None and rungs < 2:
        problems.append(Problem(f"rungs of successive_halving is {rungs!r}", expected="expected at least 2"))
    if len(units) != 1:
        found = f"a budget in {', '.join(budget) or 'no unit'} cannot be divided into rungs"
        problems.append(Problem(found, expected="expected one in epochs or in steps"))
    if problems:
        raise InputError(problems)
    unit, whole = units[0], budget[units[0]]
    most = _most(whole, reduction)  # one rung more than that is enough to see what is wrong
    if smallest is None:
        downwards = [whole / reduction**level for level in range(1, min(rungs or DEFAULT_RUNGS, most + 1))]
        lower = [float(round(length)) for length in reversed(downwards)]
    else:
        lower, length = [], smallest
        while length < whole and smallest > 0 and len(lower) <= most:
            lower.append(float(round(length)))
            length *= reduction
    levels = [*(int(length) for length in lower), whole]
    if not lower or levels[0] < 1 or any(a >= b for a, b in itertools.pairwise(levels)):
        shown = ", ".join(f"{length:g}" for length in levels)
        found = f"successive_halving with reduction {reduction} divides {whole:g} {unit} into rungs of {shown}"
        expected = f"expected at least two, each longer than the one before and the first at least 1; {whole:g} {unit}"
        raise InputError(Problem(found, expected=f"{expected} allow {most} rungs"))
    return unit, levels


def _most(whole: float, reduction: int) -> int:
    """How many rungs a budget allows."""
    rungs = 1
    while whole / reduction**rungs >= 1:
        rungs += 1
    return rungs
