"""The domain of a search: only what is acceptable, bounded tries, and what they say when they end."""

import numpy as np
import pytest

from nasengine.errors import InputError
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.domain import SAMPLING_TRIES, Domain
from nasengine.space.loading import parse_space

SPACE = """
name: three_widths
task: {kind: image_classification, input: [3, 32, 32], classes: 10}
let: {first: {choice: [8, 16, 24]}, second: {choice: [8, 16, 24]}, third: {choice: [8, 16, 24]}}
network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: {use: first}, kernel: 3}
    - {type: conv_norm_activation, width: {use: second}, kernel: 3}
    - {type: conv_norm_activation, width: {use: third}, kernel: 3}
    - {type: linear_head}
relations:
  - {order: [let.first, let.second], is: not_decreasing}
"""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(parse_space(SPACE, "test.yaml"))


def narrow(architecture: Architecture) -> bool:
    return sum(architecture.values()) <= 40


def test_everything_it_yields_is_acceptable(space: SearchSpace) -> None:
    domain = Domain(space, narrow)
    rng = np.random.default_rng(0)
    every = list(domain.enumerate())
    assert every == [a for a in space.enumerate() if narrow(a)]
    assert 1 < len(every) < 18
    first, second = domain.sample(rng), domain.sample(rng)
    for _ in range(50):
        mutant, child = domain.mutate(first, rng), domain.crossover(first, second, rng)
        assert mutant in every
        assert mutant != first
        assert child in every


def test_without_a_condition_everything_is_acceptable(space: SearchSpace) -> None:
    assert list(Domain(space).enumerate()) == list(space.enumerate())


def test_a_condition_that_nothing_keeps_is_bad_input_after_bounded_draws(space: SearchSpace) -> None:
    seen: list[Architecture] = []

    def never(architecture: Architecture) -> bool:
        seen.append(architecture)
        return False

    with pytest.raises(InputError, match="none of 10,000 architectures drawn from three_widths keeps the constraints"):
        Domain(space, never).sample(np.random.default_rng(0))
    assert len(seen) == SAMPLING_TRIES


def test_an_architecture_with_no_acceptable_mutant_or_child_has_none(space: SearchSpace) -> None:
    only = next(space.enumerate())
    domain = Domain(space, lambda architecture: False)
    assert domain.mutate(only, np.random.default_rng(0)) is None
    assert domain.crossover(only, only, np.random.default_rng(0)) is None


def test_a_space_of_one_has_no_mutant() -> None:
    text = SPACE.replace("[8, 16, 24]", "[8]")
    alone = SearchSpace(parse_space(text, "test.yaml"))
    assert Domain(alone).mutate(next(alone.enumerate()), np.random.default_rng(0)) is None


def test_a_direct_draw_is_still_checked(space: SearchSpace) -> None:
    every = list(space.enumerate())
    draws = iter([every[-1], every[0]])
    assert Domain(space, narrow, draw=lambda rng: next(draws)).sample(np.random.default_rng(0)) == every[0]
