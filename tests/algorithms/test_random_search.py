"""Random search: no repeats, the end of a small space, and the space's distribution."""

from collections import Counter

import pytest
from scipy import stats

from nasengine.algorithms import Exhaustive, RandomSearch
from nasengine.objectives import parse_objectives
from nasengine.space import SearchSpace
from nasengine.space.domain import Domain
from nasengine.space.loading import parse_space

OBJECTIVES = parse_objectives({"accuracy": "maximize"})
SPACE = """
name: small
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {choice: [8, 16, 24, 32, 40]}, kernel: {choice: [1, 3, 5, 7]}}
    - {type: linear_head}
"""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(parse_space(SPACE, "test.yaml"))


def test_a_small_space_is_proposed_once_each_and_then_the_search_ends(space: SearchSpace) -> None:
    search = RandomSearch(Domain(space), OBJECTIVES, seed=2)
    asked = [search.ask(k) for k in range(20)]
    assert {candidate.architecture for candidate in asked if candidate} == set(space.enumerate())
    assert search.ask(20) is None
    assert search.ask(21) is None


def test_a_small_space_under_constraints_ends_too(space: SearchSpace) -> None:
    search = RandomSearch(Domain(space, lambda a: a["network.layers.0.width"] == 40), OBJECTIVES)
    asked = [search.ask(k) for k in range(4)]
    assert len({candidate.architecture for candidate in asked if candidate}) == 4
    assert search.ask(4) is None


def test_with_repeats_each_trial_is_an_independent_uniform_draw(space: SearchSpace) -> None:
    search = RandomSearch(Domain(space), OBJECTIVES, seed=2, avoid_repeats=False)
    counts = Counter(search.ask(k).architecture for k in range(4000))
    assert len(counts) == 20
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_the_draws_of_a_trial_do_not_depend_on_the_trials_before(space: SearchSpace) -> None:
    first = RandomSearch(Domain(space), OBJECTIVES, seed=2, avoid_repeats=False)
    for k in range(10):
        first.ask(k)
    second = RandomSearch(Domain(space), OBJECTIVES, seed=2, avoid_repeats=False)
    assert first.ask(10) == second.ask(10)


def test_a_large_space_that_repeats_itself_repeats_rather_than_ends() -> None:
    wide = SPACE.replace("[8, 16, 24, 32, 40]", str(list(range(8, 20_008)))).replace("name: small", "name: large")
    space = SearchSpace(parse_space(wide, "test.yaml"))
    assert space.size() == 80_000
    search = RandomSearch(Domain(space, draw=lambda rng: next(space.enumerate())), OBJECTIVES)
    assert search.ask(0) == search.ask(1)


def test_exhaustive_search_follows_the_order_of_enumeration_and_ends(space: SearchSpace) -> None:
    search = Exhaustive(Domain(space, lambda a: a["network.layers.0.kernel"] != 5), OBJECTIVES)
    asked = []
    while (candidate := search.ask(len(asked))) is not None:
        asked.append(candidate.architecture)
    assert asked == [a for a in space.enumerate() if a["network.layers.0.kernel"] != 5]
    assert len(asked) == 15
