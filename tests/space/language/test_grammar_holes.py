"""Every hole of the language: what it becomes, and each way to get it wrong, with place, reason and hint."""

from __future__ import annotations

import pytest

from nasengine.errors import Mark
from nasengine.space.holes import Choice, ListOf, MapOf, Maybe, Range, Repeat, SameAs, Subset, Use, Value
from tests.space.grammar_helpers import argument, around, only_problem, problems


def wrong(value: str, message: str, expected: str, more: str = "") -> None:
    """`value`, as an argument, has one problem, at its ¦."""
    problem = only_problem(around(f"{{type: net, a: {value}}}", more))
    assert problem.message == message
    assert expected in problem.expected


# --- values ----------------------------------------------------------------------------------------------------


def test_scalars_lists_and_mappings_are_kept_with_their_marks():
    node = argument("{b: [1, x], c: null}")
    assert isinstance(node, MapOf)
    assert node.mark == Mark("space.yaml", 3, 25)
    items = node.entries["b"]
    assert isinstance(items, ListOf)
    assert items.items == (Value(1, Mark("space.yaml", 3, 30)), Value("x", Mark("space.yaml", 3, 33)))
    assert node.entries["c"] == Value(None, Mark("space.yaml", 3, 40))
    assert node.key_marks["c"] == Mark("space.yaml", 3, 37)


def test_an_argument_may_not_hold_a_dot_or_a_space_since_paths_are_dotted():
    wrong('{¦"a.b": 1}', "the key 'a.b' in network.a holds a dot or a space", "expected a word")


def test_the_type_must_be_a_word():
    wrong("{type: ¦3}", "the number 3 stands at network.a.type", "expected the name of a type")
    wrong(
        "{type: ¦{choice: [conv, pool]}}",
        "the type in network.a is a hole",
        "choose among whole nodes instead: {choice: {label: {type: …}, …}}",
    )


# --- choice ----------------------------------------------------------------------------------------------------


def test_a_choice_of_plain_values_stores_the_values():
    node = argument("{choice: [3, 1.5, word, true, null, [1, [2]]]}")
    assert isinstance(node, Choice)
    assert not node.named
    assert [option.label for option in node.options] == [3, 1.5, "word", True, None, (1, (2,))]
    assert isinstance(node.options[-1].node, ListOf)
    assert node.mark.column == 25


def test_a_choice_of_named_nodes_stores_the_labels():
    node = argument("{choice: {c3: {type: conv, kernel: {choice: [1, 3]}}, skip: null, 5: {type: pool}}}")
    assert isinstance(node, Choice)
    assert node.named
    assert [option.label for option in node.options] == ["c3", "skip", "5"]
    inner = node.options[0].node
    assert isinstance(inner, MapOf)
    assert isinstance(inner.entries["kernel"], Choice)


def test_weights_are_one_where_not_named():
    node = argument("{choice: [a, 3, true, 0.0001], weights: {3: 2, true: 0.5, 1.0e-4: 7}}")
    assert isinstance(node, Choice)
    assert [option.weight for option in node.options] == [1.0, 2.0, 0.5, 7.0]


@pytest.mark.parametrize(
    ("value", "message", "expected"),
    [
        ("{choice: ¦[]}", "the choice in network.a has nothing to choose from", "a list of values"),
        ("{choice: ¦{}}", "the choice in network.a has nothing to choose from", "a mapping of labels to nodes"),
        ("{choice: ¦3}", "the number 3 stands at network.a.choice", "a list of values, or a mapping"),
        ("{choice: [3, 5, ¦3]}", "the option 3 of network.a stands twice", "first in line 3, column 35"),
        ("{choice: [1, ¦true]}", "the option true of network.a equals the option 1", "first in line 3, column 35"),
        ("{choice: [1, ¦1.0]}", "the option 1.0 of network.a equals the option 1", "first in line"),
        ("{choice: [[1, 2], ¦[1, 2]]}", "the option [1,2] of network.a stands twice", "first in line"),
        (
            "{choice: [¦{type: conv}]}",
            "a mapping stands in the list of options at network.a.choice.0",
            "nodes need labels: write `choice` with {label: node, …} instead of a list",
        ),
        ("{choice: [[1, ¦{b: 2}]]}", "a mapping stands in the list of options at network.a.choice.0.1", "plain values"),
        (
            "{choice: {¦a.b: {type: x}}}",
            "'a.b' is no label for an option of network.a",
            "a dot would divide the path of a choice",
        ),
        (
            "{choice: {¦range: [1, 2]}}",
            "the options of the choice in network.a are themselves a range",
            "labels other than the hole words",
        ),
        ("{choice: [a], ¦weigths: {a: 1}}", "unknown key 'weigths' beside 'choice' in network.a", "mean 'weights'?"),
        (
            "{choice: [a, b], weights: {¦c: 1}}",
            "the weight in network.a is for an unknown option 'c'",
            "expected one of a, b",
        ),
        ("{choice: [a], weights: {a: ¦0}}", "the weight of 'a' in network.a is 0", "a number above 0"),
        ("{choice: [a], weights: {a: ¦-1}}", "the weight of 'a' in network.a is -1", "a number above 0"),
        ("{choice: [a], weights: {a: ¦b}}", "the word 'b' stands at network.a.weights.a", "expected a number"),
        ("{choice: [a], weights: ¦[1]}", "a list stands at network.a.weights", "a mapping of options to positive"),
        ("{choice: [a], ¦range: [1, 2]}", "network.a is a choice and a range at once", "`choice: null` drops"),
        (
            "{choice: [a], ¦type: conv}",
            "unknown key 'type' beside 'choice' in network.a",
            "'choice' is the word of a hole and cannot be the name of an argument",
        ),
    ],
)
def test_a_wrong_choice_is_refused(value, message, expected):
    wrong(value, message, expected)


# --- range -----------------------------------------------------------------------------------------------------


def test_a_range_includes_both_ends():
    node = argument("{range: [384, 768, 64]}")
    assert isinstance(node, Range)
    assert node.values == (384, 448, 512, 576, 640, 704, 768)
    one = argument("{range: [-1, 1]}")
    assert isinstance(one, Range)
    assert one.values == (-1, 0, 1)


@pytest.mark.parametrize(
    ("value", "message", "expected"),
    [
        ("{range: ¦3}", "the number 3 stands at network.a.range", "three integers: [low, high, step]"),
        ("{range: ¦[1]}", "a list stands at network.a.range", "three integers"),
        ("{range: ¦[1, 2, 3, 4]}", "a list stands at network.a.range", "three integers"),
        ("{range: [¦1.5, 2, 1]}", "the number 1.5 stands at network.a.range.0", "an integer"),
        ("{range: [1, ¦true, 1]}", "true stands at network.a.range.1", "an integer"),
        ("{range: [1, 5, ¦0]}", "the number 0 stands at network.a.range.2", "an integer of at least 1"),
        ("{range: ¦[5, 1, 1]}", "the range at network.a.range runs from 5 to 1", "low before high"),
        (
            "{range: ¦[1, 10, 4]}",
            "the range at network.a.range does not reach 10: its last value is 9",
            "[1, 9, 4] or [1, 13, 4]",
        ),
        ("{range: ¦[0, 40000, 1]}", "the range at network.a.range has 40,001 values", "at most 32,767"),
        ("{range: [1, 2], ¦step: 1}", "unknown key 'step' beside 'range' in network.a", "nothing beside 'range'"),
        ("{range: [1, ¦{choice: [2, 3]}]}", "a mapping stands at network.a.range.1", "an integer"),
    ],
)
def test_a_wrong_range_is_refused(value, message, expected):
    wrong(value, message, expected)


# --- subset ----------------------------------------------------------------------------------------------------


def test_a_subset_takes_a_size_or_two():
    fixed = argument("{subset: {of: [4, 5, 6], size: 2}}")
    assert isinstance(fixed, Subset)
    assert (fixed.low, fixed.high, fixed.named, [item.label for item in fixed.items]) == (2, 2, False, [4, 5, 6])
    free = argument("{subset: {of: {x: {type: conv, width: {choice: [1, 2]}}, y: {type: pool}}, size: [0, 2]}}")
    assert isinstance(free, Subset)
    assert (free.low, free.high, free.named, [item.label for item in free.items]) == (0, 2, True, ["x", "y"])


@pytest.mark.parametrize(
    ("value", "message", "expected"),
    [
        ("{subset: ¦[1, 2]}", "a list stands at network.a.subset", "{of: items, size: k or [low, high]}"),
        ("{subset: ¦{of: [1, 2]}}", "network.a.subset has no 'size'", "expected a key 'size'"),
        ("{subset: {of: [1, 2], ¦sizes: 1}}", "unknown key 'sizes' in network.a.subset", "did you mean 'size'?"),
        ("{subset: {of: [1, 2], size: ¦3}}", "the number 3 stands at network.a.subset.size", "an integer from 1 to 2"),
        ("{subset: {of: [1, 2], size: ¦0}}", "the number 0 stands at network.a.subset.size", "an integer from 1 to 2"),
        ("{subset: {of: [1, 2], size: [0, ¦3]}}", "the number 3 stands at network.a.subset.size.1", "from 1 to 2"),
        ("{subset: {of: [1, 2], size: ¦[2, 1]}}", "the sizes at network.a.subset.size run from 2 to 1", "[low, high]"),
        ("{subset: {of: [1, 2], size: ¦[1]}}", "a list stands at network.a.subset.size", "[low, high]"),
        ("{subset: {of: ¦[], size: 1}}", "the subset in network.a has nothing to choose from", "a list of values"),
        (
            "{subset: {of: [¦{b: 1}], size: 1}}",
            "a mapping stands in the list of options at network.a.subset.0",
            "labels",
        ),
        ("{subset: {of: [1, ¦1], size: 2}}", "the option 1 of network.a stands twice", "first in line"),
        ("{subset: {of: [1, ¦1], size: 1}}", "the option 1 of network.a stands twice", "first in line"),
    ],
)
def test_a_wrong_subset_is_refused(value, message, expected):
    wrong(value, message, expected)


def test_a_subset_with_too_many_selections_is_refused():
    items = ", ".join(map(str, range(40)))
    wrong(
        f"¦{{subset: {{of: [{items}], size: 20}}}}", "the subset in network.a has 137,846,528,820 selections", "divide"
    )


# --- repeat, optional, same_as ---------------------------------------------------------------------------------


def test_the_count_of_a_repeat_may_be_a_hole():
    fixed, chosen, ranged = (
        argument(f"{{repeat: {count}, of: {{type: conv}}}}")
        for count in ("3", "{choice: [0, 2]}", "{range: [1, 5, 2]}")
    )
    assert isinstance(fixed, Repeat)
    assert isinstance(fixed.count, Value)
    assert fixed.count.value == 3
    assert isinstance(chosen, Repeat)
    assert isinstance(chosen.count, Choice)
    assert isinstance(ranged, Repeat)
    assert isinstance(ranged.count, Range)
    assert isinstance(ranged.of, MapOf)


@pytest.mark.parametrize(
    ("value", "message", "expected"),
    [
        ("{repeat: ¦0, of: 1}", "the number 0 stands at network.a.repeat", "an integer of at least 1"),
        ("{repeat: ¦two, of: 1}", "the word 'two' stands at network.a.repeat", "an integer of at least 1"),
        ("{repeat: {choice: [1, ¦-1]}, of: 1}", "the option -1 stands at network.a.repeat", "integers of at least 0"),
        ("{repeat: {choice: [1, ¦x]}, of: 1}", "the option x stands at network.a.repeat", "integers of at least 0"),
        ("{repeat: ¦{choice: {a: 1}}, of: 1}", "a mapping stands at network.a.repeat", "a choice or range of integers"),
        ("{repeat: ¦{range: [-2, 2]}, of: 1}", "the range at network.a.repeat begins at -2", "of at least 0"),
        ("¦{repeat: 2}", "the repeat in network.a has no 'of'", "expected a key 'of'"),
        ("{repeat: 2, ¦off: 1}", "unknown key 'off' beside 'repeat' in network.a", "did you mean 'of'?"),
        ("{repeat: ¦2000, of: 1}", "the repeat in network.a makes up to 2,000 copies", "at most 1000"),
        (
            "{repeat: {choice: [¦{b: 1}]}, of: 1}",
            "a mapping stands in the list of options at network.a.repeat.choice.0",
            "plain values",
        ),
        ("{optional: ¦null}", "nothing (null) stands at network.a.optional", "the node that may be absent"),
        ("{optional: 1, ¦of: 2}", "unknown key 'of' beside 'optional' in network.a", "nothing beside"),
        ("{same_as: ¦3}", "the number 3 stands at network.a.same_as", "a path such as .width"),
        ("{same_as: ¦..}", "the word '..' stands at network.a.same_as", "a path such as .width"),
        ("{same_as: ¦a..b}", "the word 'a..b' stands at network.a.same_as", "a path such as .width"),
        ("{use: ¦[x]}", "a list stands at network.a.use", "the name of an entry of let"),
    ],
)
def test_a_wrong_repeat_optional_or_same_as_is_refused(value, message, expected):
    wrong(value, message, expected)


def test_an_optional_holds_its_node_and_same_as_counts_its_dots():
    optional = argument("{optional: {type: conv, width: {range: [1, 2]}}}")
    assert isinstance(optional, Maybe)
    assert isinstance(optional.of, MapOf)
    sibling, above, absolute = (argument(f"{{same_as: {p}}}") for p in (".w", "...x.y", "network.w"))
    assert [(n.up, n.path) for n in (sibling, above, absolute) if isinstance(n, SameAs)] == [
        (1, "w"),
        (3, "x.y"),
        (0, "network.w"),
    ]


# --- misspelt holes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written", "meant"),
    [
        ("{¦choise: [1, 2]}", "choise", "choice"),
        ("{¦choices: {a: 1}}", "choices", "choice"),
        ("{¦Choice: [1], weights: {1: 2}}", "Choice", "choice"),
        ("{¦rnage: [1, 2]}", "rnage", "range"),
        ("{¦subsets: {of: [1], size: 1}}", "subsets", "subset"),
        ("{¦repeats: 3, of: {type: x}}", "repeats", "repeat"),
        ("{¦optinal: {type: x}}", "optinal", "optional"),
        ("{¦same-as: .width}", "same-as", "same_as"),
    ],
)
def test_a_misspelt_hole_is_recognised(value, written, meant):
    wrong(value, f"unknown hole {written!r} in network.a", f"did you mean {meant!r}?")


@pytest.mark.parametrize(
    "value", ["{repeats: 3}", "{choices: 3}", "{type: x, ranges: [1, 2]}", "{ranges: [1], other: 2}", "{options: [1]}"]
)
def test_settings_that_only_resemble_a_hole_are_settings(value):
    assert isinstance(argument(value), MapOf)


# --- let and use -----------------------------------------------------------------------------------------------


def test_a_hole_under_let_stays_one_decision_and_is_used_by_name():
    node = argument("[{use: w}, {use: w}]", "let: {w: {choice: [1, 2]}}")
    assert isinstance(node, ListOf)
    assert [item.name for item in node.items if isinstance(item, Use)] == ["w", "w"]


def test_a_plain_value_under_let_is_substituted_wherever_a_value_may_stand():
    node = argument(
        "{choice: {use: words}, weights: {use: weights}}",
        "let: {words: [a, {use: b}], b: bee, weights: {bee: {use: two}}, two: 2}",
    )
    assert isinstance(node, Choice)
    assert [(option.label, option.weight) for option in node.options] == [("a", 1.0), ("bee", 2.0)]
    named = argument("{choice: {use: nodes}}", "let: {nodes: {x: {type: a}, y: {type: b}}}")
    assert isinstance(named, Choice)
    assert named.named
    ranged = argument("{range: [1, {use: top}]}", "let: {top: 4}")
    assert isinstance(ranged, Range)
    assert ranged.values == (1, 2, 3, 4)
    repeat = argument("{repeat: {use: n}, of: 1}", "let: {n: 4}")
    assert isinstance(repeat, Repeat)


def test_an_entry_of_let_may_use_shared_and_plain_entries_written_after_it():
    node = argument("{use: x}", "let: {x: {type: a, w: {use: w}, k: {use: k}}, w: {choice: [1, 2]}, k: 3}")
    assert isinstance(node, Use)


def test_marks_of_substituted_values_point_to_where_they_are_written():
    found = only_problem(around("{type: net, a: {choice: {use: words}}}", "let: {words: [a, ¦a]}"))
    assert found.message == "the option a of network.a stands twice"


def test_an_unknown_name_is_refused_with_the_nearest():
    found = problems(around("{type: net, a: ¦{use: widht}}", "let: {¦width: 3}"))
    assert found[0].message == "no entry 'widht' under let"
    assert "did you mean 'width'?" in found[0].expected
    assert only_problem(around("{type: net, a: ¦{use: x}}")).expected == "this file has no let:"


def test_an_entry_that_nothing_uses_is_an_error():
    found = only_problem(around(more="let: {¦spare: {choice: [1, 2]}}"))
    assert found.message == "nothing uses let.spare"
    assert "{use: spare}" in found.expected


def test_every_circle_of_let_is_refused_with_its_names():
    let = "let: {¦a: {use: b}, b: [{use: a}], ¦c: {choice: {x: {use: c}}}, e: [{use: a}]}"
    found = problems(around("{type: net, layers: [{use: a}, {use: c}, {use: e}]}", let))
    assert [problem.message for problem in found] == [
        "entries of let use each other in a circle: a uses b uses a",
        "entries of let use each other in a circle: c uses c",
    ]


def test_shared_holes_are_no_list_of_options_and_no_count():
    wrong(
        "{choice: ¦{use: w}}",
        "let.w, used as the options of network.a, holds holes itself",
        "a plain list or a mapping of plain nodes",
        "let: {w: {choice: [1, 2]}}",
    )


def test_a_shared_count_stays_a_use():
    repeat = argument("{repeat: {use: n}, of: 1}", "let: {n: {choice: [0, 2]}}")
    assert isinstance(repeat, Repeat)
    assert repeat.count == Use("n", repeat.count.mark)


@pytest.mark.parametrize(
    ("let", "message", "expected"),
    [
        ("{choice: [1, ¦-2]}", "let.n is the count at network.a.repeat, and the options hold -2", "of at least 0"),
        ("{choice: [1, ¦x]}", "let.n is the count at network.a.repeat, and the options hold x", "integers"),
        ("¦{range: [-1, 2]}", "let.n is the count at network.a.repeat, and the range begins at -1", "of at least 0"),
        ("¦{choice: [1, 2000]}", "let.n, the count at network.a.repeat, makes up to 2,000 copies", "at most 1000"),
    ],
)
def test_a_shared_count_is_a_number_of_copies(let, message, expected):
    wrong("{repeat: {use: n}, of: 1}", message, expected, f"let: {{n: {let}}}")


def test_a_shared_count_is_a_choice_or_range():
    wrong(
        "{repeat: ¦{use: n}, of: 1}",
        "let.n, the count at network.a.repeat, is a subset (a list)",
        "a choice or range of integers of at least 0",
        "let: {n: {subset: {of: [1, 2], size: 1}}}",
    )


def test_a_name_under_let_is_a_word():
    found = only_problem(around("{type: net, a: {use: a.b}}", "let: {¦a.b: 1}"))
    assert found.message == "'a.b' is no name for an entry of let"


@pytest.mark.parametrize("let", ["3", "[1]", "word"])
def test_let_is_a_mapping(let):
    assert "expected a mapping of names" in only_problem(around(more=f"let: ¦{let}")).expected


# --- cells -----------------------------------------------------------------------------------------------------


def cell(body: str) -> MapOf:
    node = argument(f"{{type: cell, {body}}}")
    assert isinstance(node, MapOf)
    return node


def test_all_is_spelt_out_to_every_pair_of_nodes_in_the_order_of_their_targets():
    edges = cell("nodes: 4, edges: {all: {choice: {a: {type: x}, b: {type: y}}}}").entries["edges"]
    assert isinstance(edges, MapOf)
    assert list(edges.entries) == ["0-1", "0-2", "1-2", "0-3", "1-3", "2-3"]
    assert all(isinstance(edge, Choice) for edge in edges.entries.values())


def test_an_edge_written_out_takes_the_place_of_all():
    edges = cell("nodes: 3, edges: {1-2: {type: z}, all: {choice: {a: {type: x}}}}, output: concat").entries["edges"]
    assert isinstance(edges, MapOf)
    assert list(edges.entries) == ["0-1", "0-2", "1-2"]
    assert isinstance(edges.entries["1-2"], MapOf)


@pytest.mark.parametrize(
    ("body", "message", "expected"),
    [
        ("¦{type: cell, edges: {all: 1}}", "the cell in network.a has no 'nodes'", "a key 'nodes'"),
        ("¦{type: cell, nodse: 3, edges: {all: 1}}", "the cell in network.a has no 'nodes'", "is 'nodse' meant"),
        ("¦{type: cell, nodes: 3}", "the cell in network.a has no 'edges'", "a key 'edges'"),
        ("{type: cell, nodes: ¦1, edges: {all: 1}}", "the number 1 stands at network.a.nodes", "from 2 to 64"),
        (
            "{type: cell, nodes: ¦{choice: [3, 4]}, edges: {all: 1}}",
            "a mapping stands at network.a.nodes",
            "an integer",
        ),
        ("{type: cell, nodes: 3, edges: ¦[1]}", "a list stands at network.a.edges", "edges such as"),
        (
            "{type: cell, nodes: 3, edges: {all: 1, ¦2-1: 1}}",
            "unknown edge '2-1' in network.a.edges",
            "FROM-TO with 0 <= FROM < TO <= 2; did you mean '1-2'?",
        ),
        ("{type: cell, nodes: 3, edges: {all: 1, ¦1-3: 1}}", "unknown edge '1-3' in network.a.edges", "<= 2"),
        ("{type: cell, nodes: 3, edges: {¦al: 1}}", "unknown edge 'al' in network.a.edges", "did you mean 'all'?"),
        (
            "{type: cell, nodes: 3, edges: {0-1: 1, 1-2: 1}, output: ¦lst}",
            "the word 'lst' stands at network.a.output",
            "did you mean 'last'?",
        ),
        ("{type: cell, nodes: 3, edges: ¦{0-1: 1, 0-2: 1}}", "no edge of network.a.edges leaves node 1", "from 1"),
        (
            "{type: cell, nodes: 3, edges: ¦{0-2: 1, 1-2: 1}}",
            "no edge of network.a.edges leads to node 1",
            "expected an edge to 1",
        ),
    ],
)
def test_a_wrong_cell_is_refused(body, message, expected):
    wrong(body, message, expected)
