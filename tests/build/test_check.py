"""The second pass over a space: every wrong type, argument and shape, at its mark, in words."""

from __future__ import annotations

import random
import re

import pytest

from nasengine.build import check_space
from nasengine.build.coverage import cover
from nasengine.errors import InputError, Problem
from nasengine.space import SearchSpace, load_space, parse_space, shipped

HEADER = "name: t\nabout: t\ntask: {kind: image_classification, input: [3, 16, 16], classes: 5}\n"


def check(text: str, header: str = HEADER) -> list[Problem]:
    return check_space(SearchSpace(parse_space(header + text, "t.yaml")))


def test_all_unknown_types_and_wrong_arguments_are_reported_at_once_with_their_marks():
    problems = check(
        """let:
  w: {choice: [16, 24]}
network:
  type: sequential
  layers:
    - {type: conv_norm_activaton, width: 16}
    - {type: mbconv, widht: 16, kernel: {choice: [3, five]}}
    - {choice: {a: {type: vit_unheard}, b: {type: conv, width: {use: w}}}}
    - {repeat: {choice: [1, 2]}, of: {type: conv, kernl: 3}}
    - {type: linear_head, hidden: true}
"""
    )
    found = [(problem.mark.line, problem.mark.column, problem.message) for problem in problems]
    assert found == [
        (9, 14, "unknown type 'conv_norm_activaton' (in network.layers.0)"),
        (10, 7, "mbconv in network.layers.1 lacks the argument 'width'"),
        (10, 22, "unknown argument 'widht' of mbconv in network.layers.1"),
        (10, 54, "the argument 'kernel' of mbconv in network.layers.1 is the word 'five'"),
        (11, 27, "unknown type 'vit_unheard' (in network.layers.2.a)"),
        (12, 51, "unknown argument 'kernl' of conv in network.layers.3"),
        (13, 35, "the argument 'hidden' of linear_head in network.layers.4 is true"),
    ]
    assert "did you mean 'conv_norm_activation'" in problems[0].expected
    assert "did you mean 'width'" in problems[2].expected
    assert all(problem.line_text for problem in problems)


def test_a_type_under_let_is_checked_where_it_is_written():
    problems = check(
        "let: {block: {choice: {a: {type: nothing}}}}\nnetwork: {type: sequential, layers: [{use: block}]}\n"
    )
    assert [(p.mark.line, p.message) for p in problems] == [(4, "unknown type 'nothing' (in let.block.a)")]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("image_classification", "", "the task has no 'classes'"),
        ("image_classification", ", classes: ten", "task.classes is ten"),
        ("image_classification", ", classes: 0", "task.classes is 0"),
        ("super_resolution", ", scale: 1.5", "task.scale is 1.5"),
    ],
)
def test_the_task_must_say_how_large_the_output_is(kind, settings, message):
    header = f"name: t\ntask: {{kind: {kind}, input: [3, 16, 16]{settings}}}\n"
    problems = check("network: {type: sequential, layers: [{type: conv, width: {choice: [3, 5]}}]}\n", header)
    assert [(p.mark.line, p.mark.column, p.message) for p in problems] == [(2, 7, message)]
    assert "an integer of at least 1" in problems[0].expected


def test_failures_of_different_options_do_not_hide_each_other():
    problems = check(
        """network:
  type: sequential
  layers:
    - {type: conv_norm_activation, width: 16, kernel: {choice: [3, 4]}}
    - type: parallel
      join: {choice: [concat, add]}
      branches:
        - {type: conv, width: 8, stride: {choice: [1, 2]}}
        - {type: conv, width: {choice: [8, 16]}}
    - {type: global_average_pool}
    - {type: dropout, probability: {choice: [0.1, 1.5]}}
    - {type: linear_head}
"""
    )
    messages = "\n".join(problem.message for problem in problems)
    assert "network.layers.0 cannot be built: kernel must be odd" in messages
    assert "network.layers.1 adds branches of different shapes" in messages
    assert "network.layers.1 concatenates along the channels what differs in more" in messages
    assert "network.layers.3 cannot be built: dropout probability" in messages
    assert all("in some architectures, for example {" in problem.expected for problem in problems)
    assert len(problems) == 4


def test_a_failure_of_every_architecture_has_no_example():
    problems = check(
        "network: {type: sequential, layers: [{type: conv, width: {choice: [3, 6]}}, {type: linear_head}]}\n"
    )
    (problem,) = problems
    assert "takes a vector, but gets a feature map" in problem.message
    assert problem.expected == "put {type: global_average_pool} or {type: flatten} before it"


@pytest.mark.parametrize(
    ("layers", "message", "expected"),
    [
        (
            "{type: conv, width: 16}, {type: conv, in_channels: 12, width: 4}, {type: global_average_pool}",
            "conv in network.layers.1 cannot take its input of 16×16×16: in_channels is 12, but 16 go in",
            "write in_channels: 16, or leave it out",
        ),
        (
            "{type: global_average_pool}, {type: linear, in_features: 7, width: 4}",
            "linear in network.layers.1 cannot take its input of 3: in_features is 7, but 3 go in",
            "write in_features: 3, or leave it out",
        ),
        (
            "{type: max_pool, kernel: 16, stride: 16}, {type: average_pool, kernel: 2, stride: 2}, {type: flatten}",
            "average_pool in network.layers.1 cannot take its input of 3×1×1: the feature map is too small to shrink",
            "fewer strides and pools before it, or a larger input",
        ),
    ],
)
def test_what_cannot_take_its_input_says_why_in_words(layers, message, expected):
    (problem,) = check(f"network: {{type: sequential, layers: [{layers}, {{type: linear_head}}]}}\n")
    assert (problem.message, problem.expected) == (message, expected)


def test_an_output_that_is_not_what_the_task_scores_is_reported():
    layers = "[{type: global_average_pool}, {type: linear, width: 11}]"
    (problem,) = check(f"network: {{type: sequential, layers: {layers}}}\n")
    assert problem.message == "the network gives 11 for an input of 3×16×16"
    assert problem.expected == "expected 5, class scores for the task"


def test_an_image_that_is_not_enlarged_is_reported():
    header = "name: t\nabout: t\ntask: {kind: super_resolution, scale: 2, input: [3, 8, 8]}\n"
    (problem,) = check("network: {type: sequential, layers: [{type: conv, width: 3}]}\n", header)
    assert problem.expected == "expected 3×16×16, an enlarged image for the task"


def test_a_resolution_that_is_too_small_is_found_among_the_choices():
    header = "name: t\nabout: t\ntask: {kind: image_classification, input: [3, {choice: [1, 16]}, same], classes: 5}\n"
    layers = "[{type: max_pool, kernel: 2, stride: 2}, {type: global_average_pool}, {type: linear_head}]"
    (problem,) = check(f"network: {{type: sequential, layers: {layers}}}\n", header)
    assert "max_pool in network.layers.0 cannot take its input of 3×1×1" in problem.message
    assert '"task.resolution":1' in problem.expected


def test_options_that_fail_only_together_are_found_too():
    network = """network:
  type: sequential
  layers:
    - {type: conv, width: {choice: [4, 6]}}
    - {type: conv, width: 12, groups: {choice: [4, 6]}}
    - {type: global_average_pool}
    - {type: linear_head}
"""
    (problem,) = check(network)
    assert problem.message == "conv in network.layers.1 cannot be built: in_channels must be divisible by groups"


def test_what_relations_forbid_is_not_held_against_a_space():
    network = """network:
  type: sequential
  layers:
    - {type: conv, width: {choice: [4, 6]}}
    - {type: conv, width: 12, groups: {choice: [4, 6]}}
    - {type: global_average_pool}
    - {type: linear_head}
"""
    equal = """relations:
  - {order: [network.layers.1.groups, network.layers.0.width], is: not_decreasing}
  - {order: [network.layers.0.width, network.layers.1.groups], is: not_decreasing}
"""
    assert check(network + equal) == []


def test_spaces_of_networks_that_do_not_exist_yet_are_reported_by_type(repository):
    for name, missing in (
        ("mobilenet_v2_tunas", "mobilenet_v2"),
        ("quantnas_basic", "quantnas_basic"),
    ):
        (path,) = repository.glob(f"tests/**/{name}.yaml")
        messages = [problem.message for problem in check_space(load_space(path))]
        if messages:
            assert f"unknown type {missing!r} (in network)" in messages


def test_a_proxy_has_no_networks_to_check():
    text = (
        "name: t\nabout: t\nproxy: {type: branched, branches: [&b {input: weight, operations: [log]}, *b], join: sum}\n"
    )
    assert check(text, "") == []


def covered(text: str, works) -> tuple[set[tuple[str, object]], int]:
    """(choice, option) pairs that were tried, and how many architectures that took."""
    seen: set[tuple[str, object]] = set()

    def note(architecture) -> bool:
        seen.update(architecture.items())
        return works(architecture)

    return seen, cover(SearchSpace(parse_space(HEADER + text, "t.yaml")), note)


DEEP = """network:
  type: sequential
  layers:
    - {choice: {a: {type: conv, width: {choice: [1, 2, 3]}}, b: {optional: {type: conv, width: {range: [4, 8, 1]}}}}}
    - {repeat: {choice: [0, 1, 3]}, of: {type: conv, width: {choice: [1, 2]}}}
    - {type: residual_network, widths: [1, 2, 3, 4], downsample_at: {subset: {of: [1, 2, 3, 4], size: [1, 2]}}}
"""


SHARED = """let: {depth: {choice: [0, 1, 4]}}
network:
  type: sequential
  layers:
    - {choice: {a: {type: sequential, layers: [{repeat: {use: depth}, of: {type: conv, width: {choice: [1, 2, 3]}}}]},
                b: {type: conv, width: {choice: [1, 2]}}}}
    - {optional: {type: sequential, layers: [{repeat: {use: depth}, of: {type: conv, width: {choice: [1, 2]}}}]}}
"""


def test_every_option_of_copies_with_a_shared_count_is_tried():
    seen, _ = covered(SHARED, lambda a: True)
    space = SearchSpace(parse_space(HEADER + SHARED, "t.yaml"))
    assert {(d.path, option) for d in space.decisions for option in d.options} <= seen


@pytest.mark.parametrize("works", [lambda a: True, lambda a: False], ids=["all work", "none works"])
def test_every_option_of_every_choice_is_tried(works):
    seen, tried = covered(DEEP, works)
    space = SearchSpace(parse_space(HEADER + DEEP, "t.yaml"))
    for decision in space.decisions:
        if decision.kind != "subset":
            assert {(decision.path, option) for option in decision.options} <= seen
    taken = {item for path, option in seen if path.endswith("downsample_at") for item in option}
    assert taken == {1, 2, 3, 4}
    assert tried <= sum(len(decision.options) for decision in space.decisions) + 10


def test_few_architectures_cover_a_large_space():
    assert cover(load_space("mobile_cnn"), lambda architecture: True) < 30


def test_what_is_wrong_with_an_alias_is_said_once():
    problems = check("network: {type: sequential, layers: [&a {type: covn, width: 3}, *a, *a]}\n")
    assert [problem.message for problem in problems] == ["unknown type 'covn' (in network.layers.0)"]


@pytest.mark.parametrize("nodes", [1, 10_000_000])
def test_a_cell_without_edges_or_of_absurd_size_is_refused_at_once(nodes):
    cell = f"{{type: cell, nodes: {nodes}, edges: {{0-1: {{type: identity}}}}}}"
    with pytest.raises(InputError) as caught:
        raise InputError(check(f"network: {{type: sequential, layers: [{cell}]}}\n"))
    assert "nodes" in str(caught.value)


def test_layers_of_absurd_size_take_no_memory():
    layers = "[{type: conv, width: 10000000}, {type: conv, width: 10000000}, {type: flatten}, {type: conv, width: 3}]"
    (problem,) = check(f"network: {{type: sequential, layers: {layers}}}\n")
    assert "conv in network.layers.3" in problem.message


WORDS = [
    "conv",
    "mbconv",
    "sequential",
    "cell",
    "zero",
    "linear_head",
    "flatten",
    "max_pool",
    "0",
    "-1",
    "3",
    "1.5",
    "true",
    "null",
    "[]",
    "{}",
    "foo",
    "10000000",
    "none",
]


@pytest.mark.parametrize("seed", range(40))
def test_a_mutated_space_gives_problems_with_marks_and_never_a_traceback(seed):
    draw = random.Random(seed)
    texts = [path.read_text() for name, path in shipped("search_spaces").items() if "50" not in name]
    text = draw.choice([text for text in texts if "network:" in text])
    for _ in range(2):
        token = draw.choice(list(re.finditer(r"[a-z_0-9.]+", text[text.index("network:") :])))
        start, end = (text.index("network:") + place for place in token.span())
        text = text[:start] + draw.choice(WORDS) + text[end:]
    try:
        problems = check_space(SearchSpace(parse_space(text, "t.yaml")))
    except InputError as error:
        problems = list(error.problems)
    assert all(problem.mark is not None and "\n" not in problem.message for problem in problems)


def test_relations_that_nothing_satisfies_are_reported_at_the_first_of_them():
    text = """network:
  type: sequential
  layers: [{repeat: {choice: [1, 2]}, of: {type: conv, width: 4}}, {type: global_average_pool}, {type: linear_head}]
relations:
  - {sum: [network.layers.0.repeat], max: 0}
"""
    problems = check(text)
    assert [problem.mark.line for problem in problems] == [8]
    assert "no architecture satisfies the relations" in problems[0].message
