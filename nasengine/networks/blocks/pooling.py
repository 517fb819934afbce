"""Pooling: like convolutions, an odd kernel is padded, so that stride 1 keeps the size.

Shapes:  N batch   C channels   H, W height, width   s stride
An odd kernel gives (ceil(H / s), ceil(W / s)); an even one is not padded: kernel 2 with stride 2 gives
(floor(H / 2), floor(W / 2)).
"""

from __future__ import annotations

from torch import Tensor, nn


def pooling_padding(kernel: int, stride: int) -> int:
    """Padding on each side; an even kernel has none, and then needs a stride.

    Raises:
        ValueError: an even kernel with stride 1, which would lose a row and a column unseen.
    """
    if kernel % 2 == 0 and stride == 1:
        raise ValueError(f"an even kernel cannot keep the size: take an odd one or a stride, got {kernel=}, {stride=}")
    return kernel // 2 if kernel % 2 else 0


class MaxPool(nn.MaxPool2d):
    """Largest value in each window.

    Args:
        kernel: side of the window.
        stride: step in both directions.
    """

    def __init__(self, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(kernel, stride, padding=pooling_padding(kernel, stride))


class AveragePool(nn.AvgPool2d):
    """Mean of each window; at the border, of the part that lies inside the image.

    Args:
        kernel: side of the window.
        stride: step in both directions.
    """

    def __init__(self, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(kernel, stride, padding=pooling_padding(kernel, stride), count_include_pad=False)


class GlobalAveragePool(nn.Module):
    """Mean over all pixels: a feature map becomes a vector."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C)."""
        return x.mean((2, 3))
