"""Checks the arguments of a `type:` mapping against the signature of what it calls, before anything is called.

Serves spaces, where an argument may be a hole (every option must fit), and strategies, where all values are plain.
Only what is sure to be wrong is complained of: an argument without an annotation, or with one that YAML cannot
express, takes anything.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin

from nasengine.errors import Mark, Problem, nearest, one_of
from nasengine.space.holes import (
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    Range,
    Repeat,
    SameAs,
    Scalar,
    Subset,
    Use,
    Value,
)
from nasengine.space.language.checks import describe
from nasengine.space.language.yaml import YamlMapping, YamlNode, YamlScalar, YamlSequence

AnyNode = Node | YamlNode

_NOTHING_SHARED: Mapping[str, Node] = {}
_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection,
          collections.abc.MutableSequence, collections.abc.Set)  # fmt: skip
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SCALAR_NAMES: Mapping[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a word",
    type(None): "null",
}


def check_call(
    node: MapOf | YamlMapping,
    target: Callable[..., object],
    *,
    where: str,
    name: str = "",
    supplied: Collection[str] = (),
    inferred: Collection[str] = (),
    own: Collection[str] = ("type",),
    let: Mapping[str, Node] = _NOTHING_SHARED,
    has_places: bool = False,
) -> list[Problem]:
    """Compare a mapping with the parameters of a class or function. Calls below it are not looked into.

    Args:
        node: the mapping; its keys are the arguments.
        target: what will be called with them by name.
        where: dotted path of the node, for messages.
        name: what to call the target in messages; the value of `type:` if empty.
        supplied: parameters that the program passes itself; writing them is an error.
        inferred: parameters that may be written and are found out otherwise.
        own: keys of the mapping that are no arguments.
        let: entries that `{use: …}` in the mapping refers to.
        has_places: whether one node may stand where a list of nodes is asked for, since the target says how many.

    Returns: unknown arguments (with the nearest name), missing ones, values of the wrong kind; no excerpts.
    """
    called = name or _type_name(node) or getattr(target, "__name__", "this")
    signature = _signature(target)
    if signature is None:
        return []
    problems: list[Problem] = []
    known = [parameter for parameter in signature.names if parameter not in supplied]
    for key, value in node.entries.items():
        mark = node.key_marks.get(key, value.mark)
        if key in own:
            continue
        if key in supplied and key in signature.names:
            message = f"the argument {key!r} of {called} in {where} is set by the engine"
            problems.append(Problem(message, mark, "leave it out"))
        elif key in signature.names:
            annotation = signature.annotations.get(key, Any)
            misfits = _misfits(value, _or_one_node(annotation) if has_places else annotation, let)
            message = f"the argument {key!r} of {called} in {where} is"
            problems.extend(Problem(f"{message} {w.found}", w.mark, f"expected {w.expected}") for w in misfits)
        elif not signature.takes_any:
            message = f"unknown argument {key!r} of {called} in {where}"
            problems.append(Problem(message, mark, f"expected {one_of(known)}{nearest(key, known)}"))
    missing = [p for p in signature.required if p not in node.entries and p not in supplied and p not in inferred]
    problems.extend(
        Problem(
            f"{called} in {where} lacks the argument {parameter!r}",
            node.mark,
            f"expected {parameter}: {describe_kind(signature.annotations.get(parameter, Any))}",
        )
        for parameter in missing
    )
    return problems


def _or_one_node(annotation: Any) -> Any:
    """A list of nodes, or one of them; anything else as it is."""
    items = get_args(annotation) if get_origin(annotation) in _LISTS else ()
    takes_nodes = len(items) == 1 and describe_kind(items[0]) == "a node with a type"
    return items[0] | annotation if takes_nodes else annotation


def describe_kind(annotation: Any) -> str:
    """What an annotation asks for, in words: "an integer or null", "a list of integers"."""
    annotation = _underlying(annotation)
    if annotation in _SCALAR_NAMES:
        return _SCALAR_NAMES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _is_union(annotation):
        return " or ".join(dict.fromkeys(describe_kind(argument) for argument in arguments))
    if origin is Literal:
        return one_of(arguments)
    if annotation in _LISTS or origin in _LISTS:
        items = [argument for argument in arguments if argument is not Ellipsis]
        if origin is tuple and Ellipsis not in arguments and items:
            return f"a list of {len(items)}: {', '.join(describe_kind(item) for item in items)}"
        return f"a list, each item {describe_kind(items[0])}" if items and items[0] is not Any else "a list"
    if annotation in _MAPPINGS or origin in _MAPPINGS:
        return "a mapping"
    if _takes_words(annotation):
        return "a word"
    is_class = inspect.isclass(annotation) and annotation not in (Any, object)  # Any is a class to Python
    return "a node with a type" if is_class else "a value"


@dataclass(frozen=True, slots=True)
class _Signature:
    names: tuple[str, ...]
    required: tuple[str, ...]
    takes_any: bool
    annotations: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Misfit:
    mark: Mark
    found: str
    expected: str


@functools.lru_cache(maxsize=1024)
def _signature(target: Callable[..., object]) -> _Signature | None:
    """The parameters one can pass by name; None where Python does not know them."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):
        return None
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return _Signature(
        names=tuple(p.name for p in named),
        required=tuple(p.name for p in named if p.default is p.empty),
        takes_any=any(p.kind is p.VAR_KEYWORD for p in parameters),
        annotations=annotations_of(target),
    )


def annotations_of(target: Callable[..., object]) -> Mapping[str, Any]:
    """The annotations of what can be passed by name; empty where they cannot be told."""
    while isinstance(target, functools.partial):
        target = target.func
    function = target.__init__ if inspect.isclass(target) else target
    if not hasattr(function, "__annotations__") and callable(function):
        function = type(function).__call__
    try:
        return typing.get_type_hints(function)
    except Exception:  # a name that exists for type checkers only: nothing is sure about these arguments
        return {}


def _type_name(node: MapOf | YamlMapping) -> str:
    kind = node.entries.get("type")
    value = kind.value if isinstance(kind, (Value, YamlScalar)) else None
    return value if isinstance(value, str) else ""


def _cases(node: AnyNode, let: Mapping[str, Node]) -> Iterator[AnyNode]:
    """What can come to stand where `node` stands: plain nodes, subsets and repeats (which become lists)."""
    match node:
        case Choice(options=options):
            for option in options:
                yield from _cases(option.node, let)
        case Maybe(of=of):
            yield from _cases(of, let)
        case Use(name=name):
            if name in let:
                yield from _cases(let[name], let)
        case SameAs():  # its target is an argument that is checked where it stands
            return
        case Range(low=low, mark=mark):
            yield Value(low, mark)
        case _:
            yield node


def _misfits(node: AnyNode, annotation: Any, let: Mapping[str, Node]) -> list[_Misfit]:
    return [wrong for case in _cases(node, let) for wrong in _case_misfits(case, annotation, let)]


def _case_misfits(node: AnyNode, annotation: Any, let: Mapping[str, Node]) -> list[_Misfit]:
    """What in one plain node does not fit; empty if all does, or if nothing is sure."""
    annotation = _underlying(annotation)
    if annotation is Any or annotation is object or annotation is inspect.Parameter.empty:
        return []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _is_union(annotation):
        return _union_misfits(node, annotation, arguments, let)
    wrong = [_misfit(node, annotation)]
    if isinstance(node, (Value, YamlScalar)):
        return [] if _scalar_fits(node.value, annotation) else wrong
    if annotation in _SCALAR_NAMES or origin is Literal or _takes_words(annotation):
        return wrong
    is_list, is_mapping = annotation in _LISTS or origin in _LISTS, annotation in _MAPPINGS or origin in _MAPPINGS
    if isinstance(node, (MapOf, YamlMapping)):
        if is_list:
            return wrong
        if is_mapping and len(arguments) == 2:
            return [w for entry in node.entries.values() for w in _misfits(entry, arguments[1], let)]
        return []
    if is_mapping:
        # a subset of named nodes is a list; so is a repeat: neither becomes a mapping
        return wrong
    return _items_misfits(node, origin, arguments, wrong, let) if is_list else []


def _items_misfits(
    node: AnyNode, origin: Any, arguments: Sequence[Any], wrong: list[_Misfit], let: Mapping[str, Node]
) -> list[_Misfit]:
    items: Sequence[AnyNode]
    match node:
        case ListOf(items=items) | YamlSequence(items=items):
            fixed = origin is tuple and arguments and Ellipsis not in arguments
            if fixed:
                if len(items) != len(arguments):
                    return wrong
                return [w for item, kind in zip(items, arguments, strict=True) for w in _misfits(item, kind, let)]
        case Subset(items=options):
            items = [option.node for option in options]
        case Repeat(of=of):
            items = [of]
        case _:
            return []
    kind = arguments[0] if arguments else Any
    return [w for item in items for w in _misfits(item, kind, let)]


def _union_misfits(node: AnyNode, annotation: Any, members: Sequence[Any], let: Mapping[str, Node]) -> list[_Misfit]:
    found = [_case_misfits(node, member, let) for member in members]
    if any(not wrong for wrong in found):
        return []
    inside = [wrong for wrong in found if all(w.mark != node.mark for w in wrong)]
    if len(inside) == 1:  # the member of the same shape: its items are what is wrong
        return inside[0]
    return [_misfit(node, annotation)]


def _misfit(node: AnyNode, annotation: Any) -> _Misfit:
    """A node that does not fit, with the nearest of the words that would."""
    members = [_underlying(member) for member in get_args(annotation)] if _is_union(annotation) else [annotation]
    words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
    value = node.value if isinstance(node, (Value, YamlScalar)) else None
    hint = nearest(value, words) if isinstance(value, str) else ""
    return _Misfit(node.mark, describe(node), describe_kind(annotation) + hint)


def _scalar_fits(value: Scalar, annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Literal:
        return any(value == allowed and type(value) is type(allowed) for allowed in get_args(annotation))
    if annotation is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if annotation in _SCALAR_NAMES:
        return type(value) is annotation
    if annotation in (*_LISTS, *_MAPPINGS) or origin in (*_LISTS, *_MAPPINGS):
        return False
    if inspect.isclass(annotation) and not getattr(annotation, "_is_protocol", False):
        return isinstance(value, (str, annotation))  # a word may be the short form of {type: word}
    return True


def _underlying(annotation: Any) -> Any:
    """The annotation behind Annotated, NewType and a `type` statement."""
    while True:
        if get_origin(annotation) is typing.Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def _takes_words(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, PurePath)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
