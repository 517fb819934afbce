"""Which part of every shared tensor a network uses.

Kernels are shared around their centre. Output channels are the first ones; input channels are those that the layers
before give, which are the first ones too unless a concatenation, a flattening or the like lies between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nasengine.errors import Problem
from nasengine.supernet.cuts import Axis, Cut, Indices
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.extent import Extent, Shape
from nasengine.supernet.keys import Held
from nasengine.supernet.leaves import Role

Channels = tuple[int, ...]
MOST_CUTS = 100_000  # kept at a time, of some hundred bytes each


class Parts:
    """Finds the cuts of networks of one space.

    Args:
        extent: of the space.
    """

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self._known: dict[tuple[str, Shape, tuple[int, ...] | None, Channels | None], Cut] = {}

    def cuts(self, held: Iterable[Held], inputs: Mapping[str, Channels]) -> list[Cut]:
        """The part of the shared tensor that stands for each of a network's own.

        Args:
            held: the tensors of the network.
            inputs: layer -> its input channels in the shared layer, where these are not the first ones.

        Raises:
            SupernetError: a tensor has no place in the shared one.
        """
        found: list[Cut] = []
        known = self._known
        for each in held:
            channels = inputs.get(each.layer) if inputs and each.leaf is not None else None
            key = each.key, each.shape, each.factors, channels
            cut = known.get(key)
            if cut is None:
                if len(known) >= MOST_CUTS:
                    known.clear()
                cut = known[key] = self._cut(each, key[1], channels)
            found.append(cut)
        return found

    def _cut(self, held: Held, shape: Shape, channels: Channels | None) -> Cut:
        whole = self.extent.shapes.get(held.key)
        if whole is None or len(whole) != len(shape) or any(a > b for a, b in zip(shape, whole, strict=True)):
            raise SupernetError(
                Problem(
                    f"{held.key} is {shape} in an architecture, which is no part of the shared {whole}",
                    expected="a choice whose widest option is found by trying its options one at a time",
                )
            )
        axes = tuple(
            self._axis(held, number, length, full, channels)
            for number, (length, full) in enumerate(zip(shape, whole, strict=True))
        )
        return Cut(axes, shape)

    def _axis(self, held: Held, number: int, length: int, full: int, channels: Channels | None) -> Axis:
        role = held.roles[number]
        if role is Role.KERNEL:
            if (full - length) % 2:
                raise SupernetError(
                    Problem(
                        f"{held.layer} has kernels of {length} and of {full}, which have no common centre",
                        expected="choose among odd kernels only, or among even ones only",
                    )
                )
            return slice((full - length) // 2, (full - length) // 2 + length)
        if number == 0 and held.factors is not None:
            return factored(held.factors, self.extent.factors[held.key if held.leaf is None else held.layer])
        if role is Role.TRIPLE:
            return as_axis([third * (full // 3) + channel for third in range(3) for channel in range(length // 3)])
        if channels is not None and held.leaf is not None:
            if role is Role.IN:
                return as_axis(channels)
            if role is Role.GROUPED:
                per_group = held.leaf.inputs // held.leaf.groups if held.leaf.inputs else 1
                outputs = held.leaf.outputs // held.leaf.groups
                groups = [channel // per_group for channel in channels[::per_group]]
                return as_axis([group * outputs + output for group in groups for output in range(outputs)])
        return slice(0, length)


def factored(part: Sequence[int], whole: Sequence[int]) -> Axis:
    """The first ones along each of several axes that were made one."""
    numbers = np.arange(math.prod(whole)).reshape(whole)
    return as_axis(numbers[tuple(slice(0, length) for length in part)].ravel().tolist())


def as_axis(numbers: Sequence[int]) -> Axis:
    """A slice, where the numbers are successive."""
    start = numbers[0]
    return (
        slice(start, start + len(numbers))
        if list(numbers) == list(range(start, start + len(numbers)))
        else Indices.of(numbers)
    )
