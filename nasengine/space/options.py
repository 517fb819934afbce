"""What an architecture may answer to a hole: the options that each kind of hole spells out, and where they stand."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from nasengine.space.holes import Choice, Node, Option, Range, Subset, Use, Value


def option_key(option: Any) -> Any:
    """What tells options apart: 1, 1.0 and True are equal in Python and different in an architecture."""
    return tuple(map(option_key, option)) if isinstance(option, (tuple, list)) else (type(option).__name__, option)


def shown(option: Any) -> str:
    """An option as a person writes it in YAML or JSON."""
    if isinstance(option, (list, tuple)):
        return f"[{', '.join(map(shown, option))}]"
    if isinstance(option, bool):
        return "true" if option else "false"
    return "null" if option is None else str(option)


def option_path(path: str, named: bool, option: Option, position: int) -> str:
    """Where the node of an option stands: below its label, or below its position where options have no names."""
    return f"{path}.{option.label}" if named else f"{path}.{position}"


@functools.lru_cache(maxsize=256)
def range_options(node: Range) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Options and weights, shared by all copies of a range (which may be long)."""
    return node.values, (1.0,) * len(node.values)


def subset_options(
    node: Subset,
) -> tuple[tuple[tuple[Any, ...], ...], tuple[float, ...], tuple[frozenset[int], ...]]:
    """Options and weights of a subset, and for each item which options (by index) hold it."""
    taken = list(subset_positions(len(node.items), node.low, node.high))
    return (
        tuple(tuple(node.items[i].label for i in positions) for positions in taken),
        tuple(math.prod(node.items[i].weight for i in positions) for positions in taken),
        tuple(
            frozenset(i for i, positions in enumerate(taken) if place in positions) for place in range(len(node.items))
        ),
    )


def subset_positions(items: int, low: int, high: int) -> Iterator[tuple[int, ...]]:
    """The positions each option of a subset takes: smaller subsets first, then in the order of the list."""
    return itertools.chain.from_iterable(itertools.combinations(range(items), size) for size in range(low, high + 1))


def followed(node: Node, path: str, let: Mapping[str, Node]) -> tuple[Node, str]:
    """A node and the path of its choices: `path` where it stands, unless it uses an entry of `let`."""
    while isinstance(node, Use):
        path = f"let.{node.name}"
        node = let[node.name]
    return node, path


def counts_of(count: Node) -> tuple[int, ...]:
    """How many copies a repeat with this count (no `use`) may hold, in the order of the hole; one number if fixed."""
    match count:
        case Choice():
            return tuple(cast(int, option.label) for option in count.options)
        case Range():
            return count.values
    return (cast(int, cast(Value, count).value),)


@functools.lru_cache(maxsize=256)
def enough_for_copies(counts: tuple[int, ...]) -> tuple[frozenset[int], ...]:
    """For each copy that a repeat may hold, which of its counts (by index) hold it."""
    return tuple(
        frozenset(i for i, count in enumerate(counts) if count > copy) for copy in range(max(counts, default=0))
    )
