"""Layers of a user's own: a convolution scaled by its width, kept as a number like any other; one that drops images."""

from __future__ import annotations

from torch import Tensor, nn


class ScaledConvolution(nn.Module):
    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.conv = nn.Conv2d(in_channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * (10 / self.width)


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(0.5) if self.training else x


class Muted(nn.Module):
    """A branch that is there and does nothing."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0 * self.conv(x)
