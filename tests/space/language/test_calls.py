"""Arguments of `type:` mappings against Python signatures: every option of a hole, every kind of annotation."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypeVar, Union

import pytest

from nasengine.errors import Problem
from nasengine.space.holes import MapOf
from nasengine.space.language.calls import check_call, describe_kind
from nasengine.space.language.parsing import parse_space
from nasengine.space.language.yaml import YamlMapping, parse_document
from tests.space.grammar_helpers import FILE, around

Width = NewType("Width", int)
Anything = TypeVar("Anything")


class Block:
    def __init__(self, width: int, kernel: int = 3, *, bias: bool = True) -> None: ...


class Color(enum.Enum):
    RED = "red"


class Measure(Protocol):
    def measure(self) -> float: ...


def check(arguments: str, target: Callable[..., object], let: str = "", **settings: Any) -> list[str]:
    """What is said of a network with these arguments: "line:column message; expected …"."""
    more = f"let: {let}" if let else ""
    tree = parse_space(around(f"{{type: net, {arguments}}}", more), FILE)
    assert isinstance(tree.root, MapOf)
    found = check_call(tree.root, target, where="network", let=tree.let, **settings)
    assert all(isinstance(problem, Problem) and problem.mark for problem in found)
    return [f"{p.mark.line}:{p.mark.column} {p.message}; {p.expected}" for p in found if p.mark]


# --- names of arguments ----------------------------------------------------------------------------------------


def test_a_call_that_fits_has_no_problems():
    assert check("width: 8", Block) == []
    assert check("width: {choice: [8, 16]}, kernel: {range: [3, 7, 2]}, bias: {choice: [true, false]}", Block) == []


def test_a_misspelt_word_is_told_the_nearest():
    def net(several: Literal["auto", "masks", "views"], side: int | Literal["same"] = 1) -> None: ...

    assert check("several: masks, side: same", net) == []
    first, second = check("several: mask, side: some", net)
    assert first.endswith("is the word 'mask'; expected one of auto, masks, views; did you mean 'masks'?")
    assert second.endswith("is the word 'some'; expected an integer or one of same; did you mean 'same'?")


def test_an_unknown_argument_is_named_with_the_nearest():
    assert check("width: 8, kernal: 3", Block) == [
        "3:32 unknown argument 'kernal' of net in network; expected one of bias, kernel, width; did you mean 'kernel'?"
    ]


def test_a_missing_argument_is_reported_at_the_call():
    assert check("kernel: 3", Block) == ["3:10 net in network lacks the argument 'width'; expected width: an integer"]


def test_inferred_arguments_may_be_left_out_and_written():
    assert check("kernel: 3", Block, inferred=("width",)) == []
    assert check("width: 3", Block, inferred=("width",)) == []


def test_supplied_arguments_may_not_be_written():
    assert check("kernel: 3", Block, supplied=("width",)) == []
    assert check("width: 3", Block, supplied=("width",)) == [
        "3:22 the argument 'width' of net in network is set by the engine; leave it out"
    ]


def test_supplied_arguments_are_not_offered_as_the_nearest_name():
    (found,) = check("widht: 3", Block, supplied=("width",))
    assert "width" not in found.split("; ", 1)[1]


def test_other_keys_may_belong_to_the_mapping_itself():
    assert check("width: 3, budget: 4", Block, own=("type", "budget")) == []


def test_a_function_that_takes_any_keyword_takes_any_name():
    def flexible(width: int, **others: object) -> None: ...

    assert check("width: 3, other: [1]", flexible) == []
    assert len(check("width: x, other: [1]", flexible)) == 1


def test_positional_only_and_starred_parameters_are_no_arguments():
    def strange(first: int = 1, /, *rest: int, last: int = 2) -> None: ...

    assert [found.split(";")[0] for found in check("first: 1, rest: 2, last: 3", strange)] == [
        "3:22 unknown argument 'first' of net in network",
        "3:32 unknown argument 'rest' of net in network",
    ]


def test_dataclasses_partials_and_callable_objects_are_read_too():
    @dataclass
    class Settings:
        rate: float
        steps: int = 3

    class Maker:
        def __call__(self, size: int) -> None: ...

    assert check("rate: 1", Settings) == []
    assert len(check("rate: fast", Settings)) == 1
    assert len(check("kernel: x", functools.partial(Block, width=3))) == 1
    assert len(check("size: x", Maker())) == 1


def test_a_callable_without_a_known_signature_takes_anything():
    assert check("a: 1, b: 2", type) == []


def test_an_annotation_that_only_type_checkers_know_makes_nothing_sure():
    def lazily(width: int, other: int) -> None: ...

    lazily.__annotations__ = {"width": "int", "other": "NoSuchName"}
    assert check("width: x, other: y", lazily) == []


# --- holes -----------------------------------------------------------------------------------------------------


def test_every_option_of_a_hole_must_fit_and_is_reported_where_it_stands():
    assert check("width: {choice: [8, eight, 1.5]}", Block) == [
        "3:42 the argument 'width' of net in network is the word 'eight'; expected an integer",
        "3:49 the argument 'width' of net in network is the number 1.5; expected an integer",
    ]


def test_holes_in_holes_are_followed():
    def sequential(layers: Sequence[int]) -> None: ...

    assert check("layers: [1, {choice: [2, 4]}, {optional: 3}, {range: [1, 3]}]", sequential) == []
    assert len(check("layers: [1, {optional: {choice: [1, x]}}]", sequential)) == 1
    assert check("layers: {subset: {of: [1, 2], size: 1}}", sequential) == []
    assert len(check("layers: {subset: {of: [1, x], size: 1}}", sequential)) == 1
    assert check("layers: {repeat: 3, of: {choice: [1, 2]}}", sequential) == []
    assert len(check("layers: {repeat: 3, of: x}", sequential)) == 1
    assert len(check("layers: {range: [1, 3]}", sequential)) == 1


def test_subsets_and_repeats_are_lists():
    assert check("width: {subset: {of: [1, 2], size: 1}}", Block) == [
        "3:29 the argument 'width' of net in network is a subset (a list); expected an integer"
    ]
    assert "a repeat (a list)" in check("width: {repeat: 2, of: 1}", Block)[0]


def test_shared_decisions_are_checked_where_they_are_written():
    assert check("width: {use: w}", Block, "{w: {choice: [8, x]}}") == [
        "4:23 the argument 'width' of net in network is the word 'x'; expected an integer"
    ]


def test_same_as_is_checked_at_its_target():
    assert check("width: 8, kernel: {same_as: .width}", Block) == []


def test_yaml_of_a_strategy_is_checked_without_holes():
    node = parse_document("{type: sgd, width: 3, bias: 1, kernel: {choice: [1]}}", "s.yaml").documents[0]
    assert isinstance(node, YamlMapping)
    found = check_call(node, Block, where="search.optimizer", name="sgd")
    assert [(p.message, p.mark.column if p.mark else 0) for p in found] == [
        ("the argument 'bias' of sgd in search.optimizer is the number 1", 29),
        ("the argument 'kernel' of sgd in search.optimizer is a mapping", 40),
    ]


# --- annotations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "fits", "misfits"),
    [
        (int, ["3", "-1"], ["3.0", "true", "x", "null", "[1]", "{a: 1}"]),
        (float, ["3", "3.5", "1e-3"], ["true", "x", "null", "[1]"]),
        (bool, ["true", "false"], ["1", "yes", "null"]),
        (str, ["x", '"1"'], ["1", "true", "null", "[x]"]),
        (None, ["null"], ["1", "x"]),
        (int | None, ["3", "null"], ["x", "[1]"]),
        (Optional[int], ["3", "null"], ["x"]),  # noqa: UP045
        (Union[int, str], ["3", "x"], ["1.5", "null", "true"]),  # noqa: UP007
        (Literal["a", "b", 3], ["a", "3"], ["c", "3.0", "[a]"]),
        (Literal[True], ["true"], ["1"]),
        (list[int], ["[]", "[1, 2]"], ["[1, x]", "3", "{a: 1}", "x"]),
        (list, ["[1, x]"], ["3", "{a: 1}"]),
        (Sequence[float | None], ["[1, null]"], ["[x]"]),
        (Iterable[list[int]], ["[[1], []]"], ["[1]"]),
        (tuple[int, str], ["[1, x]"], ["[1]", "[x, 1]", "[1, x, 2]", "{a: 1}"]),
        (tuple[int, ...], ["[]", "[1, 2, 3]"], ["[x]"]),
        (set[str], ["[a]"], ["[1]"]),
        (dict[str, int], ["{}", "{a: 1}"], ["{a: x}", "[1]", "3"]),
        (Mapping[str, Any], ["{a: [x]}"], ["[1]", "x"]),
        (dict, ["{a: x}"], ["1"]),
        (int | list[int], ["1", "[1]"], ["[x]", "x"]),
        (Block, ["{type: block, width: 3}", "block", "{width: 3}"], ["3", "true"]),
        (Block | None, ["{type: block}", "null"], ["3"]),
        (Sequence[Block | None], ["[{type: block}, null]"], ["[3]", "3"]),
        (Path, ["some/where"], ["3", "[a]", "{a: 1}"]),
        (Color, ["red"], ["3"]),
        (Width, ["3"], ["x"]),
        (Annotated[int, "unit"], ["3"], ["x"]),
        (Callable[[int], int], ["x", "{type: f}"], []),
        (Measure, ["x", "3", "{type: f}"], []),
        (Anything, ["x", "3", "[1]"], []),
        (Any, ["x", "3", "null", "[1]", "{a: 1}"], []),
        (object, ["x", "3", "null", "[1]", "{a: 1}"], []),
    ],
    ids=str,
)
def test_values_are_compared_with_the_annotation(annotation, fits, misfits):
    def target(a: object) -> None: ...

    target.__annotations__["a"] = annotation
    assert {text: check(f"a: {text}", target) for text in fits} == {text: [] for text in fits}
    assert [text for text in misfits if not check(f"a: {text}", target)] == []


def test_an_item_that_does_not_fit_is_reported_at_the_item():
    def target(a: list[int] | None) -> None: ...

    assert check("a: [1, 2, x]", target) == [
        "3:32 the argument 'a' of net in network is the word 'x'; expected an integer"
    ]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "an integer"),
        (int | None, "an integer or null"),
        (list[int], "a list, each item an integer"),
        (tuple[int, str], "a list of 2: an integer, a word"),
        (Literal["a", "b"], "one of a, b"),
        (dict[str, int], "a mapping"),
        (Block, "a node with a type"),
        (Path, "a word"),
        (Any, "a value"),
        (Sequence[Any], "a list"),
    ],
    ids=str,
)
def test_annotations_are_described_in_words(annotation, words):
    assert describe_kind(annotation) == words
