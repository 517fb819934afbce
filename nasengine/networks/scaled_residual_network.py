"""Residual networks in which every block runs at a resolution of its own, coarser or finer than the one before.

Shapes:  N batch   C input channels   H, W height, width
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nasengine.networks.blocks.at_scale import AtScale
from nasengine.networks.blocks.convolution import ConvNormActivation
from nasengine.networks.blocks.residual_block import BasicBlock


class ScaledResidualNetwork(nn.Module):
    """Stem, basic blocks each at its scale, global average pool, linear classifier.

    Every block takes and gives a map of full resolution and shrinks it for itself, so that any sequence of scales is a
    network, all with the same parameters. Where scales only rise it computes what `residual_network` does with a
    max-pool before each block where they rise.

    Sources: He et al., CVPR 2016, arXiv 1512.03385; scales: Javan Roshtkhari, Toews, Pedersoli, AutoML 2023, PMLR 224,
             arXiv 2306.11982.
    Differs from the code released with the latter: a linear classifier follows the last block, as in the networks
    that are trained after the search; theirs gives the scores from the last block while searching.

    Args:
        in_channels: C.
        classes: number of scores.
        widths: output channels of the blocks.
        scales: one for each block: by how much it divides height and width (1, 2, 4).
        stem_width: channels after the stem, a 3x3 convolution.
        norm: settings of the normalisations, see `make_norm`.
        inner_norm: settings of those inside a block's branch before its last; None for those of `norm`.
        activation: name of all activations.

    Raises:
        ValueError: not one scale for each block, or one below 1.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        widths: list[int],
        scales: list[int],
        stem_width: int = 16,
        norm: dict[str, Any] | None = None,
        inner_norm: dict[str, Any] | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if len(scales) != len(widths) or min(scales, default=1) < 1:
            raise ValueError(f"scales must be one for each of the {len(widths)} blocks, at least 1, got {list(scales)}")
        self.stem = ConvNormActivation(in_channels, stem_width, kernel=3, norm=norm, activation=activation)
        self.blocks = nn.ModuleList()
        channels = stem_width
        for width, scale in zip(widths, scales, strict=True):
            block = BasicBlock(channels, width, norm=norm, inner_norm=inner_norm, activation=activation)
            self.blocks.append(AtScale(block, scale=scale))
            channels = width
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((2, 3)))
