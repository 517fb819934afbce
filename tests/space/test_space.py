"""The search space as an object: what it refuses, what it keeps, how it travels."""

import itertools
import json
import pickle

import pytest

from nasengine.errors import InputError
from nasengine.space import Decision, SearchSpace, space_from_mapping
from tests.space.space_helpers import UNEQUAL, problems_of, space_of


def messages(space, options):
    """What is wrong with an assignment: (message, what was expected)."""
    with pytest.raises(InputError) as caught:
        space.architecture(options)
    return {problem.message: problem.expected for problem in caught.value.problems}


def test_everything_wrong_with_an_architecture_is_said_at_once():
    space = space_of(UNEQUAL)
    wrong = messages(
        space,
        {
            "network.main": "tiny",
            "network.main.large.a": 1,
            "network.side": "plane",
            "network.block.repeat": 1,
        },
    )
    assert wrong == {
        "no choice has the path network.block.repeat": (
            "expected one of let.shared, network.blocks.0.kernel, network.blocks.1.kernel, network.blocks.repeat, "
            "network.main, network.main.large.a, network.main.large.c.d, network.main.large.c.present, network.side"
            "; did you mean 'network.blocks.repeat' or 'network.blocks.1.kernel'?"
        ),
        "network.main.large.a is inactive here": "expected nothing, since network.main is tiny",
        "network.side has no option plane": "expected one of plain, sharing; did you mean 'plain'?",
        "network.blocks.repeat is missing": "expected one of 0, 1, 2",
    }


def test_options_of_another_type_are_not_the_same():
    space = space_of("network: {type: net, a: {choice: [false, true]}, b: {choice: [1, 2.5, null]}}")
    assert set(messages(space, {"network.a": 1, "network.b": 1.0})) == {
        "network.a has no option 1",
        "network.b has no option 1.0",
    }
    assert space.architecture({"network.a": True, "network.b": None}).to_json() == {
        "network.a": True,
        "network.b": None,
    }


def test_subsets_may_be_given_as_lists():
    space = space_of("network: {type: net, at: {subset: {of: [1, 2, 3], size: 2}}}")
    assert space.architecture({"network.at": [1, 3]})["network.at"] == (1, 3)
    assert list(messages(space, {"network.at": [3, 1]})) == ["network.at has no option [3, 1]"]


def test_what_depends_on_a_missing_choice_is_not_complained_of():
    space = space_of(UNEQUAL)
    assert list(messages(space, {"network.main.large.a": 1, "network.side": "plain", "network.blocks.repeat": 0})) == [
        "network.main is missing"
    ]


def test_known_architectures_are_checked_where_they_are_written():
    problems = problems_of(
        """
        network: {type: net, a: {choice: [1, 2]}, b: {optional: {type: b, c: {choice: [3, 4]}}}}
        known:
          fine: {architecture: {network.a: 1, network.b.present: false}, macs: 12}
          wrong:
            architecture:
              network.a: 3
              network.b.present: false
              network.b.c: 3
              network.d: 1
          short: {architecture: {network.a: 1}}
        """
    )
    assert [(problem.mark.line, problem.message) for problem in problems] == [
        (9, "network.a has no option 3"),
        (11, "network.b.c is inactive here"),
        (12, "no choice has the path network.d"),
        (13, "network.b.present is missing"),
    ]
    assert all(problem.line_text for problem in problems)


def test_known_architectures_come_with_their_costs():
    space = space_of(
        """
        network: {type: net, at: {subset: {of: [1, 2, 3], size: 2}}}
        known: {default: {architecture: {network.at: [1, 2]}, macs: 12, params: 3.5, about: "the first two"}}
        """
    )
    known = space.known["default"]
    assert known.architecture == space.architecture({"network.at": (1, 2)})
    assert (known.costs, known.about, known.name) == ({"macs": 12, "params": 3.5}, "the first two", "default")


def test_known_formats_of_layers_are_kept_until_the_network_can_check_them():
    space = space_of(
        """
        network: {type: net, a: {choice: [1, 2]}}
        quantization: [{at: "**", per: layer, format: {choice: [int4, int8]}}]
        known: {mixed: {architecture: {network.a: 1, quantization.network.stem: int8}}}
        """
    )
    assert space.known["mixed"].architecture.to_json() == {"network.a": 1}
    assert space.known["mixed"].formats == {"quantization.network.stem": "int8"}


def test_a_space_is_immutable():
    space = space_of(UNEQUAL)
    with pytest.raises(AttributeError, match="immutable"):
        space.name = "other"
    with pytest.raises(TypeError):
        space.choices["x"] = space.decisions[0]
    assert isinstance(space.choices["network.main"], Decision)


def test_a_space_travels_to_other_processes_and_through_json():
    space = space_of(UNEQUAL)
    for other in (
        pickle.loads(pickle.dumps(space)),
        space_from_mapping(json.loads(json.dumps(space.tree.resolved))),
    ):
        assert isinstance(other, SearchSpace)
        assert other == space
        assert hash(other) == hash(space)
        assert list(other.enumerate()) == list(space.enumerate())


def test_the_hash_is_that_of_what_the_file_says():
    text = "network: {type: net, a: {choice: [1, 2]}}"
    same = space_of("network:\n  type: net # a remark\n  a:   {choice: [1, 2]}\n")
    assert len(space_of(text).hash) == 64
    assert space_of(text).hash == same.hash
    assert space_of(text).hash != space_of(text.replace("2]", "3]")).hash


def test_spaces_whose_choices_stand_in_another_order_are_not_equal_since_their_rows_differ():
    one = space_of("network: {type: net, a: {choice: [1, 2]}, b: {choice: [3, 4, 5]}}")
    other = space_of("network: {type: net, b: {choice: [3, 4, 5]}, a: {choice: [1, 2]}}")
    assert set(one.enumerate()) == set(other.enumerate())
    assert list(one.choices) != list(other.choices)
    assert one != other
    assert one.hash != other.hash


def test_the_order_of_the_list_is_that_of_the_file_with_the_first_choice_slowest():
    space = space_of(
        "network: {type: net, a: {choice: [2, 1]}, b: {optional: {type: b, c: {choice: [y, x]}}}, d: {choice: [5]}}"
    )
    assert [tuple(architecture.values()) for architecture in space.enumerate()] == [
        (2, False, 5),
        (2, True, "y", 5),
        (2, True, "x", 5),
        (1, False, 5),
        (1, True, "y", 5),
        (1, True, "x", 5),
    ]


def test_listing_a_huge_space_begins_at_once():
    choices = ", ".join(f"a{i}: {{choice: [1, 2, 3]}}" for i in range(200))
    space = space_of(f"network: {{type: net, {choices}}}")
    assert len(list(itertools.islice(space.enumerate(), 5))) == 5


def test_equal_networks_are_equal_architectures():
    space = space_of(UNEQUAL)
    given = {"network.main": "tiny", "network.side": "plain", "network.blocks.repeat": 0}
    one = space.architecture(given)
    other = space.architecture(dict(reversed(given.items())))
    assert one == other
    assert hash(one) == hash(other)
    assert one.to_json() == other.to_json() == given


def test_a_description_is_plain_json_with_everything_a_reader_needs():
    space = space_of(
        """
        let: {width: {choice: [8, 16], weights: {8: 3}}}
        network: {type: net, a: {optional: {type: a, w: {use: width}}}, b: {choice: [1, 2]}}
        constraints: {macs: {max: 100}}
        relations: [{sum: [network.b], max: 1}]
        known: {default: {architecture: {network.a.present: false, network.b: 1}, macs: 5}}
        """
    )
    described = json.loads(json.dumps(space.describe()))
    assert described["name"] == "small"
    assert (described["size"], described["feasible_size"]) == ((1 + 2) * 2, None)
    assert [choice["path"] for choice in described["choices"]] == ["network.a.present", "let.width", "network.b"]
    assert described["choices"][1] == {
        "path": "let.width",
        "kind": "choice",
        "count": 2,
        "options": [8, 16],
        "weights": [3, 1],
        "active_when": [{"path": "network.a.present", "options": [True]}],
    }
    assert described["task"] == {"kind": "image_classification", "input": [3, 32, 32], "classes": 10}
    assert described["constraints"] == {"macs": {"max": 100}}
    assert described["relations"] == [{"sum": ["network.b"], "max": 1}]
    assert described["known"]["default"]["architecture"] == {"network.a.present": False, "network.b": 1}


def test_a_size_that_cannot_be_printed_is_described_by_its_order_of_magnitude():
    space = space_of("network: {type: net, a: {repeat: 900, of: [&r {range: [0, 7]}, *r, *r, *r, *r]}}")
    assert space.size() == 8**4500
    assert json.loads(json.dumps(space.describe()))["size"] == "about 10^4064"


@pytest.mark.parametrize(
    ("held", "column"), [("{optional: {type: b}}", 36), ("{type: b, present: {choice: [1, 2]}}", 55)]
)
def test_an_optional_that_holds_what_has_its_own_path_is_refused(held, column):
    with pytest.raises(InputError) as caught:
        space_of(f"network: {{type: net, a: {{optional: {held}}}}}")
    (problem,) = caught.value.problems
    assert problem.message == "two choices would have the path network.a.present"
    assert "an optional holds neither another optional nor a choice called 'present'" in problem.expected
    assert problem.mark is not None
    assert problem.mark.column == column
