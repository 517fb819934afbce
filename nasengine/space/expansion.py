"""Bounds what a space expands to: copies of repeats, shared entries at every place that uses them.

Text and aliases are bounded while parsing; a few lines with nested repeats or chained `use` could still
describe a network of millions of nodes. Counting them needs no expansion.
"""

from __future__ import annotations

from nasengine.space.grammar_counts import most
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
from nasengine.space.problems import Problems

MAX_EXPANDED = 200_000


def check_expansion(tree: SpaceTree, problems: Problems) -> None:
    """Note that the space expands to too many nodes, at the largest part that does."""
    counter = _Counter(tree)
    total = counter.count(tree.root)
    if total > MAX_EXPANDED:
        problems.add(
            f"the {tree.root_key} has up to {total:,} nodes, every copy counted",
            counter.culprit(tree.root).mark,
            f"expected at most {MAX_EXPANDED:,}",
        )


class _Counter:
    def __init__(self, tree: SpaceTree) -> None:
        self.tree = tree
        self.counts: dict[int, int] = {}

    def count(self, node: Node) -> int:
        known = self.counts.get(id(node))
        if known is None:
            known = self._count(node)
            self.counts[id(node)] = known
        return known

    def _count(self, node: Node) -> int:
        match node:
            case Value() | Range() | SameAs():
                return 1
            case Repeat(count=count, of=of):
                return 1 + max(1, most(count)) * self.count(of)
            case _:
                return 1 + sum(map(self.count, self.below(node)))

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
        """The deepest node that is too large by itself."""
        while True:
            below = max(self.below(node), key=self.count, default=None)
            if below is None or self.count(below) <= MAX_EXPANDED:
                return node
            node = below
