"""Normalisations of feature maps, and `make_norm`, by which a block takes one as a small mapping.

`norm={"affine": False, "statistics": "batch"}` is batch normalisation without learned scale and shift that
uses the statistics of the batch in evaluation too; `norm={"kind": "group", "groups": 8}` is group
normalisation; None is plain batch normalisation.

Shapes:  N batch   C channels   H, W height, width
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe, Szegedy, ICML 2015, arXiv 1502.03167).

    Args:
        in_channels: C.
        affine: learn a scale and a shift for each channel.
        statistics: "running" keeps averages in training and uses them in evaluation; "batch" always uses the
            batch at hand and keeps none, which weights shared by several resolutions need.
        momentum: weight of the newest batch in the running averages.
        epsilon: added to the variance.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        affine: bool = True,
        statistics: Literal["running", "batch"] = "running",
        momentum: float = 0.1,
        epsilon: float = 1e-5,
    ) -> None:
        if statistics not in ("running", "batch"):
            raise ValueError(f"statistics must be 'running' or 'batch', got {statistics!r}")
        super().__init__(
            in_channels,
            eps=epsilon,
            momentum=momentum,
            affine=affine,
            track_running_stats=statistics == "running",
        )


class GroupNorm(nn.GroupNorm):
    """Statistics of each image over groups of channels (Wu, He, ECCV 2018, arXiv 1803.08494).

    Args:
        in_channels: C, a multiple of `groups`.
        groups: number of groups; 1 is layer normalisation over (C, H, W).
        affine: learn a scale and a shift for each channel.
        epsilon: added to the variance.
    """

    def __init__(self, in_channels: int, *, groups: int = 8, affine: bool = True, epsilon: float = 1e-5) -> None:
        if groups < 1 or in_channels % groups:
            raise ValueError(f"group normalisation needs channels divisible by groups, got {in_channels=}, {groups=}")
        super().__init__(groups, in_channels, eps=epsilon, affine=affine)


class LayerNorm(nn.LayerNorm):
    """Statistics of each pixel over its channels (Ba, Kiros, Hinton 2016, arXiv 1607.06450).

    Args:
        in_channels: C.
        affine: learn a scale and a shift for each channel.
        epsilon: added to the variance.
    """

    def __init__(self, in_channels: int, *, affine: bool = True, epsilon: float = 1e-5) -> None:
        super().__init__(in_channels, eps=epsilon, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        x = x.permute(0, 2, 3, 1)  # (N, H, W, C)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)  # (N, C, H, W)


NORMS: dict[str, Callable[..., nn.Module]] = {
    "batch": BatchNorm,
    "group": GroupNorm,
    "layer": LayerNorm,
    "none": nn.Identity,
}


def make_norm(in_channels: int, norm: dict[str, Any] | None = None) -> nn.Module:
    """A normalisation layer from a small mapping.

    Args:
        in_channels: channels of the feature map.
        norm: `kind` (a key of NORMS; batch where not said) and the arguments of its class.

    Raises:
        ValueError: unknown kind, or an argument that the kind does not take.
    """
    settings = dict(norm or {})
    kind = settings.pop("kind", "batch")
    if kind not in NORMS:
        raise ValueError(f"unknown kind of normalisation {kind!r}; expected one of {', '.join(NORMS)}")
    try:
        return NORMS[kind](in_channels, **settings)
    except TypeError as error:
        raise ValueError(f"normalisation {kind!r}: {error}") from error
