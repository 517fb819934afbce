"""The balanced mixture of Javan Roshtkhari, Toews, Pedersoli 2023 (arXiv 2306.11982): worked balancing, its traps, and
that one model is uniform single path. The vectors were worked out apart from this code, on probabilities.
"""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nasengine import load_space
from nasengine.algorithms.supernet_samplers import BalancedMixture, Moment, Pass, SinglePath
from nasengine.algorithms.supernet_samplers.balancing import balance
from nasengine.errors import InputError
from nasengine.space.domain import Domain

THREE = np.array([[0.90, 0.50], [0.80, 0.60], [0.70, 0.65]])
TOLERANCE = 1e-4
EPOCHS, STEPS = 40, 200
DOMAIN = Domain(load_space("pooling_resnet20"))

SHARP = st.floats(0.1, 300)
SCORES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 5)),
    elements=st.floats(0, 1, width=32),
)


def moment(epoch: int = 0, step: int = 0) -> Moment:
    return Moment(epoch * STEPS + step, EPOCHS * STEPS, epoch, EPOCHS, STEPS)


def balanced_by_probabilities(scores: np.ndarray, factor: float, *, float32: bool) -> tuple[np.ndarray, int]:
    """As printed, with a division at a time: columns by their marginals, then rows by their sums."""
    logits = (factor * scores).astype(np.float32 if float32 else np.float64)
    made = np.exp(logits - logits.max(1, keepdims=True))
    made /= made.sum(1, keepdims=True)
    shares = made.mean(0)
    iterations = 0
    with np.errstate(all="ignore"):
        while abs(np.sum(shares * np.log(shares * len(shares)))) > TOLERANCE:
            made = made / shares
            made /= made.sum(1, keepdims=True)
            shares = made.mean(0)
            iterations += 1
    return made, iterations


def trained(sampler: BalancedMixture, accuracy: np.ndarray, seed: int = 0) -> BalancedMixture:
    """After all epochs in which model m has with configuration c the accuracy [c, m]."""
    for epoch in range(EPOCHS):
        sampler.begin_epoch(moment(epoch))
        for step in range(STEPS):
            now = moment(epoch, step)
            (drawn,) = sampler.draw(now, np.random.default_rng([seed, now.step]))
            place = sampler.configurations.index(drawn.architectures[0])
            sampler.observe(now, [drawn], [[float(accuracy[place, drawn.model])]])
    return sampler


def test_before_balancing_the_rows_are_the_softmax_of_sharpened_scores() -> None:
    unbalanced = balance(10 * THREE, TOLERANCE, most=0)
    assert unbalanced.probabilities == pytest.approx(
        np.array([[0.98201, 0.01799], [0.88080, 0.11920], [0.62246, 0.37754]]), abs=5e-6
    )
    assert unbalanced.shares == pytest.approx([0.8284, 0.1716], abs=5e-5)


def test_three_configurations_balance_in_four_iterations() -> None:
    balanced = balance(10 * THREE, TOLERANCE)
    assert balanced.iterations == 4
    assert balanced.probabilities == pytest.approx(
        np.array([[0.86914, 0.13086], [0.47337, 0.52663], [0.16706, 0.83294]]), abs=5e-6
    )
    assert balanced.shares == pytest.approx([0.50319, 0.49681], abs=5e-6)


def test_without_tolerance_balancing_reaches_the_fixed_point() -> None:
    balanced = balance(10 * THREE, 1e-14)
    assert balanced.probabilities[:, 0] == pytest.approx([0.86696, 0.46862, 0.16442], abs=5e-6)
    assert balanced.shares == pytest.approx([0.5, 0.5], abs=1e-7)


@pytest.mark.parametrize(
    ("factor", "iterations", "first"),
    [(1, 1, (0.54599, 0.49612, 0.45871)), (100, 26, (1.0000, 0.52017, 3.3e-7))],
)
def test_soft_and_sharp_temperatures_take_one_and_twenty_six_iterations(
    factor: float, iterations: int, first: tuple[float, ...]
) -> None:
    balanced = balance(factor * THREE, TOLERANCE)
    assert balanced.iterations == iterations
    assert balanced.probabilities[:, 0] == pytest.approx(first, abs=5e-6, rel=0.05 if first[2] < 1e-3 else 0)


def test_a_dominated_matrix_balances_where_single_precision_gives_all_to_one_model() -> None:
    dull = np.random.default_rng(0).uniform(0.20, 0.25, (36, 3))
    scores = np.concatenate([np.full((36, 1), 0.85), dull], axis=1)
    naive, _ = balanced_by_probabilities(scores, 300, float32=True)
    assert np.nan_to_num(naive).mean(0).tolist() == [1, 0, 0, 0], "the trap: NaN is not above the tolerance"
    balanced = balance(300 * scores, TOLERANCE)
    assert balanced.iterations == 9
    assert balanced.shares == pytest.approx([0.25] * 4, abs=0.005)


def test_scores_that_are_no_numbers_are_refused_and_not_balanced() -> None:
    with pytest.raises(FloatingPointError, match="1 of 6 scores are not finite"):
        balance(np.array([[1.0, np.nan], [0.0, 1.0], [0.5, 0.5]]), TOLERANCE)


@given(SCORES, SHARP)
@settings(max_examples=100, deadline=None)
def test_balanced_rows_sum_to_one_and_models_have_equal_shares(scores: np.ndarray, factor: float) -> None:
    balanced = balance(factor * scores, TOLERANCE)
    assert balanced.probabilities.sum(1) == pytest.approx(1)
    shares = balanced.shares
    assert abs(np.sum(shares * np.log(shares * len(shares)))) <= TOLERANCE + 1e-12
    assert balanced.divergence <= TOLERANCE


@given(SCORES, SHARP)
@settings(max_examples=100, deadline=None)
def test_balancing_adds_a_term_for_each_row_and_column_and_nothing_else(scores: np.ndarray, factor: float) -> None:
    balanced = balance(factor * scores, TOLERANCE)
    rest = balanced.log_probabilities - factor * scores + balanced.columns
    assert np.ptp(rest, axis=1) == pytest.approx(0, abs=1e-9)


@given(SCORES, st.floats(0.1, 50))
@settings(max_examples=100, deadline=None)
def test_logarithms_and_probabilities_agree_where_both_are_precise(scores: np.ndarray, factor: float) -> None:
    expected, iterations = balanced_by_probabilities(scores, factor, float32=False)
    balanced = balance(factor * scores, TOLERANCE)
    assert abs(balanced.iterations - iterations) <= 1  # the divergence may be the tolerance to its last digit
    if balanced.iterations == iterations:
        assert balanced.probabilities == pytest.approx(expected, abs=1e-6)


@given(arrays.arrays(np.float64, st.tuples(st.integers(2, 12), st.just(2)), elements=st.floats(0, 1, width=32)), SHARP)
@settings(max_examples=100, deadline=None)
def test_of_two_models_the_first_is_likelier_the_more_it_is_better(scores: np.ndarray, factor: float) -> None:
    log_odds = np.subtract(*balance(factor * scores, TOLERANCE).log_probabilities.T)
    order = np.argsort(scores[:, 0] - scores[:, 1])
    assert np.diff(log_odds[order]).min() >= -1e-9


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(1)), elements=st.floats(0, 1)), SHARP)
@settings(max_examples=30, deadline=None)
def test_with_one_model_there_is_nothing_to_balance(scores: np.ndarray, factor: float) -> None:
    balanced = balance(factor * scores, TOLERANCE)
    assert balanced.iterations == 0
    assert balanced.probabilities.tolist() == np.ones_like(scores).tolist()


def test_one_model_draws_exactly_what_single_path_draws() -> None:
    one = BalancedMixture(domain=DOMAIN, models=1)
    path = SinglePath(domain=DOMAIN, largest=DOMAIN.sample(np.random.default_rng(0)))
    for epoch in range(3):
        one.begin_epoch(moment(epoch))
        for step in range(STEPS):
            now = moment(epoch, step)
            drawn = one.draw(now, np.random.default_rng([5, now.step]))
            assert drawn == path.draw(now, np.random.default_rng([5, now.step]))
            one.observe(now, drawn, [[0.1]])


def test_pairs_begin_at_one_and_only_the_observed_pair_moves() -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=4, momentum=0.9)
    assert np.array(sampler.table()["scores"]).tolist() == np.ones((36, 4)).tolist()
    seen = sampler.configurations[7]
    sampler.observe(moment(), [Pass((seen,), 2)], [[0.35]])
    sampler.observe(moment(), [Pass((seen,), 2)], [[0.35]])
    scores, visits = np.array(sampler.table()["scores"]), np.array(sampler.table()["visits"])
    assert scores[7, 2] == pytest.approx(0.9 * (0.9 + 0.1 * 0.35) + 0.1 * 0.35)
    assert visits[7, 2] == visits.sum() == 2
    assert np.count_nonzero(scores != 1) == 1


def test_the_temperature_rises_linearly_from_the_first_epoch_to_the_last_and_multiplies() -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=2, temperature=[1, 100])
    factors = []
    for epoch in range(EPOCHS):
        sampler.begin_epoch(moment(epoch))
        factors.append(sampler.record()["inverse_temperature"])
    assert factors == pytest.approx(np.linspace(1, 100, EPOCHS).tolist())


def test_temperatures_in_between_are_reached_at_equal_distances() -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=2, temperature=[1, 80, 80, 200])
    factors = []
    for epoch in (0, 13, 20, 26, 39):
        sampler.begin_epoch(moment(epoch))
        factors.append(sampler.record()["inverse_temperature"])
    assert factors == pytest.approx([1, 80, 80, 80, 200])


def test_smoothed_scores_count_for_neighbours_by_how_many_changes_they_are_away() -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=2, temperature=[10, 10], assignment="unbalanced", smoothing=2.0)
    places = {one["network.downsample_at"]: place for place, one in enumerate(sampler.configurations)}
    scores = np.zeros((36, 2))
    scores[places[4, 7], 0] = 1.0
    sampler.restore(sampler.state() | {"scores": scores.tolist()})
    sampler.begin_epoch(moment())
    odds = np.subtract(*np.log(np.array(sampler.table()["probabilities"])).T) / 10
    weights = {p: math.exp(-(abs(p[0] - 4) + abs(p[1] - 7)) / 2) for p in places}
    for near in ((4, 7), (4, 8), (3, 7), (8, 9)):
        whole = sum(math.exp(-(abs(p[0] - near[0]) + abs(p[1] - near[1])) / 2) for p in places)
        assert odds[places[near]] == pytest.approx(weights[near] / whole)
    drawn = [sampler.draw(moment(), np.random.default_rng(k))[0] for k in range(20_000)]
    models = [one.model for one in drawn if one.architectures[0]["network.downsample_at"] == (4, 8)]
    assert np.mean(models) == pytest.approx(1 / (1 + math.exp(10 * odds[places[4, 8]])), abs=0.08)


def test_in_order_each_model_has_neighbours_of_the_space_in_equal_numbers() -> None:
    sampler = trained(BalancedMixture(domain=DOMAIN, models=4, assignment="in_order"), accuracy_of_families(4))
    assert np.argmax(sampler.table()["probabilities"], axis=1).tolist() == [0] * 9 + [1] * 9 + [2] * 9 + [3] * 9
    assert sampler.record()["certainty"] == 1


def test_within_an_epoch_scores_are_live_and_marginals_those_of_its_beginning() -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=2, temperature=[20, 20])
    rng = np.random.default_rng(0)
    state = sampler.state() | {"scores": rng.uniform(0.3, 0.9, (36, 2)).tolist()}
    sampler.restore(state)
    sampler.begin_epoch(moment(1))
    stale = balance(20 * np.array(state["scores"]), TOLERANCE).columns
    for _ in range(200):  # the scores move, the marginals do not
        place, model = int(rng.integers(36)), int(rng.integers(2))
        sampler.observe(moment(1), [Pass((sampler.configurations[place],), model)], [[float(rng.random())]])
    logits = 20 * np.array(sampler.state()["scores"]) - stale
    expected = np.exp(logits[:, 1]) / np.exp(logits).sum(1)
    drawn = [sampler.draw(moment(1, k), np.random.default_rng([1, k]))[0] for k in range(20_000)]
    for place, configuration in enumerate(sampler.configurations):
        models = [one.model for one in drawn if one.architectures[0] == configuration]
        spread = math.sqrt(expected[place] * (1 - expected[place]) / len(models))
        assert abs(np.mean(models) - expected[place]) < 5 * spread + 1e-3


def accuracy_of_families(models: int, gap: float = 0.3) -> np.ndarray:
    """Model m is good with the m-th part of the configurations, the first model slightly better with everything."""
    family = np.arange(36) * models // 36
    accuracy = 0.8 - gap * (family[:, None] != np.arange(models))
    return accuracy + 0.05 * (np.arange(models) == 0)


def test_balanced_models_find_their_families() -> None:
    sampler = trained(BalancedMixture(domain=DOMAIN, models=4), accuracy_of_families(4))
    table = sampler.table()
    owners = np.argmax(table["probabilities"], axis=1)
    assert np.bincount(owners, minlength=4).tolist() == [9, 9, 9, 9]
    assert (owners == np.arange(36) * 4 // 36).all()
    assert sampler.record()["divergence"] <= TOLERANCE
    assert np.sum(table["visits"]) == EPOCHS * STEPS


def test_unbalanced_one_model_owns_what_it_does_slightly_better() -> None:
    better = np.full((36, 4), 0.6) + 0.1 * (np.arange(4) == 0)
    owners = {
        assignment: np.argmax(
            trained(BalancedMixture(domain=DOMAIN, models=4, assignment=assignment), better).table()["probabilities"],
            axis=1,
        )
        for assignment in ("balanced", "unbalanced")
    }
    assert np.bincount(owners["unbalanced"], minlength=4)[0] >= 30
    assert np.bincount(owners["balanced"], minlength=4)[0] <= 18


def test_a_fixed_assignment_deals_configurations_once_in_equal_numbers() -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=4, assignment="fixed")
    trained(sampler, accuracy_of_families(4))
    probabilities = np.array(sampler.table()["probabilities"])
    assert probabilities.sum(0).tolist() == [9, 9, 9, 9]
    assert set(np.unique(probabilities)) == {0, 1}
    visits = np.array(sampler.table()["visits"])
    assert (visits[probabilities == 0] == 0).all()
    other = trained(BalancedMixture(domain=DOMAIN, models=4, assignment="fixed"), accuracy_of_families(4), seed=1)
    assert other.table()["probabilities"] != probabilities.tolist(), "dealt by the seed"


def test_the_state_keeps_every_digit_through_json_in_the_middle_of_an_epoch() -> None:
    sampler = trained(BalancedMixture(domain=DOMAIN, models=8), np.random.default_rng(2).random((36, 8)))
    again = BalancedMixture(domain=DOMAIN, models=8)
    again.restore(json.loads(json.dumps(sampler.state())))
    assert again.state() == sampler.state()
    for step in range(200):
        rng = (np.random.default_rng([9, step]) for _ in range(2))
        assert again.draw(moment(EPOCHS - 1), next(rng)) == sampler.draw(moment(EPOCHS - 1), next(rng))


def test_a_state_of_another_number_of_models_is_refused() -> None:
    with pytest.raises(InputError, match="36 configurations and 4 models"):
        BalancedMixture(domain=DOMAIN, models=2).restore(BalancedMixture(domain=DOMAIN, models=4).state())


@pytest.mark.parametrize("value", [27.3, -0.1, math.nan])
def test_a_measurement_that_is_no_share_is_refused(value: float) -> None:
    sampler = BalancedMixture(domain=DOMAIN, models=2)
    with pytest.raises(InputError, match="expected a task whose first metric is a share"):
        sampler.observe(moment(), [Pass((sampler.configurations[0],))], [[value]])


def test_settings_that_make_no_sense_are_refused_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        BalancedMixture(domain=DOMAIN, models=0, temperature=[1], momentum=1.0, tolerance=0.0, smoothing=-1.0)
    assert len(caught.value.problems) == 5


def test_a_space_too_large_to_score_is_refused_with_what_else_there_is() -> None:
    with pytest.raises(InputError, match="mobile_cnn, which has too many architectures to list"):
        BalancedMixture(domain=Domain(load_space("mobile_cnn")))
