"""What the layers of a masked pass read: how many channels are on for each of its K architectures, and which options.

A pass holds B images of K architectures; image i belongs to architecture i mod K. So the first axis of every tensor in
it splits into (R, K) without a copy, and whatever differs between architectures is a small tensor along K. Everything
that changes from pass to pass stands in two tensors, which reach the device at once: a compiled graph takes them as
inputs, so that other architectures need no other graph.

Shapes:  K architectures   B images, R = B / K   F rows an image may have been folded into (windows)   C channels
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from nasengine.errors import NasEngineError

Number = TypeVar("Number", int, Tensor)


class MaskError(NasEngineError):
    """Something that cannot be masked; the architectures concerned run as views, one after the other.

    Args:
        message: what, with the layer's name.
        layer: that name, where architectures that agree in this layer may yet share a pass.
    """

    def __init__(self, message: str, layer: str = "") -> None:
        super().__init__(message)
        self.layer = layer

    def __reduce__(self) -> tuple[type[MaskError], tuple[str, str]]:
        return type(self), (str(self), self.layer)


@dataclass(frozen=True)
class Prefix:
    """The first so many channels are on.

    Args:
        column: of `Masks.numbers`, which holds how many.
        start: of these channels among those of all prefixes.
    """

    column: int
    start: int


@dataclass(frozen=True)
class Listed:
    """Any channels are on, as after a concatenation.

    Args:
        start: of these channels in `Masks.patterns`.
    """

    start: int


On = Prefix | Listed


class Masks:
    """The K architectures of the pass at hand, shared by all layers of a masked network.

    Args:
        positions: (T,) where in its layer each channel of all prefixes stands, one prefix after the other.
        owners: (T,) the column of `numbers` that says whether it is on.
    """

    def __init__(self, positions: Tensor, owners: Tensor) -> None:
        self.positions = positions
        self.owners = owners
        self.numbers = torch.empty(0, 0, dtype=torch.long)  # (K, columns)
        self.patterns = torch.empty(0, 0, dtype=torch.bool)  # (K, channels that follow no prefix)
        self._table: Tensor | None = None  # (K, T)
        self.architectures = 0
        self.images = 0

    def set(self, numbers: Tensor, patterns: Tensor, images: int) -> None:
        """Take other architectures: new tensors, as those of the last pass may be waiting for its backward pass.

        Raises:
            MaskError: `images` is no multiple of the number of architectures.
        """
        if images % len(numbers):
            raise MaskError(f"a batch of {images} images does not divide among {len(numbers)} architectures")
        self.numbers = numbers
        self.patterns = patterns
        self.architectures = len(numbers)
        self.images = images
        if self.positions.device != numbers.device:
            self.positions, self.owners = self.positions.to(numbers.device), self.owners.to(numbers.device)
        self._table = None

    def on(self, which: On, channels: int) -> Tensor:
        """(K, C) which channels are on."""
        if isinstance(which, Listed):
            return self.patterns[:, which.start : which.start + channels]
        if torch.compiler.is_compiling():
            places = torch.arange(channels, device=self.numbers.device)
            return places < self.numbers[:, which.column, None]
        if self._table is None:
            self._table = self.positions < self.numbers[:, self.owners]
        return self._table[:, which.start : which.start + channels]

    def count(self, which: On, channels: int) -> Tensor:
        """(K,) how many channels are on."""
        if isinstance(which, Listed):
            return self.on(which, channels).sum(1)
        return self.numbers[:, which.column]

    def parts(self, x: Tensor, layer: str) -> tuple[int, int, int]:
        """R, K and F of (B * F, …).

        Raises:
            MaskError: the first axis does not count images.
        """
        rows = x.shape[0]
        if self.images == 0 or rows % self.images:
            raise MaskError(f"the first axis of what goes into {layer} is {rows}, no multiple of {self.images} images")
        return self.images // self.architectures, self.architectures, rows // self.images

    def split(self, x: Tensor, layer: str) -> Tensor:
        """(B * F, …) to (R, K, F, …), a view.

        Raises:
            MaskError: the first axis does not count images.
        """
        return x.view(*self.parts(x, layer), *x.shape[1:])

    def join(self, split: Tensor) -> Tensor:
        """(R, K, F, …) to (B * F, …)."""
        return split.flatten(0, 2)

    def each(self, values: Tensor, x: Tensor, layer: str) -> Tensor:
        """(K,) to (B * F, 1…): of each row of x, what its architecture has.

        A table of rows and not a split of x: compiled, what is masked keeps the shape that the plain network's has,
        and fuses with the same neighbours.
        """
        return self._rows(values, x, layer).view(-1, *[1] * (x.dim() - 1))

    def along(self, values: Tensor, x: Tensor, axis: int, layer: str) -> Tensor:
        """(K, C) to (B * F, 1…, C, 1…), with the channels at `axis` of x."""
        shape = [1] * x.dim()
        shape[0], shape[axis] = x.shape[0], values.shape[1]
        return self._rows(values, x, layer).view(shape)

    def _rows(self, values: Tensor, x: Tensor, layer: str) -> Tensor:
        """(K, …) to (B * F, …)."""
        rest = values.shape[1:]
        spread = values[None, :, None].expand(*self.parts(x, layer), *rest)
        return spread.reshape(x.shape[0], *rest)

    def shown(self, which: On, x: Tensor, axis: int, layer: str) -> Tensor:
        """(B * F, 1…, C, 1…) which channels of x are on.

        A compiled kernel compares places with one number an image, which costs it no memory; otherwise the
        comparison has been made for all layers at once.
        """
        channels = x.shape[axis]
        if isinstance(which, Prefix) and torch.compiler.is_compiling():
            places = torch.arange(channels, device=self.numbers.device)
            places = places.view(-1, *[1] * (-1 - axis if axis < 0 else x.dim() - 1 - axis))
            return places < self.each(self.numbers[:, which.column], x, layer)
        return self.along(self.on(which, channels), x, axis, layer)

    def keep(self, x: Tensor, which: On | None, axis: int, layer: str) -> Tensor:
        """(B * F, …) with zeros in every channel that is off; not by a product, as 0 times infinity is no zero."""
        if which is None:
            return x
        return torch.where(self.shown(which, x, axis, layer), x, 0.0)

    def choose(self, taken: Tensor, first: Tensor, second: Tensor, layer: str) -> Tensor:
        """(B * F, …) from `first` where an image's architecture has `taken` (K,), else from `second`."""
        return torch.where(self.each(taken, first, layer), first, second)


class Gate(nn.Module):
    """An element that some of the architectures lack: for them it hands on its input, or nothing.

    Args:
        element: runs for all images.
        name: of the element, for messages.
        masks: of the network.
        column: of `Masks.numbers`; not 0 where the element is there.
        otherwise: "identity" (in series) or "zero" (in parallel).
    """

    def __init__(self, element: nn.Module, name: str, masks: Masks, column: int, otherwise: str) -> None:
        super().__init__()
        self.element = element
        self.name = name
        self.column = column
        self.otherwise = otherwise
        self.masks = masks

    def forward(self, x: Tensor, *rest: object, **named: object) -> Tensor:
        """Whatever the element takes to what it gives."""
        y: Tensor = self.element(x, *rest, **named)
        there = self.masks.numbers[:, self.column] != 0
        if self.otherwise == "zero":
            return torch.where(self.masks.each(there, y, self.name), y, 0.0)
        if y.shape != x.shape:
            raise MaskError(
                f"{self.name} is not in every architecture, but maps {tuple(x.shape)} to {tuple(y.shape)}",
                self.name,
            )
        return self.masks.choose(there, y, x.to(y.dtype), self.name)


class Pick(nn.Module):
    """Options of different type in one place: all run, and each image takes that of its architecture.

    Args:
        options: modules.
        name: of the place, for messages.
        masks: of the network.
        columns: of `Masks.numbers`, one for each option: whether it is the one that is there.
        otherwise: "identity", "zero" or None (always one is there): where none of them is.
    """

    def __init__(
        self, options: list[nn.Module], name: str, masks: Masks, columns: list[int], otherwise: str | None
    ) -> None:
        super().__init__()
        self.options = nn.ModuleList(options)
        self.name = name
        self.columns = columns
        self.otherwise = otherwise
        self.masks = masks

    def forward(self, x: Tensor, *rest: object, **named: object) -> Tensor:
        """Whatever the options take to what they give, which must have one shape."""
        chosen: Tensor | None = None
        for column, option in zip(self.columns, self.options, strict=True):
            y: Tensor = option(x, *rest, **named)
            if chosen is None:
                chosen = x if self.otherwise == "identity" and x.shape == y.shape else torch.zeros_like(y)
            if y.shape != chosen.shape:
                shapes = f"{tuple(chosen.shape)} and {tuple(y.shape)}"
                raise MaskError(f"options of {self.name} give {shapes}", self.name)
            chosen = self.masks.choose(self.masks.numbers[:, column] != 0, y, chosen, self.name)
        assert chosen is not None
        return chosen
