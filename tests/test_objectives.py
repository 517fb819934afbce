"""Objectives, dominance, fronts, ranking and hypervolume."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasengine.errors import InputError
from nasengine.objectives import (
    Constraint,
    Objective,
    ParetoFront,
    dominates,
    hypervolume,
    pareto_front,
    parse_objectives,
    rank_trials,
)
from nasengine.records import Architecture, Candidate, Trial

TWO = parse_objectives({"accuracy": "maximize", "macs": "minimize"})


def trial(number: int, status: str = "completed", name: object = None, **measurements: float) -> Trial:
    return Trial(number, Candidate(Architecture({"x": number if name is None else name})), status, measurements)


def points_of(dimensions: int, largest: int = 6, size: int = 12) -> st.SearchStrategy[list[tuple[int, ...]]]:
    return st.lists(st.tuples(*[st.integers(0, largest)] * dimensions), max_size=size)


def unit_cells_dominated(points: list[tuple[int, ...]], corner: tuple[int, ...]) -> int:
    """The hypervolume of integer points by counting."""
    return sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(*map(range, corner))
    )


def test_a_maximized_measurement_is_a_negative_loss() -> None:
    assert Objective("accuracy", "maximize").loss({"accuracy": 0.9}) == -0.9
    assert Objective("macs", "minimize").loss({"macs": 5}) == 5


def test_every_wrong_direction_is_reported_with_the_nearest_right_one() -> None:
    with pytest.raises(InputError) as caught:
        parse_objectives({"accuracy": "max", "macs": "minimise", "params": "minimize"})
    assert len(caught.value.problems) == 2
    assert "did you mean 'maximize'" in str(caught.value.problems[0])
    assert "did you mean 'minimize'" in str(caught.value.problems[1])


def test_no_objective_is_refused() -> None:
    with pytest.raises(InputError, match="no objective"):
        parse_objectives({})


def test_a_breach_names_value_and_bound() -> None:
    bound = Constraint("macs", low=10, high=20)
    assert bound.breach({"macs": 15}) == bound.breach({"macs": 10}) == bound.breach({"macs": 20}) == ""
    assert bound.breach({"macs": 25}) == "macs = 25 is above the most allowed, 20"
    assert bound.breach({"macs": 5}) == "macs = 5 is below the least allowed, 10"
    assert bound.breach({}) == ""


def test_dominance_needs_one_better_and_none_worse() -> None:
    assert dominates((1, 2), (1, 3))
    assert not dominates((1, 2), (1, 2))
    assert not dominates((0, 3), (1, 2))


@given(points_of(3))
def test_the_incremental_front_is_what_all_pairs_say(points: list[tuple[int, ...]]) -> None:
    objectives = parse_objectives({"a": "minimize", "b": "maximize", "c": "minimize"})
    trials = [trial(i, a=a, b=-b, c=c) for i, (a, b, c) in enumerate(points)]
    front = {t.number for t in pareto_front(trials, objectives)}
    assert front == {i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)}


def test_the_front_says_whether_it_took_a_trial_and_drops_what_that_beats() -> None:
    front = ParetoFront(TWO)
    assert front.add(trial(0, accuracy=0.8, macs=10))
    assert front.add(trial(1, accuracy=0.9, macs=20))
    assert not front.add(trial(2, accuracy=0.7, macs=10))
    assert not front.add(trial(3, "failed"))
    assert not front.add(trial(4, "infeasible", accuracy=1.0, macs=1))
    assert front.add(trial(5, accuracy=0.9, macs=10))
    assert [t.number for t in front.trials] == [5]


def test_equal_losses_share_the_front_but_an_architecture_is_on_it_once() -> None:
    front = ParetoFront(TWO)
    assert front.add(trial(0, name="p", accuracy=0.8, macs=10))
    assert front.add(trial(1, name="q", accuracy=0.8, macs=10))
    assert not front.add(trial(2, name="p", accuracy=0.8, macs=10))
    assert [t.number for t in front.trials] == [0, 1]
    assert len(front) == 2


def test_trials_rank_by_value_ties_by_number_each_architecture_once() -> None:
    one = parse_objectives({"accuracy": "maximize"})
    trials = [
        trial(0, name="p", accuracy=0.5),
        trial(1, name="q", accuracy=0.9),
        trial(2, name="r", accuracy=0.9),
        trial(3, name="q", accuracy=0.9),
        trial(4, "failed", name="s"),
    ]
    assert [t.number for t in rank_trials(trials, one)] == [1, 2, 0]


def test_with_two_objectives_the_front_ranks_first_its_ends_foremost() -> None:
    trials = [
        trial(0, accuracy=0.5, macs=30),
        trial(1, accuracy=0.7, macs=20),
        trial(2, accuracy=0.9, macs=30),
        trial(3, accuracy=0.6, macs=10),
        trial(4, accuracy=0.71, macs=20.5),
    ]
    assert [t.number for t in rank_trials(trials, TWO)] == [2, 3, 4, 1, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4).flatmap(lambda d: st.tuples(st.just(d), points_of(d, largest=5))))
def test_hypervolume_is_the_number_of_unit_cells_covered(case: tuple[int, list[tuple[int, ...]]]) -> None:
    dimensions, points = case
    corner = (4,) * dimensions
    assert hypervolume(points, corner) == unit_cells_dominated(points, corner)


def test_hypervolume_of_a_five_dimensional_front_agrees_with_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((12, 5))
    draws = rng.random((200_000, 5))
    covered = (points[:, None] <= draws[None]).all(axis=2).any(axis=0).mean()
    assert hypervolume(points.tolist(), [1.0] * 5) == pytest.approx(covered, abs=4 * math.sqrt(0.25 / 200_000))


def test_hypervolume_of_nothing_or_of_points_beyond_the_reference_is_zero() -> None:
    assert hypervolume([], (1, 1)) == 0
    assert hypervolume([(1, 0), (2, 2)], (1, 1)) == 0
    assert hypervolume([(0, 0, 1)], (1, 1, 1)) == 0
