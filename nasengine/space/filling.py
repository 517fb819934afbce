"""Puts an architecture's options into the holes of a tree: what is left is one constructor call, ready to build.

A `use` is filled with the decisions under `let`, but each place it stands at is a node of its own: `Call.path`
says where the call stands, so that weights and messages belong to the place and not to the decision.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from nasengine.errors import InputError, Mark, Problem
from nasengine.space.holes import (
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    Option,
    Range,
    Repeat,
    SameAs,
    SpaceTree,
    Subset,
    Task,
    Use,
    Value,
)
from nasengine.space.locating import Located
from nasengine.space.options import followed, option_key, option_path


class Absent(enum.Enum):
    """The type of `ABSENT`, which fills the slot of an optional that is not there."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Call:
    """A constructor call without holes.

    Args:
        type: what `type:` names.
        arguments: name -> scalar, list, dict (a mapping without `type`), Call, or ABSENT. A repeat is the list of
            its copies, a chosen subset the list of its items; an absent optional keeps its place in a list.
        path: where the call stands in the tree, the labels of chosen options included.
        mark, argument_marks: where it and its arguments are written.
    """

    type: str
    arguments: dict[str, Any]
    path: str
    mark: Mark
    argument_marks: Mapping[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filled:
    """A whole space without holes; `input_shape` is (channels, height, width), None without a task."""

    root: Call
    input_shape: tuple[int, int, int] | None
    task: Task | None


def fill(tree: SpaceTree, targets: Mapping[str, Located], architecture: Mapping[str, Any]) -> Filled:
    """Fill every hole of a tree.

    Args:
        targets: path at which a `same_as` stands -> what it repeats.
        architecture: path -> option, complete.

    Raises:
        InputError: the architecture lacks a choice, or has an option that is none.
    """
    filling = _Filling(tree, targets, architecture)
    root = filling.value(tree.root, tree.root_key, tree.root_key)
    if not isinstance(root, Call):
        raise InputError(
            Problem(f"{tree.root_key} is not a constructor call", tree.root.mark, "expected a mapping with `type:`")
        )
    return Filled(root, filling.input_shape(), tree.task)


@dataclass(frozen=True, slots=True)
class _Filling:
    tree: SpaceTree
    targets: Mapping[str, Located]
    architecture: Mapping[str, Any]

    def value(self, node: Node, path: str, place: str) -> Any:
        """The value of a node whose choices have the path `path` and which stands at `place`."""
        match node:
            case Value():
                return node.value
            case ListOf():
                return [self.value(item, f"{path}.{i}", f"{place}.{i}") for i, item in enumerate(node.items)]
            case MapOf():
                return self.mapping(node, path, place)
            case Choice():
                position = _position(node.options, self.option(path, node.mark), path, node.mark)
                return self.below(node, node.options[position], position, path, place)
            case Range():
                return self.option(path, node.mark)
            case Subset():
                positions = [_position(node.items, label, path, node.mark) for label in self.option(path, node.mark)]
                return [self.below(node, node.items[i], i, path, place) for i in positions]
            case Repeat():
                hole, decided = followed(node.count, f"{path}.repeat", self.tree.let)
                count = cast(int, hole.value if isinstance(hole, Value) else self.option(decided, node.mark))
                return [self.value(node.of, f"{path}.{i}", f"{place}.{i}") for i in range(count)]
            case Maybe():
                present = self.option(f"{path}.present", node.mark)
                return self.value(node.of, path, place) if present else ABSENT
            case Use():
                return self.value(self.tree.let[node.name], f"let.{node.name}", place)
            case SameAs():
                target = self.targets[path]
                return self.value(target.node, target.path, place)

    def mapping(self, node: MapOf, path: str, place: str) -> Call | dict[str, Any]:
        values = {key: self.value(entry, f"{path}.{key}", f"{place}.{key}") for key, entry in node.entries.items()}
        if "type" not in values:
            return values
        named = values.pop("type")
        marks = {key: node.key_marks.get(key, entry.mark) for key, entry in node.entries.items()}
        return Call(str(named), values, place, node.mark, marks)

    def below(self, node: Choice | Subset, option: Option, position: int, path: str, place: str) -> Any:
        """The value of an option that is taken."""
        return self.value(
            option.node,
            option_path(path, node.named, option, position),
            option_path(place, node.named, option, position),
        )

    def option(self, path: str, mark: Mark) -> Any:
        try:
            return self.architecture[path]
        except KeyError:
            raise InputError(Problem(f"the architecture says nothing about {path}", mark)) from None

    def input_shape(self) -> tuple[int, int, int] | None:
        task = self.tree.task
        if task is None:
            return None
        height = self.value(task.height, "task.resolution", "task.resolution")
        width = height if task.width is None else task.width.value
        return (task.channels, cast(int, height), cast(int, width))


def _position(options: tuple[Option, ...], label: Any, path: str, mark: Mark) -> int:
    for position, option in enumerate(options):
        if option.label is label:  # as in every architecture that the space made itself
            return position
    wanted = option_key(label)
    for position, option in enumerate(options):
        if option_key(option.label) == wanted:
            return position
    raise InputError(Problem(f"the architecture has {label!r} at {path}, which is no option there", mark))
