"""Inverted bottlenecks (MBConv) of MobileNetV2 and V3, with squeeze-and-excitation.

Shapes:  N batch   C input channels   E expanded channels   H, W height, width
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nasengine.networks.blocks.convolution import ConvNormActivation


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the means of all channels.

    Sources: Hu, Shen, Sun, CVPR 2018, arXiv 1709.01507; as in MobileNetV3: Howard et al., ICCV 2019,
             arXiv 1905.02244, section 5.3, with the rounding of its released code.

    Args:
        in_channels: C.
        reduction: the gate's hidden layer has C / reduction channels, rounded to a multiple of 8 that is at
            least 8 and never below 90 % of that.
    """

    def __init__(self, in_channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        wanted = in_channels / reduction
        squeezed = max(8, int(wanted + 4) // 8 * 8)
        if squeezed < 0.9 * wanted:
            squeezed += 8
        self.reduce = nn.Conv2d(in_channels, squeezed, 1)
        self.activation = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, in_channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        scale = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        scale = self.gate(self.expand(self.activation(self.reduce(scale))))
        return x * scale


class MBConv(nn.Module):
    """Expand by a 1x1 convolution, filter depthwise, project by a 1x1 convolution without activation.

    Sources: MobileNetV2: Sandler et al., CVPR 2018, arXiv 1801.04381, table 1 and figure 4d;
             MobileNetV3: Howard et al., ICCV 2019, arXiv 1905.02244, figure 4.

    Args:
        in_channels: C.
        width: output channels.
        kernel: odd side of the depthwise kernel.
        expansion: there are E = C x expansion channels in between; at 1 there is no expanding convolution.
        stride: of the depthwise convolution.
        squeeze_excite: gate the expanded channels, as MobileNetV3 does.
        activation: name, after expansion and depthwise convolution.
        skip: add the input to the output; None for where stride is 1 and the width does not change.
        norm: settings of the normalisations, see `make_norm`.

    Raises:
        ValueError: `skip` is wanted where input and output differ in shape.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        kernel: int = 3,
        expansion: float = 6,
        stride: int = 1,
        squeeze_excite: bool = False,
        activation: str = "relu",
        skip: bool | None = None,
        norm: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        same_shape = stride == 1 and in_channels == width
        if skip and not same_shape:
            raise ValueError(f"skip needs equal shapes, got {in_channels=}, {width=}, {stride=}")
        self.skip = same_shape if skip is None else skip
        expanded = round(in_channels * expansion)
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = ConvNormActivation(in_channels, expanded, kernel=1, norm=norm, activation=activation)
        self.depthwise = ConvNormActivation(
            expanded, expanded, kernel=kernel, stride=stride, groups=expanded, norm=norm, activation=activation
        )
        self.squeeze_excite: nn.Module = SqueezeExcite(expanded) if squeeze_excite else nn.Identity()
        self.project = ConvNormActivation(expanded, width, kernel=1, norm=norm, activation="identity")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, ceil(H / stride), ceil(W / stride))."""
        y = self.expand(x)  # (N, E, H, W)
        y = self.squeeze_excite(self.depthwise(y))  # (N, E, H/stride, W/stride)
        y = self.project(y)  # (N, width, H/stride, W/stride)
        return x + y if self.skip else y
