"""Which input channels of each shared layer an architecture uses, learned by tainting; and what cannot be shared.

Nearly every layer uses the first ones, and a few runs of the largest network with random widths show it. For a layer
behind a concatenation, a flattening or a permutation they are others: there one run tells, for each of its input
channels, which channels of which layers it comes from. An architecture uses the channels whose sources it has. How
many those are must agree with the width of the layer in its own network; where they do not, the architecture's own
structure is probed, and where that does not help either, channels are mixed and the layer is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nasengine.build import example_input
from nasengine.errors import Problem
from nasengine.records import Architecture, canonical_json
from nasengine.space import SearchSpace
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.extent import Extent, reaching, some_options
from nasengine.supernet.keys import layers
from nasengine.supernet.leaves import Leaf
from nasengine.supernet.parts import factored
from nasengine.supernet.private import Builder
from nasengine.supernet.sources import CHANNELS, FIXED, Origins, Sources, shared_channels, used
from nasengine.supernet.taint import trace

RANDOM = 6  # architectures of one structure that are run together
MOST_KNOWN = 2000  # architectures whose layers are remembered
SIDES = (16, 32)  # of the images that are tried first
Leaves = Mapping[str, Leaf]
Mask = NDArray[np.bool_]
Structure = frozenset[tuple[str, type[nn.Module]]]  # keys and classes of all modules


@dataclass(frozen=True, slots=True)
class Active:
    """The channels of a shared layer that one architecture uses.

    Args:
        inputs: (input channels of the shared layer,) None for a layer that takes indices.
        outputs: (output channels of the shared layer,)
    """

    inputs: Tensor | None
    outputs: Tensor


class Probe:
    """What is known of the channels of one space's layers.

    Args:
        space: of the architectures.
        extent: its extent.
        builder: of its private networks, on the CPU, in single precision.

    Raises:
        SupernetError: names a layer whose weights cannot be shared, and says what to do.
    """

    def __init__(self, space: SearchSpace, extent: Extent, builder: Builder) -> None:
        self.space, self.extent, self.builder = space, extent, builder
        self.starts: dict[str, int] = {}
        self.length = 0
        for key, leaf in extent.leaves.items():
            self.starts[key] = self.length
            self.length += leaf.outputs
        self.unlike: dict[str, list[Sources]] = {}  # layers whose inputs are not always the first ones
        self._whole: dict[str, list[frozenset[int]]] = {}
        self._probed: set[Architecture] = set()
        self._side: int | None = None
        self._known: dict[Architecture, tuple[Leaves, Structure]] = {}
        if extent.varied:
            self._learn()

    # --- learning -------------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        whole = self.extent.whole
        unlike = self._unlike(whole)
        full = self._leaves(whole)
        news: list[Architecture] = []
        met = {self._structure(whole)}
        for single in self._singles(whole):
            if self._structure(single) in met:
                continue
            met.add(self._structure(single))
            variant = self.widest(single)
            theirs = self._leaves(variant)
            narrower = {
                key for key, leaf in theirs.items() if key in full and leaf.inputs != self.extent.leaves[key].inputs
            }
            if narrower - unlike or theirs.keys() - full.keys():
                news.append(variant)
                unlike |= narrower | self._unlike(variant)
                full = {**theirs, **full}
        self.unlike = {key: [] for key in unlike}
        if unlike:
            self.probe(whole)
            for variant in news:
                self.probe(variant)

    def _unlike(self, widest: Architecture) -> set[str]:
        """Layers of a structure whose inputs are not the first ones in some architectures of this structure.

        Raises:
            SupernetError: the count of a layer's inputs is not its width; it is never called; it mixes groups.
        """
        architectures = self._alike(widest)
        each = [self._leaves(architecture) for architecture in architectures]
        base = each[0]
        each = [one for one in each if all(_within(one[key], leaf) for key, leaf in base.items())]
        seen = self._trace(
            widest, {key: self._on(key, base[key], [one[key] for one in each]) for key in base}, len(each)
        )
        unlike = set()
        for key, leaf in base.items():
            widths = [one[key].inputs for one in each]
            _check_groups(key, [one[key] for one in each])
            if leaf.inputs is None:
                continue
            if key not in seen:
                if len({(one[key].inputs, one[key].outputs) for one in each}) > 1 and key in self.extent.holders:
                    raise SupernetError(
                        Problem(
                            f"{key} ({leaf.kind}) is never called: its weights are used behind its back, so which of "
                            "them an architecture uses is not known",
                            expected=f"call the layer itself in `forward`; or {FIXED}",
                        )
                    )
                continue
            for row, width in zip(seen[key].numpy(), widths, strict=True):
                if int(row.sum()) != width:
                    raise self._mixed(key, leaf, width or 0, int(row.sum()))
                if not row[:width].all():
                    unlike.add(key)
        return unlike

    def _mixed(self, key: str, leaf: Leaf, width: int, found: int) -> SupernetError:
        return SupernetError(
            Problem(
                f"{key} ({leaf.kind}) takes {width} channels in an architecture, but {found} of those that reach it in "
                "the largest network are its: an operation before it mixes channels (a softmax, a norm or a recurrent "
                "layer over them, a product with a parameter that no layer holds), or a fused layer before it does not "
                "say what its channels are made of",
                expected=f"{CHANNELS}; or {FIXED}",
            )
        )

    def probe(self, widest: Architecture) -> None:
        """Find the sources of all layers that may use other channels than the first, in one structure."""
        if widest in self._probed:
            return
        self._probed.add(widest)
        leaves = self._leaves(widest)
        makers = {key: leaf.outputs for key, leaf in leaves.items() if not leaf.follows and key in self.starts}
        origins = Origins(makers, self.starts)
        for outputs in origins.rounds():
            origins.note(self._trace(widest, outputs, len(next(iter(outputs.values())))), self.unlike)
        for key in self.unlike:
            channels = origins.of(key, leaves[key].kind) if key in leaves else None
            if channels:
                known = self._whole.setdefault(key, channels)
                self.unlike[key].append(Sources.of(channels, shared_channels(key, channels, known), self.length))

    # --- asking ---------------------------------------------------------------------------------------------------

    def inputs(self, architecture: Architecture, leaves: Leaves) -> dict[str, tuple[int, ...]]:
        """Layer -> its input channels in the shared layer, for all layers where these are not the first ones.

        Args:
            leaves: of the architecture's network.

        Raises:
            SupernetError: an architecture of a new structure, with a layer that mixes channels.
        """
        if not self.unlike:
            return {}
        on = self.outputs(leaves)
        found: dict[str, tuple[int, ...]] = {}
        for key, sources in self.unlike.items():
            leaf = leaves.get(key)
            if leaf is None or leaf.inputs is None:
                continue
            channels = used(sources, on, leaf.inputs)
            if channels is None:
                self.probe(self.widest(architecture))
                channels = used(sources, on, leaf.inputs)
            if channels is None:
                raise self._mixed(key, leaf, leaf.inputs, int(sources[-1].on(on).sum()) if sources else 0)
            if channels != tuple(range(leaf.inputs)):
                found[key] = channels
        return found

    def outputs(self, leaves: Leaves) -> Mask:
        """(all channels of all layers, and one that is off) which output channels an architecture has."""
        on = np.zeros(self.length + 1, dtype=np.bool_)
        for key, leaf in leaves.items():
            start = self.starts.get(key)
            if start is not None:
                on[start : start + self.extent.leaves[key].outputs] = self.made(key, leaf)
        return on

    def made(self, key: str, leaf: Leaf) -> Mask:
        """(outputs of the shared layer,) which of them a layer of an architecture makes."""
        on = np.zeros(self.extent.leaves[key].outputs, dtype=np.bool_)
        whole = self.extent.factors.get(key)
        if leaf.factors is not None and whole is not None:
            axis = factored(leaf.factors, whole)
            on[axis if isinstance(axis, slice) else list(axis)] = True
        else:
            on[: leaf.outputs] = True
        return on

    def active(self, architecture: Architecture) -> dict[str, Active]:
        """Layer -> which channels of the shared layer an architecture uses, for every layer of its network."""
        leaves = self._leaves(architecture)
        inputs = self.inputs(architecture, leaves)
        found = {}
        for key, leaf in leaves.items():
            on = None
            if leaf.inputs is not None:
                on = torch.zeros(self.extent.leaves[key].inputs or 0, dtype=torch.bool)
                on[list(inputs.get(key, range(leaf.inputs)))] = True
            made = on if on is not None and leaf.inputs == leaf.outputs and leaf.follows else None
            found[key] = Active(on, torch.from_numpy(self.made(key, leaf)) if made is None else made)
        return found

    # --- running --------------------------------------------------------------------------------------------------

    def _decoded(self, row: Sequence[int]) -> Architecture:
        """The architecture of a row, what becomes active as in the largest."""
        filled = [index if index >= 0 else wish for index, wish in zip(row, self.extent.wishes, strict=True)]
        return self.space.decode(np.array(filled, dtype=np.int16))

    def _leaves(self, architecture: Architecture) -> Leaves:
        return self._known_of(architecture)[0]

    def _structure(self, architecture: Architecture) -> Structure:
        return self._known_of(architecture)[1]

    def _known_of(self, architecture: Architecture) -> tuple[Leaves, Structure]:
        if architecture not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = list(layers(self.builder.network(architecture).network))
            structure = frozenset((layer.key, type(layer.module)) for layer in found)
            self._known[architecture] = {layer.key: layer.leaf for layer in found if layer.leaf is not None}, structure
        return self._known[architecture]

    def widest(self, architecture: Architecture) -> Architecture:
        """The architecture of the same structure in which every decision on widths is as in the largest."""
        row = self.space.encode(architecture).tolist()
        wanted = self._structure(architecture)
        for column, wish in enumerate(self.extent.wishes):
            if row[column] in (-1, wish):
                continue
            tried = [*row[:column], wish, *row[column + 1 :]]
            other = self._decoded(tried)
            if self._structure(other) == wanted:
                row = self.space.encode(other).tolist()
        return self._decoded(row)

    def _singles(self, whole: Architecture) -> Iterator[Architecture]:
        """The largest architecture with one decision changed, also within options that it does not take."""
        row = self.space.encode(whole).tolist()
        for column, decision in enumerate(self.space.decisions):
            start = row if row[column] >= 0 else reaching(self.space.decisions, column, self.extent.wishes)
            for option in some_options(decision):
                if option != row[column]:
                    yield self._decoded([*start[:column], option, *start[column + 1 :]])

    def _alike(self, widest: Architecture) -> list[Architecture]:
        """The architecture itself, and others of its structure with widths at random and each width alone."""
        row = self.space.encode(widest).tolist()
        wanted = self._structure(widest)
        free: dict[int, list[int]] = {}
        for column, decision in enumerate(self.space.decisions):
            if row[column] < 0:
                continue
            count = len(decision.options)
            for option in sorted({0, count // 2, count - 1} - {row[column]}):
                other = self._decoded([*row[:column], option, *row[column + 1 :]])
                if other.keys() != widest.keys():
                    continue
                if self._structure(other) == wanted:
                    free.setdefault(column, [row[column]]).append(option)
        rng = np.random.default_rng(0)
        found = [widest]
        for _ in range(RANDOM - 1):
            drawn = [int(rng.choice(free[c])) if c in free else index for c, index in enumerate(row)]
            other = self._decoded(drawn)
            if self._structure(other) == wanted:
                found.append(other)
        return found

    def _on(self, key: str, base: Leaf, leaves: Sequence[Leaf]) -> Tensor:
        """(B, C) which output channels of a layer each of some architectures has."""
        if base.factors is not None:
            rows = np.zeros((len(leaves), base.outputs), dtype=np.bool_)
            for row, leaf in zip(rows, leaves, strict=True):
                axis = factored(leaf.factors or (leaf.outputs,), base.factors)
                row[axis if isinstance(axis, slice) else list(axis)] = True
            return torch.from_numpy(rows)
        widths = torch.tensor([leaf.outputs for leaf in leaves])
        return torch.arange(base.outputs) < widths[:, None]

    def _trace(self, architecture: Architecture, outputs: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
        """What arrives in the network of an architecture; on small images where the network takes them."""
        images = example_input(self.space, architecture, 1, device="cpu").expand(batch, -1, -1, -1)
        if self._side is None:
            fitting = (side for side in SIDES if side < images.shape[-1] and self._takes(architecture, images, side))
            self._side = next(fitting, images.shape[-1])
        images = images[..., : self._side, : self._side]
        return trace(lambda: self.builder.network(architecture), images, outputs)

    def _takes(self, architecture: Architecture, images: Tensor, side: int) -> bool:
        try:
            trace(lambda: self.builder.network(architecture), images[:1, ..., :side, :side], {})
        except (RuntimeError, ValueError, AssertionError, IndexError):
            return False
        return True


def _within(leaf: Leaf, whole: Leaf) -> bool:
    return leaf.outputs <= whole.outputs and (leaf.inputs or 0) <= (whole.inputs or 0)


def _check_groups(key: str, leaves: Sequence[Leaf]) -> None:
    grouped = [leaf for leaf in leaves if leaf.groups > 1 and leaf.inputs is not None]
    sizes = {((leaf.inputs or 0) // leaf.groups, leaf.outputs // leaf.groups) for leaf in grouped}
    if len(sizes) > 1:
        (first, made), (second, other) = sorted(sizes)[:2]
        raise SupernetError(
            Problem(
                f"{key} ({leaves[0].kind}) has groups of {first} to {made} channels in one architecture, of {second} "
                f"to {other} in another, so its groups do not hold the same channels",
                expected="vary the number of groups with the width, not the width of a group: groups = width // 8",
            )
        )


_known: dict[tuple[str, str], Probe] = {}


def probe_of(space: SearchSpace, extent: Extent, overrides: Mapping[str, Any] | None) -> Probe:
    """The probe of a space; it is kept, as making one takes seconds.

    Raises:
        SupernetError: names a layer whose weights cannot be shared.
    """
    key = space.hash, canonical_json(dict(overrides or {}))
    if key not in _known:
        _known[key] = Probe(space, extent, Builder(space, overrides, torch.device("cpu"), torch.float32))
    return _known[key]
