"""Relations hold or do not, for architectures and for rows alike; bad ones are named with their place."""

import numpy as np
import pytest

from tests.space.space_helpers import problems_of, space_of

THREE = "network: {type: net, a: {choice: [1, 2, 3]}, b: {choice: [1, 2, 3]}, c: {choice: [1, 2, 3]}}"
PATHS = "[network.a, network.b, network.c]"


@pytest.mark.parametrize(
    ("order", "holds"),
    [
        ("not_decreasing", lambda a, b, c: a <= b <= c),
        ("increasing", lambda a, b, c: a < b < c),
        ("not_increasing", lambda a, b, c: a >= b >= c),
        ("decreasing", lambda a, b, c: a > b > c),
        ("equal", lambda a, b, c: a == b == c),
    ],
)
def test_an_order_compares_neighbours(order, holds):
    space = space_of(f"{THREE}\nrelations: [{{order: {PATHS}, is: {order}}}]")
    listed = [tuple(architecture.values()) for architecture in space.enumerate()]
    assert listed == [(a, b, c) for a in (1, 2, 3) for b in (1, 2, 3) for c in (1, 2, 3) if holds(a, b, c)]
    assert space.size(feasible=True) == len(listed)


@pytest.mark.parametrize(
    ("ends", "low", "high"),
    [("min: 7", 7, 99), ("max: 4", 0, 4), ("min: 4, max: 5", 4, 5), ("min: 4.5, max: 5.5", 5, 5)],
)
def test_a_sum_stays_in_its_bounds(ends, low, high):
    space = space_of(f"{THREE}\nrelations: [{{sum: {PATHS}, {ends}}}]")
    listed = [tuple(architecture.values()) for architecture in space.enumerate()]
    assert listed == [(a, b, c) for a in (1, 2, 3) for b in (1, 2, 3) for c in (1, 2, 3) if low <= a + b + c <= high]
    assert space.size(feasible=True) == len(listed)


def test_fractions_add_up_as_people_expect():
    shares = "{choice: [0.1, 0.2, 0.3]}"
    space = space_of(
        f"network: {{type: net, a: {shares}, b: {shares}}}\nrelations: [{{sum: [network.a, network.b], max: 0.3}}]"
    )
    assert [tuple(a.values()) for a in space.enumerate()] == [(0.1, 0.1), (0.1, 0.2), (0.2, 0.1)]


MAYBE = """
    network:
      type: net
      layers:
        - {type: c, w: {choice: [1, 2, 3]}}
        - {optional: {type: c, w: {choice: [1, 2, 3]}}}
        - {type: c, w: {choice: [1, 2, 3]}}
"""
LAYERS = "[network.layers.0.w, network.layers.1.w, network.layers.2.w]"


def test_an_order_skips_what_is_inactive_and_a_sum_counts_it_as_zero():
    order = space_of(f"{MAYBE}    relations: [{{order: {LAYERS}, is: increasing}}]")
    listed = {
        (a["network.layers.0.w"], a.get("network.layers.1.w"), a["network.layers.2.w"]) for a in order.enumerate()
    }
    assert listed == {(1, None, 2), (1, None, 3), (2, None, 3), (1, 2, 3)}
    total = space_of(f"{MAYBE}    relations: [{{sum: {LAYERS}, max: 3}}]")
    listed = {
        (a["network.layers.0.w"], a.get("network.layers.1.w"), a["network.layers.2.w"]) for a in total.enumerate()
    }
    assert listed == {(1, None, 1), (1, None, 2), (2, None, 1), (1, 1, 1)}


def test_presence_counts_as_one():
    space = space_of(
        """
        network: {type: net, a: {optional: {type: a}}, b: {optional: {type: b}}, c: {optional: {type: c}}}
        relations: [{sum: [network.a.present, network.b.present, network.c.present], min: 1, max: 2}]
        """
    )
    assert space.size(feasible=True) == 3 + 3


def test_a_path_through_use_names_the_shared_choice():
    space = space_of(
        """
        let: {width: {choice: [1, 2]}}
        network: {type: net, a: {use: width}, b: {choice: [1, 2]}}
        relations: [{order: [network.a, network.b], is: increasing}]
        """
    )
    assert [architecture.to_json() for architecture in space.enumerate()] == [{"let.width": 1, "network.b": 2}]


def test_a_sum_counts_a_shared_choice_as_often_as_it_is_named():
    space = space_of(
        """
        let: {depth: {choice: [1, 2, 3]}}
        network: {type: net, a: {use: depth}, b: {use: depth}, c: {choice: [1, 2]}}
        relations: [{sum: [network.a, network.b, network.c], max: 5}]
        """
    )
    assert [tuple(a.values()) for a in space.enumerate()] == [(1, 1), (1, 2), (2, 1)]
    assert space.size(feasible=True) == 3


def test_an_order_that_names_a_shared_choice_twice_is_refused():
    (problem,) = problems_of(
        """
        let: {depth: {choice: [1, 2, 3]}}
        network: {type: net, a: {use: depth}, b: {use: depth}}
        relations: [{order: [network.a, network.b], is: increasing}]
        """
    )
    assert problem.message == "network.a and network.b are the same choice"


@pytest.mark.parametrize("values", ["[1.0e-300, 1, 1.0e+300]", "[-1000000000000, 0, 1000000000000]"])
def test_numbers_of_any_size_are_compared_and_added_exactly(values):
    text = f"network: {{type: net, a: {{choice: {values}}}, b: {{choice: {values}}}}}"
    order = "{order: [network.a, network.b], is: increasing}"
    space = space_of(f"{text}\nrelations: [{{sum: [network.a, network.b], max: 1.0}}, {order}]")
    rows = space_of(text).encode_many(space_of(text).enumerate())
    assert space.satisfies_encoded(rows).sum() == len(list(space.enumerate())) == space.size(feasible=True)


def test_rows_and_architectures_agree():
    space = space_of(
        f"{MAYBE}    relations: [{{order: {LAYERS}, is: not_decreasing}}, {{sum: {LAYERS}, min: 3, max: 6}}]"
    )
    free = space_of(MAYBE)
    rows = free.sample_encoded(np.random.default_rng(0), 300)
    holds = space.satisfies_encoded(rows)
    assert holds.tolist() == [space.satisfies(architecture) for architecture in free.decode_many(rows)]
    assert 0 < holds.sum() < 300


@pytest.mark.parametrize(
    ("relation", "message", "expected"),
    [
        ("{order: [network.a, network.x], is: increasing}", "no choice has the path network.x", "did you mean"),
        ("{sum: [network.d], max: 3}", "network.d has the option p, which is not a number", "numbers"),
        ("{sum: [network.e], max: 3}", "network.e has the option [1], which is not a number", "numbers"),
    ],
)
def test_a_relation_over_what_is_no_number_is_refused(relation, message, expected):
    (problem,) = problems_of(
        "network: {type: net, a: {choice: [1, 2]}, d: {choice: [p, q]}, e: {subset: {of: [1, 2], size: 1}}}\n"
        f"relations: [{relation}]"
    )
    assert problem.message == message
    assert expected in problem.expected
    assert problem.mark is not None
    assert problem.mark.line == 4


def test_listing_leaves_hopeless_branches_early():
    choices = ", ".join(f"a{i}: {{choice: [0, 1]}}" for i in range(60))
    paths = ", ".join(f"network.a{i}" for i in range(60))
    space = space_of(f"network: {{type: net, {choices}}}\nrelations: [{{sum: [{paths}], min: 59}}]")
    assert len(list(space.enumerate())) == space.size(feasible=True) == 61
