"""Fronts of arrays of losses: ranks against their definition, crowding distances worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasengine.fronts import crowding_distances, non_dominated_ranks
from nasengine.objectives import dominates


def matrices(dimensions: int, size: int = 24) -> st.SearchStrategy[NDArray[np.float64]]:
    row = st.tuples(*[st.integers(0, 5)] * dimensions)
    return st.lists(row, max_size=size).map(lambda rows: np.array(rows, dtype=float).reshape(-1, dimensions))


def peeled(points: NDArray[np.float64]) -> list[int]:
    """The definition: the front is what nobody left dominates; take it off, and again."""
    ranks: dict[int, int] = {}
    rank = 0
    while len(ranks) < len(points):
        left = [i for i in range(len(points)) if i not in ranks]
        front = [i for i in left if not any(dominates(points[j].tolist(), points[i].tolist()) for j in left)]
        ranks.update(dict.fromkeys(front, rank))
        rank += 1
    return [ranks[i] for i in range(len(points))]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4).flatmap(matrices))
def test_ranks_are_those_of_peeling_front_after_front(points: NDArray[np.float64]) -> None:
    assert non_dominated_ranks(points).tolist() == peeled(points)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_ranks_of_real_numbers_are_those_of_peeling(dimensions: int) -> None:
    points = np.random.default_rng(dimensions).normal(size=(150, dimensions))
    assert non_dominated_ranks(points).tolist() == peeled(points)


def test_ranks_of_a_worked_set() -> None:
    points = np.array([(1, 5), (2, 3), (4, 1), (2, 6), (3, 4), (5, 5), (2, 3), (4, 4)], dtype=float)
    assert non_dominated_ranks(points).tolist() == [0, 0, 0, 1, 1, 3, 0, 2]


def test_infinite_losses_have_ranks_too() -> None:
    points = np.array([(math.inf, math.inf), (1.0, math.inf), (2.0, 0.0)])
    assert non_dominated_ranks(points).tolist() == [1, 0, 0]


def test_crowding_distance_of_a_worked_front() -> None:
    front = np.array([(0.0, 10.0), (1.0, 6.0), (5.0, 5.0), (10.0, 0.0)])
    # second point: (5-0)/10 + (10-5)/10; third: (10-1)/10 + (6-0)/10
    assert crowding_distances(front, np.zeros(4, dtype=int)).tolist() == [math.inf, 1.0, 1.5, math.inf]


def test_each_front_is_crowded_for_itself() -> None:
    first = np.array([(0.0, 10.0), (1.0, 6.0), (5.0, 5.0), (10.0, 0.0)])
    second = np.array([(0.0, 40.0), (10.0, 20.0), (20.0, 10.0)])
    both = np.vstack([first, second])[[4, 0, 1, 5, 2, 3, 6]]
    ranks = np.array([1, 0, 0, 1, 0, 0, 1])
    assert crowding_distances(both, ranks).tolist() == [math.inf, math.inf, 1.0, 2.0, 1.5, math.inf, math.inf]


def test_of_equal_points_one_alone_has_room() -> None:
    points = np.array([(3.0, 3.0), (3.0, 3.0), (3.0, 3.0)])
    assert sorted(crowding_distances(points, np.zeros(3, dtype=int)).tolist()) == [0.0, 0.0, math.inf]
    front = np.array([(0.0, 2.0), (1.0, 1.0), (1.0, 1.0), (2.0, 0.0)])
    assert sorted(crowding_distances(front, np.zeros(4, dtype=int)).tolist()) == [0.0, 2.0, math.inf, math.inf]


def test_an_objective_that_tells_nobody_apart_gives_no_room() -> None:
    front = np.array([(0.0, 4.0, 7.0), (1.0, 2.0, 7.0), (3.0, 1.0, 7.0), (4.0, 0.0, 7.0)])
    room = crowding_distances(front, np.zeros(4, dtype=int))
    assert room.tolist() == [math.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_no_points_have_no_ranks(dimensions: int) -> None:
    nothing = np.empty((0, dimensions))
    ranks = non_dominated_ranks(nothing)
    assert ranks.tolist() == []
    assert crowding_distances(nothing, ranks).tolist() == []


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3).flatmap(matrices), st.randoms(use_true_random=False))
def test_ranks_do_not_depend_on_the_order_of_the_points(points: NDArray[np.float64], random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    assert non_dominated_ranks(points[order]).tolist() == non_dominated_ranks(points)[order].tolist()
