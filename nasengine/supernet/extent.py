"""The extent of a space: the shape of every shared tensor, large enough for all architectures, found by building some.

The largest architecture takes in every decision the option with the most parameters, one decision after the other.
From it, and from architectures that reach what stands inside options it does not take, every decision is varied
alone; a shared tensor is as long in each axis as the longest of all these. Nothing is computed: networks are built
without memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from nasengine.errors import Problem
from nasengine.records import Architecture, canonical_json
from nasengine.space import SearchSpace
from nasengine.space.decisions import Decision
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.keys import Held, layers
from nasengine.supernet.leaves import Leaf
from nasengine.supernet.private import Builder

MOST_OPTIONS = 24  # of one decision that are tried
RANDOM = 64  # architectures among which the largest that keeps the relations is looked for

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Extent:
    """What the shared weights of a space must hold.

    Args:
        shapes: key -> shape of the shared tensor.
        origins: key -> an architecture whose own tensor is as large as any.
        whole: the architecture with the most parameters, relations left aside.
        largest, smallest: those with the most and the fewest parameters found that keep the relations.
        leaves: layer -> its row of the table, with the most inputs and outputs that it has anywhere.
        holders: layers that hold a shared tensor.
        varied: whether any layer has other sizes in some architectures.
        wishes: the option that `whole` takes in every decision, and would take where it has none.
        factors: key of a layer, or of a parameter held by no layer -> lengths of what its first axis is made of.
        variants: what was built: `whole` with one decision changed, and what lies inside options it does not take.
    """

    shapes: Mapping[str, Shape]
    origins: Mapping[str, Architecture]
    whole: Architecture
    largest: Architecture
    smallest: Architecture
    factors: Mapping[str, tuple[int, ...]]
    leaves: Mapping[str, Leaf]
    holders: frozenset[str]
    varied: bool
    wishes: tuple[int, ...]
    variants: tuple[Architecture, ...]


@dataclass
class _Survey:
    space: SearchSpace
    builder: Builder
    found: dict[Architecture, dict[str, Shape]] = field(default_factory=dict)
    factors: dict[str, tuple[int, ...]] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    foreign: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    holders: set[str] = field(default_factory=set)
    varied: bool = False

    def shapes(self, architecture: Architecture) -> dict[str, Shape]:
        if architecture not in self.found:
            private = self.builder.network(architecture)
            self.found[architecture] = {each.key: tuple(each.tensor.shape) for each in private.held}
            for each in private.held:
                self.holders.add(each.layer)
                if each.factors is not None:
                    key = each.key if each.leaf is None else each.layer
                    known = self.factors.get(key, each.factors)
                    self.factors[key] = tuple(map(max, known, each.factors))
                if each.foreign:
                    self._same(each)
            for layer in layers(private.network):
                if layer.leaf is not None:
                    self._meet(layer.key, layer.leaf)
        return self.found[architecture]

    def _meet(self, key: str, leaf: Leaf) -> None:
        known = self.leaves.setdefault(key, leaf)
        if (known.inputs, known.outputs) != (leaf.inputs, leaf.outputs):
            self.varied = True
            inputs = None if leaf.inputs is None else max(known.inputs or 0, leaf.inputs)
            self.leaves[key] = replace(known, inputs=inputs, outputs=max(known.outputs, leaf.outputs))

    def _same(self, held: Held) -> None:
        """Refuse a layer of PyTorch that is not in the table, where its sizes are searched."""
        shape = tuple(held.tensor.shape)
        _, known = self.foreign.setdefault(held.key, (held.foreign, shape))
        if known != shape:
            sizes = " and of ".join("x".join(map(str, each)) for each in (known, shape))
            raise SupernetError(
                Problem(
                    f"{held.layer} ({held.foreign}) has other sizes in other architectures, such as a {held.name} of "
                    f"{sizes}, and how the weights of such a layer follow them is not known",
                    expected="keep its sizes fixed, the channels that go into it too; or name its options, {choice: "
                    "{a: {type: …}, b: {type: …}}}, so that each has weights of its own; or build it from linear "
                    "layers, convolutions, norms and attention",
                )
            )

    def size(self, architecture: Architecture) -> int:
        return sum(math.prod(shape) for shape in self.shapes(architecture).values())

    def architecture(self, wishes: list[int]) -> Architecture:
        """The architecture of an option for every decision, whether it is active or not."""
        return self.space.decode(np.array(wishes, dtype=np.int16))

    def extreme(self, wishes: list[int], sign: int, *, feasible: bool = False, only: range | None = None) -> list[int]:
        """One decision after the other takes its largest (sign 1) or smallest (-1) option, as counted."""
        wishes = list(wishes)
        for column, decision in enumerate(self.space.decisions):
            if (only is not None and column not in only) or decision.path not in self.architecture(wishes):
                continue
            tried = [(option, [*wishes[:column], option, *wishes[column + 1 :]]) for option in some_options(decision)]
            if feasible:
                tried = [(o, w) for o, w in tried if self.space.satisfies(self.architecture(w))]
            if tried:
                wishes[column] = max(tried, key=lambda t: (sign * self.size(self.architecture(t[1])), sign * t[0]))[0]
        return wishes


_known: dict[tuple[str, str], Extent] = {}


def survey(space: SearchSpace, overrides: Mapping[str, Any] | None = None, *, builder: Builder | None = None) -> Extent:
    """Find the extent of a space; it is kept, as that takes seconds.

    Args:
        overrides: arguments of the root network that replace the space's.
        builder: of its private networks; None makes one for the time.

    Raises:
        SupernetError: a tensor has more axes in one architecture than in another.
    """
    key = space.hash, canonical_json(dict(overrides or {}))
    if key not in _known:
        _known[key] = _survey(space, builder or Builder(space, overrides, torch.device("cpu"), torch.float32))
    return _known[key]


def _survey(space: SearchSpace, builder: Builder) -> Extent:
    look = _Survey(space, builder)
    decisions = space.decisions
    start = [_by_number(decision, largest=True) for decision in decisions]
    wishes = look.extreme(start, 1)
    whole = look.architecture(wishes)
    look.shapes(whole)
    for column, decision in enumerate(decisions):
        if decision.path in whole:
            continue
        inside = look.extreme(reaching(decisions, column, wishes), 1, only=range(column, len(decisions)))
        wishes[column] = inside[column]
    low = look.extreme([_by_number(decision, largest=False) for decision in decisions], -1)
    largest, smallest = whole, look.architecture(low)
    if space.relations:
        largest, smallest = (_feasible(look, best, sign) for best, sign in ((largest, 1), (smallest, -1)))
    shapes: dict[str, Shape] = {}
    origins: dict[str, Architecture] = {}
    for architecture, theirs in look.found.items():
        for key, shape in theirs.items():
            _widen(shapes, origins, key, shape, architecture)
    return Extent(
        shapes,
        origins,
        whole,
        largest,
        smallest,
        look.factors,
        look.leaves,
        frozenset(look.holders),
        look.varied,
        tuple(wishes),
        tuple(look.found),
    )


def some_options(decision: Decision) -> list[int]:
    """Indices of options to try: all, or of very many those spread evenly, with the longest."""
    count = len(decision.options)
    spread = np.unique(np.linspace(0, count - 1, min(count, MOST_OPTIONS)).round().astype(int)).tolist()
    return sorted({*spread, _by_number(decision, largest=True), _by_number(decision, largest=False)})


def _by_number(decision: Decision, *, largest: bool) -> int:
    """The option that seems largest or smallest: by number, by length of a subset, else the last or first."""

    def size(index: int) -> tuple[float, int]:
        option = decision.options[index]
        if isinstance(option, tuple):
            return len(option), index
        return (float(option), index) if isinstance(option, (int, float)) else (0.0, index)

    indices = range(len(decision.options))
    return max(indices, key=size) if largest else min(indices, key=size)


def reaching(decisions: Sequence[Decision], column: int, wishes: Sequence[int]) -> list[int]:
    """The same wishes, with the decisions above one so that it is active."""
    wishes = list(wishes)
    waiting = [column]
    while waiting:
        decision = decisions[waiting.pop()]
        if decision.conditional:
            for parent, options in decision.sites[0]:
                if wishes[parent] not in options:
                    wishes[parent] = max(options)
                waiting.append(parent)
    return wishes


def _feasible(look: _Survey, best: Architecture, sign: int) -> Architecture:
    """The best architecture that keeps the relations: itself, or the best of some at random, improved."""
    space = look.space
    if space.satisfies(best):
        return best
    rng = np.random.default_rng(0)
    start = max((space.sample(rng) for _ in range(RANDOM)), key=lambda architecture: sign * look.size(architecture))
    encoded = space.encode(start).tolist()
    wishes = [
        index if index >= 0 else _by_number(decision, largest=sign > 0)
        for index, decision in zip(encoded, space.decisions, strict=True)
    ]
    improved = look.architecture(look.extreme(wishes, sign, feasible=True))
    return improved if space.satisfies(improved) else start


def _widen(
    shapes: dict[str, Shape], origins: dict[str, Architecture], key: str, shape: Shape, architecture: Architecture
) -> None:
    known = shapes.get(key)
    if known is None:
        shapes[key], origins[key] = shape, architecture
        return
    if len(known) != len(shape):
        raise SupernetError(
            Problem(
                f"{key} has the shape {known} in one architecture and {shape} in another: they cannot share it",
                expected="make them two named options of a choice: {choice: {a: {type: …}, b: {type: …}}}",
            )
        )
    widest = tuple(map(max, known, shape))
    if widest != known:
        shapes[key] = widest
        if shape == widest:
            origins[key] = architecture
