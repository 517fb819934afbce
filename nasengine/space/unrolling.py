"""From a tree to its decisions: every hole spelt out once, with when it is active.

The tree of a space is walked once. A repeat is spelt out copy by copy, an alias stands wherever it was written,
a hole under `let` is one decision however often it is used, and a quantization rule `per: choice` adds a format
for each choice between named nodes. What comes out is a list in which whatever decides whether a decision is
active stands before it; otherwise the order is that of the file: task, let, network or proxy, quantization.

A decision is active if, at one of its sites, the decision above it is active and took one of the options named
there. A copy of a repeat whose count is shared has two things above it: what its slot stands in, and the count.
Only active decisions are part of an architecture, so equal networks are equal architectures.
"""

from __future__ import annotations

import graphlib
import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nasengine.errors import Mark
from nasengine.space.decisions import Decision, Kind, Site
from nasengine.space.holes import (
    Choice,
    ListOf,
    MapOf,
    Maybe,
    Node,
    QuantizationRule,
    Range,
    Repeat,
    SameAs,
    SpaceTree,
    Subset,
    Use,
    Value,
)
from nasengine.space.options import (
    counts_of,
    enough_for_copies,
    followed,
    option_path,
    range_options,
    subset_options,
)
from nasengine.space.patterns import matches
from nasengine.space.problems import Problems

ABSENT_OR_PRESENT = (False, True)
RULES_FOR_BUILD = ("layer", "block")


@dataclass(frozen=True, slots=True)
class Unrolled:
    """What a tree spells out to.

    Args:
        decisions: parents before children.
        unexpanded: quantization rules with a hole per layer or per block, which only a built network can spell out.
        reaches: path of each `same_as` as it stands, in a copy or under `let` -> the hole.
        always_used: entries under `let` that every architecture uses.
    """

    decisions: tuple[Decision, ...]
    unexpanded: tuple[QuantizationRule, ...]
    reaches: Mapping[str, SameAs]
    always_used: frozenset[str]


_NamedSite = tuple[tuple[str, frozenset[int]], ...]  # what stands above first, then shared counts
_Sites = tuple[_NamedSite, ...]
_ALWAYS: _Sites = ((),)


@dataclass(slots=True)
class _Found:
    path: str
    kind: Kind
    options: tuple[Any, ...]
    weights: tuple[float, ...]
    sites: _Sites
    mark: Mark
    low: int = 0
    typed: frozenset[int] = frozenset()  # options of a choice that are named constructor calls


@dataclass(slots=True)
class _Walk:
    """What has been met so far; `uses` holds, for each entry under let, where it is used and when it exists there."""

    tree: SpaceTree
    problems: Problems
    found: dict[str, _Found] = field(default_factory=dict)
    uses: dict[str, list[tuple[str, _Sites]]] = field(default_factory=dict)
    reaches: dict[str, SameAs] = field(default_factory=dict)

    def node(self, node: Node, path: str, sites: _Sites) -> None:
        """Note the holes of `node`, which stands at `path` and exists at `sites`."""
        match node:
            case Value():
                pass
            case ListOf():
                for position, item in enumerate(node.items):
                    self.node(item, f"{path}.{position}", sites)
            case MapOf():
                for key, entry in node.entries.items():
                    self.node(entry, f"{path}.{key}", sites)
            case Choice():
                self.choice(node, path, sites, "choice")
            case Range():
                self.add(_Found(path, "range", *range_options(node), sites, node.mark))
            case Subset():
                self.subset(node, path, sites)
            case Repeat():
                self.repeat(node, path, sites)
            case Maybe():
                present = f"{path}.present"
                self.add(_Found(present, "optional", ABSENT_OR_PRESENT, (1.0, 1.0), sites, node.mark))
                self.node(node.of, path, (((present, frozenset([1])),),))
            case Use():
                self.uses.setdefault(node.name, []).append((path, sites))
            case SameAs():
                self.reaches[path] = node

    def choice(self, node: Choice, path: str, sites: _Sites, kind: Kind) -> None:
        typed = frozenset(i for i, option in enumerate(node.options) if node.named and self.is_call(option.node))
        labels = tuple(option.label for option in node.options)
        weights = tuple(option.weight for option in node.options)
        self.add(_Found(path, kind, labels, weights, sites, node.mark, typed=typed))
        for position, option in enumerate(node.options):
            taken = _below(path, frozenset([position]), len(labels), sites)
            self.node(option.node, option_path(path, node.named, option, position), taken)

    def subset(self, node: Subset, path: str, sites: _Sites) -> None:
        options, weights, holders_of = subset_options(node)
        self.add(_Found(path, "subset", options, weights, sites, node.mark, low=node.low))
        for position, item in enumerate(node.items):
            below = _below(path, holders_of[position], len(options), sites)
            self.node(item.node, option_path(path, node.named, item, position), below)

    def repeat(self, node: Repeat, path: str, sites: _Sites) -> None:
        count, decided = followed(node.count, f"{path}.repeat", self.tree.let)
        counts = counts_of(count)
        below = _below
        if isinstance(node.count, Use):
            self.node(node.count, decided, sites)
            below = _counted
        elif isinstance(count, Choice):
            weights = tuple(option.weight for option in count.options)
            self.add(_Found(decided, "repeat", counts, weights, sites, count.mark))
        elif isinstance(count, Range):
            self.add(_Found(decided, "repeat", *range_options(count), sites, count.mark))
        for copy, enough in enumerate(enough_for_copies(counts)):
            self.node(node.of, f"{path}.{copy}", below(decided, enough, len(counts), sites))

    def is_call(self, node: Node) -> bool:
        while isinstance(node, Use):
            node = self.tree.let[node.name]
        return isinstance(node, MapOf) and "type" in node.entries

    def add(self, found: _Found) -> None:
        if found.path in self.found:
            self.problems.add(
                f"two choices would have the path {found.path}",
                found.mark,
                "expected paths that differ: an optional holds neither another optional nor a choice called 'present'",
            )
        self.found.setdefault(found.path, found)


def _below(path: str, taken: frozenset[int], count: int, sites: _Sites) -> _Sites:
    """The sites of what exists when the decision at `path`, which has `sites`, took one of these options."""
    return sites if len(taken) == count else (((path, taken),),)


def _counted(path: str, taken: frozenset[int], count: int, sites: _Sites) -> _Sites:
    """The sites of a copy in a slot that has `sites`, if the shared count at `path` must be one of these options."""
    return sites if len(taken) == count else tuple(dict.fromkeys(_both(site, ((path, taken),)) for site in sites))


def _both(site: _NamedSite, other: _NamedSite) -> _NamedSite:
    """Where two sites hold; each path stands once."""
    conditions = dict(site)
    for path, taken in other:
        conditions[path] = conditions.get(path, taken) & taken
    return tuple(conditions.items())


def unroll(tree: SpaceTree, problems: Problems) -> Unrolled:
    """Spell out the decisions of a tree; what is wrong is added to `problems`.

    A `let` entry that nothing uses has no decisions.
    """
    walk = _Walk(tree, problems)
    if tree.task is not None:
        walk.node(tree.task.height, "task.resolution", _ALWAYS)
    walk.node(tree.root, tree.root_key, _ALWAYS)
    late = {name for rule in tree.quantization for name in _names(rule.formats.values())}
    for name in _users_first(tree):
        if name not in late and name in walk.uses:
            walk.node(tree.let[name], f"let.{name}", _merged(walk, name))
    unexpanded = _formats(walk)
    for name in _users_first(tree):
        if name in late and name in walk.uses:
            walk.node(tree.let[name], f"let.{name}", _merged(walk, name))
    places = [f"let.{name}" for name in tree.let]

    def rank(found: _Found) -> int:
        starts = ["task", *places, tree.root_key, "quantization"]
        return next((i for i, s in enumerate(starts) if found.path == s or found.path.startswith(f"{s}.")), len(starts))

    ordered = _parents_first(sorted(walk.found.values(), key=rank), problems)
    index = {found.path: i for i, found in enumerate(ordered)}

    def numbered(sites: _Sites) -> tuple[Site, ...]:
        return tuple(tuple((index[path], taken) for path, taken in _shortened(walk, site)) for site in sites)

    decisions = tuple(Decision(f.path, f.kind, f.options, f.weights, numbered(f.sites), f.mark, f.low) for f in ordered)
    always_used = frozenset(name for name in walk.uses if _merged(walk, name) == _ALWAYS)
    return Unrolled(decisions, unexpanded, walk.reaches, always_used)


def _merged(walk: _Walk, name: str) -> _Sites:
    """The sites of a let entry: those of all its uses, one for each parent.

    A parent all of whose options use it stands for what that parent's own sites are.
    """
    needing: dict[str, bool] = {}
    waiting = deque(
        site for _, sites in walk.uses[name] for site in sites if not _needs(walk, site, f"let.{name}", needing)
    )
    merged: dict[tuple[str, _NamedSite], frozenset[int]] = {}  # by the decision above, and the shared counts beside it
    while waiting:
        site = waiting.popleft()
        if not site:
            return _ALWAYS
        (path, taken), *rest = site
        beside = tuple(sorted(rest, key=lambda condition: condition[0]))
        taken = merged.pop((path, beside), frozenset()) | taken
        if path in walk.found and len(taken) == len(walk.found[path].options):
            waiting.extend(_both(above, beside) for above in walk.found[path].sites)
        else:
            merged[path, beside] = taken
    return _without_implied([((path, taken), *beside) for (path, beside), taken in merged.items()])


def _needs(walk: _Walk, site: _NamedSite, path: str, known: dict[str, bool]) -> bool:
    """Whether a site holds only where the decision at `path` is active: then it makes that active nowhere else."""
    for above, _ in site:
        if above not in known:
            known[above] = False  # stands while the sites above are looked at, which never lead back here
            found = walk.found.get(above)
            known[above] = above == path or (
                found is not None and all(_needs(walk, other, path, known) for other in found.sites)
            )
        if known[above]:
            return True
    return False


def _without_implied(sites: list[_NamedSite]) -> _Sites:
    """The sites that no other one includes."""
    if all(len(site) == 1 for site in sites):
        return tuple(sites)
    joined: dict[tuple[_NamedSite, str], frozenset[int]] = {}  # copies of one slot: the first of them is there longest
    for *first, (path, taken) in sites:
        key = tuple(first), path
        joined[key] = joined.get(key, frozenset()) | taken
    different = list(
        {
            frozenset((*first, (path, taken))): (*first, (path, taken)) for (first, path), taken in joined.items()
        }.values()
    )

    def included(site: _NamedSite) -> bool:
        has = dict(site)
        return any(
            other is not site and all(path in has and has[path] <= taken for path, taken in other)
            for other in different
        )

    return tuple(site for site in different if not included(site))


def _shortened(walk: _Walk, site: _NamedSite) -> _NamedSite:
    """The site without the conditions that another one of it implies: a slot that is alone in using its count."""

    def implied(path: str, taken: frozenset[int]) -> bool:
        others = (walk.found[other].sites for other, _ in site if other != path)
        return any(all(path in dict(above) and dict(above)[path] <= taken for above in sites) for sites in others)

    return tuple((path, taken) for path, taken in site if not implied(path, taken)) if len(site) > 1 else site


def _formats(walk: _Walk) -> tuple[QuantizationRule, ...]:
    """Add the formats of the quantization rules; return the rules that only `build` can spell out."""
    unexpanded = []
    claimed: set[str] = set()
    candidates = [(found, tuple(_places(walk, found.path))) for found in walk.found.values() if found.typed]
    for number, rule in enumerate(walk.tree.quantization):
        if rule.per in RULES_FOR_BUILD and any(True for _ in _holes(rule.formats.values())):
            unexpanded.append(rule)
        elif rule.per == "network":
            _format(walk, rule, f"quantization.{number}", _ALWAYS)
        for found, places in candidates:
            if found.path not in claimed and any(matches(rule.at, place) for place in places):
                claimed.add(found.path)
                if rule.per == "choice":
                    sites = _below(found.path, found.typed, len(found.options), found.sites)
                    _format(walk, rule, f"quantization.{found.path}", sites)
    return tuple(unexpanded)


def _format(walk: _Walk, rule: QuantizationRule, path: str, sites: _Sites) -> None:
    for key, node in rule.formats.items():
        place = path if key == "format" else f"{path}.{key}"
        if isinstance(node, Choice):
            walk.choice(node, place, sites, "format")
        else:
            walk.node(node, place, sites)


def _places(walk: _Walk, path: str) -> Iterator[str]:
    """A path and, if it is under `let`, every place where that stands in the network."""
    yield path
    if path.startswith("let."):
        for name, uses in walk.uses.items():
            start = f"let.{name}"
            if path == start or path.startswith(f"{start}."):
                for place, _ in uses:
                    yield from _places(walk, place + path[len(start) :])


def _children(node: Node) -> Iterator[Node]:
    match node:
        case ListOf():
            yield from node.items
        case MapOf():
            yield from node.entries.values()
        case Choice():
            yield from (option.node for option in node.options)
        case Subset():
            yield from (item.node for item in node.items)
        case Repeat():
            yield node.count
            yield node.of
        case Maybe():
            yield node.of


def _holes(nodes: Any) -> Iterator[Node]:
    for node in nodes:
        if not isinstance(node, (Value, ListOf, MapOf)):
            yield node
        yield from _holes(_children(node))


def _names(nodes: Any) -> set[str]:
    return {node.name for node in _holes(nodes) if isinstance(node, Use)}


def _users_first(tree: SpaceTree) -> list[str]:
    """The names under let, each after every entry that uses it."""
    users: dict[str, list[str]] = {name: [] for name in tree.let}
    for user, node in tree.let.items():
        for name in _names([node]):
            users[name].append(user)
    return list(graphlib.TopologicalSorter(users).static_order())


def _parents_first(found: Sequence[_Found], problems: Problems) -> list[_Found]:
    """Order so that whatever a decision's sites name stands before it, and keep the given order otherwise."""
    position = {f.path: i for i, f in enumerate(found)}
    waiting = {f.path: {path for site in f.sites for path, _ in site} for f in found}
    children: dict[str, list[str]] = {}
    for path, parents in waiting.items():
        for parent in parents:
            children.setdefault(parent, []).append(path)
    ready = [position[path] for path, parents in waiting.items() if not parents]
    heapq.heapify(ready)
    ordered: list[_Found] = []
    while ready:
        taken = found[heapq.heappop(ready)]
        ordered.append(taken)
        for child in children.get(taken.path, ()):
            waiting[child].discard(taken.path)
            if not waiting[child]:
                heapq.heappush(ready, position[child])
    stuck = [f for f in found if waiting[f.path]]
    if stuck:
        circle = next((f for f in stuck if f.path.startswith("let.")), stuck[0])
        problems.add(
            f"whether {circle.path} is decided depends on what is decided below it",
            circle.mark,
            "expected an entry of let that is not used below the copies that it counts",
        )
    return ordered + stuck
