"""The space language as a JSON Schema (draft 2020-12), so that editors complete and check space files while one types.

The schema accepts every file that the grammar accepts. It cannot say everything the grammar says (that a label has a
weight only if it is an option, that a `use` names an entry of `let`); `nasengine check` does. Of a file with `extends`
only the outline is described, since a merge patch may hold parts of anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from nasengine.space.holes import HOLE_WORDS
from nasengine.space.language.checks import NAME
from nasengine.space.language.grammar import KEYS
from nasengine.space.language.grammar_options import MAX_OPTIONS
from nasengine.space.language.grammar_proxy import INPUTS, JOINS, OPERATIONS, PROXY_TYPES
from nasengine.space.language.grammar_quantization import SCOPES
from nasengine.space.relations import ORDERS

Schema: TypeAlias = dict[str, Any]

_WORD: Schema = {"type": "string", "pattern": r"\S"}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_PATH: Schema = {"type": "string", "pattern": r"^[^.\s]+(\.[^.\s]+)*$"}
_INTEGER: Schema = {"type": "integer"}


def space_schema(types: Sequence[str] = ()) -> Schema:
    """The JSON Schema of a space file; an editor offers `types` where `type:` stands, which may name others."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nasengine search space",
        "description": "What to search: a constructor call with holes. Any value may be a hole.",
        "type": "object",
        "properties": {
            "name": {**_NAME, "description": "of the space"},
            "about": {**_WORD, "description": "what the space holds, for people"},
            "source": {**_WORD, "description": "who published it"},
            "extends": {**_WORD, "description": "a space of the same folder, or a shipped one, that this file patches"},
        },
        "propertyNames": {"enum": list(KEYS)},
        "if": {"required": ["extends"]},
        "then": {"properties": _outline()},
        "else": _ref("whole"),
        "$defs": {
            "whole": _whole(),
            "plain": {"anyOf": [_SCALAR, {"type": "array", "items": _ref("plain")}]},
            "use": _closed({"use": _WORD}, ["use"], "the value of an entry of let"),
            "node": _node(),
            "mapping": _mapping(),
            "call": _call(types),
            "cell": _cell(),
            **_holes(),
            "count": _count(),
            **_sections(),
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _closed(properties: Schema, required: Sequence[str], description: str = "") -> Schema:
    """A mapping with these keys and no others."""
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {**schema, "description": description} if description else schema


def _or_use(*schemas: Schema) -> Schema:
    """One of these, or an entry of let that holds it."""
    return {"anyOf": [*schemas, _ref("use")]}


def _outline() -> Schema:
    mappings = ("let", "task", "network", "proxy", "constraints", "known")
    outline: Schema = {key: {"type": ["object", "null"]} for key in mappings}
    return outline | {key: {"type": ["array", "object", "null"]} for key in ("quantization", "relations")}


def _whole() -> Schema:
    return {
        "type": "object",
        "properties": {
            "let": {"type": "object", "propertyNames": _NAME, "additionalProperties": _ref("node")},
            "task": _or_use(_ref("task")),
            "network": _ref("node"),
            "proxy": _or_use(_ref("proxy")),
            "quantization": _or_use({"type": "array", "items": _or_use(_ref("rule"))}),
            "constraints": _or_use(_ref("constraints")),
            "relations": _or_use({"type": "array", "items": _or_use(_ref("relation"))}),
            "known": _ref("known"),
        },
        "oneOf": [{"required": ["name", "task", "network"]}, {"required": ["name", "proxy"]}],
    }


def _node() -> Schema:
    return {
        "if": {"type": "object"},
        "then": _ref("mapping"),
        "else": {"anyOf": [_SCALAR, {"type": "array", "items": _ref("node")}]},
    }


def _mapping() -> Schema:
    """A hole if a hole word is among the keys, otherwise a call or settings."""
    cases = [{"if": {"required": [word]}, "then": _ref(word)} for word in HOLE_WORDS]
    is_hole = {"anyOf": [{"required": [word]} for word in HOLE_WORDS]}
    return {"allOf": [*cases, {"if": is_hole, "else": _ref("call")}]}


def _call(types: Sequence[str]) -> Schema:
    offered = {"examples": list(types)} if types else {}
    return {
        "type": "object",
        "description": "a constructor call (with type) or settings; every other key is an argument",
        "properties": {"type": {**_WORD, "description": "what to construct", **offered}},
        "additionalProperties": _ref("node"),
        "propertyNames": {"pattern": r"^[^.\s]+$"},
        "if": {"properties": {"type": {"const": "cell"}}, "required": ["type"]},
        "then": _ref("cell"),
    }


def _cell() -> Schema:
    edges = {
        "type": "object",
        "propertyNames": {"pattern": "^(all|[0-9]+-[0-9]+)$"},
        "additionalProperties": _ref("node"),
    }
    return {
        "description": "a directed acyclic graph; an edge FROM-TO leads from the lower node to the higher",
        "properties": {
            "nodes": _or_use({"type": "integer", "minimum": 2}),
            "edges": edges,
            "output": {"enum": ["last", "concat"]},
        },
        "required": ["nodes", "edges"],
    }


def _options() -> Schema:
    labels = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": MAX_OPTIONS,
        "propertyNames": {**_NAME, "not": {"enum": list(HOLE_WORDS)}},
        "additionalProperties": _ref("node"),
    }
    values = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_OPTIONS,
        "uniqueItems": True,
        "items": _or_use(_ref("plain")),
    }
    return _or_use(values, labels)


def _holes() -> Schema:
    integer = _or_use(_INTEGER)
    weights = {"type": "object", "additionalProperties": _or_use({"type": "number", "exclusiveMinimum": 0})}
    size = _or_use({"type": "integer", "minimum": 0})
    sizes = {"type": "array", "minItems": 2, "maxItems": 2, "items": size}
    subset = _closed({"of": _options(), "size": _or_use({"type": "integer", "minimum": 1}, sizes)}, ["of", "size"])
    steps = {
        "type": "array",
        "minItems": 2,
        "maxItems": 3,
        "prefixItems": [integer, integer, _or_use({"type": "integer", "minimum": 1})],
    }
    return {
        "choice": _closed(
            {"choice": _options(), "weights": _or_use(weights)}, ["choice"], "one of some values or nodes"
        ),
        "range": _closed({"range": _or_use(steps)}, ["range"], "[low, high, step]: an integer, both ends included"),
        "subset": _closed({"subset": _or_use(subset)}, ["subset"], "some of the items, in their order"),
        "repeat": _closed(
            {"repeat": _ref("count"), "of": _ref("node")},
            ["repeat", "of"],
            "copies in one slot",
        ),
        "optional": _closed({"optional": {**_ref("node"), "not": {"type": "null"}}}, ["optional"], "present or absent"),
        "same_as": _closed(
            {"same_as": _or_use({"type": "string", "pattern": r"^\.*[^.\s]+(\.[^.\s]+)*$"})},
            ["same_as"],
            "the value chosen there",
        ),
    }


def _count() -> Schema:
    """An integer, or a choice or range of integers, here or under `let`."""
    integer = {"type": "integer", "minimum": 1}
    return {"anyOf": [integer, _ref("use"), _ref("choice"), _ref("range")]}


def _sections() -> Schema:
    number, words = {"type": "number"}, _or_use(_WORD)
    bounds = {"min": _or_use(number), "max": _or_use(number)}
    paths = {"type": "array", "minItems": 1, "uniqueItems": True, "items": _or_use(_PATH)}
    some_end = {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]}
    order = _closed(
        {"order": _or_use({**paths, "minItems": 2}), "is": _or_use({"enum": list(ORDERS)})}, ["order", "is"]
    )
    total = {**_closed({"sum": _or_use(paths), **bounds}, ["sum"]), **some_end}
    architecture = {"type": "object", "additionalProperties": _ref("plain")}
    return {
        "task": {
            "type": "object",
            "properties": {
                "kind": _or_use(_NAME),
                "input": _or_use(
                    {
                        "type": "array",
                        "minItems": 3,
                        "maxItems": 3,
                        "prefixItems": [
                            _or_use({"type": "integer", "minimum": 1}),
                            _ref("count"),
                            _or_use({"type": "integer", "minimum": 1}, {"const": "same"}),
                        ],
                        "description": "[channels, height, width]; the height may be a hole, the width then is `same`",
                    }
                ),
            },
            "required": ["kind", "input"],
            "additionalProperties": _or_use(_SCALAR),
        },
        "rule": _rule(words),
        "constraints": {
            "type": "object",
            "additionalProperties": _or_use({**_closed(bounds, []), **some_end}),
            "description": "{cost: {min: number, max: number}}",
        },
        "relation": {"anyOf": [order, total]},
        "known": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"architecture": architecture, "about": _WORD},
                "required": ["architecture"],
                "additionalProperties": number,
                "description": "a named architecture, with its published costs",
            },
        },
        "proxy": _proxy(),
    }


def _rule(words: Schema) -> Schema:
    formats = _or_use(_WORD, _ref("choice"))
    quantizer = _or_use(_WORD, {"type": "object"})
    keys = {
        "at": words,
        "per": _or_use({"enum": list(SCOPES)}),
        **dict.fromkeys(("format", "weight_format", "activation_format"), formats),
        **dict.fromkeys(("weights", "activations"), quantizer),
    }
    parts = {"anyOf": [{"required": ["weight_format"]}, {"required": ["activation_format"]}]}
    return {**_closed(keys, ["at"]), "oneOf": [{"required": ["format"]}, parts]}


def _proxy() -> Schema:
    def words(known: Sequence[str]) -> Schema:
        return {"anyOf": [{"enum": list(known)}, {"type": "object"}]}  # a hole; its options the grammar checks

    operations = {"type": "array", "minItems": 1, "items": words(OPERATIONS)}
    branch = _closed(
        {"input": words(INPUTS), "operations": {"anyOf": [operations, {"type": "object"}]}}, ["input", "operations"]
    )
    branches = {"type": "array", "minItems": 2, "items": _or_use(branch)}
    keys = {"type": {"enum": list(PROXY_TYPES)}, "branches": _or_use(branches), "join": words(JOINS)}
    return _closed(keys, ["type", "branches", "join"])
