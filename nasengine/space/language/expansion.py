"""Bounds what a space expands to: copies of repeats, shared entries at every place that uses them, selections.

Text and aliases are bounded while parsing; a few lines of nested repeats or chained `use` could still describe
a network of millions of nodes or options, or one nested too deeply to walk. Measuring that needs no expansion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from nasengine.space.holes import Choice, ListOf, MapOf, Maybe, Node, Range, Repeat, SpaceTree, Subset, Use
from nasengine.space.language.grammar_counts import most
from nasengine.space.options import followed
from nasengine.space.problems import Problems

MAX_EXPANDED = 200_000
MAX_LEVELS = 100


def check_expansion(tree: SpaceTree, users_last: Iterable[str], problems: Problems) -> None:
    """Note that the space expands to too many nodes or levels, at the smallest part that does.

    Args:
        tree: of a space without other problems.
        users_last: the names of `tree.let`, each after those it uses, so that a long chain of uses needs no recursion.
        problems: where to note it.
    """
    measured = _Measured(tree)
    for name in users_last:
        if measured.extent(tree.let[name]).levels > MAX_LEVELS:
            mark = tree.let[name].mark
            problems.add(f"let.{name} is nested deeper than {MAX_LEVELS}, what it uses included", mark)
            return
    extent = measured.extent(tree.root)
    if extent.levels > MAX_LEVELS:
        problems.add(f"the {tree.root_key} is nested deeper than {MAX_LEVELS}, what it uses included", tree.root.mark)
    if extent.nodes > MAX_EXPANDED:
        problems.add(
            f"the {tree.root_key} has up to {_rounded(extent.nodes)} nodes and options, every copy counted",
            measured.culprit(tree.root).mark,
            f"expected at most {MAX_EXPANDED:,}; this is the smallest part that has more",
        )


class _Extent(NamedTuple):
    nodes: int
    levels: int


class _Measured:
    """Nodes and levels below each node, measured once however often it stands somewhere."""

    def __init__(self, tree: SpaceTree) -> None:
        self.tree = tree
        self.extents: dict[int, _Extent] = {}

    def extent(self, node: Node) -> _Extent:
        known = self.extents.get(id(node))
        if known is None:
            below = [self.extent(child) for child in self.below(node)]
            copies = max(1, most(followed(node.count, "", self.tree.let)[0])) if isinstance(node, Repeat) else 1
            nodes = 1 + _options(node) + copies * sum(extent.nodes for extent in below)
            known = _Extent(nodes, 1 + max((extent.levels for extent in below), default=0))
            self.extents[id(node)] = known
        return known

    def below(self, node: Node) -> tuple[Node, ...]:
        match node:
            case ListOf(items=items):
                return items
            case MapOf(entries=entries):
                return tuple(entries.values())
            case Choice(options=options) | Subset(items=options):
                return tuple(option.node for option in options)
            case Maybe(of=of) | Repeat(of=of):
                return (of,)
            case Use(name=name):
                return (self.tree.let[name],)
            case _:
                return ()

    def culprit(self, node: Node) -> Node:
        """The smallest part that is too large by itself."""
        while True:
            below = max(self.below(node), key=lambda child: self.extent(child).nodes, default=None)
            if below is None or self.extent(below).nodes <= MAX_EXPANDED:
                return node
            node = below


def _options(node: Node) -> int:
    """How many options a hole spells out beyond the nodes below it."""
    match node:
        case Range():
            return (node.high - node.low) // node.step + 1
        case Subset(items=items):
            return sum(math.comb(len(items), size) for size in range(node.low, node.high + 1))
        case _:
            return 0


def _rounded(count: int) -> str:
    return f"{count:,}" if count < 10**12 else f"{float(min(count, 10**300)):.1e}"
