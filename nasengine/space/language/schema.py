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
from nasengine.space.language.grammar_cell import MAX_CELL_NODES, OUTPUTS
from nasengine.space.language.grammar_options import MAX_OPTIONS
from nasengine.space.language.grammar_proxy import INPUTS, JOINS, OPERATIONS, PROXY_TYPES
from nasengine.space.language.grammar_quantization import SCOPES
from nasengine.space.language.keys import (
    BOUNDS,
    BRANCH,
    CALL,
    CELL,
    HOLES,
    KNOWN,
    ORDER,
    PROXY,
    RULE,
    SPACE,
    SUBSET,
    SUM,
    TASK,
    Keys,
)
from nasengine.space.relations import ORDERS

Schema: TypeAlias = dict[str, Any]

# Titles are how a value is named for people; the reference page prints them.
_WORD: Schema = {"title": "text", "type": "string", "pattern": r"\S"}
_TEXT: Schema = {**_WORD, "type": ["string", "null"]}  # null drops that of the space that is extended
_NAME: Schema = {"title": "a name", "type": "string", "pattern": f"^{NAME.pattern}$"}
_SCALAR: Schema = {"title": "a plain value", "type": ["string", "number", "boolean", "null"]}
_PATH: Schema = {"title": "the path of a choice", "type": "string", "pattern": r"^[^.\s]+(\.[^.\s]+)*$"}
_INTEGER: Schema = {"type": "integer"}


def space_schema(types: Sequence[str] = ()) -> Schema:
    """The JSON Schema of a space file; an editor offers `types` where `type:` stands, which may name others."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nasengine search space",
        "description": "What to search: a constructor call with holes. Any value may be a hole.",
        "type": "object",
        "properties": _described(SPACE, {"name": _NAME, "about": _TEXT, "source": _TEXT, "extends": _WORD}),
        "propertyNames": {"enum": list(SPACE.names)},
        "if": {"required": ["extends"]},
        "then": {"properties": _outline()},
        "else": _ref("whole"),
        "$defs": {
            "whole": _whole(),
            "plain": {"title": "a plain value", "anyOf": [_SCALAR, {"type": "array", "items": _ref("plain")}]},
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


def _closed(keys: Keys, values: Schema) -> Schema:
    """A mapping with these keys and no others; `values` has what may stand behind each."""
    assert tuple(values) == keys.names, f"the schema and the table differ: {tuple(values)}, {keys.names}"
    schema = {"type": "object", "description": keys.about, "properties": _described(keys, values)}
    return {**schema, "required": list(keys.required), "additionalProperties": False}


def _others(keys: Keys, value: Schema) -> Schema:
    """What may stand behind any other key, with what the table says of it."""
    assert keys.others, f"the table knows no other keys of {keys.about}"
    return {**value, "description": keys.others}


def _described(keys: Keys, values: Schema) -> Schema:
    """What may stand behind each key, with what the table says of it."""
    return {name: {**value, **keys.table[name].schema()} for name, value in values.items()}


def _or_use(*schemas: Schema) -> Schema:
    """One of these, or an entry of let that holds it."""
    return {"anyOf": [*schemas, _ref("use")]}


def _outline() -> Schema:
    mappings = ("let", "task", "network", "proxy", "constraints", "known")
    outline: Schema = {key: {"type": ["object", "null"]} for key in mappings}
    return outline | {key: {"type": ["array", "object", "null"]} for key in ("quantization", "relations")}


def _whole() -> Schema:
    values = {
        "about": _WORD,
        "source": _WORD,
        "let": {"type": "object", "propertyNames": _NAME, "additionalProperties": _ref("node")},
        "task": _or_use(_ref("task")),
        "network": _ref("node"),
        "proxy": _or_use(_ref("proxy")),
        "quantization": _or_use({"type": "array", "items": _or_use(_ref("rule"))}),
        "constraints": _or_use(_ref("constraints")),
        "relations": _or_use({"type": "array", "items": _or_use(_ref("relation"))}),
        "known": _ref("known"),
    }
    return {
        "type": "object",
        "properties": _described(SPACE, values),
        "oneOf": [{"required": ["name", "task", "network"]}, {"required": ["name", "proxy"]}],
    }


def _node() -> Schema:
    return {
        "description": "any value of a network: plain, a list, a hole, a constructor call or a group of settings",
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
        "description": CALL.about,
        "properties": _described(CALL, {"type": {**_WORD, **offered}}),
        "additionalProperties": _others(CALL, _ref("node")),
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
    values = {
        "type": {"const": "cell"},
        "nodes": _or_use({"type": "integer", "minimum": 2, "maximum": MAX_CELL_NODES}),
        "edges": edges,
        "output": {"enum": list(OUTPUTS)},
    }
    return {"description": CELL.about, "properties": _described(CELL, values), "required": list(CELL.required)}


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
    subset = _closed(SUBSET, {"of": _options(), "size": _or_use({"type": "integer", "minimum": 1}, sizes)})
    steps = {
        "type": "array",
        "minItems": 2,
        "maxItems": 3,
        "prefixItems": [integer, integer, _or_use({"type": "integer", "minimum": 1})],
    }
    elsewhere = {"title": "a path", "type": "string", "pattern": r"^\.*[^.\s]+(\.[^.\s]+)*$"}
    values: Schema = {
        "choice": {"choice": _options(), "weights": _or_use(weights)},
        "range": {"range": _or_use(steps)},
        "subset": {"subset": _or_use(subset)},
        "repeat": {"repeat": _ref("count"), "of": _ref("node")},
        "optional": {"optional": {**_ref("node"), "not": {"type": "null"}}},
        "use": {"use": _WORD},
        "same_as": {"same_as": _or_use(elsewhere)},
    }
    return {word: _closed(HOLES[word], values[word]) for word in HOLE_WORDS}


def _count() -> Schema:
    """An integer, or a choice or range of integers, here or under `let`."""
    integer = {"type": "integer", "minimum": 1}
    return {"anyOf": [integer, _ref("use"), _ref("choice"), _ref("range")]}


def _sections() -> Schema:
    number = {"type": "number"}
    bounds = {"min": _or_use(number), "max": _or_use(number)}
    paths = {"type": "array", "minItems": 1, "uniqueItems": True, "items": _or_use(_PATH)}
    some_end = {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]}
    architecture = {"type": "object", "additionalProperties": _ref("plain")}
    known = _closed(KNOWN, {"architecture": architecture, "about": _WORD})
    return {
        "task": _task(),
        "rule": _rule(),
        "constraints": {
            "type": "object",
            "additionalProperties": _or_use(_ref("bounds")),
            "description": "{cost: {min: number, max: number}}",
        },
        "bounds": {**_closed(BOUNDS, bounds), **some_end},
        "relation": {"anyOf": [_ref("order"), _ref("sum")]},
        "order": _closed(ORDER, {"order": _or_use({**paths, "minItems": 2}), "is": _or_use({"enum": list(ORDERS)})}),
        "sum": {**_closed(SUM, {"sum": _or_use(paths), **bounds}), **some_end},
        "known": {"type": "object", "additionalProperties": _ref("known_architecture")},
        "known_architecture": {**known, "additionalProperties": _others(KNOWN, number)},
        "proxy": _proxy(),
        "branch": _closed(BRANCH, {"input": _words(INPUTS), "operations": _series(OPERATIONS)}),
    }


def _task() -> Schema:
    size = {"type": "integer", "minimum": 1}
    shape = {
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "prefixItems": [_or_use(size), _ref("count"), _or_use(size, {"const": "same"})],
    }
    task = _closed(TASK, {"kind": _or_use(_NAME), "input": _or_use(shape)})
    return {**task, "additionalProperties": _others(TASK, _or_use(_SCALAR))}


def _rule() -> Schema:
    formats = _or_use(_WORD, _ref("choice"))
    quantizer = _or_use(_WORD, {"type": "object"})
    values = {
        "at": _or_use(_WORD),
        "per": _or_use({"enum": list(SCOPES)}),
        **dict.fromkeys(("format", "weight_format", "activation_format"), formats),
        **dict.fromkeys(("weights", "activations"), quantizer),
    }
    parts = {"anyOf": [{"required": ["weight_format"]}, {"required": ["activation_format"]}]}
    return {**_closed(RULE, values), "oneOf": [{"required": ["format"]}, parts]}


def _proxy() -> Schema:
    branches = {"type": "array", "minItems": 2, "items": _or_use(_ref("branch"))}
    return _closed(PROXY, {"type": {"enum": list(PROXY_TYPES)}, "branches": _or_use(branches), "join": _words(JOINS)})


def _words(known: Sequence[str]) -> Schema:
    return {"anyOf": [{"enum": list(known)}, _hole()]}


def _series(known: Sequence[str]) -> Schema:
    return {"anyOf": [{"type": "array", "minItems": 1, "items": _words(known)}, _hole()]}


def _hole() -> Schema:
    """A hole whose options the grammar checks."""
    return {"title": "a hole", "type": "object"}
