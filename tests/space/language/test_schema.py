"""The JSON Schema accepts what the grammar accepts, and refuses what can be said without looking further."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nasengine.errors import InputError
from nasengine.space.language.parsing import parse_space
from nasengine.space.language.schema import space_schema
from nasengine.space.language.yaml import parse_document, plain
from nasengine.space.loading import shipped
from tests.space.grammar_helpers import around

SCHEMA = space_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FILES = [*sorted((Path(__file__).parent.parent / "examples").glob("*.yaml")), *shipped("search_spaces").values()]


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(plain(parse_document(text, "f").documents[0])))


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_each_call_gives_a_schema_of_its_own():
    mine = space_schema()
    mine["properties"].clear()
    assert space_schema() == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_published_and_shipped_spaces_are_valid(path):
    VALIDATOR.validate(plain(parse_document(path.read_text(), path.name).documents[0]))
    VALIDATOR.validate(parse_space(path.read_text(), str(path)).resolved)
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_what_a_space_says_of_the_one_that_it_extends_can_be_dropped():
    text = "name: mine\nextends: pooling_resnet50\nabout: null\nsource: null\n"
    assert parse_space(text, "f.yaml").about == ""
    assert accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "- a",
        "name: x",
        around().replace("network:", "netwrok:"),
        around().replace("small", "my space"),
        around(more="proxy: {type: branched}"),
        around(head="name: x\n"),
        around(head="name: x\ntask: {kind: k}\n"),
        around(head="name: x\ntask: {kind: k, input: [3, 8]}\n"),
        around(head="name: x\ntask: {kind: k, input: [0, 8, 8]}\n"),
        around(head="name: x\ntask: {kind: k, input: [3, 8, wide]}\n"),
        around("{type: net, a: {choice: []}}"),
        around("{type: net, a: {choice: {}}}"),
        around("{type: net, a: {choice: 3}}"),
        around("{type: net, a: {choice: [1, 1]}}"),
        around("{type: net, a: {choice: [{b: 1}]}}"),
        around("{type: net, a: {choice: {a.b: 1}}}"),
        around("{type: net, a: {choice: [1], weigths: {1: 2}}}"),
        around("{type: net, a: {choice: [1], weights: {1: 0}}}"),
        around("{type: net, a: {choice: [1], range: [1, 2]}}"),
        around("{type: net, a: {range: [1]}}"),
        around("{type: net, a: {range: [1, 2, 0]}}"),
        around("{type: net, a: {range: [1, 2.5]}}"),
        around("{type: net, a: {subset: {of: [1, 2]}}}"),
        around("{type: net, a: {subset: {of: [1, 2], size: 0}}}"),
        around("{type: net, a: {repeat: 2}}"),
        around("{type: net, a: {repeat: 0, of: 1}}"),
        around("{type: net, a: {optional: null}}"),
        around("{type: net, a: {use: 3}}"),
        around("{type: net, a: {same_as: a..b}}"),
        around("{type: net, a: [[{range: 3}]]}"),
        around("{type: cell, nodes: 1, edges: {all: 1}}"),
        around("{type: cell, nodes: 3, edges: {first: 1}}"),
        around("{type: cell, nodes: 3}"),
        around("{type: 3}"),
        around(more="let: {a.b: 1}"),
        around(more="quantization: {at: x}"),
        around(more="quantization: [{at: x}]"),
        around(more="quantization: [{at: x, format: a, weight_format: b}]"),
        around(more="quantization: [{at: x, format: a, per: layr}]"),
        around(more="constraints: {macs: {}}"),
        around(more="constraints: {macs: {maximum: 3}}"),
        around(more="relations: [{order: [a, b]}]"),
        around(more="relations: [{order: [a], is: equal}]"),
        around(more="relations: [{sum: [a]}]"),
        around(more="known: {a: {macs: 3}}"),
        around(more="known: {a: {architecture: {}, macs: many}}"),
        "name: p\nproxy: {type: branched, join: sum}",
        "name: p\nproxy: {type: other, branches: [], join: sum}",
        "name: x\nextends: [y]",
        around(more="about: null"),
        *(
            f"name: p\nproxy: {{type: branched, branches: [{branch}, {branch}], join: sum}}"
            for branch in ("{input: weight, operations: [[]]}", "{input: weight, operations: [abs, [log]]}")
        ),
    ],
)
def test_broken_spaces_are_invalid_for_schema_and_grammar_alike(text):
    with pytest.raises(InputError):
        parse_space(text, "f.yaml")
    assert not accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        around("{type: net, a: {choice: {use: words}}}", "let: {words: [a, b]}"),
        around("{use: n}", "let: {n: {type: net, a: {choice: [1, 2]}}}"),
        around("{type: net, a: {repeat: {choice: [0, 1]}, of: {optional: {type: x}}}}"),
        around("{type: net, a: {subset: {of: {b: {type: x}, c: null}, size: [0, 2]}}}"),
        around("{type: net, a: {choice: [[1, 2], [3, [4]]]}}"),
        around("{choice: {a: {type: x}, b: {type: cell, nodes: 2, edges: {0-1: {type: y}}}}}"),
        around(head="name: x\ntask: {kind: k, input: {use: i}}\nlet: {i: [3, 8, 8]}\n"),
        around("{type: net, a: {repeat: {use: n}, of: {type: x}}}", "let: {n: {choice: [1, 2]}}"),
        around(head="name: x\ntask: {kind: k, input: [3, {use: i}, same]}\nlet: {i: {choice: [8, 16]}}\n"),
    ],
)
def test_unusual_but_right_spaces_are_valid_for_both(text):
    parse_space(text, "f.yaml")
    assert accepts(text)


def test_every_part_of_the_schema_is_reached_from_its_top():
    names: set[str] = set()

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                name = reference.removeprefix("#/$defs/")
                if name not in names:
                    names.add(name)
                    visit(SCHEMA["$defs"][name])
            for below in value.values():
                visit(below)
        elif isinstance(value, list):
            for below in value:
                visit(below)

    top = copy.deepcopy(SCHEMA)
    del top["$defs"]
    visit(top)
    assert names == set(SCHEMA["$defs"])
