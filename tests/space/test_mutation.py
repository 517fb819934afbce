"""Mutants, children and neighbours are what evolution and local search expect of them."""

import collections

import numpy as np
import pytest
from scipy import stats

from nasengine.errors import InputError
from tests.space.space_helpers import UNEQUAL, space_of


def differences(first, second):
    """Paths at which both have an option, and not the same."""
    return [path for path in first if path in second and first[path] != second[path]]


def test_every_decision_that_can_change_is_equally_likely_to():
    space = space_of("network: {type: net, a: {choice: [1, 2]}, b: {choice: [1, 2, 3, 4, 5]}, c: {choice: [1]}}")
    parent = space.architecture({"network.a": 1, "network.b": 1, "network.c": 1})
    rng = np.random.default_rng(0)
    mutants = collections.Counter(space.mutate(parent, rng) for _ in range(4000))
    chances = {mutant: 1 / 2 if mutant["network.a"] == 2 else 1 / 8 for mutant in space.neighbours(parent)}
    assert set(mutants) == set(chances)
    observed = [mutants[mutant] for mutant in chances]
    assert stats.chisquare(observed, [4000 * chance for chance in chances.values()]).pvalue > 1e-3


def test_what_a_mutation_makes_active_is_drawn_by_its_weights():
    space = space_of(
        "network: {type: net, a: {choice: {x: {type: x}, y: {type: y, k: {choice: [1, 2], weights: {2: 3}}}}}}"
    )
    rng = np.random.default_rng(0)
    parent = space.architecture({"network.a": "x"})
    taken = collections.Counter(space.mutate(parent, rng)["network.a.y.k"] for _ in range(2000))
    assert stats.binomtest(taken[2], 2000, 0.75).pvalue > 1e-3


def test_what_a_mutation_makes_inactive_is_dropped():
    space = space_of("network: {type: net, a: {choice: {x: {type: x}, y: {type: y, k: {choice: [1, 2]}}}}}")
    neighbours = list(space.neighbours(space.architecture({"network.a": "y", "network.a.y.k": 2})))
    assert [n.to_json() for n in neighbours] == [{"network.a": "x"}, {"network.a": "y", "network.a.y.k": 1}]


def test_a_subset_changes_by_one_item():
    space = space_of("network: {type: net, at: {subset: {of: [1, 2, 3, 4, 5], size: [2, 3]}}}")
    parent = space.architecture({"network.at": [2, 4]})
    neighbours = {n["network.at"] for n in space.neighbours(parent)}
    swapped = {(1, 4), (3, 4), (4, 5), (1, 2), (2, 3), (2, 5)}
    added = {(1, 2, 4), (2, 3, 4), (2, 4, 5)}
    assert neighbours == swapped | added
    full = space.architecture({"network.at": [1, 2, 3]})
    assert {(1, 2), (1, 3), (2, 3)} < {n["network.at"] for n in space.neighbours(full)}
    rng = np.random.default_rng(0)
    assert {space.mutate(parent, rng)["network.at"] for _ in range(300)} == neighbours


def test_copies_that_a_repeat_keeps_keep_their_choices():
    space = space_of("network: {type: net, a: {repeat: {choice: [1, 2, 3]}, of: {k: {choice: [3, 5, 7]}}}}")
    parent = space.architecture({"network.a.repeat": 2, "network.a.0.k": 5, "network.a.1.k": 7})
    rng = np.random.default_rng(0)
    for _ in range(100):
        mutant = space.mutate(parent, rng)
        if "network.a.repeat" in differences(parent, mutant):
            assert differences(parent, mutant) == ["network.a.repeat"]


TIGHT = """
    network: {type: net, a: {choice: [0, 1, 2]}, b: {choice: [0, 1, 2]}, c: {choice: [0, 1, 2]}}
    relations: [{sum: [network.a, network.b, network.c], min: 3, max: 3}]
"""


def test_where_one_change_breaks_a_relation_others_change_along():
    space = space_of(TIGHT)
    parent = space.architecture({"network.a": 1, "network.b": 1, "network.c": 1})
    assert list(space.neighbours(parent)) == []
    rng = np.random.default_rng(0)
    mutants = {space.mutate(parent, rng) for _ in range(50)}
    assert parent not in mutants
    assert len(mutants) >= 4
    assert all(space.satisfies(mutant) for mutant in mutants)


def test_children_of_tight_relations_are_repaired():
    space = space_of(TIGHT)
    listed = list(space.enumerate())
    rng = np.random.default_rng(0)
    for _ in range(200):
        first, second = (listed[i] for i in rng.integers(len(listed), size=2))
        assert space.satisfies(space.crossover(first, second, rng))


def test_each_decision_of_a_child_comes_from_either_parent_with_equal_chance():
    space = space_of("network: {type: net, a: {choice: [1, 2]}, b: {choice: [1, 2]}}")
    first = space.architecture({"network.a": 1, "network.b": 1})
    second = space.architecture({"network.a": 2, "network.b": 2})
    rng = np.random.default_rng(0)
    children = collections.Counter(space.crossover(first, second, rng) for _ in range(2000))
    assert len(children) == 4
    assert stats.chisquare(list(children.values())).pvalue > 1e-3


def test_a_child_takes_the_branch_of_the_parent_that_has_it():
    space = space_of(UNEQUAL)
    rng = np.random.default_rng(0)
    for _ in range(300):
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, rng)
        assert all(child[path] in {parent[path] for parent in (first, second) if path in parent} for path in child)


def test_a_space_of_one_architecture_has_no_mutant():
    space = space_of("network: {type: net, a: {choice: [1]}}")
    with pytest.raises(InputError, match="no mutation"):
        space.mutate(space.architecture({"network.a": 1}), np.random.default_rng(0))
    assert list(space.neighbours(space.architecture({"network.a": 1}))) == []


def test_draws_are_those_of_the_generator_alone():
    space = space_of(UNEQUAL)
    parent, other = space.sample(np.random.default_rng(0)), space.sample(np.random.default_rng(1))
    assert [space.mutate(parent, np.random.default_rng(k)) for k in range(20)] == [
        space.mutate(parent, np.random.default_rng(k)) for k in range(20)
    ]
    assert [space.crossover(parent, other, np.random.default_rng(k)) for k in range(20)] == [
        space.crossover(parent, other, np.random.default_rng(k)) for k in range(20)
    ]
