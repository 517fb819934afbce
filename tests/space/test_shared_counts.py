"""A count under `let` is one decision, and copies exist where their slot does and the count is large enough."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from nasengine.errors import InputError
from nasengine.records import Architecture
from nasengine.space import SearchSpace
from nasengine.space.discovery import Discovery
from nasengine.space.elimination import walk
from nasengine.space.tables import CostTables, Table, activity_table, combinations, merge
from tests.space.space_helpers import problems_of, space_of

TWO_SLOTS = """
    let: {depth: {choice: [1, 2, 3]}}
    network:
      type: net
      a: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5]}}}
      b: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5]}}}
"""
IN_AN_OPTION = """
    let: {depth: {range: [0, 2]}}
    network:
      type: net
      a:
        choice:
          deep: {type: deep, body: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5]}}}}
          wide: {type: wide, width: {choice: [8, 16]}}
          both: {type: both, body: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5, 7]}}}}
      b: {optional: {type: more, body: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5]}}}}}
"""
NESTED = """
    let: {depth: {choice: [0, 1, 2]}}
    network:
      type: net
      a: {repeat: {use: depth}, of: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5]}}}}
"""
BELOW_ITSELF = """
    let: {depth: {choice: [1, 2]}}
    network:
      type: net
      a:
        optional:
          repeat: {use: depth}
          of: {choice: {plain: {type: plain}, same: {type: same, width: {use: depth}}}}
"""
TWO_COUNTS = """
    let: {depth: {choice: [1, 2]}, times: {choice: [0, 1]}, width: {choice: [8, 16]}}
    network:
      type: net
      a: {repeat: {use: depth}, of: {repeat: {use: times}, of: {type: block, width: {use: width}, b: {choice: [1, 2]}}}}
      b: {repeat: {use: times}, of: {repeat: {use: depth}, of: {type: block, width: {use: width}, b: {choice: [1, 2]}}}}
"""


def in_an_option() -> int:
    """By hand: what a and b leave open at each depth; without a slot there is no depth either."""
    with_depth = sum(2**d + 3**d + (2 + 2**d + 3**d) * 2**d for d in (0, 1, 2))
    return 2 + with_depth


SIZES = {
    TWO_SLOTS: sum(2**d * 2**d for d in (1, 2, 3)),
    IN_AN_OPTION: in_an_option(),
    NESTED: sum(2 ** (d * d) for d in (0, 1, 2)),
    BELOW_ITSELF: 1 + 2 + 4,
    TWO_COUNTS: 2 + sum(2 * 2**d * 2**d for d in (1, 2)),
}
each_space = pytest.mark.parametrize("text", SIZES)


@pytest.fixture
def space(text: str) -> SearchSpace:
    return space_of(text)


def test_slots_that_share_a_count_have_one_decision_between_them():
    space = space_of(TWO_SLOTS)
    assert [path for path in space.choices if "repeat" in path or "let" in path] == ["let.depth"]
    for architecture in space.enumerate():
        arguments = space.fill(architecture).root.arguments
        assert len(arguments["a"]) == len(arguments["b"]) == architecture["let.depth"]


@each_space
def test_sizes_are_those_counted_by_hand(space, text):
    listed = list(space.enumerate())
    assert space.size() == space.size(feasible=True) == len(listed) == len(set(listed)) == SIZES[text]


@each_space
def test_the_list_is_every_combination_of_options(space):
    products = np.array(list(itertools.product(*(range(len(d.options)) for d in space.decisions))), dtype=np.int16)
    rows = {tuple(row) for row in space.canonical(products).tolist()}
    assert {tuple(row) for row in space.encode_many(space.enumerate()).tolist()} == rows


@each_space
@pytest.mark.parametrize("draw", ["one", "many"])
def test_every_architecture_is_equally_likely(space, draw):
    rng = np.random.default_rng(3)
    listed = list(space.enumerate())
    n = 40 * len(listed)
    drawn = [space.sample(rng) for _ in range(n)] if draw == "one" else space.decode_many(space.sample_encoded(rng, n))
    met = Counter(drawn)
    assert set(met) <= set(listed)
    assert stats.chisquare([met[a] for a in listed]).pvalue > 1e-3


def test_each_choice_on_its_own_is_drawn_by_its_weights():
    space = space_of(IN_AN_OPTION)
    rng = np.random.default_rng(0)
    met = Counter(space.decode_many(space.sample_encoded(rng, 40_000, by="choice")))
    listed = list(space.enumerate())

    def probability(architecture: Architecture) -> float:
        return float(np.prod([1 / len(space.choices[path].options) for path in architecture]))

    expected = [40_000 * probability(a) for a in listed]
    assert stats.chisquare([met[a] for a in listed], expected).pvalue > 1e-3


def test_weights_under_let_make_counts_more_likely():
    space = space_of("""
        let: {depth: {choice: [0, 1], weights: {"0": 3}}}
        network: {type: net, a: {repeat: {use: depth}, of: {type: b}}, c: {repeat: {use: depth}, of: {type: b}}}
    """)
    rows = space.sample_encoded(np.random.default_rng(0), 4000)
    assert stats.binomtest(int((rows == 0).sum()), 4000, 0.75).pvalue > 1e-3


@each_space
def test_rows_and_architectures_are_inverse(space):
    listed = list(space.enumerate())
    rows = space.encode_many(listed)
    assert space.decode_many(rows) == listed
    junk = np.where(rows < 0, np.random.default_rng(0).integers(-5, 5, rows.shape), rows)
    assert (space.canonical(junk) == rows).all()
    assert [space.architecture(a.to_json()) for a in listed] == listed


@each_space
def test_mutants_children_and_neighbours_are_architectures(space):
    listed = set(space.enumerate())
    rng = np.random.default_rng(1)
    for _ in range(100):
        first, second = space.sample(rng), space.sample(rng)
        assert space.mutate(first, rng) in listed - {first}
        child = space.crossover(first, second, rng)
        assert child in listed
        parents = [{**first, **second}, {**second, **first}]
        assert all(child[path] in {parent[path] for parent in parents} for path in child if path in parents[0])
        neighbours = list(space.neighbours(first))
        assert set(neighbours) <= listed - {first}
        assert len(set(neighbours)) == len(neighbours)


def test_a_copy_that_neither_parent_has_is_drawn():
    space = space_of(IN_AN_OPTION)
    shallow = {"network.a": "deep", "network.b.present": False, "let.depth": 0}
    deep = {"network.a": "wide", "network.a.wide.width": 8, "network.b.present": True, "let.depth": 1}
    first = space.architecture(shallow)
    second = space.architecture({**deep, "network.b.body.0.kernel": 5})
    rng = np.random.default_rng(0)
    children = [space.crossover(first, second, rng) for _ in range(100)]
    assert {child.get("network.a.deep.body.0.kernel") for child in children} == {None, 3, 5}


@each_space
def test_networks_ask_for_exactly_the_active_choices(space):
    for architecture in space.enumerate():
        asked = set()

        class Recording(dict):
            def __getitem__(self, path, asked=asked):
                asked.add(path)
                return super().__getitem__(path)

        space.fill(Recording(architecture))
        assert asked == set(architecture)


def priced(space: SearchSpace) -> CostTables:
    """Made up: each active decision costs something, more for later options."""
    tables = [
        Table((column,), np.array([0, *(7**column % 97 * (i + 1) for i in range(len(decision.options)))]))
        for column, decision in enumerate(space.decisions)
    ]
    return CostTables("made_up", "sum", tuple(tables))


@each_space
def test_tables_of_activity_and_walks_know_when_copies_exist(space):
    rows = space.encode_many(space.enumerate())
    costs = priced(space).price(rows)
    laid = walk(space.decisions, priced(space))
    for largest in (False, True):
        cost, row = laid.extreme(largest=largest)
        assert cost == (costs.max() if largest else costs.min()) == priced(space).price(row[None])[0]
        assert row.tolist() in rows.tolist()
    total = np.zeros(1, dtype=np.int64) + 1  # paths to each state
    for step in laid.steps:
        total = np.bincount(step.target, weights=total[step.source], minlength=step.states)
    assert total.sum() == len(rows)
    for index in range(len(space.decisions)):
        table = activity_table(space.decisions, index)
        assert table is None or table.look_up(rows).all()
    every = combinations(space.decisions, range(len(space.decisions)), 10_000)
    assert sorted(every.tolist()) == sorted(rows.tolist())


@each_space
def test_pricing_by_tables_equals_counting_directly(space):
    def measure(row):
        return {
            ("sum", path): (len(path) * (2 + space.choices[path].options.index(option)),)
            for path, option in space.decode(row).items()
        }

    discovery = Discovery(space.decisions, measure, lambda rng: space.sample_encoded(rng, 1)[0])
    discovery.run(in_a_row=50)
    (tables,) = discovery.tables("sum", 1)
    rows = space.encode_many(space.enumerate())
    direct = [sum(amounts[0] for amounts in measure(row).values()) for row in rows]
    assert CostTables("made_up", "sum", merge(tables, "sum")).price(rows).tolist() == direct


def test_a_copy_exists_where_its_slot_does_and_the_count_is_large_enough():
    space = space_of(IN_AN_OPTION)
    kernel = space.choices["network.b.body.1.kernel"]
    sites = [{space.decisions[above].path: len(taken) for above, taken in site} for site in kernel.sites]
    assert sites == [{"network.b.present": 1, "let.depth": 1}]
    described = {entry["path"]: entry for entry in space.describe()["choices"]}
    assert described["network.b.body.1.kernel"]["active_when"] == [
        {
            "path": "network.b.present",
            "options": [True],
            "and": [{"path": "let.depth", "options": [2]}],
        }
    ]
    json.dumps(space.describe())


def test_a_slot_alone_with_its_count_needs_no_second_condition():
    space = space_of("""
        let: {depth: {choice: [0, 1]}}
        network: {type: n, a: {optional: {type: x, b: {repeat: {use: depth}, of: {type: y, c: {choice: [1, 2]}}}}}}
    """)
    assert [len(site) for site in space.choices["network.a.b.0.c"].sites] == [1]
    assert space.size() == 1 + 1 + 2


def test_an_entry_used_in_copies_of_several_slots_is_one_decision():
    space = space_of(TWO_COUNTS)
    assert space.choices["let.width"].sites == (((list(space.choices).index("let.times"), frozenset([1])),),)


def test_an_architecture_with_too_many_or_too_few_copies_is_refused():
    space = space_of(IN_AN_OPTION)
    with pytest.raises(InputError, match=r"(?s)network.a.deep.body.1.kernel is inactive here.*let.depth is 1"):
        space.architecture(
            {
                "network.a": "deep",
                "network.b.present": False,
                "let.depth": 1,
                "network.a.deep.body.0.kernel": 3,
                "network.a.deep.body.1.kernel": 3,
            }
        )
    with pytest.raises(InputError, match=r"network.a.deep.body.0.kernel is missing"):
        space.architecture({"network.a": "deep", "network.b.present": False, "let.depth": 1})


@pytest.mark.parametrize("path", ["let.depth", "network.a.repeat"])
def test_relations_name_a_shared_count_by_its_entry_or_where_it_is_used(path):
    relation = f"    relations: [{{sum: [{path}, network.c.repeat], max: 3}}]"
    space = space_of(TWO_SLOTS + "      c: {repeat: {choice: [1, 2]}, of: {type: block}}\n" + relation)
    listed = list(space.enumerate())
    assert len(listed) == space.size(feasible=True) == 2 * 4 + 16
    rng = np.random.default_rng(0)
    met = Counter(space.decode_many(space.sample_encoded(rng, 2000)))
    assert set(met) == set(listed)
    assert stats.chisquare(list(met.values())).pvalue > 1e-3
    assert all(space.mutate(a, rng) in set(listed) for a in listed)


def test_same_as_reaches_into_a_copy_of_a_slot_that_shares_the_count():
    space = space_of("""
        let: {depth: {choice: [0, 1]}}
        network:
          type: net
          a: {repeat: {use: depth}, of: {type: block, kernel: {choice: [3, 5]}}}
          b: {repeat: {use: depth}, of: {type: block, kernel: {same_as: network.a.0.kernel}}}
          c: {same_as: network.a.repeat}
    """)
    assert space.size() == 1 + 2
    for architecture in space.enumerate():
        arguments = space.fill(architecture).root.arguments
        assert arguments["c"] == len(arguments["b"])
        assert [b.arguments for b in arguments["b"]] == [a.arguments for a in arguments["a"]]


def test_a_count_may_be_used_through_another_entry_and_inside_one():
    space = space_of("""
        let:
          block: {type: block, inner: {repeat: {use: times}, of: {type: conv, kernel: {choice: [3, 5]}}}}
          times: {use: depth}
          depth: {choice: [1, 2]}
        network: {type: net, a: {use: block}, b: {repeat: {use: times}, of: {use: block}}}
    """)
    assert list(space.choices) == ["let.block.inner.0.kernel", "let.depth", "let.block.inner.1.kernel"]
    assert space.size() == 2 + 4


def test_a_count_that_its_own_copies_bring_about_elsewhere_is_refused():
    (problem,) = problems_of("""
        let:
          depth: {choice: [0, 1]}
          block: {choice: {x: {type: x, w: {use: depth}}, y: {type: y}}}
        network:
          type: net
          a:
            choice:
              deep: {type: deep, b: {repeat: {use: depth}, of: {use: block}}}
              flat: {type: flat, b: {use: block}}
    """)
    assert "depends on" in problem.message


def test_the_resolution_may_be_a_shared_decision():
    head = "name: s\ntask: {kind: image_classification, input: [3, {use: side}, same], classes: 10}\n"
    text = """
        let: {side: {choice: [8, 16]}}
        network: {type: net, a: {choice: [1, 2]}}
        relations: [{sum: [let.side, network.a], max: 17}]
        known: {small: {architecture: {let.side: 8, network.a: 2}}}
    """
    space = space_of(text, head)
    assert list(space.choices) == ["let.side", "network.a"]
    assert space.resolution is space.choices["let.side"]
    assert space.size(feasible=True) == 3
    assert space.fill(space.known["small"].architecture).input_shape == (3, 8, 8)
    assert space.describe()["task"]["input"] == [3, "let.side", "let.side"]
