"""Convolutions, alone and with their normalisation and activation; odd kernels, padded to keep the size.

Shapes:  N batch   C input channels   H, W height, width
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nasengine.networks.blocks.activation import make_activation
from nasengine.networks.blocks.normalization import make_norm


class Conv(nn.Conv2d):
    """A convolution that keeps the size (at stride 1).

    Args:
        in_channels: C.
        width: output channels; None for as many as go in.
        kernel: odd side of the kernel.
        stride: step in both directions.
        groups: channel groups that do not see each other; C groups make it depthwise.
        dilation: distance between neighbouring taps.
        bias: learn a bias for each output channel.

    Raises:
        ValueError: an even kernel, or a number below 1.
    """

    def __init__(
        self,
        in_channels: int,
        width: int | None = None,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, so that the size is kept, got {kernel}")
        width = in_channels if width is None else width
        for name, value in (("width", width), ("stride", stride), ("groups", groups), ("dilation", dilation)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        super().__init__(
            in_channels,
            width,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=groups,
            bias=bias,
        )


class ConvNormActivation(nn.Module):
    """Convolution without bias, normalisation, activation.

    Args:
        in_channels: C.
        width: output channels.
        kernel, stride, groups, dilation: of the convolution.
        norm: settings of the normalisation, see `make_norm`.
        activation: name of the activation; "identity" for none.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        norm: dict[str, Any] | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.conv = Conv(in_channels, width, kernel=kernel, stride=stride, groups=groups, dilation=dilation, bias=False)
        self.norm = make_norm(width, norm)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, ceil(H / stride), ceil(W / stride))."""
        return self.activation(self.norm(self.conv(x)))


class ReluConvNorm(nn.Module):
    """ReLU, convolution without bias, normalisation: the order of the cells of NAS-Bench-201 and DARTS.

    Source: Dong and Yang, ICLR 2020, arXiv 2001.00326.

    Args:
        in_channels: C.
        width: output channels; None for as many as go in.
        kernel, stride: of the convolution.
        norm: settings of the normalisation, see `make_norm`.
    """

    def __init__(
        self,
        in_channels: int,
        width: int | None = None,
        *,
        kernel: int = 3,
        stride: int = 1,
        norm: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        width = in_channels if width is None else width
        self.activation = nn.ReLU()
        self.conv = Conv(in_channels, width, kernel=kernel, stride=stride, bias=False)
        self.norm = make_norm(width, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, ceil(H / stride), ceil(W / stride))."""
        return self.norm(self.conv(self.activation(x)))


class DepthwiseSeparable(nn.Module):
    """A depthwise and a 1x1 convolution, each with normalisation and activation (MobileNet).

    Source: Howard et al. 2017, arXiv 1704.04861, figure 3.

    Args:
        in_channels: C.
        width: output channels.
        kernel, stride: of the depthwise convolution.
        norm: settings of both normalisations, see `make_norm`.
        activation: name of both activations.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        norm: dict[str, Any] | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.depthwise = ConvNormActivation(
            in_channels,
            in_channels,
            kernel=kernel,
            stride=stride,
            groups=in_channels,
            norm=norm,
            activation=activation,
        )
        self.pointwise = ConvNormActivation(in_channels, width, kernel=1, norm=norm, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, ceil(H / stride), ceil(W / stride))."""
        return self.pointwise(self.depthwise(x))
