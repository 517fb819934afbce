"""Where the input channels of a layer come from, when they are not simply the first ones.

Every layer that makes channels is tainted in a pattern of its own, and every channel in patterns that spell its number
in binary, once with the ones tainted and once with the zeros. What arrives in a channel names the layers that it comes
from, and the number of the channel in all of them; where a bit arrives both as a one and as a zero, several channels
were mixed.

Shapes:  C input channels of a layer   P patterns
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasengine.errors import Problem
from nasengine.supernet.errors import SupernetError

AT_A_TIME = 64  # patterns in one run
CHANNELS = "declare what its channels are made of in the class that holds the fused layer, axes = {'qkv': (3, 'heads')}"
FIXED = "keep this width fixed, or make its options named nodes of a choice, each with weights of its own"


Mask = NDArray[np.bool_]
Channels = list[frozenset[int]]  # for each channel the places, in the vector of all output channels, it comes from


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the input channels of one layer come from, in networks of some structure.

    Args:
        columns: (C, k) for each channel of the structure's largest network, places in the vector of all output
            channels of all layers; the last place, which is always off, fills rows up.
        shared: (C,) the channel of the shared layer that it is.
        always: (C,) whether it comes from no layer that could be off.
    """

    columns: NDArray[np.int64]
    shared: NDArray[np.int64]
    always: Mask

    @classmethod
    def of(cls, channels: Channels, shared: NDArray[np.int64], off: int) -> Sources:
        """The same from the places of each channel; `off` is a place that is always off."""
        columns = np.full((len(channels), max(map(len, channels), default=0) or 1), off, dtype=np.int64)
        for number, places in enumerate(channels):
            columns[number, : len(places)] = sorted(places)
        return cls(columns, shared, np.array([not places for places in channels]))

    def on(self, made: Mask) -> Mask:
        """(C,) which channels an architecture has, given all the output channels that it makes."""
        found: Mask = made[self.columns].any(1) | self.always
        return found


def used(known: Iterable[Sources], made: Mask, width: int) -> tuple[int, ...] | None:
    """The channels of the shared layer that are on, by the first structure in which as many are as wanted."""
    for sources in known:
        on = sources.on(made)
        if int(on.sum()) == width:
            return tuple(np.sort(sources.shared[on]).tolist())
    return None


class Origins:
    """The patterns that tell the origin of every channel of one network, and what arrived of them.

    Args:
        makers: layer -> number of channels that it makes.
        starts: layer -> its place in the vector of all output channels.
    """

    def __init__(self, makers: Mapping[str, int], starts: Mapping[str, int]) -> None:
        self.makers, self.starts = dict(makers), starts
        self.bits = max(self.makers.values(), default=1).bit_length()
        self._arrived: dict[str, list[Mask]] = {}

    def rounds(self) -> Iterator[dict[str, Tensor]]:
        """What to taint: layer -> (P, its channels) bool, False for what is tainted; some patterns at a time."""
        patterns: list[tuple[str, int]] = [("layer", number) for number in range(len(self.makers))]
        patterns += [("one", bit) for bit in range(self.bits)] + [("zero", bit) for bit in range(self.bits)]
        for start in range(0, len(patterns), AT_A_TIME):
            outputs = {}
            for number, (key, count) in enumerate(self.makers.items()):
                places = np.arange(count)
                rows = [
                    np.full(count, value != number)
                    if kind == "layer"
                    else ((places >> value) & 1).astype(bool) == (kind == "zero")
                    for kind, value in patterns[start : start + AT_A_TIME]
                ]
                outputs[key] = torch.from_numpy(np.array(rows))
            yield outputs

    def note(self, seen: Mapping[str, Tensor], wanted: Collection[str]) -> None:
        """Keep what arrived in one round at the layers that are wanted."""
        for key in wanted:
            if key in seen:
                self._arrived.setdefault(key, []).append(~seen[key].numpy())

    def of(self, key: str, kind: str) -> Channels | None:
        """The places that each input channel of a layer comes from; None if the layer was not called.

        Raises:
            SupernetError: several channels of one layer are mixed.
        """
        if key not in self._arrived:
            return None
        tainted = np.concatenate(self._arrived[key])
        by_layer, by_bit = tainted[: len(self.makers)], tainted[len(self.makers) :]
        ones, zeros = by_bit.reshape(2, self.bits, -1)
        names = list(self.makers)
        channels: Channels = []
        for channel in range(by_layer.shape[1]):
            numbers = [int(number) for number in np.flatnonzero(by_layer[:, channel])]
            if numbers and (ones[:, channel] & zeros[:, channel]).any():
                raise SupernetError(
                    Problem(
                        f"{key} ({kind}): what reaches its input channel {channel} is made of several channels of "
                        f"{', '.join(names[number] for number in numbers[:3])}",
                        expected=f"{CHANNELS}; or {FIXED}",
                    )
                )
            place = int((ones[:, channel].astype(np.int64) << np.arange(self.bits)).sum())
            channels.append(frozenset(self.starts[names[number]] + place for number in numbers))
        return channels


def shared_channels(key: str, channels: Sequence[frozenset[int]], known: Channels) -> NDArray[np.int64]:
    """For each channel of a structure's largest network the channel of the shared layer with the same sources.

    Args:
        known: the sources of the shared layer's channels.

    Raises:
        SupernetError: several channels have the same sources, so which of them is meant is not known.
    """
    if len(channels) == len(known):
        return np.arange(len(channels))
    by_source: dict[int, int] = {}
    for number, places in enumerate(known):
        for place in places:
            by_source.setdefault(place, number)
    matched = [{by_source[place] for place in places if place in by_source} for places in channels]
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
