"""NSGA-II by hand, as worked out in Deb, "Multi-Objective Optimization using Evolutionary Algorithms", Wiley 2001,
section 6.2: six parents and six offspring of the problem Min-Ex, minimizing x1 and (1 + x2) / x1.
"""

import math

import numpy as np
import pytest

from nasengine.fronts import crowding_distances, non_dominated_ranks

POINTS = {
    "1": (0.31, 6.10),
    "2": (0.43, 6.79),
    "3": (0.22, 7.09),
    "4": (0.59, 7.85),
    "5": (0.66, 3.65),
    "6": (0.83, 4.23),
    "a": (0.21, 5.90),
    "b": (0.79, 3.97),
    "c": (0.51, 6.51),
    "d": (0.27, 6.93),
    "e": (0.58, 4.52),
    "f": (0.24, 8.54),
}
NAMES = list(POINTS)
LOSSES = np.array(list(POINTS.values()))


def test_the_twelve_solutions_stand_on_four_fronts() -> None:
    ranks = non_dominated_ranks(LOSSES)
    fronts = ["".join(name for name, rank in zip(NAMES, ranks, strict=True) if rank == r) for r in range(4)]
    assert fronts == ["5ae", "13bd", "26cf", "4"]


def test_of_the_second_front_the_ends_and_then_solution_1_have_most_room() -> None:
    front = np.array([POINTS[name] for name in "13bd"])
    room = dict(zip("13bd", crowding_distances(front, np.zeros(4, dtype=int)).tolist(), strict=True))
    assert room["3"] == room["b"] == math.inf
    assert room["1"] == pytest.approx((0.79 - 0.27) / (0.79 - 0.22) + (6.93 - 3.97) / (7.09 - 3.97))
    assert room["d"] == pytest.approx((0.31 - 0.22) / (0.79 - 0.22) + (7.09 - 6.10) / (7.09 - 3.97))


def test_divided_by_the_ranges_of_the_problem_the_distances_are_those_printed() -> None:
    ranges = np.array([1.0 - 0.1, 60.0 - 0.0])
    front = np.array([POINTS[name] for name in "3d1b"])  # by the first objective
    per_front = front.max(axis=0) - front.min(axis=0)
    for place, printed in ((1, 0.12), (2, 0.63)):  # d and 1
        alone = [np.column_stack([front[:, axis], -front[:, axis]]) for axis in (0, 1)]  # each objective for itself
        shares = [crowding_distances(points, np.zeros(4, dtype=int))[place] / 2 for points in alone]
        assert float(np.dot(shares, per_front / ranges)) == pytest.approx(printed, abs=0.005)


def test_the_six_that_survive_are_those_of_the_book() -> None:
    ranks = non_dominated_ranks(LOSSES)
    order = np.lexsort((-crowding_distances(LOSSES, ranks), ranks))
    assert {NAMES[i] for i in order[:6]} == {"5", "a", "e", "3", "b", "1"}
