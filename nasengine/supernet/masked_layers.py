"""Layers that hold several architectures in one pass, each channel on for some images and off for others.

A layer masks its own input, and nothing else: what stands in a channel that is off may be anything (a bias, a position
parameter, sigmoid(0)) and never reaches a channel that is on. Norms count the channels that are on; a batch norm
takes its statistics from the images of one architecture. Depthwise and grouped convolutions keep their groups apart by
themselves. A layer becomes a masked one by its class alone: weights, attributes and what its network reads of it stay.

Shapes:  K architectures   B images, R = B / K   F rows an image is folded into   C channels   G groups
Sources: one masked pass for K sub-networks, and the counting layer norm: Liao, Karaman, Sze, 2021, arXiv 2109.00642
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasengine.networks.blocks import normalization
from nasengine.supernet.masking import Listed, MaskError, Masks, On
from nasengine.supernet.own_statistics import NormalizeChannels, NormalizeImages, precise

Convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BatchNorm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLVE = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}


@dataclass(frozen=True)
class Kernels:
    """The kernel sizes of one convolution.

    Args:
        sizes: (kernel, padding) of each, the largest first.
        column: of `Masks.numbers`: which one.
    """

    sizes: tuple[tuple[tuple[int, ...], Any], ...]
    column: int


@dataclass(frozen=True)
class Masking:
    """What a masked layer knows beside its weights.

    Args:
        name: of the layer, for messages.
        masks: of the network.
        inputs: which input channels are on; None where all are, in every architecture.
        kernels: of a convolution with a choice among some.
        group_column: of `Masks.numbers`: how many channels a group of a group norm has; None where that never differs.
        groups: the most groups that a group norm has in any architecture.
    """

    name: str
    masks: Masks
    inputs: On | None = None
    kernels: Kernels | None = None
    group_column: int | None = None
    groups: int = 0


class Masked:
    """What the masked layers have in common."""

    masking: Masking

    def keep(self, x: Tensor, axis: int) -> Tensor:
        """The input with zeros in every channel that is off."""
        return self.masking.masks.keep(x, self.masking.inputs, axis, self.masking.name)


class MaskedLinear(Masked, nn.Linear):
    """(B * F, …, C) to (B * F, …, width)."""

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        return F.linear(self.keep(input, -1), self.weight, self.bias)


class _MaskedConvolution(Masked):
    """(B * F, C, …) to (B * F, width, …); every kernel size is one evaluation, from which each image takes its own."""

    weight: Tensor
    bias: Tensor | None
    groups: int
    kernel_size: tuple[int, ...]
    stride: Any
    dilation: Any

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        x = self.keep(input, 1) if self.groups == 1 else input
        kernels = self.masking.kernels
        if kernels is None:
            y: Tensor = self._conv_forward(x, self.weight, self.bias)  # type: ignore[attr-defined]
            return y
        masks = self.masking.masks
        which = masks.numbers[:, kernels.column]
        convolve = next(function for kind, function in CONVOLVE.items() if isinstance(self, kind))
        chosen: Tensor | None = None
        for index, (size, padding) in enumerate(kernels.sizes):
            weight = centre(self.weight, size)
            y = convolve(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)
            if chosen is not None and y.shape != chosen.shape:
                name, shapes = self.masking.name, f"{tuple(chosen.shape[2:])} and {tuple(y.shape[2:])}"
                raise MaskError(f"kernels of {name} give {shapes}", name)
            chosen = y if chosen is None else masks.choose(which == index, y, chosen, self.masking.name)
        assert chosen is not None
        return chosen


class MaskedConv1d(_MaskedConvolution, nn.Conv1d):
    """See `_MaskedConvolution`."""


class MaskedConv2d(_MaskedConvolution, nn.Conv2d):
    """See `_MaskedConvolution`."""


class MaskedConv3d(_MaskedConvolution, nn.Conv3d):
    """See `_MaskedConvolution`."""


def centre(weight: Tensor, size: tuple[int, ...]) -> Tensor:
    """The middle of a kernel: (O, I, *kernel) to (O, I, *size)."""
    for axis, (whole, part) in enumerate(zip(weight.shape[2:], size, strict=True), start=2):
        if part != whole:
            weight = weight.narrow(axis, (whole - part) // 2, part)
    return weight


class MaskedLayerNorm(Masked, nn.LayerNorm):
    """(B * F, …, C) to the same shape: mean and variance over the channels that are on."""

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        return self.normalize(input, -1)

    def normalize(self, x: Tensor, axis: int) -> Tensor:
        """The same with the channels at `axis`; computed in float32 at least, as by the plain layer."""
        masks, inputs = self.masking.masks, self.masking.inputs
        assert inputs is not None, "a norm over all channels stays the plain one"
        axis %= x.dim()
        on = masks.shown(inputs, x, axis, self.masking.name)
        count = masks.each(masks.count(inputs, x.shape[axis]), x, self.masking.name).to(precise(x).dtype)
        spread = (-1, *[1] * (x.dim() - 1 - axis))
        weight, bias = (None if p is None else p.view(spread) for p in (self.weight, self.bias))
        y: Tensor = NormalizeChannels.apply(x, on, count, weight, bias, axis, self.eps)  # type: ignore[no-untyped-call]
        # Like the plain norm, which hands on float32 where PyTorch chooses precisions, and else what it got.
        return y if torch.is_autocast_enabled(x.device.type) else y.to(x.dtype)


class MaskedChannelLayerNorm(MaskedLayerNorm, normalization.LayerNorm):
    """(B, C, H, W) to the same shape: the norm of each pixel over its channels that are on."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.normalize(x, 1)


class _MaskedBatchNorm(Masked):
    """(B, C, …) to the same shape, with the statistics of an architecture's own images.

    A channel that is off has statistics of its own, which nothing that is on sees: no mask is needed. Running
    averages are left alone: of many architectures they mean nothing, and are found anew before an evaluation.
    """

    training: bool
    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Any
    bias: Any
    eps: float

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        if not self.training and self.running_mean is not None:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        masks = self.masking.masks
        parts = masks.parts(input, self.masking.name)
        if parts[2] == 1 and input.is_contiguous() and not torch.compiler.is_compiling():
            return self._at_once(input, masks.architectures)
        if input.numel() == masks.architectures * input.shape[1]:  # as the plain layer does
            raise ValueError(f"{self.masking.name} has one value of a channel for each architecture to learn from")
        y: Tensor = NormalizeImages.apply(input, self.weight, self.bias, parts, self.eps)  # type: ignore[no-untyped-call]
        return y

    def _at_once(self, x: Tensor, architectures: int) -> Tensor:
        """By one call: (R * K, C, …) is (R, K * C, …) in the same memory."""
        merged = x.view(x.shape[0] // architectures, -1, *x.shape[2:])
        weight = None if self.weight is None else self.weight.repeat(architectures)
        bias = None if self.bias is None else self.bias.repeat(architectures)
        y = F.batch_norm(merged, None, None, weight, bias, training=True, eps=self.eps)
        return y.view(x.shape)


class MaskedBatchNorm1d(_MaskedBatchNorm, nn.BatchNorm1d):
    """See `_MaskedBatchNorm`."""


class MaskedBatchNorm2d(_MaskedBatchNorm, nn.BatchNorm2d):
    """See `_MaskedBatchNorm`."""


class MaskedBatchNorm3d(_MaskedBatchNorm, nn.BatchNorm3d):
    """See `_MaskedBatchNorm`."""


class MaskedGroupNorm(Masked, nn.GroupNorm):
    """(B * F, C, …) to the same shape; which channels form a group differs between architectures, by a matrix."""

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        device = input.device.type
        precise = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False):  # which would sum in half precision
            y = self.normalize(input)
        return y if precise else y.to(input.dtype)

    def normalize(self, input: Tensor) -> Tensor:
        """The same, in float32 at least."""
        masks = self.masking.masks
        split = masks.split(input, self.masking.name)  # (R, K, F, C, …)
        x = split if split.dtype == torch.float64 else split.float()
        flat = x.flatten(4) if x.dim() > 4 else x[..., None]  # (R, K, F, C, S)
        member = self.members(input.shape[1]).to(x.dtype)  # (K, C, G)
        count = (member.sum(1) * flat.shape[4]).clamp(min=1)[None, :, None]  # (1, K, 1, G)
        on = member.sum(2)[None, :, None, :, None] != 0
        mean = torch.einsum("rkfc,kcg->rkfg", torch.where(on, flat, 0.0).sum(4), member) / count
        centred = torch.where(on, flat - torch.einsum("rkfg,kcg->rkfc", mean, member)[..., None], 0.0)
        variance = torch.einsum("rkfc,kcg->rkfg", centred.square().sum(4), member) / count
        scale = torch.einsum("rkfg,kcg->rkfc", torch.rsqrt(variance + self.eps), member)
        y = (centred * scale[..., None]).reshape(x.shape)
        spread = (1, 1, 1, -1, *[1] * (x.dim() - 4))
        if self.affine:
            y = y * self.weight.view(spread) + self.bias.view(spread)
        return masks.join(y)

    def members(self, channels: int) -> Tensor:
        """(K, C, G) whether a channel is on and in a group: groups are runs of equally many channels that are on."""
        masks, inputs = self.masking.masks, self.masking.inputs
        device = masks.numbers.device
        groups = self.masking.groups or self.num_groups
        place = torch.arange(channels, device=device)[None]
        on = None
        if inputs is not None:
            on = masks.on(inputs, channels)
            if isinstance(inputs, Listed):
                place = on.long().cumsum(1) - 1
        if self.masking.group_column is None:
            size: Tensor | int = channels // self.num_groups
        else:
            size = masks.numbers[:, self.masking.group_column, None]
        member = (place // size)[..., None] == torch.arange(groups, device=device)
        return (member if on is None else member & on[..., None]).expand(masks.architectures, channels, groups)


class MaskedMultiheadAttention(Masked, nn.MultiheadAttention):
    """(B, N, C) to the same shape: what heads that are off give is masked before the output projection."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """See the class; the weights of the attention are not returned."""
        if self.in_proj_weight is None or self.bias_k is not None or self.add_zero_attn:
            raise MaskError(f"{self.masking.name} projects keys and values of other widths, or adds some")
        if key_padding_mask is not None:
            raise MaskError(f"{self.masking.name} is given a mask of padded keys")
        heads, width = self.num_heads, self.head_dim
        rows = (query, key, value) if self.batch_first else tuple(x.transpose(0, 1) for x in (query, key, value))
        biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(self.keep(x, -1), weight, bias).view(*x.shape[:2], heads, width).transpose(1, 2)
            for x, weight, bias in zip(rows, self.in_proj_weight.chunk(3), biases, strict=True)
        )
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout, is_causal=is_causal)
        joined = seen.transpose(1, 2).flatten(2)  # (B, N, C)
        y = F.linear(self.keep(joined, -1), self.out_proj.weight, self.out_proj.bias)
        return (y if self.batch_first else y.transpose(0, 1)), None


class MaskedZeroPad(Masked, nn.ZeroPad1d):
    """(…, C) with zeros behind the channels that are on."""

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        padded: Tensor = F.pad(self.keep(input, -1), self.padding)
        return padded


# What masks a layer whose `forward` is that of the class on the left; None: a layer that needs no mask.
MASKED: dict[type[nn.Module], type[nn.Module] | None] = {
    nn.Linear: MaskedLinear,
    nn.Conv1d: MaskedConv1d,
    nn.Conv2d: MaskedConv2d,
    nn.Conv3d: MaskedConv3d,
    nn.LayerNorm: MaskedLayerNorm,
    normalization.LayerNorm: MaskedChannelLayerNorm,
    nn.BatchNorm1d: MaskedBatchNorm1d,
    nn.BatchNorm2d: MaskedBatchNorm2d,
    nn.BatchNorm3d: MaskedBatchNorm3d,
    nn.GroupNorm: MaskedGroupNorm,
    nn.MultiheadAttention: MaskedMultiheadAttention,
    nn.ZeroPad1d: MaskedZeroPad,
    nn.Embedding: None,  # its input has no channels
    nn.PReLU: None,  # each channel by itself
}


def base_of(layer: nn.Module) -> type[nn.Module] | None:
    """The class of MASKED whose `forward` a layer has; None for one that is no such layer."""
    forward = type(layer).forward
    for kind in MASKED:
        # The subclass first: `normalization.LayerNorm` has a forward of its own.
        if isinstance(layer, kind) and forward is kind.forward:
            return kind
    return None


def mask(layer: nn.Module, masking: Masking) -> None:
    """Make a layer of a private network a masked one, where the architectures differ in what it sees.

    Raises:
        MaskError: a layer of which is not known how to mask it.
    """
    kind = base_of(layer)
    if kind is None:
        raise MaskError(f"{masking.name} ({type(layer).__name__}) has a forward of its own")
    target = MASKED[kind]
    if target is None or not needs_masking(layer, masking):
        return
    layer.__class__ = target
    vars(layer)["masking"] = masking


def needs_masking(layer: nn.Module, masking: Masking) -> bool:
    """Whether the plain layer would do something else: it need not be masked where its input never varies."""
    if isinstance(layer, BatchNorm):
        return True
    if isinstance(layer, Convolution):
        return masking.kernels is not None or (masking.inputs is not None and layer.groups == 1)
    return masking.inputs is not None or masking.group_column is not None
