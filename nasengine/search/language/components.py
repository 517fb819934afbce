"""Components in a strategy: a registered type by name, its arguments checked against its constructor.

`{type: sgd, rate: 0.1}` and the short form `sgd` both name an optimizer. Arguments that are components themselves
(the optimizer of an evaluator) are read wherever their role says so, even inside a component whose type is not
known: all unknown names of a file are reported at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nasengine.errors import one_of
from nasengine.registry import expected_in
from nasengine.search.language.forms import WRONG, Form, Reader, Schema, described, plain_value, shown
from nasengine.search.language.settings import Component
from nasengine.space.language.arguments import Argument, arguments_of
from nasengine.space.language.calls import check_call
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar

ROLES = ("augmentation", "loss", "optimizer", "sampler", "schedule")  # arguments that are components; also their kind

# What the engine itself hands to a constructor, by kind: these are no settings of a strategy.
HANDED: Mapping[str, frozenset[str]] = {
    "algorithm": frozenset({"domain", "objectives", "seed", "constraints", "probabilities"}),
    "scheduler": frozenset({"source", "budget"}),
    "sampler": frozenset({"domain", "largest", "smallest"}),
}


@dataclass(frozen=True, slots=True)
class ComponentForm:
    """A component of one kind.

    Args:
        kind: "algorithm", "evaluator", "optimizer", …: which table its type is looked up in.
        own: keys beside `type` that are not the constructor's; whoever owns them reads them.
    """

    kind: str
    own: Mapping[str, Form] = field(default_factory=dict)
    about: str = ""

    def read(self, node: YamlNode, path: str, reader: Reader) -> Any:
        if isinstance(node, YamlScalar) and isinstance(node.value, str):
            return read_component(reader, self.kind, node, YamlMapping({}, node.mark, {}), path)
        if not isinstance(node, YamlMapping):
            return reader.note(
                node.mark, f"{path} is {shown(node)}", f"expected the name of its type, or {{type: {self.kind}, …}}"
            )
        if "type" not in node.entries:
            known = one_of(reader.tables.get(self.kind, ()))
            return reader.missing(node, "type", f"{path} has no type", f"expected `type:` with {known}", self.own)
        arguments = without(node, ("type", *self.own))
        return read_component(reader, self.kind, node.entries["type"], arguments, path, self.own)

    def schema(self) -> Schema:
        own = {key: form.schema() for key, form in self.own.items()}
        name = {"$ref": f"#/$defs/{self.kind}"}
        full = {
            "type": "object",
            "properties": {"type": name, **own},
            "required": ["type"],
            "allOf": [{"$ref": f"#/$defs/{self.kind}_arguments"}],
        }
        return {"anyOf": [name, full], **described(self.about)}


def read_component(
    reader: Reader, kind: str, name: YamlNode, arguments: YamlMapping, path: str, own: Iterable[str] = ()
) -> Any:
    """Look a type up, read those of its arguments that are components, check the rest; a Component or WRONG.

    Args:
        reader: takes the problems.
        kind: which table.
        name: the node with the type's name.
        arguments: everything that is meant for the constructor.
        path: where the component stands.
        own: other keys that were valid there; the nearest name of an unknown one may be among them.
    """
    table = reader.tables.get(kind, {})
    before = len(reader.found)
    settings: dict[str, Any] = {}
    wrong = []
    for key, value in arguments.entries.items():
        if is_component(key, value):
            read = reader.read(ComponentForm(key), value, f"{path}.{key}")
            if isinstance(read, Component):
                settings[key] = read.plain()
            else:
                wrong.append(key)
        else:
            settings[key] = plain_value(value, f"{path}.{key}", reader)
    reader.marks[f"{path}.type"] = name.mark
    word = name.value if isinstance(name, YamlScalar) else None
    if not isinstance(word, str):
        return reader.note(name.mark, f"the type of {path} is {shown(name)}", f"expected {one_of(table)}")
    if word not in table:
        shown_kind = kind.split()[-1]  # "retrain trainer" is a trainer
        expected = expected_in(table, word) if table else f"no {shown_kind} is built yet"
        return reader.note(name.mark, f"unknown {shown_kind} {word!r} in {path}", expected)
    _check_arguments(reader, kind, table[word], name, arguments, path, (*own, *wrong))
    return Component(word, settings) if len(reader.found) == before else WRONG


def _check_arguments(
    reader: Reader,
    kind: str,
    constructor: Callable[..., Any],
    name: YamlNode,
    arguments: YamlMapping,
    path: str,
    own: Iterable[str],
) -> None:
    """Note arguments that the constructor does not have, lacks, or would refuse by their kind."""
    parameters = settings_of(kind, constructor)
    handed = HANDED.get(kind, frozenset())
    if not takes_anything(constructor):
        reader.unknown_keys(without(arguments, handed), (*parameters, *own), path)
    roles = [key for key, value in arguments.entries.items() if is_component(key, value)]
    to_check = {*parameters, *handed}.difference(roles)
    known = without(arguments, [key for key in arguments.entries if key not in to_check])
    word = str(name.value) if isinstance(name, YamlScalar) else ""
    placed = YamlMapping(known.entries, name.mark, known.key_marks)  # what is missing is noted at the type
    reader.extend(check_call(placed, constructor, where=path, name=word, supplied=handed, inferred=roles, own=()))


def settings_of(kind: str, constructor: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor that a strategy may set, in their order."""
    handed = HANDED.get(kind, frozenset())
    return {
        key: parameter
        for key, parameter in inspect.signature(constructor).parameters.items()
        if key not in handed and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def strategy_arguments(kind: str, constructor: Callable[..., Any]) -> tuple[Argument, ...]:
    """What a strategy may set of a constructor, for people."""
    return arguments_of(constructor, leave_out=HANDED.get(kind, frozenset()))


def takes_anything(constructor: Callable[..., Any]) -> bool:
    """Whether it has `**keywords`."""
    parameters = inspect.signature(constructor).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def is_component(key: str, node: YamlNode) -> bool:
    """Whether the value of an argument names a type, or should: a word, or a mapping."""
    return key in ROLES and (
        isinstance(node, YamlMapping) or (isinstance(node, YamlScalar) and isinstance(node.value, str))
    )


def without(node: YamlMapping, keys: Iterable[str]) -> YamlMapping:
    """The mapping less some keys."""
    drop = frozenset(keys)
    kept = {key: value for key, value in node.entries.items() if key not in drop}
    return YamlMapping(kept, node.mark, {key: node.key_marks[key] for key in kept})
