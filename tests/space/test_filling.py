"""An architecture put into the holes of its space leaves the constructor call that was meant."""

import dataclasses

import pytest

from nasengine.errors import InputError
from nasengine.space import ABSENT, Call
from tests.space.space_helpers import problems_of, space_of


def simple(value):
    """Calls as (type, arguments), for comparison."""
    if isinstance(value, Call):
        return (value.type, {key: simple(v) for key, v in value.arguments.items()})
    if isinstance(value, dict):
        return {key: simple(v) for key, v in value.items()}
    return [simple(v) for v in value] if isinstance(value, list) else value


def calls(value):
    """Every call in a filled value, outermost first."""
    if isinstance(value, Call):
        yield value
        value = value.arguments
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from calls(below)


def test_each_hole_becomes_the_value_chosen():
    space = space_of(
        """
        network:
          type: net
          width: {choice: [8, 16]}
          shape: {choice: [[1, 2], [3, 4]]}
          depth: {range: [2, 6, 2]}
          at: {subset: {of: [1, 2, 3], size: 2}}
          settings: {norm: {choice: [batch, null]}, bias: {choice: [true, false]}}
          head: {choice: {linear: {type: linear, hidden: {choice: [0, 64]}}, none: {type: identity}}}
        """
    )
    architecture = space.architecture(
        {
            "network.width": 16,
            "network.shape": [3, 4],
            "network.depth": 4,
            "network.at": [1, 3],
            "network.settings.norm": None,
            "network.settings.bias": False,
            "network.head": "linear",
            "network.head.linear.hidden": 64,
        }
    )
    assert simple(space.fill(architecture).root) == (
        "net",
        {
            "width": 16,
            "shape": [3, 4],
            "depth": 4,
            "at": [1, 3],
            "settings": {"norm": None, "bias": False},
            "head": ("linear", {"hidden": 64}),
        },
    )


def test_a_repeat_is_the_list_of_its_copies_and_an_absent_optional_keeps_its_place():
    space = space_of(
        """
        network:
          type: net
          layers:
            - {optional: {type: conv, kernel: {choice: [3, 5]}}}
            - {repeat: {choice: [0, 1, 2]}, of: {type: conv, kernel: {choice: [3, 5]}}}
            - {repeat: 2, of: {type: pool}}
        """
    )
    options = {"network.layers.0.present": False, "network.layers.1.repeat": 2}
    options |= {"network.layers.1.0.kernel": 3, "network.layers.1.1.kernel": 5}
    layers = space.fill(space.architecture(options)).root.arguments["layers"]
    assert layers[0] is ABSENT
    assert simple(layers[1:]) == [[("conv", {"kernel": 3}), ("conv", {"kernel": 5})], [("pool", {}), ("pool", {})]]
    empty = space.architecture(
        {"network.layers.0.present": True, "network.layers.0.kernel": 3, "network.layers.1.repeat": 0}
    )
    assert simple(space.fill(empty).root.arguments["layers"][:2]) == [("conv", {"kernel": 3}), []]


def test_a_call_knows_where_it_stands_whoever_decided_it():
    space = space_of(
        """
        let: {body: {choice: {c3: {type: conv, kernel: {choice: [3, 5]}}, f5: {type: factorised}}}}
        network:
          type: net
          cells: {repeat: 2, of: {type: module, body: [{use: body}, {use: body}]}}
          branches: {subset: {of: {one: {type: conv}, two: {type: pool}}, size: 1}}
          last: {optional: {type: conv}}
        """
    )
    options = {"let.body": "c3", "let.body.c3.kernel": 5, "network.branches": ["two"], "network.last.present": True}
    filled = space.fill(space.architecture(options))
    assert [call.path for call in calls(filled.root)] == [
        "network",
        "network.cells.0",
        "network.cells.0.body.0.c3",
        "network.cells.0.body.1.c3",
        "network.cells.1",
        "network.cells.1.body.0.c3",
        "network.cells.1.body.1.c3",
        "network.branches.two",
        "network.last",
    ]
    assert {call.arguments["kernel"] for call in calls(filled.root) if ".c3" in call.path} == {5}


def test_calls_keep_the_marks_of_the_file():
    space = space_of("network:\n  type: net\n  width: {choice: [8]}\n")
    root = space.fill(space.architecture({"network.width": 8})).root
    assert (root.mark.line, root.argument_marks["width"].line) == (4, 5)


def test_same_as_repeats_what_was_chosen_there():
    space = space_of(
        """
        let: {cell: {type: module, inner: {choice: [1, 2]}, outer: {same_as: .inner}}}
        network:
          type: net
          width: {choice: [8, 16]}
          fixed: 7
          stages:
            repeat: {choice: [1, 2]}
            of: {type: stage, heads: {choice: [2, 4]}, keys: {same_as: .heads}, top: {same_as: ...width}}
          cell: {use: cell}
          again: {same_as: network.cell.inner}
          chain: {same_as: .again}
          constant: {same_as: .fixed}
          node: {choice: {a: {type: conv, kernel: {choice: [3, 5]}, padding: {same_as: .kernel}}, b: {type: pool}}}
        """
    )
    options = {
        "network.width": 16,
        "network.stages.repeat": 2,
        "network.stages.0.heads": 2,
        "network.stages.1.heads": 4,
        "let.cell.inner": 2,
        "network.node": "a",
        "network.node.a.kernel": 5,
    }
    assert set(space.choices) == set(options)
    _, arguments = simple(space.fill(space.architecture(options)).root)
    assert arguments["stages"] == [
        ("stage", {"heads": 2, "keys": 2, "top": 16}),
        ("stage", {"heads": 4, "keys": 4, "top": 16}),
    ]
    assert arguments["cell"] == ("module", {"inner": 2, "outer": 2})
    assert (arguments["again"], arguments["chain"], arguments["constant"]) == (2, 2, 7)
    assert arguments["node"] == ("conv", {"kernel": 5, "padding": 5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network: {type: net, a: {same_as: .b}}", "same_as finds nothing at network.b"),
        (
            "network: {type: net, a: {same_as: .b}, b: [{type: x, c: {choice: [1, 2]}}]}",
            "same_as repeats network.b, which is not a plain value",
        ),
        ("network: {type: net, a: {same_as: .a}}", "same_as finds nothing at network.a"),
        ("network: {type: net, a: {same_as: .....a}}", "same_as finds nothing at a"),
        (
            "network: {type: net, a: {optional: {type: x, w: {choice: [1, 2]}}}, b: {same_as: .a.w}}",
            "same_as repeats network.a.w, which may be inactive where this is not",
        ),
        (
            """
            network: {type: net, b: {same_as: .a.1.w}, a: {repeat: {choice: [1, 2]}, of: {w: {choice: [1, 2]}}}}
            """,
            "same_as repeats network.a.1.w, which may be inactive where this is not",
        ),
        (
            """
            let: {w: {choice: [1, 2]}}
            network: {type: net, a: {choice: {x: {type: x, w: {use: w}}, y: {type: y}}}, b: {same_as: let.w}}
            """,
            "same_as repeats let.w, which may be inactive where this is not",
        ),
    ],
)
def test_same_as_must_reach_what_is_always_there(text, message):
    (problem,) = problems_of(text)
    assert problem.message == message
    assert problem.mark is not None
    assert "same_as" in problem.line_text


def test_same_as_that_leads_back_to_itself_finds_nothing():
    messages = {problem.message for problem in problems_of("network: {type: net, a: {same_as: .b}, b: {same_as: .a}}")}
    assert messages == {"same_as finds nothing at network.a", "same_as finds nothing at network.b"}


def test_the_first_copy_of_a_repeat_that_is_never_empty_may_be_repeated():
    space = space_of(
        "network: {type: net, a: {repeat: {choice: [1, 2]}, of: {type: x, w: {choice: [1, 2]}}}, b: {same_as: .a.0.w}}"
    )
    for architecture in space.enumerate():
        assert space.fill(architecture).root.arguments["b"] == architecture["network.a.0.w"]


def test_the_input_shape_follows_the_resolution():
    text = "network: {type: net}"
    wide = space_of(text, head="name: a\ntask: {kind: image_classification, input: [1, {choice: [28, 32]}, 64]}\n")
    square = space_of(
        text, head="name: a\ntask: {kind: image_classification, input: [3, {range: [160, 224, 32]}, same]}\n"
    )
    assert wide.fill({"task.resolution": 32}).input_shape == (1, 32, 64)
    assert square.fill({"task.resolution": 224}).input_shape == (3, 224, 224)


def test_an_incomplete_or_foreign_architecture_is_refused():
    space = space_of("network: {type: net, a: {choice: [1, 2]}}")
    with pytest.raises(InputError, match=r"says nothing about network\.a"):
        space.fill({})
    with pytest.raises(InputError, match=r"has 3 at network\.a, which is no option there"):
        space.fill({"network.a": 3})
    with pytest.raises(InputError, match=r"has True at network\.a"):
        space.fill({"network.a": True})


def test_a_filled_space_is_frozen():
    filled = space_of("network: {type: net}").fill({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        filled.root = None
