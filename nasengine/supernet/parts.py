"""Which part of every shared tensor a network uses."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.conv import _ConvNd

from nasengine.errors import Problem
from nasengine.supernet.cuts import Cut
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.extent import Extent, Shape
from nasengine.supernet.keys import Held, tensors


class Parts:
    """Finds the cuts of networks of one space.

    Args:
        extent: of the space.
    """

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self._known: dict[tuple[str, Shape], Cut] = {}

    def cuts(self, network: nn.Module) -> dict[str, Cut]:
        """Key -> the part of the shared tensor that stands for the network's own.

        Raises:
            SupernetError: a tensor has no place in the shared one.
        """
        found: dict[str, Cut] = {}
        for held in tensors(network):
            shape = tuple(held.tensor.shape)
            known = self._known.get((held.key, shape))
            if known is None:
                known = self._known[held.key, shape] = self._cut(held, shape)
            found[held.key] = known
        return found

    def _cut(self, held: Held, shape: Shape) -> Cut:
        whole = self.extent.shapes.get(held.key)
        if whole is None or len(whole) != len(shape) or any(a > b for a, b in zip(shape, whole, strict=True)):
            raise SupernetError(f"{held.key}: {shape} is no part of the shared {whole}")
        axes = []
        for number, (length, full) in enumerate(zip(shape, whole, strict=True)):
            start = 0
            if number >= 2 and isinstance(held.owner, _ConvNd):
                if (full - length) % 2:
                    raise SupernetError(
                        Problem(
                            f"{held.layer}: kernels of {length} and {full} have no common centre",
                            expected="choose among odd kernels only, or among even ones only",
                        )
                    )
                start = (full - length) // 2
            axes.append(slice(start, start + length))
        return Cut(tuple(axes), shape)
