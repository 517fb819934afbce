"""Every hole becomes one decision with the right path, options and conditions."""

import pytest

from nasengine.space.patterns import matches
from tests.space.space_helpers import UNEQUAL, space_of, with_counts


def active_when(space, path):
    """Alternatives under which a decision is active: (path above, options), more of them if all must hold, or None."""
    sites = [
        [(space.decisions[parent].path, {space.decisions[parent].options[i] for i in taken}) for parent, taken in site]
        for site in space.choices[path].sites
    ]
    return [None if not site else site[0] if len(site) == 1 else tuple(site) for site in sites]


def test_each_kind_of_hole_has_the_path_of_the_table_in_holes():
    space = space_of(
        """
        let:
          width: {choice: [8, 16]}
          cell: {type: cell, nodes: 3, edges: {all: {choice: {none: {type: zero}, skip: {type: identity}}}}}
        network:
          type: net
          width: {use: width}
          cell: {use: cell}
          layers:
            - {type: conv, kernel: {choice: [3, 5]}}
            - {optional: {type: conv, kernel: {range: [3, 7, 2]}}}
            - {repeat: {choice: [1, 2]}, of: {type: conv, kernel: {choice: [3, 5]}}}
            - choice: {a: {type: conv, width: {choice: [1, 2]}}, b: {type: pool}}
            - {subset: {of: {one: {type: conv, width: {choice: [1, 2]}}, two: {type: pool}}, size: [1, 2]}}
        """,
        head="name: small\ntask: {kind: image_classification, input: [3, {choice: [160, 192]}, same]}\n",
    )
    assert with_counts(space) == {
        "task.resolution": 2,
        "let.width": 2,
        "let.cell.edges.0-1": 2,
        "let.cell.edges.0-2": 2,
        "let.cell.edges.1-2": 2,
        "network.layers.0.kernel": 2,
        "network.layers.1.present": 2,
        "network.layers.1.kernel": 3,
        "network.layers.2.repeat": 2,
        "network.layers.2.0.kernel": 2,
        "network.layers.2.1.kernel": 2,
        "network.layers.3": 2,
        "network.layers.3.a.width": 2,
        "network.layers.4": 3,
        "network.layers.4.one.width": 2,
    }
    kinds = {path: decision.kind for path, decision in space.choices.items()}
    assert kinds["network.layers.1.present"] == "optional"
    assert kinds["network.layers.1.kernel"] == "range"
    assert kinds["network.layers.2.repeat"] == "repeat"
    assert kinds["network.layers.4"] == "subset"
    assert space.choices["network.layers.1.present"].options == (False, True)
    assert space.choices["network.layers.4"].options == (("one",), ("two",), ("one", "two"))


def test_a_decision_is_active_below_the_options_that_hold_it():
    space = space_of(
        """
        network:
          type: net
          maybe: {optional: {type: conv, kernel: {choice: [3, 5]}}}
          copies: {repeat: {choice: [3, 1, 2]}, of: {type: conv, kernel: {choice: [3, 5]}}}
          items: {subset: {of: {one: {type: conv, width: {choice: [1, 2]}}, two: {type: pool}}, size: [1, 2]}}
          all: {subset: {of: {one: {type: conv, width: {choice: [1, 2]}}}, size: 1}}
        """
    )
    assert active_when(space, "network.maybe.kernel") == [("network.maybe.present", {True})]
    assert active_when(space, "network.copies.0.kernel") == [None]
    assert active_when(space, "network.copies.1.kernel") == [("network.copies.repeat", {2, 3})]
    assert active_when(space, "network.copies.2.kernel") == [("network.copies.repeat", {3})]
    assert active_when(space, "network.items.one.width") == [("network.items", {("one",), ("one", "two")})]
    assert active_when(space, "network.all.one.width") == [None]


def test_a_shared_decision_is_active_wherever_one_of_its_uses_is():
    space = space_of(UNEQUAL)
    assert active_when(space, "let.shared") == [("network.main", {"large"}), ("network.side", {"sharing"})]
    order = [decision.path for decision in space.decisions]
    assert order.index("let.shared") > max(order.index("network.main"), order.index("network.side"))


def test_a_shared_decision_used_outside_every_option_is_always_active():
    space = space_of(
        """
        let: {width: {choice: [1, 2]}}
        network:
          type: net
          a: {choice: {x: {type: x, width: {use: width}}, y: {type: y}}}
          b: {use: width}
        """
    )
    assert active_when(space, "let.width") == [None]


def test_a_shared_decision_that_every_option_uses_is_always_active():
    space = space_of(
        """
        let: {width: {choice: [1, 2]}}
        network:
          type: net
          a: {choice: {x: {type: x, w: {use: width}}, y: {type: y, b: {optional: {w: {use: width}}}, w: {use: width}}}}
          c: {same_as: let.width}
        """
    )
    assert active_when(space, "let.width") == [None]
    assert all(space.fill(a).root.arguments["c"] == a["let.width"] for a in space.enumerate())


def test_shared_decisions_inside_each_other_come_after_what_uses_them():
    space = space_of(
        """
        let:
          inner: {choice: [1, 2]}
          outer: {choice: {with: {type: a, x: {use: inner}}, without: {type: b}}}
        network: {type: net, x: {choice: {used: {use: outer}, other: {type: c}}}}
        """
    )
    assert [d.path for d in space.decisions] == ["network.x", "let.outer", "let.inner"]
    assert active_when(space, "let.inner") == [("let.outer", {"with"})]
    assert space.size() == 1 + (1 + 2)


def test_parents_come_before_children_and_the_file_decides_otherwise():
    space = space_of(UNEQUAL)
    for index, decision in enumerate(space.decisions):
        assert all(above < index for above in decision.above)
    assert [d.path for d in space.decisions if not d.path.startswith("let.")] == [
        "network.main",
        "network.main.large.a",
        "network.main.large.c.present",
        "network.main.large.c.d",
        "network.side",
        "network.blocks.repeat",
        "network.blocks.0.kernel",
        "network.blocks.1.kernel",
    ]


def test_an_alias_is_decided_on_its_own():
    space = space_of("network: {type: net, a: &a {choice: [1, 2]}, b: *a, c: [*a, *a]}")
    assert with_counts(space) == dict.fromkeys(["network.a", "network.b", "network.c.0", "network.c.1"], 2)


def test_a_subset_stores_tuples_in_the_order_of_its_list():
    space = space_of("network: {type: net, at: {subset: {of: [3, 1, 2], size: [0, 2]}}}")
    assert space.choices["network.at"].options == ((), (3,), (1,), (2,), (3, 1), (3, 2), (1, 2))


def test_weights_belong_to_options():
    space = space_of("network: {type: net, x: {choice: [a, b, c], weights: {b: 3}}}")
    assert space.choices["network.x"].weights == (1.0, 3.0, 1.0)


FORMATS = "format: {choice: [int4, int8]}"


def test_formats_per_choice_follow_choices_between_named_types():
    space = space_of(
        f"""
        let: {{body: &body {{choice: {{c3: {{type: conv, kernel: {{choice: [3, 5]}}}}, c5: {{type: conv}}}}}}}}
        network: {{type: net, a: *body, b: [{{use: body}}, {{use: body}}], width: {{choice: [1, 2]}}}}
        quantization: [{{at: "**", per: choice, {FORMATS}}}]
        """
    )
    formats = [path for path, decision in space.choices.items() if decision.kind == "format"]
    assert formats == ["quantization.network.a", "quantization.let.body"]
    assert space.size() == (2 + 1) ** 2 * 2 * 2**2


def test_a_format_is_active_where_its_choice_is():
    space = space_of(
        f"""
        network:
          type: net
          a: {{optional: {{type: x, body: {{choice: {{c3: {{type: conv}}, c5: {{type: conv}}}}}}}}}}
        quantization: [{{at: "**", per: choice, {FORMATS}}}]
        """
    )
    assert active_when(space, "quantization.network.a.body") == [("network.a.present", {True})]
    assert space.size() == 1 + 2 * 2


def test_the_first_rule_that_matches_a_choice_wins():
    body = "{choice: {c3: {type: conv}, c5: {type: conv}}}"
    space = space_of(
        f"""
        network: {{type: net, head: {body}, body: [{body}, {body}], tail: {body}}}
        quantization:
          - {{at: network.head, per: choice, format: int8}}
          - at: "network.body.*"
            per: choice
            weight_format: {{choice: [int2, int4, int8]}}
            activation_format: {{choice: [int4, int8]}}
          - {{at: "**", per: choice, {FORMATS}}}
        """
    )
    assert {path: n for path, n in with_counts(space).items() if path.startswith("quantization")} == {
        "quantization.network.body.0.weight_format": 3,
        "quantization.network.body.0.activation_format": 2,
        "quantization.network.body.1.weight_format": 3,
        "quantization.network.body.1.activation_format": 2,
        "quantization.network.tail": 2,
    }


def test_a_pattern_may_name_the_place_that_uses_a_shared_choice():
    space = space_of(
        f"""
        let: {{body: {{choice: {{c3: {{type: conv}}, c5: {{type: conv}}}}}}}}
        network: {{type: net, cells: {{repeat: 2, of: {{body: {{use: body}}}}}}}}
        quantization: [{{at: "network.cells.1.**", per: choice, {FORMATS}}}]
        """
    )
    assert "quantization.let.body" in space.choices


def test_one_format_for_the_network_is_one_decision():
    space = space_of(f"network: {{type: net}}\nquantization: [{{at: '**', per: network, {FORMATS}}}]")
    assert with_counts(space) == {"quantization.0": 2}


@pytest.mark.parametrize("per", ["layer", "block"])
def test_rules_per_layer_and_block_wait_for_build_if_they_hold_a_choice(per):
    space = space_of(f"network: {{type: net}}\nquantization: [{{at: '**', per: {per}, {FORMATS}}}]")
    assert [rule.per for rule in space.unexpanded] == [per]
    assert not space_of(f"network: {{type: net}}\nquantization: [{{at: '**', per: {per}, format: int8}}]").unexpanded


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "network.a.b", True),
        ("network.**", "network", True),
        ("**.squeeze.**", "network.a.squeeze.fc.0", True),
        ("**.squeeze.**", "network.a.squeezed.fc", False),
        ("network.*", "network.a", True),
        ("network.*", "network.a.b", False),
        ("network.lay*.1.conv_*", "network.layers.1.conv_3", True),
        ("network.lay*.conv_*", "network.layers.1.conv_3", False),
        (".".join(["**", "a"] * 30), ".".join(["a"] * 200), True),
        (".".join(["**", "a"] * 30) + ".b", ".".join(["a"] * 200), False),
    ],
)
def test_patterns_match_whole_paths(pattern, path, expected):
    assert matches(pattern, path) is expected
