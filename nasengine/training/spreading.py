"""Spreading work over places so that none has much more of it than another.

The dearest first, each to the place with the least, leaves the fullest place of six with some percent more than the
mean for the 36 networks of `pooling_resnet20`; exchanges that make the fullest place emptier leave less than half a
percent (a test counts it). Nothing is gained by the last of that, but all wait for the fullest place.

Source: the first part is Graham's rule, "Bounds on Multiprocessing Timing Anomalies", SIAM J. Appl. Math. 17(2), 1969
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

ENOUGH = 1e-3  # of what the fullest place has: exchanges that gain less are left


def spread(costs: Sequence[float], places: int) -> list[list[int]]:
    """Positions of costs by place, each in one; no place is empty unless there are more places than costs."""
    shares: list[list[int]] = [[] for _ in range(places)]
    totals = [0.0] * places
    for position in sorted(range(len(costs)), key=lambda position: -costs[position]):
        least = min(range(places), key=lambda place: (totals[place], len(shares[place])))
        shares[least].append(position)
        totals[least] += costs[position]
    while True:
        fullest = max(range(places), key=totals.__getitem__)
        after, gain, other, given, taken = min(
            _exchanges(costs, shares, totals, fullest), default=(totals[fullest], 0.0, fullest, -1, -1)
        )
        if given < 0 or after > totals[fullest] * (1 - ENOUGH):
            return shares
        shares[fullest].remove(given)
        shares[other].append(given)
        if taken >= 0:
            shares[other].remove(taken)
            shares[fullest].append(taken)
        totals[fullest] -= gain
        totals[other] += gain


def _exchanges(
    costs: Sequence[float], shares: Sequence[Sequence[int]], totals: Sequence[float], fullest: int
) -> Iterator[tuple[float, float, int, int, int]]:
    """What may be given away by the fullest place, for something (or -1, nothing) of another: (what the fuller of
    the two then has, what the fullest loses, the other, what it is given, what is taken from it)."""
    for other, share in enumerate(shares):
        for given in shares[fullest]:
            for taken in (-1, *share):
                gain = costs[given] - (costs[taken] if taken >= 0 else 0.0)
                alone = taken < 0 and len(shares[fullest]) == 1
                if other != fullest and gain > 0 and not alone:
                    yield max(totals[fullest] - gain, totals[other] + gain), gain, other, given, taken
