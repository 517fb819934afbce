"""Parts of a recipe (optimizer, schedule, augmentation) made from plain values: `sgd` or `{type: sgd, rate: 0.1}`.

The arguments are checked against the constructor's signature: unknown, missing and of the wrong kind, all at once.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from nasengine.errors import InputError, Problem, nearest, one_of
from nasengine.registry import look_up

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
        return look_up(table, value, kind)()
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        example = next(iter(table), "NAME")
        found = f"{kind} is {value!r}"
        raise InputError(Problem(found, expected=f"expected a name or {{type: {example}, …}}; {one_of(table)}"))
    name = value["type"]
    constructor = look_up(table, name, kind)
    return call_checked(constructor, {k: v for k, v in value.items() if k != "type"}, where=f"{kind} {name!r}")


def call_checked(constructor: Callable[..., Made], arguments: Mapping[str, object], *, where: str) -> Made:
    """Call a constructor with keyword arguments, after checking them against its signature.

    Raises:
        InputError: every argument that is unknown, missing or of the wrong kind, or what the constructor refuses.
    """
    problems = check_arguments(constructor, arguments, where=where)
    if problems:
        raise InputError(problems)
    return constructor(**arguments)


def check_arguments(
    constructor: Callable[..., object], arguments: Mapping[str, object], *, where: str, given: int = 0
) -> list[Problem]:
    """What is wrong with the keyword arguments of a call.

    Args:
        constructor: a class or function with annotations.
        arguments: by name.
        where: for messages: "optimizer 'sgd'".
        given: so many leading parameters are given otherwise.
    """
    parameters = dict(list(inspect.signature(constructor).parameters.items())[given:])
    hints = typing.get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    problems = []
    for name, value in arguments.items():
        if name not in parameters:
            expected = f"expected {one_of(parameters)}{nearest(name, parameters)}"
            problems.append(Problem(f"unknown argument {name!r} of {where}", expected=expected))
        elif name in hints and not fits(value, hints[name]):
            problems.append(Problem(f"{name!r} of {where} is {value!r}", expected=f"expected {describe(hints[name])}"))
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in arguments:
            problems.append(Problem(f"{where} lacks its argument {name!r}", expected=f"expected {name}: …"))
    return problems


def fits(value: object, hint: Any) -> bool:
    """Whether a plain value is of the annotated kind; an integer is a number, True is no integer."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint in (int, str, bool):
        return type(value) is hint
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return isinstance(value, (list, tuple)) and all(fits(item, arguments[0]) for item in value)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    return True  # an annotation that plain values cannot be checked against; the constructor judges


def describe(hint: Any) -> str:
    """An annotation in words: "a number or nothing"."""
    words = {float: "a number", int: "an integer", str: "a word", bool: "true or false", type(None): "nothing"}
    if hint in words:
        return words[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin is tuple:
        return f"a list, each {describe(arguments[0])}"
    return "a mapping" if inspect.isclass(origin) and issubclass(origin, Mapping) else str(hint)
