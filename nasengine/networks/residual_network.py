"""Residual networks whose places of downsampling are arguments, independent of their widths.

ResNet-20 as in the study of pooling places: 3x3 stem, basic blocks, a 2x2 max-pool before chosen blocks.
ResNet-18 and -50: stride 2 in chosen blocks. As widths follow from depth alone, all placements have
exactly the same parameters and can share them.

Shapes:  N batch   C input channels   H, W height, width
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from nasengine.networks.blocks.convolution import ConvNormActivation
from nasengine.networks.blocks.residual_block import BasicBlock, Bottleneck

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResidualNetwork(nn.Module):
    """Stem, residual blocks, global average pool, linear classifier.

    Sources: He et al., CVPR 2016, arXiv 1512.03385; where to downsample: Javan Roshtkhari, Toews, Pedersoli,
             AutoML 2023, PMLR 224, arXiv 2306.11982.
    Differs from the code released with the latter: the third stride of a ResNet-50 is kept when it falls on the
    last block (theirs is lost there; to get their figures, leave the 16 out of `downsample_at`).

    Args:
        in_channels: C.
        classes: number of scores.
        widths: one for each block; a bottleneck gives four times as many channels.
        block: "basic" or "bottleneck".
        stem: "conv_3x3" (stride 1), or "conv_7x7_pool" (stride 2, then a 3x3 max-pool of stride 2).
        stem_width: channels after the stem.
        downsample: how a block halves the resolution: "max_pool" (2x2, before branch and shortcut) or "stride".
        downsample_at: numbers of the blocks that do, counted from 1.
        norm: settings of the normalisations, see `make_norm`.
        inner_norm: settings of those inside a block's branch before its last; None for those of `norm`.
        activation: name of all activations.
        zero_last_norm: start each branch at zero (Goyal et al. 2017, arXiv 1706.02677, section 5.1); needs
            affine normalisations.
        initial_weights: of the convolutions: "default" (PyTorch's) or "kaiming_fan_out"
            (He et al. 2015, arXiv 1502.01852).

    Raises:
        ValueError: an unknown word, a block number outside 1 … len(widths), or one given twice.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        widths: list[int],
        block: Literal["basic", "bottleneck"] = "basic",
        stem: Literal["conv_3x3", "conv_7x7_pool"] = "conv_3x3",
        stem_width: int = 64,
        downsample: Literal["max_pool", "stride"] = "stride",
        downsample_at: list[int],
        norm: dict[str, Any] | None = None,
        inner_norm: dict[str, Any] | None = None,
        activation: str = "relu",
        zero_last_norm: bool = False,
        initial_weights: Literal["default", "kaiming_fan_out"] = "default",
    ) -> None:
        super().__init__()
        for argument, word, words in (
            ("block", block, BLOCKS),
            ("stem", stem, ("conv_3x3", "conv_7x7_pool")),
            ("downsample", downsample, ("max_pool", "stride")),
            ("initial_weights", initial_weights, ("default", "kaiming_fan_out")),
        ):
            if word not in words:
                raise ValueError(f"{argument} must be {' or '.join(map(repr, words))}, got {word!r}")
        if len(set(downsample_at)) < len(downsample_at) or not set(downsample_at) <= set(range(1, len(widths) + 1)):
            raise ValueError(
                f"downsample_at must name different blocks from 1 to {len(widths)}, got {list(downsample_at)}"
            )
        large = stem == "conv_7x7_pool"
        self.stem = ConvNormActivation(
            in_channels,
            stem_width,
            kernel=7 if large else 3,
            stride=2 if large else 1,
            norm=norm,
            activation=activation,
        )
        self.stem_pool: nn.Module = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()

        self.blocks = nn.ModuleList()
        channels = stem_width
        for number, width in enumerate(widths, start=1):
            factor = 2 if number in downsample_at else 1
            residual = BLOCKS[block](
                channels,
                width,
                stride=factor if downsample == "stride" else 1,
                pool=factor if downsample == "max_pool" else 1,
                norm=norm,
                inner_norm=inner_norm,
                activation=activation,
            )
            self.blocks.append(residual)
            channels = residual.out_channels
        self.classifier = nn.Linear(channels, classes)

        if initial_weights == "kaiming_fan_out":
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_last_norm:
            self._zero_last_norms()

    def _zero_last_norms(self) -> None:
        for block in self.blocks:
            scale = getattr(block.last.norm, "weight", None)
            if scale is None:
                raise ValueError("zero_last_norm needs normalisations with a learned scale (affine: true)")
            nn.init.zeros_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, classes)."""
        x = self.stem_pool(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((2, 3)))
