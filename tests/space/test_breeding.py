"""Whole generations at once: the same guarantees as one child after the other."""

import collections

import numpy as np
import pytest
from scipy import stats

from nasengine.space.domain import Domain
from tests.space.space_helpers import UNEQUAL, space_of

FLAT = (
    "network: {type: net, a: {choice: [1, 2]}, b: {choice: [1, 2, 3, 4, 5]}, c: {choice: [1]}, d: {choice: [1, 2, 3]}}"
)
SUBSETS = "network: {type: net, s: {subset: {of: [1, 2, 3, 4], size: [1, 3]}}, a: {choice: [1, 2]}}"


@pytest.fixture(params=["free", "one by one"])
def way(request):
    return request.param


def domain_of(text, way):
    return Domain(space_of(text), None if way == "free" else lambda _: True)


@pytest.mark.parametrize("text", [FLAT, UNEQUAL, SUBSETS])
def test_every_child_is_a_canonical_row_of_the_space(text, way):
    domain = domain_of(text, way)
    rng = np.random.default_rng(0)
    first, second = domain.space.sample_encoded(rng, 300), domain.space.sample_encoded(rng, 300)
    rows, pairs = domain.children(first, second, rng)
    assert pairs.tolist() == list(range(300))
    assert (domain.space.canonical(rows) == rows).all()
    for row in rows:
        architecture = domain.space.decode(row)
        assert domain.space.architecture(architecture) == architecture


@pytest.mark.parametrize("text", [FLAT, UNEQUAL, SUBSETS])
def test_no_child_equals_a_parent_of_a_pair_of_equals(text, way):
    domain = domain_of(text, way)
    rng = np.random.default_rng(1)
    parents = domain.space.sample_encoded(rng, 400)
    rows, _ = domain.children(parents, parents, rng)
    assert not (rows == parents).all(axis=1).any()


def test_each_choice_comes_from_either_parent_and_about_one_mutates(way):
    options = ", ".join(f"c{i}: {{choice: [1, 2, 3, 4, 5]}}" for i in range(20))
    domain = domain_of(f"network: {{type: net, {options}}}", way)
    first = np.tile(np.array([0], dtype=np.int16), (500, 20))
    rows, _ = domain.children(first, first + 1, np.random.default_rng(2))
    assert 0.45 < np.mean(rows == 0) < 0.5
    assert 0.45 < np.mean(rows == 1) < 0.52
    mutated = (rows > 1).sum(axis=1)  # 3 of the 4 other options are neither parent's
    assert 0.6 < mutated.mean() < 0.9


def test_mutation_gives_every_other_option_the_same_chance():
    space = space_of("network: {type: net, a: {choice: [1, 2, 3, 4, 5]}}")
    parents = np.full((8000, 1), 2, dtype=np.int16)
    counts = collections.Counter(space.children_encoded(parents, parents, np.random.default_rng(0))[:, 0].tolist())
    assert set(counts) == {0, 1, 3, 4}
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_a_subset_changes_by_one_item():
    space = space_of("network: {type: net, s: {subset: {of: [1, 2, 3, 4], size: [1, 3]}}}")
    rng = np.random.default_rng(3)
    parents = space.sample_encoded(rng, 200)
    children = space.children_encoded(parents, parents, rng)
    for parent, child in zip(space.decode_many(parents), space.decode_many(children), strict=True):
        before, after = set(parent["network.s"]), set(child["network.s"])
        assert max(len(before - after), len(after - before)) == 1


def test_what_becomes_active_is_drawn_by_its_weights():
    space = space_of(
        """
        network:
          type: net
          a: {choice: {x: {type: x}, y: {type: y, k: {choice: {p: {type: p}, q: {type: q}}, weights: {p: 3, q: 1}}}}}
        """
    )
    parents = np.tile(space.encode({"network.a": "x"}), (4000, 1))
    children = space.decode_many(space.children_encoded(parents, parents, np.random.default_rng(0)))
    taken = collections.Counter(child["network.a.y.k"] for child in children)
    assert stats.chisquare([taken["p"], taken["q"]], [3000, 1000]).pvalue > 1e-3


def test_what_only_one_parent_has_comes_from_that_parent(way):
    plain = ", ".join(f"c{i}: {{choice: [1, 2]}}" for i in range(8))
    option = "{type: y, k: {range: [1, 100, 1]}}"
    domain = domain_of(f"network: {{type: net, {plain}, a: {{choice: {{x: {{type: x}}, y: {option}}}}}}}", way)
    shared = {f"network.c{i}": 1 for i in range(8)}
    with_k = domain.space.encode({**shared, "network.a": "y", "network.a.y.k": 42})
    without = domain.space.encode({**dict.fromkeys(shared, 2), "network.a": "x"})
    rng = np.random.default_rng(0)
    rows, _ = domain.children(np.tile(with_k, (300, 1)), np.tile(without, (300, 1)), rng)
    kept = [child["network.a.y.k"] for child in domain.space.decode_many(rows) if child["network.a"] == "y"]
    assert len(kept) > 100
    assert np.mean([k == 42 for k in kept]) > 0.7  # otherwise the choice of x or of k has mutated


def test_a_space_of_one_has_itself_for_a_child(way):
    domain = domain_of("network: {type: net, a: {choice: [1]}}", way)
    parent = domain.space.sample_encoded(np.random.default_rng(0), 1)
    rows, _ = domain.children(parent, parent, np.random.default_rng(0))
    assert rows.tolist() == [[0]]


def test_children_that_would_break_a_constraint_are_left_out_with_their_pair():
    space = space_of(FLAT)
    allowed = {"network.b": 3}
    domain = Domain(space, lambda a: all(a[path] == option for path, option in allowed.items()))
    rng = np.random.default_rng(0)
    good = space.encode({"network.a": 1, "network.b": 3, "network.c": 1, "network.d": 1})
    bad = space.encode({"network.a": 1, "network.b": 1, "network.c": 1, "network.d": 1})
    rows, pairs = domain.children(np.stack([bad, good]), np.stack([bad, good]), rng)
    assert pairs.tolist() == [1]
    assert space.decode(rows[0])["network.b"] == 3


def test_a_space_without_choices_has_children_too(way):
    domain = domain_of("network: {type: net, a: 1}", way)
    rows, _ = domain.children(np.empty((2, 0), np.int16), np.empty((2, 0), np.int16), np.random.default_rng(0))
    assert rows.shape == (2, 0)


def test_a_choice_of_very_many_options_mutates_to_any_of_them():
    space = space_of("network: {type: net, a: {range: [1, 30000, 1]}}")
    parents = np.full((2000, 1), 29_000, dtype=np.int16)
    children = space.children_encoded(parents, parents, np.random.default_rng(0))
    assert children.min() >= 0
    assert children.max() < 30_000
    assert 14_000 < np.median(children) < 16_000
