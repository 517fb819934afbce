"""The two residual blocks of ResNet, with striding or pooling decoupled from a change of width.

A block may lower the resolution by striding (`stride`) or by max-pooling what goes into it (`pool`: branch
and shortcut both see the pooled map). The shortcut is a 1x1 projection where the width changes, otherwise
parameter-free; so a block has the same parameters wherever the resolution is lowered.

Shapes:  N batch   C input channels   H, W height, width
Source of the decoupling: Javan Roshtkhari, Toews, Pedersoli, AutoML 2023, arXiv 2306.11982
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nasengine.networks.blocks.activation import make_activation
from nasengine.networks.blocks.convolution import ConvNormActivation
from nasengine.networks.blocks.simple import Subsample


def make_shortcut(in_channels: int, out_channels: int, stride: int, norm: dict[str, Any] | None) -> nn.Module:
    """What joins a block's input to its output: a projection where the width changes, else free of parameters."""
    if in_channels != out_channels:
        return ConvNormActivation(in_channels, out_channels, kernel=1, stride=stride, norm=norm, activation="identity")
    return Subsample(stride) if stride > 1 else nn.Identity()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016, arXiv 1512.03385, figure 5, left).

    Args:
        in_channels: C.
        width: output channels, of both convolutions.
        stride: of the first convolution and of the shortcut.
        pool: side and stride of a max-pool before the whole block; 1 for none.
        norm: settings of the normalisations, see `make_norm`.
        inner_norm: settings of the first normalisation of the branch; None for those of `norm`.
        activation: name of the activation inside and after the sum.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        pool: int = 1,
        norm: dict[str, Any] | None = None,
        inner_norm: dict[str, Any] | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        inner = norm if inner_norm is None else inner_norm
        self.out_channels = width
        self.pool: nn.Module = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()
        self.first = ConvNormActivation(in_channels, width, kernel=3, stride=stride, norm=inner, activation=activation)
        self.last = ConvNormActivation(width, width, kernel=3, norm=norm, activation="identity")
        self.shortcut = make_shortcut(in_channels, width, stride, norm)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, H / (stride * pool), W / (stride * pool))."""
        x = self.pool(x)
        return self.activation(self.last(self.first(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (He et al., CVPR 2016, arXiv 1512.03385, figure 5, right).

    Differs from the paper: the stride is in the 3x3 convolution ("v1.5").

    Args:
        in_channels: C.
        width: channels of the first two convolutions.
        expansion: the last convolution gives width x expansion channels.
        stride: of the 3x3 convolution and of the shortcut.
        pool: side and stride of a max-pool before the whole block; 1 for none.
        norm: settings of the normalisations, see `make_norm`.
        inner_norm: settings of the first two normalisations of the branch; None for those of `norm`.
        activation: name of the activations inside and after the sum.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        expansion: int = 4,
        stride: int = 1,
        pool: int = 1,
        norm: dict[str, Any] | None = None,
        inner_norm: dict[str, Any] | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        inner = norm if inner_norm is None else inner_norm
        self.out_channels = width * expansion
        self.pool: nn.Module = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()
        self.first = ConvNormActivation(in_channels, width, kernel=1, norm=inner, activation=activation)
        self.middle = ConvNormActivation(width, width, kernel=3, stride=stride, norm=inner, activation=activation)
        self.last = ConvNormActivation(width, self.out_channels, kernel=1, norm=norm, activation="identity")
        self.shortcut = make_shortcut(in_channels, self.out_channels, stride, norm)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width * expansion, H / (stride * pool), W / (stride * pool))."""
        x = self.pool(x)
        return self.activation(self.last(self.middle(self.first(x))) + self.shortcut(x))
