"""The tree that a space file becomes: plain values, and the holes in it that an architecture fills.

Every node keeps the mark of the YAML node it came from, so that an error found much later (a constructor
that refuses an argument) still points into the user's file. Nodes have no path of their own: the path of a
choice is where it stands in the tree, and an alias is an independent copy at each place it stands.

    path of a hole                      example
    value or label of a choice          network.layers.1.kernel
    below a chosen label                network.layers.2.branches.three.width
    chosen items of a subset            network.downsample_at; below an item: …branches.LABEL.width
    number of copies of a repeat        network.layers.3.repeat, or let.NAME; in copy i: network.layers.3.i.kernel
    presence of an optional             network.stages.0.blocks.1.present; inside it: …blocks.1.heads
    anything under let                  let.NAME, let.NAME.edges.0-1
    resolution of the task's input      task.resolution, or let.NAME
    format of a quantization rule       quantization.PATH
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nasengine.errors import Mark

Scalar: TypeAlias = str | int | float | bool | None

HOLE_WORDS = ("choice", "range", "subset", "repeat", "optional", "use", "same_as")


@dataclass(frozen=True, slots=True)
class Value:
    """A plain scalar."""

    value: Scalar
    mark: Mark


@dataclass(frozen=True, slots=True)
class ListOf:
    """A YAML sequence; items may be or hold holes."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class MapOf:
    """A YAML mapping; `type` among its keys makes it a constructor call. A cell's edges are already spelt out."""

    entries: Mapping[str, Node]
    mark: Mark
    key_marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def type_name(self) -> str | None:
        """The value of `type:`, if it is a word."""
        node = self.entries.get("type")
        return node.value if isinstance(node, Value) and isinstance(node.value, str) else None


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a choice or one item of a subset.

    Args:
        label: what the architecture stores: the value itself, or the name of a named node.
        node: what stands in the tree when it is taken.
        weight: relative frequency in sampling; counts and enumeration ignore it.
    """

    label: Scalar | tuple[object, ...]
    node: Node
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """`{choice: [a, b]}` (named=False: plain values) or `{choice: {label: node}}` (named=True)."""

    options: tuple[Option, ...]
    named: bool
    mark: Mark


@dataclass(frozen=True, slots=True)
class Range:
    """`{range: [low, high, step]}`: integers, both ends included."""

    low: int
    high: int
    step: int
    mark: Mark

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))


@dataclass(frozen=True, slots=True)
class Subset:
    """`{subset: {of: …, size: k or [low, high]}}`: `low` to `high` of the items, in the order of the list."""

    items: tuple[Option, ...]
    named: bool
    low: int
    high: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class Repeat:
    """`{repeat: n or hole, of: node}`: one slot holding that many copies, each deciding for itself.

    A `use` as the count leads to a choice or range of integers: the parser has checked that.
    """

    count: Value | Choice | Range | Use
    of: Node
    mark: Mark


@dataclass(frozen=True, slots=True)
class Maybe:
    """`{optional: node}`: present or absent; the slot keeps its index."""

    of: Node
    mark: Mark


@dataclass(frozen=True, slots=True)
class Use:
    """`{use: name}` of a `let` entry that holds holes; entries without holes are substituted by the parser."""

    name: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class SameAs:
    """`{same_as: .sibling}`: the value chosen there. `up` dots climb (1: this mapping); 0 means an absolute path."""

    up: int
    path: str
    mark: Mark


Node: TypeAlias = Value | ListOf | MapOf | Choice | Range | Subset | Repeat | Maybe | Use | SameAs


@dataclass(frozen=True, slots=True)
class Bound:
    """A constraint on a cost; either end may be None."""

    cost: str
    low: float | None
    high: float | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class Relation:
    """`{order: [paths], is: not_decreasing}` (kind order) or `{sum: [paths], max: n}` (kind sum, with bounds)."""

    kind: str
    paths: tuple[str, ...]
    mark: Mark
    order: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class QuantizationRule:
    """One rule of `quantization:`; `format` may be a Choice. Its meaning is the quantization package's."""

    at: str
    per: str
    formats: Mapping[str, Node]
    settings: Mapping[str, Node]
    mark: Mark


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """A named architecture as written: not yet checked against the space."""

    options: Mapping[str, object]
    costs: Mapping[str, float]
    about: str
    mark: Mark
    option_marks: Mapping[str, Mark] = field(default_factory=dict)
    cost_marks: Mapping[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """`task:`: its kind and settings; `input` is (channels, height, width), the height perhaps a hole.

    Args:
        kind: name of an entry of the task table, for example image_classification.
        channels: of the input.
        height: Value or a hole (path task.resolution, or that of the entry of let that it uses).
        width: Value, or None for the word `same` (equal to the height).
        settings: everything else (classes, scale), plain values.
    """

    kind: str
    channels: int
    height: Value | Choice | Range | Use
    width: Value | None
    settings: Mapping[str, Scalar]
    mark: Mark


@dataclass(frozen=True, slots=True)
class SpaceTree:
    """A whole space file after the grammar pass: nothing in it is unknown to the language any more.

    Args:
        name, about, source: for people.
        file: as given, for messages; `lines` its text, for excerpts (file name -> lines: `extends` joins files).
        root_key: "network" or "proxy".
        root: the tree below that key.
        let: entries that hold holes, in the order of the file.
        resolved: the file after `extends`, as plain YAML values: what run.yaml keeps and the hash is taken of.
    """

    name: str
    about: str
    source: str
    file: str
    lines: Mapping[str, tuple[str, ...]]
    root_key: str
    root: Node
    task: Task | None
    let: Mapping[str, Node]
    quantization: tuple[QuantizationRule, ...]
    constraints: tuple[Bound, ...]
    relations: tuple[Relation, ...]
    known: Mapping[str, KnownEntry]
    resolved: Mapping[str, object]


def holds_type(resolved: object, name: str) -> bool:
    """Whether `type: name` is written anywhere in plain YAML values."""
    if isinstance(resolved, Mapping):
        return resolved.get("type") == name or any(holds_type(value, name) for value in resolved.values())
    return isinstance(resolved, (list, tuple)) and any(holds_type(value, name) for value in resolved)
