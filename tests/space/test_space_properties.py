"""Whatever a small space looks like: its size, its list, its rows, its mutants and its networks agree."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nasengine.errors import InputError
from nasengine.space import ABSENT, Call, SearchSpace, space_from_mapping

LARGEST = 3000
LETS = ("alpha", "beta", "gamma")
COUNTS = {"many": {"choice": [0, 2]}, "some": {"choice": [2, 1], "weights": {"2": 3}}}  # shared, under let

scalars = st.sampled_from([1, 2, 3, "word"])
plain_choice = st.lists(st.sampled_from([0, 1, 2, 3, "a", "b"]), min_size=1, max_size=3, unique=True).map(
    lambda options: {"choice": options}
)
ranges = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 2)).map(
    lambda t: {"range": [t[0], t[0] + t[1] * t[2], t[2]]}
)
plain_subset = (
    st.tuples(st.integers(1, 4), st.data())
    .map(lambda t: t[0])
    .flatmap(
        lambda n: st.tuples(st.integers(0, n), st.integers(1, n)).map(
            lambda ends: {"subset": {"of": list(range(10, 10 + n)), "size": [min(ends), max(ends)]}}
        )
    )
)
shared_counts = st.sampled_from(list(COUNTS)).map(lambda name: {"use": name})
uses = st.sampled_from(LETS).map(lambda name: {"use": name})
leaves = st.one_of(scalars, plain_choice, plain_choice, ranges, plain_subset, uses, uses, shared_counts)


def calls(below):
    return st.dictionaries(st.sampled_from(["p", "q", "r"]), below, min_size=1, max_size=2).map(
        lambda arguments: {"type": "thing", **arguments}
    )


def holes(below):
    named = st.dictionaries(st.sampled_from(["one", "two", "three"]), calls(below), min_size=1, max_size=3)
    weights = st.dictionaries(st.just("one"), st.sampled_from([0.5, 2, 3]))
    weighted = st.tuples(named, weights).map(
        lambda t: {"choice": t[0], "weights": {label: w for label, w in t[1].items() if label in t[0]}}
    )
    subset = named.flatmap(
        lambda items: st.tuples(st.integers(0, len(items)), st.integers(1, len(items))).map(
            lambda ends: {"subset": {"of": items, "size": [min(ends), max(ends)]}}
        )
    )
    counts = st.one_of(
        st.integers(1, 2),
        st.just({"choice": [0, 2]}),
        st.just({"choice": [2, 1]}),
        st.just({"range": [1, 2, 1]}),
        shared_counts,
        shared_counts,
    )
    repeat = st.tuples(counts, calls(below)).map(lambda t: {"repeat": t[0], "of": t[1]})
    optional = calls(below).map(lambda node: {"optional": node})
    return st.one_of(calls(below), weighted, subset, repeat, optional, st.lists(below, min_size=1, max_size=2))


nodes = st.recursive(leaves, holes, max_leaves=6)


shared_repeat = st.tuples(shared_counts, leaves | holes(leaves)).map(lambda t: {"repeat": t[0], "of": t[1]})
sometimes_there = st.one_of(
    shared_repeat,
    shared_repeat.map(lambda node: {"optional": {"type": "thing", "p": node}}),
    st.tuples(shared_repeat, leaves | shared_repeat).map(
        lambda t: {"choice": {"one": {"type": "thing", "p": t[0]}, "two": {"type": "thing", "p": t[1]}}}
    ),
)


def names_used(node):
    if isinstance(node, dict):
        return ({node["use"]} if "use" in node else set()).union(*map(names_used, node.values()))
    return set().union(*map(names_used, node)) if isinstance(node, list) else set()


@st.composite
def spaces(draw, relations=False):
    """A small space; a `let` entry may use those before it."""
    network = {"type": "thing", "x": draw(nodes), "y": draw(nodes)}
    if draw(st.booleans()):
        network |= {"x": draw(sometimes_there), "z": draw(sometimes_there)}
    let, wanted = {}, names_used(network)
    for place, name in reversed(list(enumerate(LETS))):
        if name in wanted:
            value = draw(st.one_of(plain_choice, holes(leaves)))
            value = without(value, set(LETS[place:]))
            let[name] = {"choice": [1, 2]} if not has_hole(value) else value
            wanted |= names_used(let[name])
    let = {**{name: hole for name, hole in COUNTS.items() if name in wanted}, **let}
    resolved = {
        "name": "small",
        "task": {"kind": "image_classification", "input": [3, 8, 8]},
        "network": network,
        **({"let": let} if let else {}),
    }
    try:
        space = space_from_mapping(resolved)
    except InputError as error:  # the one thing that such a space can have wrong: a count decided below its own copies
        assume("depends on what is decided below it" not in str(error))
        raise
    assume(space.size() <= LARGEST)
    if relations:
        numeric = [d.path for d in space.decisions if all(isinstance(o, int) for o in d.options)]
        assume(len(numeric) >= 2)
        resolved["relations"] = [draw(relation(numeric)) for _ in range(draw(st.integers(1, 2)))]
        space = space_from_mapping(resolved)
    return space


@st.composite
def relation(draw, paths):
    chosen = draw(st.lists(st.sampled_from(paths), min_size=2, max_size=4, unique=True))
    if draw(st.booleans()):
        order = draw(st.sampled_from(["not_decreasing", "increasing", "not_increasing", "decreasing", "equal"]))
        return {"order": chosen, "is": order}
    return {"sum": chosen, **draw(st.sampled_from([{"max": 3}, {"min": 2}, {"min": 1, "max": 4}]))}


def without(node, names):
    """The node with every use of these names replaced by a plain choice."""
    if isinstance(node, dict):
        return {"choice": [7, 8]} if node.get("use") in names else {k: without(v, names) for k, v in node.items()}
    return [without(item, names) for item in node] if isinstance(node, list) else node


def has_hole(node):
    words = {"choice", "range", "subset", "repeat", "optional", "use"}
    if isinstance(node, dict):
        return bool(words & set(node)) or any(map(has_hole, node.values()))
    return isinstance(node, list) and any(map(has_hole, node))


quick = settings(
    max_examples=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@quick
@given(spaces())
def test_the_list_of_architectures_has_exactly_size_distinct_entries(space):
    listed = list(space.enumerate())
    assert len(set(listed)) == len(listed) == space.size()


def decided_at_all(space: SearchSpace):
    """Every architecture by brute force: all products of options, dropping what is inactive."""
    options = [range(len(decision.options)) for decision in space.decisions]
    products = list(itertools.product(*options))
    rows = np.array(products, dtype=np.int16).reshape(len(products), len(options))
    return {tuple(row) for row in space.canonical(rows).tolist()}


@quick
@given(spaces())
def test_every_combination_of_options_is_some_listed_architecture(space):
    assume(np.prod([float(len(d.options)) for d in space.decisions]) <= 50_000)
    assert {tuple(row) for row in space.encode_many(space.enumerate()).tolist()} == decided_at_all(space)


@quick
@given(spaces(relations=True))
def test_the_feasible_size_counts_what_satisfies_the_relations(space):
    listed = list(space.enumerate())
    free = list(space_from_mapping({k: v for k, v in space.tree.resolved.items() if k != "relations"}).enumerate())
    assert [a for a in free if space.satisfies(a)] == listed
    assert space.size(feasible=True) == len(listed)
    assert space.size() == len(free)
    assert space.satisfies_encoded(space.encode_many(free)).tolist() == [space.satisfies(a) for a in free]


@quick
@given(spaces())
def test_encoding_and_decoding_are_inverse(space):
    listed = list(itertools.islice(space.enumerate(), 300))
    rows = space.encode_many(listed)
    assert rows.shape == (len(listed), len(space.decisions))
    assert space.decode_many(rows) == listed
    assert [space.decode(space.encode(a)) for a in listed[:20]] == listed[:20]
    assert [space.architecture(a.to_json()) for a in listed[:20]] == listed[:20]
    junk = np.where(rows < 0, np.random.default_rng(0).integers(-5, 5, rows.shape), rows)
    assert (space.canonical(junk) == rows).all()


@quick
@given(spaces(relations=True), st.integers(0, 2**32))
def test_samples_mutants_and_children_are_architectures_that_satisfy_the_relations(space, seed):
    listed = set(space.enumerate())
    assume(listed)
    rng = np.random.default_rng(seed)
    assert set(space.decode_many(space.sample_encoded(rng, 200))) <= listed
    first, second = space.sample(rng), space.sample(rng)
    assert {first, second} <= listed
    for _ in range(10):
        child = space.crossover(first, second, rng)
        assert child in listed
        has = [path for path in child if path in first or path in second]  # a copy may be in neither: see crossover
        assert all(child[path] in {p.get(path) for p in (first, second)} or space.relations for path in has)
        neighbours = list(space.neighbours(first))
        assert set(neighbours) <= listed - {first}
        assert len(set(neighbours)) == len(neighbours)
        try:
            mutant = space.mutate(first, rng)
        except InputError:
            assert not neighbours
            break
        assert mutant in listed
        assert mutant != first
        first, second = mutant, child


@quick
@given(spaces(), st.integers(0, 2**32))
def test_a_mutant_differs_in_one_decision_and_what_that_makes_active(space, seed):
    rng = np.random.default_rng(seed)
    parent = space.sample(rng)
    assume(any(len(space.choices[path].options) > 1 for path in parent))
    mutant = space.mutate(parent, rng)
    changed = [path for path in parent if path in mutant and parent[path] != mutant[path]]
    assert len(changed) == 1
    assert (set(parent) ^ set(mutant)) <= {d.path for d in space.decisions if d.conditional}


@quick
@given(spaces())
def test_filling_leaves_no_hole_and_uses_exactly_the_active_choices(space):
    for architecture in itertools.islice(space.enumerate(), 30):
        asked = Recording(architecture)
        assert_plain(space.fill(asked).root)
        assert asked.asked == set(architecture)


class Recording(dict):
    """An architecture that notes which choices it was asked for."""

    def __init__(self, architecture):
        super().__init__(architecture)
        self.asked = set()

    def __getitem__(self, path):
        self.asked.add(path)
        return super().__getitem__(path)


def assert_plain(value):
    if isinstance(value, Call):
        assert value.type == "thing"
        assert value.path
        value = value.arguments
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            assert_plain(item)
    else:
        assert value is ABSENT or isinstance(value, (str, int))


@pytest.mark.parametrize("by", ["uniform", "choice"])
@quick
@given(spaces(relations=True), st.integers(0, 2**32))
def test_one_object_and_one_row_are_the_same_draw(by, space, seed):
    assume(space.size(feasible=True) > 0)
    one, other = np.random.default_rng(seed), np.random.default_rng(seed)
    for _ in range(5):
        assert space.sample(one, by=by) == space.decode(space.sample_encoded(other, 1, by=by)[0])
