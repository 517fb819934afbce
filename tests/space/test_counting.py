"""Sizes are exact, however the decisions hang together."""

import pytest

from nasengine.errors import InputError
from tests.space.space_helpers import UNEQUAL, space_of

RULE = "format: {choice: [int4, int8]}"


def test_branches_add_and_independent_choices_multiply():
    space = space_of(
        "network: {type: net, a: {choice: {x: {type: x, w: {choice: [1, 2, 3]}}, y: {type: y}}}, b: {choice: [1, 2]}}"
    )
    assert space.size() == (3 + 1) * 2


def test_a_shared_choice_counts_once_for_each_set_of_branches_that_uses_it():
    space = space_of(UNEQUAL)
    blocks = 1 + 2 + 4
    large = 4 * (1 + 2)
    # (main, side): tiny plain, tiny sharing, large plain, large sharing
    assert space.size() == (1 + 3 + large * 3 + large * 3) * blocks
    assert space.size() == len(set(space.enumerate()))


def test_large_spaces_with_many_conditional_shared_choices_are_counted_quickly():
    names = [f"shared_{i}" for i in range(30)]
    options = "{{a: {{type: a, w: {{use: {0}}}}}, b: {{type: b, w: {{use: {1}}}}}, c: {{type: c}}}}"
    layers = ", ".join(f"{{choice: {options.format(names[i], names[(i + 1) % 30])}}}" for i in range(30))
    let = ", ".join(f"{name}: {{choice: [1, 2, 3, 4]}}" for name in names)
    space = space_of(f"let: {{{let}}}\nnetwork: {{type: net, layers: [{layers}]}}")
    # Transfer matrix around the circle: layer i takes shared i (a), shared i + 1 (b) or none (c). Shared i + 1 is
    # used if layer i took b or layer i + 1 took a, and has 4 values then.
    steps = [[(4 if before == "b" or now == "a" else 1) for now in "abc"] for before in "abc"]
    power = [[int(i == j) for j in range(3)] for i in range(3)]
    for _ in range(30):
        power = [[sum(power[i][k] * steps[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
    assert space.size() == sum(power[i][i] for i in range(3))


def test_sizes_beyond_any_float_are_whole_numbers():
    space = space_of(
        "network: {type: net, a: {repeat: {range: [1, 200, 1]}, of: {k: {choice: [1, 2, 3, 4, 5, 6, 7]}}}}"
    )
    assert space.size() == sum(7**n for n in range(1, 201))


def test_a_repeat_of_nothing_counts():
    assert space_of("network: {type: net, a: {repeat: {choice: [0, 2]}, of: {k: {choice: [1, 2, 3]}}}}").size() == 1 + 9


def test_subsets_of_nodes_count_the_choices_of_the_items_taken():
    space = space_of(
        """
        network:
          type: net
          a:
            subset:
              size: [1, 2]
              of: {x: {type: x, w: {choice: [1, 2]}}, y: {type: y, w: {choice: [1, 2, 3]}}, z: {type: z}}
        """
    )
    assert space.size() == (2 + 3 + 1) + (2 * 3 + 2 * 1 + 3 * 1)


def test_the_feasible_size_counts_after_relations():
    space = space_of(
        """
        network: {type: net, a: {choice: [1, 2, 3]}, b: {choice: [1, 2, 3]}, c: {choice: [1, 2]}}
        relations: [{order: [network.a, network.b], is: increasing}]
        """
    )
    assert (space.size(), space.size(feasible=True)) == (18, 3 * 2)


def test_formats_of_layers_have_no_size_before_a_network_is_built():
    space = space_of(f"network: {{type: net, a: {{choice: [1, 2]}}}}\nquantization: [{{at: '**', per: layer, {RULE}}}]")
    with pytest.raises(InputError, match="not known before a network is built") as caught:
        space.size()
    assert caught.value.problems[0].mark is not None
    assert space.size(architecture_part=True) == 2


def test_the_feasible_size_under_constraints_needs_their_prices():
    space = space_of(
        "network: {type: net, a: {choice: [1, 2, 3]}, b: {choice: [1, 2]}}\nconstraints: {macs: {max: 4}}\n"
        "relations: [{order: [network.b, network.a], is: not_decreasing}]"
    )
    with pytest.raises(InputError, match="depends on costs: macs"):
        space.size(feasible=True)
    assert space.size(feasible=True, accepts=lambda a: a["network.a"] * a["network.b"] <= 4) == 4


def test_a_feasible_size_that_needs_a_long_list_is_refused():
    choices = ", ".join(f"a{i}: {{choice: [1, 2, 3, 4, 5]}}" for i in range(10))
    space = space_of(f"network: {{type: net, {choices}}}\nconstraints: {{macs: {{max: 4}}}}")
    with pytest.raises(InputError, match="needs a list of 9,765,625 architectures"):
        space.size(feasible=True, accepts=lambda architecture: True)
