"""Arrays of losses put in order: which front each point is on, and how much room it has there.

Smaller is better in every column. Both functions take whole populations at once; `objectives` ranks trials by
them, NSGA-II breeds by them.

Shapes:  n points   d objectives
Sources: [NSGA2] Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
                 IEEE TEVC 6(2), 2002
         [JEN]   Jensen, "Reducing the run-time complexity of multiobjective EAs", IEEE TEVC 7(5), 2003
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Ranks = NDArray[np.int64]


def non_dominated_ranks(points: Points) -> Ranks:
    """The front of each point: 0 if no other dominates it, otherwise one more than the last of those that do [NSGA2].

    Points are placed in lexicographic order, in which nothing later dominates anything earlier. With two objectives
    a front dominates a point exactly if its newest member does, and the newest members' second losses rise from
    front to front, so bisection finds the front: O(n log n) [JEN]. With more, each point is compared with all
    earlier ones at once: O(n²d) in n vectorised steps, O(n) memory.

    Args:
        points: (n, d) losses, d at least 1, no NaN.
    Returns: (n,) ranks. Equal points have equal ranks.
    """
    order = np.lexsort(points.T[::-1])
    ranks = np.empty(len(points), dtype=np.int64)
    if points.shape[1] == 1:
        ranks[order] = np.cumsum(np.diff(points[order, 0], prepend=points[order[:1], 0]) > 0)
    elif points.shape[1] == 2:
        ranks[order] = _ranks_of_pairs(points[order])
    else:
        ranks[order] = _ranks_of_more(points[order])
    return ranks


def _ranks_of_pairs(points: Points) -> list[int]:
    """(n, 2) in lexicographic order."""
    newest: list[float] = []  # second loss of the newest member of each front, rising
    ranks: list[int] = []
    before: list[float] | None = None
    for point in points.tolist():
        if point == before:
            ranks.append(ranks[-1])
            continue
        before = point
        rank = bisect_right(newest, point[1])
        newest[rank : rank + 1] = [point[1]]
        ranks.append(rank)
    return ranks


def _ranks_of_more(points: Points) -> Ranks:
    """(n, d) in lexicographic order, so the first objective need not be compared."""
    columns = np.ascontiguousarray(points[:, 1:].T)  # (d - 1, n)
    fresh = np.ones(len(points), dtype=np.bool_)  # differs from the point before: earlier points are not equal to it
    fresh[1:] = (points[1:] != points[:-1]).any(axis=1)
    ranks = np.zeros(len(points), dtype=np.int64)
    for i in range(1, len(points)):
        if not fresh[i]:
            ranks[i] = ranks[i - 1]
            continue
        nowhere_worse = columns[0, :i] <= columns[0, i]
        for column in columns[1:]:
            nowhere_worse &= column[:i] <= column[i]
        ranks[i] = ranks[:i][nowhere_worse].max(initial=-1) + 1
    return ranks


def constrained_ranks(points: Points, violations: Points) -> Ranks:
    """Ranks under constraint domination ([NSGA2] sec. VI): the feasible by front, then the others by total violation.

    Differs from the paper: the violation of each constraint counts as a share of the largest one given, since
    constraints may be in any unit.

    Args:
        points: (n, d) losses; those of infeasible points do not matter.
        violations: (n, c) by how much each constraint is broken, 0 where it is kept.
    Returns: (n,) ranks.
    """
    largest = violations.max(axis=0, initial=0.0)  # (c,)
    total = (violations / np.where(largest > 0, largest, 1.0)).sum(axis=1)
    feasible = total == 0
    ranks = np.empty(len(points), dtype=np.int64)
    ranks[feasible] = non_dominated_ranks(points[feasible])
    behind = ranks[feasible].max(initial=-1) + 1
    ranks[~feasible] = behind + non_dominated_ranks(total[~feasible, None])
    return ranks


def crowding_distances(points: Points, ranks: Ranks) -> Points:
    """How much room each point has among those of its rank [NSGA2]: infinite at both ends of every objective.

    The sum, over the objectives, of the distance between the neighbours on either side as a share of the front's
    range. Differs from the paper: of equal points one alone counts and the others have no room at all, so that a
    front of copies (many architectures of a discrete space measure the same) is thinned first.

    Args:
        points: (n, d) losses.
        ranks: (n,) fronts; each is treated for itself.
    Returns: (n,) distances, in the order of `points`.
    """
    room = np.zeros(len(points))
    order = np.lexsort((*points.T, ranks))
    fresh = np.ones(len(points), dtype=np.bool_)
    fresh[1:] = (points[order[1:]] != points[order[:-1]]).any(axis=1) | np.diff(ranks[order]).astype(np.bool_)
    chosen = order[fresh]
    for values in points[chosen].T:
        room[chosen] += _gaps(values, ranks[chosen])
    return room


def _gaps(values: Points, ranks: Ranks) -> Points:
    """(n,) distance between the neighbours of each value within its rank, as a share of the rank's range.

    Infinite at the ends; 0 where a rank of several has one value only, which tells nobody apart.
    """
    order = np.lexsort((values, ranks))
    value, rank = values[order], ranks[order]
    border = np.ones(len(order) + 1, dtype=np.bool_)  # border[i]: a rank begins at place i
    border[1:-1] = rank[1:] != rank[:-1]
    begin = np.flatnonzero(border)
    size = np.diff(begin)
    span = np.repeat(value[begin[1:] - 1] - value[begin[:-1]], size)
    gap = np.full(len(order), np.inf)
    inner = np.flatnonzero(~(border[:-1] | border[1:]))
    gap[inner] = value[inner + 1] - value[inner - 1]
    gap[(span == 0) & (np.repeat(size, size) > 1)] = 0.0
    result = np.empty(len(order))
    result[order] = np.divide(gap, span, out=gap, where=span > 0)
    return result
