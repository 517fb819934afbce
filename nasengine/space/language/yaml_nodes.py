"""The nodes of parsed YAML: scalars, sequences and mappings that know their mark, their size and their depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nasengine.errors import InputError, Mark, Problem
from nasengine.space.language.yaml_scalars import Scalar

MAX_NODES = 50_000  # of a document, every alias counted as the copy it is
MAX_DEPTH = 60


@dataclass(frozen=True, slots=True)
class YamlScalar:
    """A scalar, resolved."""

    value: Scalar
    mark: Mark
    size: int = field(default=1, init=False, repr=False)
    depth: int = field(default=1, init=False, repr=False)


@dataclass(frozen=True, slots=True)
class YamlSequence:
    """A sequence; `size` counts the nodes below and itself, `depth` the levels."""

    items: tuple[YamlNode, ...]
    mark: Mark
    size: int = field(init=False, repr=False)
    depth: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _measure(self, self.items)


@dataclass(frozen=True, slots=True)
class YamlMapping:
    """A mapping from text to nodes; a key is the text as written, whatever it would mean as a scalar."""

    entries: Mapping[str, YamlNode]
    mark: Mark
    key_marks: Mapping[str, Mark]
    size: int = field(init=False, repr=False)
    depth: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _measure(self, self.entries.values())


YamlNode: TypeAlias = YamlScalar | YamlSequence | YamlMapping


def _measure(node: YamlSequence | YamlMapping, below: Iterable[YamlNode]) -> None:
    size = depth = 0
    for child in below:
        size += child.size
        depth = max(depth, child.depth)
    object.__setattr__(node, "size", size + 1)
    object.__setattr__(node, "depth", depth + 1)


def plain(node: YamlNode) -> Any:
    """The node as fresh dictionaries, lists and scalars."""
    match node:
        case YamlScalar():
            return node.value
        case YamlSequence():
            return [plain(item) for item in node.items]
        case YamlMapping():
            return {key: plain(value) for key, value in node.entries.items()}


def from_plain(value: Any, file: str) -> YamlNode:
    """A tree of dictionaries, lists and scalars as nodes whose marks all point to the start of `file`.

    Raises:
        InputError: a value of another kind, a key that is no text, a number that is not finite, too deep or too large.
    """
    mark = Mark(file, 1, 1)
    left = [MAX_NODES]

    def convert(value: Any, depth: int) -> YamlNode:
        left[0] -= 1
        if depth > MAX_DEPTH or left[0] < 0:
            raise InputError(Problem(f"the value is nested deeper than {MAX_DEPTH} or larger than {MAX_NODES:,}", mark))
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise InputError(Problem(f"the key {key!r} is not text", mark))
            entries = {key: convert(below, depth + 1) for key, below in value.items()}
            return YamlMapping(entries, mark, dict.fromkeys(entries, mark))
        if isinstance(value, (list, tuple)):
            return YamlSequence(tuple(convert(below, depth + 1) for below in value), mark)
        if value is None or isinstance(value, (str, bool, int, float)):
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(Problem(f"the number {value} is not finite", mark))
            return YamlScalar(value, mark)
        raise InputError(Problem(f"{value!r} is not a plain value", mark, "expected words, numbers, lists, mappings"))

    return convert(value, 1)


def walk(node: YamlNode) -> Iterator[YamlNode]:
    """The node and everything below it, each shared node once."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, YamlSequence):
            waiting.extend(reversed(node.items))
        elif isinstance(node, YamlMapping):
            waiting.extend(reversed(tuple(node.entries.values())))
