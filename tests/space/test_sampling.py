"""Samples follow the distribution that is promised, as objects and as rows, whatever the space looks like."""

import collections
import math

import numpy as np
import pytest
from scipy import stats

from nasengine.errors import InputError
from nasengine.space import factors, sampling
from nasengine.space.sampling import Sampler
from tests.space.space_helpers import UNEQUAL, space_of

DRAWS = 20_000

NESTED = """
    let:
      depth: {choice: {deep: {type: deep, a: {use: width}, b: {choice: [1, 2, 3]}}, flat: {type: flat}}}
      width: {choice: [8, 16, 32], weights: {32: 2}}
    network:
      type: net
      x: {choice: {one: {type: one, d: {use: depth}}, two: {type: two, w: {use: width}}, three: {type: three}}}
      y: {optional: {type: y, d: {use: depth}}}
      z: {subset: {of: {a: {type: a, k: {choice: [1, 2, 3]}}, b: {type: b}, c: {type: c}}, size: [0, 2]}}
"""
RELATED = """
    network:
      type: net
      depths: {repeat: {choice: [1, 2, 3]}, of: {type: stage, width: {choice: [8, 16, 32]}, depth: {choice: [1, 2]}}}
    relations:
      - {order: [network.depths.0.width, network.depths.1.width, network.depths.2.width], is: not_decreasing}
      - {sum: [network.depths.0.depth, network.depths.1.depth, network.depths.2.depth], max: 4}
"""
WEIGHTED = """
    network:
      type: net
      a: {choice: {rare: {type: a, k: {choice: [1, 2, 3], weights: {1: 5}}}, common: {type: b}}, weights: {common: 4}}
      b: {choice: [x, y, z], weights: {x: 0.5, z: 3}}
"""
SPACES = {"unequal": UNEQUAL, "nested": NESTED, "related": RELATED, "weighted": WEIGHTED}


def weight(space, architecture):
    """The product of the weights of the options taken."""
    choices = ((space.choices[path], option) for path, option in architecture.items())
    return math.prod(choice.weights[choice.options.index(option)] for choice, option in choices)


def chance_by_choice(space, architecture):
    """The product of the chances of the options taken, each choice on its own."""
    chances = (sum(space.choices[path].weights) for path in architecture)
    return weight(space, architecture) / math.prod(chances)


def p_value(space, counts, wanted):
    """Of the chi-square test that architectures come with probabilities in proportion to `wanted(architecture)`."""
    listed = list(space.enumerate())
    assert set(counts) <= set(listed)
    expected = np.array([wanted(architecture) for architecture in listed])
    drawn = sum(counts.values())
    result = stats.chisquare([counts[a] for a in listed], expected / expected.sum() * drawn)
    return float(result.pvalue)


@pytest.mark.parametrize("name", SPACES)
def test_samples_are_uniform_over_distinct_architectures_times_their_weights(name):
    space = space_of(SPACES[name])
    rows = space.sample_encoded(np.random.default_rng(1), DRAWS)
    counts = collections.Counter(space.decode_many(rows))
    assert p_value(space, counts, lambda architecture: weight(space, architecture)) > 1e-3


@pytest.mark.parametrize("name", SPACES)
def test_single_objects_follow_the_same_distribution(name):
    space = space_of(SPACES[name])
    rng = np.random.default_rng(2)
    counts = collections.Counter(space.sample(rng) for _ in range(DRAWS // 2))
    assert p_value(space, counts, lambda architecture: weight(space, architecture)) > 1e-3


@pytest.mark.parametrize("name", SPACES)
def test_sampling_by_choice_takes_each_active_choice_on_its_own(name):
    space = space_of(SPACES[name])
    rows = space.sample_encoded(np.random.default_rng(3), DRAWS, by="choice")
    counts = collections.Counter(space.decode_many(rows))
    assert p_value(space, counts, lambda architecture: chance_by_choice(space, architecture)) > 1e-3


def test_the_chi_square_test_would_notice_the_other_distribution():
    space = space_of(UNEQUAL)
    rows = space.sample_encoded(np.random.default_rng(4), DRAWS, by="choice")
    assert p_value(space, collections.Counter(space.decode_many(rows)), lambda architecture: 1.0) < 1e-12


def test_relations_left_to_rejection_give_the_same_distribution(monkeypatch):
    space = space_of(RELATED)
    monkeypatch.setattr(factors, "LARGEST_TABLE", 30)
    sampler = Sampler(space.decisions, space.compiled_relations)
    assert sampler.rejecting
    counts = collections.Counter(space.decode_many(sampler.rows(np.random.default_rng(5), DRAWS)))
    assert p_value(space, counts, lambda architecture: 1.0) > 1e-3
    one, other = np.random.default_rng(6), np.random.default_rng(6)
    assert [sampler.row(one) for _ in range(50)] == [sampler.rows(other, 1)[0].tolist() for _ in range(50)]


def test_rejection_that_accepts_nothing_ends_and_says_so(monkeypatch):
    space = space_of(
        """
        network: {type: net, a: {choice: [1, 2]}, b: {choice: [1, 2]}}
        relations: [{sum: [network.a, network.b], min: 5}]
        """
    )
    monkeypatch.setattr(sampling, "MOST_TRIES", 100)
    sampler = Sampler(space.decisions, space.compiled_relations, "choice")
    with pytest.raises(InputError, match="0 of 100 architectures drawn satisfy the relations"):
        sampler.row(np.random.default_rng(0))
    with pytest.raises(InputError, match="architectures drawn satisfy the relations"):
        sampler.rows(np.random.default_rng(0), 10)


def test_relations_that_nothing_satisfies_are_an_input_error():
    space = space_of(
        """
        network: {type: net, a: {choice: [1, 2]}, b: {choice: [1, 2]}}
        relations: [{sum: [network.a, network.b], min: 5}]
        """
    )
    assert space.size(feasible=True) == 0
    with pytest.raises(InputError, match="no architecture satisfies the relations"):
        space.sample(np.random.default_rng(0))


def test_what_depends_on_too_much_is_refused_with_a_way_out(monkeypatch):
    space = space_of(NESTED)
    monkeypatch.setattr(factors, "LARGEST_TABLE", 3)
    with pytest.raises(InputError, match="by='choice'"):
        space.sample(np.random.default_rng(0))
    with pytest.raises(InputError, match="cannot be counted"):
        space.size()
    assert space.satisfies(space.sample(np.random.default_rng(0), by="choice"))


def test_an_unknown_way_to_sample_is_refused():
    with pytest.raises(InputError, match="unknown way to sample 'fairly'"):
        space_of(UNEQUAL).sample(np.random.default_rng(0), by="fairly")


def test_a_draw_depends_on_nothing_but_the_generator():
    fresh, used = space_of(UNEQUAL), space_of(UNEQUAL)
    used.sample_encoded(np.random.default_rng(7), 10_000)
    assert [fresh.sample(np.random.default_rng([8, k])) for k in range(20)] == [
        used.sample(np.random.default_rng([8, k])) for k in range(20)
    ]
    assert (
        fresh.sample_encoded(np.random.default_rng(9), 9000) == used.sample_encoded(np.random.default_rng(9), 9000)
    ).all()


def test_a_space_without_choices_has_one_architecture():
    space = space_of("network: {type: net}")
    assert space.size() == 1
    assert space.sample(np.random.default_rng(0)) == space.architecture({})
    assert space.sample_encoded(np.random.default_rng(0), 3).shape == (3, 0)
    assert list(space.enumerate()) == [space.architecture({})]


def test_rows_are_int16_with_one_column_a_decision():
    space = space_of(UNEQUAL)
    rows = space.sample_encoded(np.random.default_rng(0), 5)
    assert rows.dtype == np.int16
    assert rows.shape == (5, len(space.decisions))
    assert space.sample_encoded(np.random.default_rng(0), 0).shape == (0, len(space.decisions))


def test_branches_that_differ_by_more_than_a_float_can_say_are_weighed_right():
    """One branch has 7^1000 times as many architectures as another, and relations forbid it."""
    space = space_of(
        """
        network: {type: net, a: {repeat: {range: [1, 1000]}, of: {k: {choice: [1, 2, 3, 4, 5, 6, 7]}}}}
        relations: [{sum: [network.a.repeat], max: 2}]
        """
    )
    rows = space.sample_encoded(np.random.default_rng(0), 2000)
    column = list(space.choices).index("network.a.repeat")
    ones = int((rows[:, column] == 0).sum())
    assert stats.binomtest(ones, 2000, 7 / (7 + 49)).pvalue > 1e-3


def chain_of(layers):
    """Optional layers whose widths must not decrease and must add up to 100 to 120."""
    layer = "{optional: {type: c, w: {choice: [8, 16, 24, 32]}}}"
    paths = ", ".join(f"network.layers.{i}.w" for i in range(layers))
    return space_of(
        f"""
        network: {{type: net, layers: [{", ".join([layer] * layers)}]}}
        relations: [{{order: [{paths}], is: not_decreasing}}, {{sum: [{paths}], min: 100, max: 120}}]
        """
    )


def test_long_relations_over_many_choices_are_sampled_exactly_without_rejection():
    space = chain_of(16)
    rows = space.sample_encoded(np.random.default_rng(0), 20_000)
    assert space.satisfies_encoded(rows).all()
    assert space._uniform_sampler.rejecting == ()
    # Leaving the first layer out leaves the same space with one layer less: an exact probability to compare with.
    absent = chain_of(15).size(feasible=True) / space.size(feasible=True)
    column = list(space.choices).index("network.layers.0.present")
    assert stats.binomtest(int((rows[:, column] == 0).sum()), len(rows), absent).pvalue > 1e-3
