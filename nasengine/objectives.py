"""What a search wants: objectives with directions, constraints, dominance, the Pareto front and its hypervolume.

Inside, every objective is turned into a *loss*: the measurement itself where it is to be minimized, its
negative where it is to be maximized. Smaller is better everywhere below, and nothing else knows of directions.

Shapes:  n points   d objectives
Sources: [WFG] While, Bradstreet, Barone, "A fast way of calculating exact hypervolumes", IEEE TEVC 16(1), 2012
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

import numpy as np

from nasengine.errors import InputError, Problem
from nasengine.fronts import crowding_distances, non_dominated_ranks
from nasengine.records import Architecture, Trial, share_of

Direction = Literal["maximize", "minimize"]
DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
Losses: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Objective:
    """A measurement and which way is better."""

    name: str
    direction: Direction

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise InputError(_unknown_direction(self.name, self.direction))

    def loss(self, measurements: Mapping[str, float]) -> float:
        """The measurement, signed so that smaller is better.

        Raises:
            KeyError: nothing of this name was measured.
        """
        value = measurements[self.name]
        return -value if self.direction == "maximize" else value


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a measurement or a cost; either end may be None. Its breach makes a trial infeasible."""

    name: str
    low: float | None = None
    high: float | None = None

    def breach(self, measurements: Mapping[str, float]) -> str:
        """One line saying how the bound is broken; empty where it is kept, or where nothing was measured yet."""
        value = measurements.get(self.name)
        if value is None:
            return ""
        if self.low is not None and value < self.low:
            return f"{self.name} = {value:g} is below the least allowed, {self.low:g}"
        if self.high is not None and value > self.high:
            return f"{self.name} = {value:g} is above the most allowed, {self.high:g}"
        return ""

    def excess(self, measurements: Mapping[str, float]) -> float:
        """By how much the bound is broken, in the measurement's own unit; 0 where it is kept.

        Raises:
            KeyError: nothing of this name was measured.
        """
        value = measurements[self.name]
        below = 0.0 if self.low is None else self.low - value
        above = 0.0 if self.high is None else value - self.high
        return max(0.0, below, above)


def parse_objectives(directions: Mapping[str, str]) -> tuple[Objective, ...]:
    """Objectives from `{accuracy: maximize, macs: minimize}`, in that order.

    Raises:
        InputError: no objective at all, or a direction that is none; every wrong one is listed.
    """
    if not directions:
        raise InputError(Problem("no objective", expected="expected at least one, such as {accuracy: maximize}"))
    wrong = [(name, direction) for name, direction in directions.items() if direction not in DIRECTIONS]
    if wrong:
        raise InputError([_unknown_direction(name, direction) for name, direction in wrong])
    return tuple(Objective(name, cast(Direction, direction)) for name, direction in directions.items())


def _unknown_direction(name: str, direction: object) -> Problem:
    close = difflib.get_close_matches(str(direction), DIRECTIONS, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return Problem(
        f"objective {name!r} has the direction {direction!r}", expected=f"expected maximize or minimize{hint}"
    )


def losses(measurements: Mapping[str, float], objectives: Sequence[Objective]) -> Losses:
    """One loss per objective, smaller is better."""
    return tuple([objective.loss(measurements) for objective in objectives])


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether `first` is nowhere worse than `second` and somewhere better; both are losses of d objectives."""
    better = False
    for a, b in zip(first, second, strict=True):
        if a > b:
            return False
        better = better or a < b
    return better


class ParetoFront:
    """The completed trials that no other completed trial dominates, kept up to date one trial at a time.

    Trials with equal losses stay side by side, except that an architecture is listed once: its first trial.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self._points = np.empty((0, len(self.objectives)))  # (front, d) distinct losses
        self._trials: dict[Losses, list[Trial]] = {}

    def add(self, trial: Trial) -> bool:
        """Take the trial in if it belongs on the front, dropping what it dominates; say whether it does."""
        if not trial.completed:
            return False
        point = losses(trial.measurements, self.objectives)
        equals = self._trials.get(point)
        if equals is not None:
            if any(trial.architecture == other.architecture for other in equals):
                return False
            equals.append(trial)
            return True
        if (self._points <= point).all(axis=1).any():  # distinct points: nowhere worse means dominating
            return False
        beaten = (self._points >= point).all(axis=1)
        if beaten.any():
            for loser in self._points[beaten]:
                del self._trials[tuple(loser.tolist())]
            self._points = self._points[~beaten]
        self._points = np.vstack([self._points, np.asarray(point, dtype=float)])
        self._trials[tuple(self._points[-1].tolist())] = [trial]
        return True

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The front, best value of the first objective first; ties in the order of the trials."""
        return tuple(trial for point in sorted(self._trials) for trial in self._trials[point])

    def __len__(self) -> int:
        return sum(map(len, self._trials.values()))


def pareto_front(trials: Iterable[Trial], objectives: Sequence[Objective]) -> tuple[Trial, ...]:
    """The completed trials that no other one dominates; see `ParetoFront`."""
    front = ParetoFront(objectives)
    for trial in trials:
        front.add(trial)
    return front.trials


def rank_trials(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The completed trials, best first, each architecture once (its first trial).

    With one objective by its value; with several by front, then by crowding distance within the front, so
    that the top few cover the front. Ties keep the order of the trials.
    """
    first: dict[object, Trial] = {}
    for trial in trials:
        if trial.completed:
            first.setdefault(trial.architecture, trial)
    chosen = sorted(first.values(), key=lambda trial: trial.number)
    points = [losses(trial.measurements, objectives) for trial in chosen]
    if len(objectives) == 1:
        return [chosen[i] for i in sorted(range(len(chosen)), key=lambda i: points[i])]
    matrix = np.array(points, dtype=float).reshape(len(points), len(objectives))
    ranks = non_dominated_ranks(matrix)
    room = crowding_distances(matrix, ranks)
    return [chosen[i] for i in sorted(range(len(chosen)), key=lambda i: (ranks[i], -room[i], chosen[i].number))]


def best_first(trials: Iterable[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """The completed trials in the order of `rank_trials`, save that the best by the first objective leads.

    With several objectives the ends of the front come first in any case; which of them is "the best" is for the order
    of the objectives to say. After them come those that were stopped, the larger the part of the budget they were
    measured under the earlier, in the same order among their equals. An architecture is listed once, by its largest
    budget.
    """
    groups: dict[float, list[Trial]] = {}
    for trial in trials:
        if trial.status in ("completed", "stopped"):
            share = 1.0 if trial.completed else min(share_of(trial.candidate.budget), 1.0 - 1e-9)
            groups.setdefault(share, []).append(trial)
    listed: dict[Architecture, Trial] = {}
    for share in sorted(groups, reverse=True):
        numbers = {trial.number: trial for trial in groups[share]}
        ranked = rank_trials([replace(trial, status="completed") for trial in groups[share]], objectives)
        if ranked:
            best = min(ranked, key=lambda trial: losses(trial.measurements, objectives))
            ranked.insert(0, ranked.pop(ranked.index(best)))
        for trial in ranked:
            listed.setdefault(trial.architecture, numbers[trial.number])
    return list(listed.values())


def hypervolume(points: Iterable[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that the points dominate inside the box below `reference`, exactly.

    One sorted sweep with one or two objectives; the WFG recursion [WFG] on top of it with more (its cost grows
    quickly with both the front and d: meant for fronts of some hundred points and up to five objectives).

    Args:
        points: losses of d objectives; those not better than the reference everywhere add nothing.
        reference: d losses of a point worse than every interesting one.
    """
    inside = [tuple(float(x) for x in point) for point in points]
    corner = tuple(float(x) for x in reference)
    return _volume([p for p in inside if all(a < b for a, b in zip(p, corner, strict=True))], corner)


def _volume(points: list[Losses], corner: Losses) -> float:
    if not points:
        return 0.0
    if len(corner) == 1:
        return corner[0] - min(points)[0]
    if len(corner) == 2:
        return _area(points, corner)
    front = sorted(_without_dominated(points), reverse=True)  # worst first objective first: limit sets stay small
    return sum(_exclusive(point, front[i + 1 :], corner) for i, point in enumerate(front))


def _area(points: list[Losses], corner: Losses) -> float:
    total, lowest = 0.0, corner[1]
    for x, y in sorted(points):
        if y < lowest:
            total += (corner[0] - x) * (lowest - y)
            lowest = y
    return total


def _exclusive(point: Losses, others: list[Losses], corner: Losses) -> float:
    """What `point` dominates and none of `others` does: its box less the part that they share with it."""
    box = math.prod(c - p for p, c in zip(point, corner, strict=True))
    limited = [tuple(map(max, point, other)) for other in others]
    return box - _volume(limited, corner)


def _without_dominated(points: Iterable[Losses]) -> list[Losses]:
    kept: list[Losses] = []
    for point in sorted(set(points)):  # lexicographic: nothing later dominates anything earlier
        if not any(dominates(other, point) for other in kept):
            kept.append(point)
    return kept
