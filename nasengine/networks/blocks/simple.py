"""Layers without weights: identity, zero, subsampling, flatten, dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Identity(nn.Module):
    """Hands on what it gets."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return x


class Zero(nn.Module):
    """No connection: zeros in the shape of the input, subsampled by `stride`.

    Args:
        stride: step in both directions.
    """

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        return torch.zeros_like(x[..., :: self.stride, :: self.stride] if self.stride > 1 else x)


class Subsample(nn.Module):
    """Keeps each `stride`-th row and column: the shortcut of a block that strides without changing its width.

    Source: He et al., CVPR 2016, arXiv 1512.03385, section 3.3, option A.

    Args:
        stride: step in both directions.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        return x[:, :, :: self.stride, :: self.stride]


class Flatten(nn.Module):
    """Makes one vector of each image."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) to (N, product of the rest)."""
        return x.flatten(1)


class Dropout(nn.Dropout):
    """Sets single values to zero in training, with the rest scaled up.

    Source: Srivastava et al., JMLR 2014.

    Args:
        probability: of being set to zero.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability)
