"""The strategy language as a JSON Schema (draft 2020-12), made from the tables that the reader itself uses.

It accepts every strategy that the grammar accepts, also one that names types of a plug-in: the names that are built
are there for completion. What phases say of one another is left to `nasengine check`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from nasengine.search.language.components import ROLES, ComponentForm, settings_of, strategy_arguments
from nasengine.search.language.forms import Schema, Tables, described
from nasengine.search.language.grammar import DATA, EVALUATOR, KINDS, LAG, PHASES, TEXTS, ObjectiveForm
from nasengine.search.language.settings import DEFAULT_LAG, DataSettings, RetrainPhase
from nasengine.search.language.tables import PLAIN_TRAINER, built_tables
from nasengine.space.language.arguments import Argument


def strategy_schema(tables: Tables | None = None) -> Schema:
    """The JSON Schema of a strategy file."""
    tables = built_tables() if tables is None else tables
    text: Schema = {"type": "string"}
    properties: Schema = {
        **{key: form.schema() for key, form in TEXTS.items()},
        "data": _with_defaults(DATA.schema(), DataSettings),
        "objectives": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": ObjectiveForm().schema(),
            "description": "what is wanted: name of a measurement or a cost -> maximize, minimize, or with bounds",
        },
        "lag": {**LAG.schema(), "default": DEFAULT_LAG},
        "phases": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {kind: {"$ref": f"#/$defs/{kind}_phase"} for kind in KINDS},
            },
            "description": "what is done, in this order",
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nasengine strategy",
        "description": "How to search: data, objectives, and phases in their order.",
        "type": "object",
        "properties": properties,
        "required": ["objectives", "phases"],
        "additionalProperties": False,
        "$defs": {
            **{
                _word(kind): {"anyOf": [{"enum": list(table)}, text]} if table else text
                for kind, table in tables.items()
            },
            **{f"{_word(kind)}_arguments": _arguments(kind, tables) for kind in tables},
            **{f"{kind}_phase": _phase(kind, tables) for kind in KINDS},
        },
    }


def _arguments(kind: str, tables: Tables) -> Schema:
    """Which keys may stand beside the types that are built, and that some of them are components."""
    own = tuple(EVALUATOR) if kind == "evaluator" else ()
    rules = []
    for name, constructor in tables[kind].items():
        arguments = strategy_arguments(kind, constructor)
        settings = [argument.name for argument in arguments]
        texts = {argument.name: _text_of(argument) for argument in arguments}
        components = {key: {**schema, **texts[key]} for key, schema in _roles(settings).items()}
        then = {"propertyNames": {"enum": ["type", *own, *settings]}, "properties": {**texts, **components}}
        rules.append({"if": {"properties": {"type": {"const": name}}}, "then": then})
    return {"allOf": rules} if rules else {}


def _text_of(argument: Argument) -> Schema:
    default = {} if argument.required or argument.default is None else {"default": argument.default}
    return {**described(argument.about), **default}


def _with_defaults(schema: Schema, record: type[DataSettings | RetrainPhase]) -> Schema:
    """The schema of a mapping, with the defaults of the record that it becomes."""
    properties = schema["properties"]
    given = {f.name: f.default for f in fields(record) if isinstance(f.default, (str, int, float))}
    told = {key: {**value, "default": given[key]} if key in given else value for key, value in properties.items()}
    return {**schema, "properties": told}


def _roles(settings: Iterable[str]) -> Schema:
    return {key: ComponentForm(key).schema() for key in settings if key in ROLES}


def _word(kind: str) -> str:
    """A kind as part of a reference."""
    return kind.replace(" ", "_")


def _phase(kind: str, tables: Tables) -> Schema:
    forms = PHASES[kind]
    properties = {key: form.schema() for key, form in forms.items()}
    if kind == "search":
        required = ["algorithm"]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
            "description": "candidates asked for, measured and told",
        }
    trainer: Schema = {"$ref": f"#/$defs/{kind}_trainer", "description": "what trains; keys that are not here are its"}
    phase: Schema = {"type": "object", "properties": {**properties, "trainer": trainer, **_roles(ROLES)}}
    if kind == "prepare":
        about = "something trained or measured before the search; keys beside these are the trainer's"
        return {**phase, "required": ["trainer"], "description": about}
    plain = settings_of("retrain trainer", tables["retrain trainer"][PLAIN_TRAINER])
    trainer["default"] = PLAIN_TRAINER
    return {
        **_with_defaults(phase, RetrainPhase),
        "if": {"required": ["trainer"]},
        "else": {"propertyNames": {"enum": [*forms, *plain, *ROLES]}},
        "description": "what was found is trained to the end and tested; keys beside these are the trainer's",
    }
