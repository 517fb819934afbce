"""Parts of a recipe (optimizer, schedule, augmentation) made from plain values: `sgd` or `{type: sgd, rate: 0.1}`.

The arguments are checked against the constructor's signature first, by the same rules as in spaces and strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.registry import look_up
from nasengine.space.language.calls import check_call
from nasengine.space.language.yaml import YamlMapping, from_plain

Made = TypeVar("Made")


def make_component(table: Mapping[str, Callable[..., Made]], value: object, *, kind: str) -> Made:
    """What `value` describes: an entry's name, or a mapping with its name under `type` and its arguments.

    Args:
        table: name -> constructor with typed keyword arguments.
        value: as parsed from a strategy.
        kind: for messages: "optimizer".

    Raises:
        InputError: every problem of the value.
    """
    if isinstance(value, str):
        return call_checked(look_up(table, value, kind), {}, where=kind, name=value)
    if isinstance(value, Mapping) and "type" not in value:
        misspelt = "".join(nearest(key, ["type"]) for key in value)
        raise InputError(Problem(f"{kind} has no type", expected=f"expected `type:` with {one_of(table)}{misspelt}"))
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        example = next(iter(table), "NAME")
        expected = f"expected a name or {{type: {example}, …}}; {one_of(table)}"
        raise InputError(Problem(f"{kind} is {value!r}", expected=expected))
    name = value["type"]
    arguments = {key: argument for key, argument in value.items() if key != "type"}
    return call_checked(look_up(table, name, kind), arguments, where=kind, name=name)


def call_checked(constructor: Callable[..., Made], arguments: Mapping[str, object], *, where: str, name: str) -> Made:
    """Call a constructor with keyword arguments; lists become tuples, since settings are frozen.

    Args:
        constructor: with annotations.
        arguments: plain values by name.
        where, name: for messages: "the argument 'rate' of NAME in WHERE".

    Raises:
        InputError: every argument that is unknown, missing or of the wrong kind, or what the constructor refuses.
    """
    problems: list[Problem] = []
    try:
        node = from_plain(arguments, where)
        assert isinstance(node, YamlMapping), "a mapping stays one"
        problems += check_call(node, constructor, where=where, name=name, own=())
    except InputError as error:
        problems += error.problems
    if problems:  # their marks point into no file: whoever read one has checked before
        raise InputError([replace(problem, mark=None) for problem in problems])
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return constructor(**frozen)
