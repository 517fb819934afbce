"""What strategies are judged by: curves over trials, their spread over seeds, and whether two of them differ.

Nothing here knows of runs or tables: losses go in (smaller is better), arrays of numbers come out.

Shapes:  S seeds   T trials   N points   d objectives   B bootstrap samples
Sources: [MW] Mann, Whitney, "On a test of whether one of two random variables is stochastically larger than the
              other", Annals of Mathematical Statistics 18(1), 1947
         [Holm] Holm, "A simple sequentially rejective multiple test procedure", Scandinavian J. of Statistics 6, 1979
         [Boot] Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13: percentile intervals
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nasengine.agreement import mid_ranks
from nasengine.objectives import hypervolume

Array = NDArray[np.float64]

SAMPLES = 2000
EXACT = 20_000  # most ways to divide two groups that are all gone through


def incumbent(keys: Sequence[tuple[float, ...] | None]) -> NDArray[np.int64]:
    """(T,) the place of the first smallest key so far; -1 before there is one (None: a trial that measured nothing)."""
    best: tuple[float, ...] | None = None
    places, at = np.empty(len(keys), np.int64), -1
    for place, key in enumerate(keys):
        if key is not None and (best is None or key < best):
            best, at = key, place
        places[place] = at
    return places


def hypervolume_curve(points: Iterable[Sequence[float] | None], reference: Sequence[float]) -> Array:
    """(T,) the volume that the points so far dominate below `reference`; None is a trial that measured nothing.

    A point costs what it adds: with two objectives a bisection and the points that it pushes off the front, with
    more one hypervolume of the part that it shares with the front.

    Args:
        points: T losses of d objectives.
        reference: d losses of a point worse than every interesting one.
    """
    corner = tuple(float(x) for x in reference)
    front = _Staircase(corner) if len(corner) == 2 else _Front(corner)
    total, volumes = 0.0, []
    for point in points:
        if point is not None and all(a < b for a, b in zip(point, corner, strict=True)):
            total += front.add(tuple(float(x) for x in point))
        volumes.append(total)
    return np.array(volumes, dtype=float)


class _Staircase:
    """A front of two objectives, sorted by the first, so falling in the second."""

    def __init__(self, corner: tuple[float, ...]) -> None:
        self.corner = corner
        self.xs: list[float] = []
        self.ys: list[float] = []

    def add(self, point: tuple[float, ...]) -> float:
        """Take a point in; how much area it adds."""
        x, y = point
        at = bisect.bisect_left(self.xs, x)
        before = self.ys[at - 1] if at else self.corner[1]
        if before <= y or (at < len(self.xs) and self.xs[at] == x and self.ys[at] <= y):
            return 0.0
        end = at
        added, left, height = 0.0, x, before
        while end < len(self.xs) and self.ys[end] >= y:
            added += (self.xs[end] - left) * (height - y)
            left, height = self.xs[end], self.ys[end]
            end += 1
        right = self.xs[end] if end < len(self.xs) else self.corner[0]
        added += (right - left) * (height - y)
        self.xs[at:end], self.ys[at:end] = [x], [y]
        return added


class _Front:
    """A front of any number of objectives."""

    def __init__(self, corner: tuple[float, ...]) -> None:
        self.corner = corner
        self.points = np.empty((0, len(corner)))

    def add(self, point: tuple[float, ...]) -> float:
        """Take a point in; how much volume it adds: its box less the part that the front has already."""
        if (self.points <= point).all(axis=1).any():
            return 0.0
        box = math.prod(c - p for c, p in zip(self.corner, point, strict=True))
        shared = hypervolume(np.maximum(self.points, point).tolist(), self.corner)
        beaten = (self.points >= point).all(axis=1)
        self.points = np.vstack([self.points[~beaten], point])
        return box - shared


def together(curves: Sequence[Array]) -> Array:
    """(S, T) curves of any lengths; one that ended early stays where it was, as its search had nothing left to ask."""
    longest = max(map(len, curves), default=0)
    padded = np.full((len(curves), longest), np.nan)
    for row, curve in zip(padded, curves, strict=True):
        if len(curve):
            row[: len(curve)] = curve
            row[len(curve) :] = curve[-1]
    return padded


def bootstrap_interval(values: Array, level: float = 0.95, seed: int = 0) -> tuple[Array, Array]:
    """The percentile interval of the mean over seeds [Boot].

    Args:
        values: (S, T), or (S,).
        level: how much of the bootstrap distribution it holds.
        seed: of the draws.
    Returns: its ends, (T,) each, or numbers.
    """
    count = len(values)
    rng = np.random.default_rng([seed, count])
    weights = rng.multinomial(count, np.full(count, 1 / count), size=SAMPLES) / count  # (B, S)
    means = weights @ values  # (B, T)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def reached(curve: Array, target: float) -> int | None:
    """After how many trials a falling curve is at or below `target`; None if it never is."""
    below = np.flatnonzero(curve <= target)
    return int(below[0]) + 1 if len(below) else None


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of two groups being drawn alike [MW].

    Exact where the groups can be divided in at most 20,000 ways, ties included; otherwise by the normal
    approximation, corrected for ties and for continuity.
    """
    n, m = len(first), len(second)
    ranks = mid_ranks(np.array([*first, *second], dtype=float))
    observed = float(ranks[:n].sum())
    middle = n * (n + m + 1) / 2
    distance = abs(observed - middle)
    if math.comb(n + m, n) <= EXACT:
        sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks.tolist(), n)])
        return float(np.mean(np.abs(sums - middle) >= distance - 1e-9))
    _, ties = np.unique(ranks, return_counts=True)
    total = n + m
    variance = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if variance == 0:
        return 1.0
    return min(1.0, math.erfc(max(0.0, distance - 0.5) / math.sqrt(variance) / math.sqrt(2)))


def superiority(first: Sequence[float], second: Sequence[float]) -> float:
    """How often a value of `first` is the smaller one of a pair, ties counted half."""
    difference = np.subtract.outer(np.array(first, dtype=float), np.array(second, dtype=float))
    return float(np.mean((difference < 0) + 0.5 * (difference == 0)))


def holm(values: Sequence[float]) -> list[float]:
    """p-values of several tests made at once, so that the chance of any false alarm stays what it is [Holm]."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, highest = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = highest
    return adjusted
