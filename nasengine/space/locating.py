"""Finds what stands at a path of a space's tree: how `same_as` reaches what it repeats.

A path leads through labels of options, indexes of copies and entries of mappings, as the table in `holes` says.
Where it passes `use`, it goes on under `let`, since that is where the choice is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nasengine.space.holes import (
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    Range,
    Repeat,
    SameAs,
    SpaceTree,
    Subset,
    Use,
    Value,
)
from nasengine.space.options import counts_of, enough_for_copies, followed, option_path, subset_options
from nasengine.space.problems import Problems
from nasengine.space.unrolling import Unrolled

Guard = tuple[str, frozenset[int]]  # the decision at this path took one of these options


@dataclass(frozen=True, slots=True)
class Located:
    """What stands at a path.

    Args:
        node: the node there, never a `use` or `same_as`.
        path: of the node's choices (under `let` if the way led through a `use`).
        guards: what must have been chosen for it to exist.
    """

    node: Node
    path: str
    guards: tuple[Guard, ...]


def target_path(node: SameAs, standing_at: str) -> str:
    """The full path that a `same_as` names: each dot climbs one segment from where the `same_as` stands."""
    if not node.up:
        return node.path
    segments = standing_at.split(".")
    return ".".join([*segments[: max(0, len(segments) - node.up)], *([node.path] if node.path else [])])


def locate(tree: SpaceTree, path: str, *, follow: bool = True) -> Located | None:
    """What stands at `path`; None if nothing does, or only a `same_as` that leads back to itself.

    Args:
        follow: whether a `same_as` at the end is followed to what it repeats.
    """
    start = _start(tree, path)
    return _descend(tree, *start, (), frozenset(), follow) if start else None


def _start(tree: SpaceTree, path: str) -> tuple[Node, str, str] | None:
    """The tree that the path begins in: (its top node, the path of that, the rest of the path)."""
    tops: dict[str, Node] = {tree.root_key: tree.root} | {f"let.{name}": node for name, node in tree.let.items()}
    if tree.task is not None:
        tops["task.resolution"] = tree.task.height
    top = _first_segment(path, tops)
    return None if top is None else (tops[top], top, path[len(top) + 1 :])


def _first_segment(rest: str, keys: Iterable[str]) -> str | None:
    """The longest key that begins `rest` (keys may contain dots)."""
    fitting = [key for key in keys if rest == key or rest.startswith(f"{key}.")]
    return max(fitting, key=len, default=None)


def _descend(
    tree: SpaceTree,
    node: Node,
    path: str,
    rest: str,
    guards: tuple[Guard, ...],
    followed: frozenset[str],
    follow: bool = True,
) -> Located | None:
    while True:
        if isinstance(node, Use):
            path = f"let.{node.name}"
            node = tree.let[node.name]
        elif isinstance(node, SameAs) and (follow or rest):
            start = _start(tree, target_path(node, path))
            if start is None or path in followed:
                return None
            end = _descend(tree, *start, guards, followed | {path})
            if end is None:
                return None
            node, path, guards = end.node, end.path, end.guards
        elif not rest:
            return Located(node, path, guards)
        else:
            step = _step(tree, node, path, rest)
            if step is None:
                return None
            node, path, rest, guard = step
            guards = (*guards, guard) if guard else guards


def _step(tree: SpaceTree, node: Node, path: str, rest: str) -> tuple[Node, str, str, Guard | None] | None:
    """One segment down: (node, its path, what is left of the path, what must have been chosen)."""
    below: dict[str, tuple[Node, Guard | None]] = {}
    match node:
        case MapOf():
            below = {key: (entry, None) for key, entry in node.entries.items()}
        case ListOf():
            below = {str(i): (item, None) for i, item in enumerate(node.items)}
        case Choice():
            for i, option in enumerate(node.options):
                below[_segment(option_path(path, node.named, option, i), path)] = option.node, (path, frozenset([i]))
        case Subset():
            for i, (item, holders) in enumerate(zip(node.items, subset_options(node)[2], strict=True)):
                below[_segment(option_path(path, node.named, item, i), path)] = item.node, (path, holders)
        case Repeat():
            count, decided = followed(node.count, f"{path}.repeat", tree.let)
            counts = counts_of(count)
            for copy, enough in enumerate(enough_for_copies(counts)):
                below[str(copy)] = node.of, (None if len(enough) == len(counts) else (decided, enough))
            if not isinstance(count, Value):
                below["repeat"] = node.count, None
        case Maybe():
            return node.of, path, rest, (f"{path}.present", frozenset([1]))
        case _:
            return None
    segment = _first_segment(rest, below)
    if segment is None:
        return None
    found, guard = below[segment]
    return found, f"{path}.{segment}", rest[len(segment) + 1 :], guard


def _segment(whole: str, path: str) -> str:
    return whole[len(path) + 1 :]


def implies(guards: tuple[Guard, ...], wanted: tuple[Guard, ...]) -> bool:
    """Whether whatever exists under `guards` can count on what exists under `wanted`."""
    return all(any(path == p and taken <= options for p, taken in guards) for path, options in wanted)


def targets_of(tree: SpaceTree, unrolled: Unrolled, problems: Problems) -> dict[str, Located]:
    """What each `same_as` repeats: path at which it stands -> target; what is wrong is added to `problems`.

    A target is a plain value or a choice between such, so that no `same_as` can lead back to itself.
    """
    targets = {}
    for path, node in unrolled.reaches.items():
        wanted = target_path(node, path)
        own, found = locate(tree, path, follow=False), locate(tree, wanted)
        if found is None or own is None:
            problems.add(
                f"same_as finds nothing at {wanted}",
                node.mark,
                "expected a path: one dot for a sibling, one more for each level up, none from the top",
            )
        elif not _is_plain(found.node):
            problems.add(
                f"same_as repeats {wanted}, which is not a plain value",
                node.mark,
                "expected the path of a value or of a choice between values; a node decided once belongs under let",
            )
        elif not implies(own.guards, found.guards) or not _reachable(tree, path, found.path, unrolled):
            problems.add(
                f"same_as repeats {wanted}, which may be inactive where this is not",
                node.mark,
                "expected a path to what exists whenever this does",
            )
        else:
            targets[path] = found
    return targets


def _is_plain(node: Node) -> bool:
    """Whether it is a scalar, or a choice of scalars (or of lists of them)."""
    return isinstance(node, (Value, Range)) or (isinstance(node, (Choice, Subset)) and not node.named)


def _reachable(tree: SpaceTree, path: str, target: str, unrolled: Unrolled) -> bool:
    """Whether the target is under no `let` entry, under the same one, or under one that is always used."""
    names = [name for name in tree.let if target == f"let.{name}" or target.startswith(f"let.{name}.")]
    return all(path.startswith(f"let.{name}.") or name in unrolled.always_used for name in names)
