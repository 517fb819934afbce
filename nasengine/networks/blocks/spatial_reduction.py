"""Residual spatial reduction: a quarter of the tokens, each wider, with a skip that needs no parameters.

Shapes:  N batch   P side of the grid of patches   T = 1 + P² tokens, the first the class token
         I, O width of a token before and after   Q = P / 2 side of the grid after   T' = 1 + Q²
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nasengine.networks.blocks.transformer import NORM_EPSILON, make_linear, make_parameter


class SpatialReduction(nn.Module):
    """A strided convolution of the patches and a linear layer for the class token, added to what went in.

    What went in is skipped past both as it was before the norm: patches averaged over 2x2, tokens widened by zeros.

    Source: Liao, Karaman, Sze, "Searching for Efficient Multi-Stage Vision Transformers", 2021, arXiv 2109.00642,
            and its released code.

    Args:
        in_channels: I.
        width: O, at least I.
        grid: P, even.

    Raises:
        ValueError: an odd grid, or tokens that would become narrower.
    """

    def __init__(self, in_channels: int, width: int, *, grid: int) -> None:
        super().__init__()
        if grid % 2:
            raise ValueError(f"only an even grid of patches can be halved, got {grid}x{grid}")
        if width < in_channels:
            raise ValueError(f"tokens may not become narrower from stage to stage, got {in_channels} before {width}")
        self.grid = grid
        self.norm = nn.LayerNorm(in_channels, eps=NORM_EPSILON)
        self.patches = nn.Conv2d(in_channels, width, 3, stride=2, padding=1)
        self.position = make_parameter(1, (grid // 2) ** 2, width)
        self.class_token = make_linear(in_channels, width)
        self.widen = nn.ZeroPad1d((0, width - in_channels))  # zeros behind the features of each token

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, I) to (N, T', O)."""
        normal, half = self.norm(x), self.grid // 2
        patches = self.patches(self.as_grid(normal).permute(0, 3, 1, 2))  # (N, O, Q, Q)
        patches = patches.flatten(2).transpose(1, 2) + self.position  # (N, Q², O)
        reduced = torch.cat((self.class_token(normal[:, :1]), patches), 1)  # (N, T', O)

        squares = self.as_grid(x).reshape(x.shape[0], half, 2, half, 2, -1)  # (N, Q, 2, Q, 2, I)
        skipped = torch.cat((x[:, :1], squares.mean((2, 4)).flatten(1, 2)), 1)  # (N, T', I)
        return reduced + self.widen(skipped)

    def as_grid(self, x: Tensor) -> Tensor:
        """(N, T, I) to the patches alone, (N, P, P, I)."""
        return x[:, 1:].reshape(x.shape[0], self.grid, self.grid, -1)
