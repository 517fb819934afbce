"""Curves over trials against small examples worked by hand, and tests against scipy's."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from nasengine.objectives import hypervolume
from nasengine.report.curves import (
    bootstrap_interval,
    holm,
    hypervolume_curve,
    incumbent,
    mann_whitney,
    reached,
    superiority,
    together,
)


def test_the_incumbent_is_the_first_smallest_key_so_far():
    assert incumbent([None, (3.0,), (2.0,), (2.0,), (5.0,), (1.0,)]).tolist() == [-1, 1, 2, 2, 2, 5]


def test_the_area_of_a_front_grows_by_what_each_point_adds():
    # Reference (4, 4): (2, 2) is a square of 4; (1, 3) adds 1; (3, 1) adds 1; (2, 2) again nothing; (1, 1) makes 9.
    points = [None, (2, 2), (1, 3), (3, 1), (2, 2), (5, 0), (1, 1)]
    assert hypervolume_curve(points, (4, 4)).tolist() == [0, 4, 5, 6, 6, 6, 9]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_a_hypervolume_curve_is_the_hypervolume_of_every_beginning(objectives):
    points = np.random.default_rng(objectives).integers(0, 6, (40, objectives)).tolist()  # small numbers: many ties
    reference = [5.5] * objectives
    expected = [hypervolume(points[: end + 1], reference) for end in range(len(points))]
    assert hypervolume_curve(points, reference) == pytest.approx(expected)


def test_a_search_that_ended_early_stays_where_it_is():
    curves = together([np.array([3.0, 2.0]), np.array([4.0, 1.0, 0.5])])
    assert curves.tolist() == [[3.0, 2.0, 2.0], [4.0, 1.0, 0.5]]


def test_a_bootstrap_interval_holds_the_mean_and_is_about_two_standard_errors_wide():
    values = np.random.default_rng(0).normal(size=(200, 3))
    low, high = bootstrap_interval(values)
    assert (low < values.mean(axis=0)).all()
    assert (values.mean(axis=0) < high).all()
    assert high - low == pytest.approx(2 * 1.96 * values.std(axis=0) / math.sqrt(200), rel=0.1)
    assert [end.tolist() for end in bootstrap_interval(values)] == [low.tolist(), high.tolist()]


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(size=30))
        held += bool(low <= 0 <= high)
    assert 0.88 <= held / 200 <= 0.98


def test_reached_counts_trials_from_one():
    assert reached(np.array([3.0, 2.0, 1.0]), 2.0) == 2
    assert reached(np.array([3.0, 2.0]), 1.0) is None


def test_small_groups_are_compared_exactly():
    first, second = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 3.5]
    expected = stats.mannwhitneyu(first, second, method="exact").pvalue
    assert mann_whitney(first, second) == pytest.approx(expected)
    # All of one side: 2 of the 20 ways to divide six values are as far apart.
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / 20)
    assert mann_whitney([1, 1, 1], [1, 1, 1]) == 1.0


def test_large_groups_are_compared_as_scipy_does_ties_included():
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.integers(0, 8, 20).tolist(), rng.integers(0, 9, 25).tolist()
        expected = stats.mannwhitneyu(first, second, method="asymptotic").pvalue
        assert mann_whitney(first, second) == pytest.approx(expected)
    assert mann_whitney([2.0] * 20, [2.0] * 20) == 1.0


def test_superiority_counts_pairs():
    assert superiority([1, 2], [2, 3]) == (1 + 1 + 0.5 + 1) / 4


def test_holm_multiplies_the_smallest_by_most():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_six_strategies_of_twenty_seeds_and_three_hundred_trials_are_judged_in_seconds():
    rng = np.random.default_rng(0)
    began = time.process_time()
    for _ in range(6):
        curves = []
        for _ in range(20):
            points = rng.random((300, 2))
            incumbent([(loss,) for loss in points[:, 0].tolist()])
            curves.append(hypervolume_curve(points.tolist(), (1.0, 1.0)))
        bootstrap_interval(together(curves))
    assert time.process_time() - began < 5
