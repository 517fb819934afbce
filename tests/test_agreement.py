"""Rank correlations, regret and the best of the first k are what they say, ties included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from nasengine.agreement import (
    FEW,
    Bootstrap,
    agreement,
    best_in_top,
    difference,
    inversions,
    kendall,
    pearson,
    spearman,
)


@pytest.mark.parametrize("count", [2, 7, FEW, FEW + 1, 500])
@pytest.mark.parametrize("values", [2, 5, 10_000])
def test_correlations_are_those_of_scipy_ties_or_not(count, values):
    rng = np.random.default_rng([count, values])
    first = rng.integers(values, size=count).astype(float)
    second = np.round(first + rng.integers(values, size=count) / 2)
    first[0], second[0] = -1.0, -1.0  # neither side is all equal
    assert kendall(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-12)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    assert pearson(first, second) == pytest.approx(stats.pearsonr(first, second).statistic, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 65])
def test_inversions_are_counted_pair_by_pair(count):
    values = np.random.default_rng(count).integers(6, size=count).astype(float)
    assert inversions(values) == sum(a > b for a, b in itertools.combinations(values.tolist(), 2))


@pytest.mark.parametrize("count", [3, FEW + 1])
def test_a_side_without_differences_agrees_with_nothing(count):
    alike, rising = np.ones(count), np.arange(count, dtype=float)
    found = agreement(alike, rising, draws=Bootstrap(count, samples=20))
    for name in ("kendall", "spearman", "pearson"):
        assert found[name].to_json() == {"value": None, "low": None, "high": None}
    assert found["regret"].value == pytest.approx((count - 1) - rising.mean())  # whichever comes first


@pytest.mark.parametrize("k", range(1, 8))
def test_the_best_of_the_first_k_is_its_mean_over_all_orders_of_equals(k):
    scores = np.array([3.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    truth = np.array([4.0, 7.0, 1.0, 6.0, 2.0, 9.0, 3.0])
    orders = [
        (0, *middle, *last)
        for middle in itertools.permutations((1, 2, 3, 4))
        for last in itertools.permutations((5, 6))
    ]
    expected = np.mean([max(truth[list(order[:k])]) for order in orders])
    assert best_in_top(scores, truth, k) == pytest.approx(expected)


def test_no_mean_over_equals_is_above_the_best_of_them():
    """0.1 three times over three is more than 0.1 in binary."""
    for count in range(2, 12):
        for truth in (0.1, 0.8, 91.55):
            assert best_in_top(np.zeros(count), np.full(count, truth), 1) <= truth


def test_regret_is_that_of_the_first_to_the_best_there_is():
    predicted, truth, draws = [0.5, 0.7, 0.6], [0.90, 0.85, 0.88], Bootstrap(3, samples=10)
    found = agreement(predicted, truth, draws=draws)
    assert found["regret"].value == pytest.approx(0.05)
    assert found["top_3"].value == 0.90
    assert "top_5" not in found.figures
    assert agreement(predicted, truth, best=0.95, draws=draws)["regret"].value == pytest.approx(0.10)


def test_the_same_seed_gives_the_same_intervals_and_another_one_others():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    predicted = truth + rng.normal(size=30)
    first, again, other = (
        agreement(predicted, truth, draws=Bootstrap(30, samples=200, seed=seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["kendall"] != other["kendall"]
    assert first["kendall"].value == other["kendall"].value
    assert first["kendall"].low < first["kendall"].value < first["kendall"].high


def test_samples_are_drawn_a_few_at_a_time_and_are_those_drawn_at_once(monkeypatch):
    monkeypatch.setattr("nasengine.agreement.AT_ONCE", 70)
    at_once = np.random.default_rng([3, 30]).integers(30, size=(11, 30))
    draws = Bootstrap(30, samples=11, seed=3)
    for _ in range(2):
        assert np.array_equal(list(draws), at_once)


def test_intervals_hold_the_true_correlation_about_as_often_as_they_promise():
    held, rounds = 0, 50
    true = 2 / np.pi * np.arcsin(0.6)  # tau of a normal pair with correlation 0.6
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        first, noise = rng.normal(size=(2, 40))
        found = agreement(first, 0.6 * first + 0.8 * noise, tops=(), draws=Bootstrap(40, samples=150))["kendall"]
        held += found.low <= true <= found.high
    assert held >= 0.85 * rounds


def test_a_ranking_is_not_ahead_of_itself_and_ahead_of_its_reverse_by_two():
    truth = np.arange(20.0)
    draws = Bootstrap(20, samples=50)
    assert difference(truth, truth, truth, draws).to_json() == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert difference(truth, -truth, truth, draws).low == pytest.approx(2.0)


@pytest.mark.parametrize(("predicted", "truth"), [([1.0], [1.0]), ([1.0, 2.0], [1.0])])
def test_what_cannot_be_compared_is_refused(predicted, truth):
    with pytest.raises(ValueError, match="two equally long rankings"):
        agreement(predicted, truth)
