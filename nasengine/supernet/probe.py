"""Which input channels of each shared layer an architecture uses, learned by tainting; and what cannot be shared.

Nearly every layer uses the first ones, and a few runs of the largest network with random widths show it. For a layer
behind a concatenation, a flattening or a permutation they are others: there one run tells, for each of its input
channels, which channels of which layers it comes from. An architecture uses the channels whose sources it has. How
many those are must agree with the width of the layer in its own network; where they do not, the architecture's own
structure is probed, and where that does not help either, channels are mixed and the layer is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from nasengine.supernet.taint import trace

RANDOM = 6  # architectures of one structure that are run together
AT_A_TIME = 64  # patterns in one run that looks for sources
MOST_KNOWN = 2000  # architectures whose layers are remembered
SIDES = (16, 32)  # of the images that are tried first
CHANNELS = "declare what its channels are made of in the class that holds the fused layer, axes = {'qkv': (3, 'heads')}"
FIXED = "keep this width fixed, or make its options named nodes of a choice, each with weights of its own"

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


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the input channels of one layer come from, in networks of some structure.

    Args:
        columns: (n, k) for each channel of the structure's largest network, places in the vector of all output
            channels of all layers; the last place, which is always off, fills rows up.
        shared: (n,) the channel of the shared layer that it is.
        always: (n,) whether it comes from no layer that could be off.
    """

    columns: NDArray[np.int64]
    shared: NDArray[np.int64]
    always: Mask


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
        self._whole: dict[str, tuple[list[frozenset[int]], Leaf]] = {}
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
                "the largest network are its: an operation before it mixes channels (a softmax or a norm over them, a "
                "product with a parameter that no layer holds), or a fused layer before it does not say what its "
                "channels are made of",
                expected=f"{CHANNELS}; or {FIXED}",
            )
        )

    def probe(self, widest: Architecture) -> None:
        """Find the sources of all layers that may use other channels than the first, in one structure."""
        if widest in self._probed:
            return
        self._probed.add(widest)
        leaves = self._leaves(widest)
        makers = [key for key, leaf in leaves.items() if not leaf.follows and key in self.starts]
        bits = max((leaves[key].outputs for key in makers), default=1).bit_length()
        patterns: list[tuple[str, int]] = [("leaf", number) for number in range(len(makers))]
        patterns += [("one", bit) for bit in range(bits)] + [("zero", bit) for bit in range(bits)]
        numbers = {key: np.arange(leaves[key].outputs) for key in makers}
        arrived: dict[str, list[Mask]] = {}
        for start in range(0, len(patterns), AT_A_TIME):
            chunk = patterns[start : start + AT_A_TIME]
            outputs = {}
            for number, key in enumerate(makers):
                rows = [
                    np.full(len(numbers[key]), value != number)
                    if kind == "leaf"
                    else ((numbers[key] >> value) & 1).astype(bool) == (kind == "zero")
                    for kind, value in chunk
                ]
                outputs[key] = torch.from_numpy(np.array(rows))
            seen = self._trace(widest, outputs, len(chunk))
            for key in self.unlike:
                if key in seen:
                    arrived.setdefault(key, []).append(~seen[key].numpy())
        for key, chunks in arrived.items():
            tainted = np.concatenate(chunks)  # (patterns, C)
            self._enter(key, leaves[key], makers, tainted[: len(makers)], tainted[len(makers) :].reshape(2, bits, -1))

    def _enter(self, key: str, leaf: Leaf, makers: Sequence[str], by_leaf: Mask, by_bit: Mask) -> None:
        """Keep what was found of one layer, matched with the channels of the shared layer."""
        ones, zeros = by_bit  # (bits, C) each
        channels: list[frozenset[int]] = []
        for channel in range(by_leaf.shape[1]):
            numbers = np.flatnonzero(by_leaf[:, channel])
            if len(numbers) and (ones[:, channel] & zeros[:, channel]).any():
                raise SupernetError(
                    Problem(
                        f"{key} ({leaf.kind}): what reaches its input channel {channel} is made of several channels of "
                        f"{', '.join(makers[int(number)] for number in numbers[:3])}",
                        expected=f"{CHANNELS}; or {FIXED}",
                    )
                )
            place = int((ones[:, channel].astype(np.int64) << np.arange(len(ones))).sum())
            channels.append(frozenset(self.starts[makers[int(number)]] + place for number in numbers))
        if key not in self._whole:
            self._whole[key] = channels, leaf
        shared = self._matched(key, channels)
        longest = max(map(len, channels), default=0) or 1
        columns = np.full((len(channels), longest), self.length, dtype=np.int64)
        for number, sources in enumerate(channels):
            columns[number, : len(sources)] = sorted(sources)
        found = Sources(columns, shared, np.array([not sources for sources in channels]))
        self.unlike[key].append(found)

    def _matched(self, key: str, channels: Sequence[frozenset[int]]) -> NDArray[np.int64]:
        """For each channel of a structure's largest network the channel of the shared layer with the same sources."""
        known, _ = self._whole[key]
        if len(channels) == len(known):
            return np.arange(len(channels))
        by_source: dict[int, int] = {}
        for number, sources in enumerate(known):
            for source in sources:
                by_source.setdefault(source, number)
        matched = [{by_source[source] for source in sources if source in by_source} for sources in channels]
        if not any(matched):
            return np.arange(len(channels))
        if any(len(numbers) != 1 for numbers in matched) or len(set().union(*matched)) < len(matched):
            raise SupernetError(
                Problem(
                    f"{key}: which of its shared input channels are used is ambiguous, as what comes before it differs",
                    expected=FIXED,
                )
            )
        return np.array([next(iter(numbers)) for numbers in matched])

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
            channels = _used(sources, on, leaf.inputs)
            if channels is None:
                self.probe(self.widest(architecture))
                channels = _used(sources, on, leaf.inputs)
            if channels is None:
                reach = on[sources[-1].columns].any(1) | sources[-1].always if sources else on[:0]
                raise self._mixed(key, leaf, leaf.inputs, int(reach.sum()))
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


def _used(known: Iterable[Sources], on: Mask, width: int) -> tuple[int, ...] | None:
    """The channels of the shared layer that are on, by the first structure in which as many are as wanted."""
    for sources in known:
        used = on[sources.columns].any(1) | sources.always
        if int(used.sum()) == width:
            return tuple(np.sort(sources.shared[used]).tolist())
    return None


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
