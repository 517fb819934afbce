import time

import numpy as np
import pytest

from nasengine.report.importance import FEWEST, design, importance


def sample(rng, trials, sizes):
    return np.column_stack([rng.integers(0, size, trials) for size in sizes]).astype(np.int16)


def separable(codes, effects):
    return sum(np.asarray(effect, dtype=float)[codes[:, choice]] for choice, effect in enumerate(effects))


def true_shares(effects, noise=0.0):
    variances = np.array([np.var(effect) for effect in effects])
    return variances / (variances.sum() + noise**2)


def test_shares_are_the_shares_of_variance_of_a_separable_function():
    rng = np.random.default_rng(0)
    effects = [[0, 1, 2, 3], [0, 0, 2], [0, 0.5], [0, 0, 0, 0]]
    codes = sample(rng, 3000, [4, 3, 2, 4])
    found = importance(codes, separable(codes, effects), population=96)
    assert found.architectures == 96  # the whole space was measured, most of it many times
    assert found.shares == pytest.approx(true_shares(effects), abs=1e-6)
    assert found.predicted == pytest.approx(1, abs=1e-4)


def test_an_irrelevant_choice_has_no_importance_on_average():
    rng = np.random.default_rng(1)
    means = np.zeros(6)
    for seed in range(40):
        codes = sample(rng, 50, [3] * 6)
        values = separable(codes, [[0, 1, 3]]) + rng.normal(size=50)
        means += importance(codes, values, seed=seed).shares / 40
    assert np.abs(means[1:]).max() < 0.02
    assert means[0] == pytest.approx(true_shares([[0, 1, 3]], 1.0)[0], abs=0.03)


@pytest.mark.parametrize(("trials", "noise"), [(40, 0.7), (100, 0.7), (100, 0.0)])
def test_the_interval_holds_the_true_share_as_often_as_it_says(trials, noise):
    rng = np.random.default_rng(2)
    effects = [[-1, 0, 1], [0.8, 0, 0], [0, 0, 0.4], [0, 0, 0]]
    truth = true_shares(effects, noise)
    held = np.zeros(4)
    repeats = 50
    for seed in range(repeats):
        codes = sample(rng, 10 * trials, [3, 3, 3, 3, 3, 3])
        codes = codes[np.unique(codes, axis=0, return_index=True)[1]]
        codes = codes[rng.permutation(len(codes))[:trials]]
        found = importance(codes, separable(codes[:, :4], effects) + noise * rng.normal(size=trials), seed=seed)
        held += (found.low[:4] <= truth + 1e-9) & (truth <= found.high[:4] + 1e-9)
    assert (held / repeats).min() > 0.8  # 95 %, less what 50 repeats and small samples may miss
    assert (held / repeats).mean() > 0.9


def test_fewer_trials_than_effects_still_find_the_choices_that_matter():
    rng = np.random.default_rng(3)
    effects = [[0, 0, 0, 2], [0, 1, 1, 0]]
    truth = true_shares(effects, 0.5)
    means = np.zeros(30)
    for seed in range(12):
        codes = sample(rng, 60, [4] * 30)  # 90 effects
        found = importance(codes, separable(codes, effects) + 0.5 * rng.normal(size=60), seed=seed)
        means += found.shares / 12
    assert means[:2] == pytest.approx(truth, abs=0.1)
    assert np.abs(means[2:]).max() < 0.05


def test_noise_is_not_predicted():
    rng = np.random.default_rng(4)
    predicted = []
    for _ in range(30):
        codes = sample(rng, 40, [3] * 6)
        predicted.append(importance(codes, rng.normal(size=40)).predicted)
    assert np.mean(np.array(predicted) > 0.05) <= 0.1


def test_what_only_an_interaction_explains_is_given_to_no_choice():
    rng = np.random.default_rng(5)
    codes = sample(rng, 400, [2, 2, 4, 4, 4])
    found = importance(codes, (codes[:, 0] ^ codes[:, 1]).astype(float))
    assert np.abs(found.shares).max() < 0.05
    assert found.predicted < 0.05


def test_shares_do_not_depend_on_the_names_or_the_order_of_options():
    rng = np.random.default_rng(6)
    codes = sample(rng, 120, [4, 3, 3, 3])
    values = separable(codes, [[0, 3, 1, 2], [0, 1, 0]]) + rng.normal(size=120)
    renamed = np.array([2, 0, 3, 1], dtype=np.int16)[codes[:, 0]]
    other = np.column_stack([renamed, codes[:, 1:]])
    # np.unique sorts by code: give both the same order of rows, hence the same parts of the jackknife.
    first, second = importance(codes, values), importance(other, values)
    assert second.shares == pytest.approx(first.shares, abs=1e-9)


def test_shares_do_not_depend_on_the_unit_of_the_objective():
    rng = np.random.default_rng(7)
    codes = sample(rng, 80, [4, 3, 3, 3])
    values = separable(codes, [[0, 3, 1, 2], [0, 1, 0]]) + rng.normal(size=80)
    first, second = importance(codes, values), importance(codes, 1e7 - 3e5 * values)
    assert second.shares == pytest.approx(first.shares, abs=1e-9)
    assert second.low == pytest.approx(first.low, abs=1e-9)


def test_two_choices_that_are_always_equal_share_their_importance():
    rng = np.random.default_rng(8)
    codes = sample(rng, 200, [3, 3, 3, 3, 3, 3])
    codes[:, 1] = codes[:, 0]
    found = importance(codes, separable(codes, [[0, 1, 2]]) + 0.3 * rng.normal(size=200))
    assert found.shares[0] == pytest.approx(found.shares[1], abs=0.03)
    assert found.shares[:2].sum() == pytest.approx(true_shares([[0, 1, 2]], 0.3)[0], abs=0.05)


def test_whether_a_choice_is_asked_is_the_doing_of_the_choice_above_it():
    rng = np.random.default_rng(9)
    codes = sample(rng, 400, [2, 4, 4, 4, 4])
    codes[codes[:, 0] == 0, 1] = -1  # asked only where choice 0 takes option 1
    found = importance(codes, 5.0 * (codes[:, 0] == 1) + 0.2 * rng.normal(size=400))
    assert found.shares[0] > 0.9
    assert abs(found.shares[1]) < 0.01


def test_a_conditional_choice_has_the_importance_of_what_it_does_where_it_is_asked():
    rng = np.random.default_rng(10)
    codes = sample(rng, 600, [2, 4, 4, 4, 4])
    codes[codes[:, 0] == 0, 1] = -1
    values = np.where(codes[:, 1] < 0, 1.5, codes[:, 1].astype(float))
    found = importance(codes, values + 1e-3 * rng.normal(size=600))
    assert found.shares[1] > 0.95  # where it is asked its mean is 1.5 too, so choice 0 does nothing
    assert abs(found.shares[0]) < 0.03


def test_in_a_small_space_measured_whole_a_choice_that_does_nothing_has_no_importance():
    codes = np.array(list(np.ndindex(2, 3, 6)), dtype=np.int16)
    found = importance(codes, separable(codes, [[0, 1], [0, 1, 5]]), population=36)
    assert found.shares == pytest.approx(true_shares([[0, 1], [0, 1, 5], [0] * 6]), abs=1e-5)


def test_a_choice_of_many_numbers_counts_in_ranges():
    rng = np.random.default_rng(11)
    codes = np.column_stack([rng.integers(0, 200, 300), rng.integers(0, 3, 300)]).astype(np.int16)
    columns, owner = design(codes)
    assert np.bincount(owner).tolist() == [7, 2]
    assert columns.std(0) == pytest.approx(np.ones(9))
    assert importance(codes, codes[:, 0].astype(float)).shares[0] > 0.9


def test_too_few_architectures_or_equal_values_divide_nothing():
    rng = np.random.default_rng(12)
    codes = sample(rng, 200, [2, 2, 2])
    assert importance(codes, rng.normal(size=200)) is None  # eight different ones
    codes = sample(rng, 200, [4, 4, 4, 4])
    assert importance(codes, np.full(200, 0.1)) is None
    assert importance(codes[: FEWEST - 1], rng.normal(size=FEWEST - 1)) is None


def test_the_same_trials_give_the_same_importance():
    rng = np.random.default_rng(13)
    codes, values = sample(rng, 60, [3, 3, 3]), rng.normal(size=60)
    first, second = importance(codes, values), importance(codes, values)
    for name in ("shares", "low", "high"):
        assert getattr(first, name).tolist() == getattr(second, name).tolist()


def test_a_thousand_trials_of_forty_choices_take_less_than_two_seconds():
    rng = np.random.default_rng(14)
    codes = sample(rng, 1000, [4] * 40)
    values = rng.normal(size=1000)
    best = np.inf
    for _ in range(3):  # the machine may be busy
        began = time.perf_counter()
        importance(codes, values)
        best = min(best, time.perf_counter() - began)
    assert best < 2
