"""Normalising by the statistics of one architecture, with backward passes that read what they need once.

What autograd makes of the same operations sums over the input several times, one sum after the other; the formulas
here are those of the plain norms and need two sums at once, so a compiler makes as many passes over memory for a
masked norm as for a plain one. Only the input itself is kept for the backward pass, in the precision it came in. The
statistics that are kept with it are taken for constants there, so that gradients of gradients are refused.

Shapes:  x (B * F, …), R images of each of K architectures and F rows of each image as in `masking`; C channels
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Side by side; with fewer, of so many numbers each, most of a GPU would have none to add up.
ENOUGH_SUMS = 2**16
Gradients = tuple[Tensor | None, ...]


class NormalizeImages(torch.autograd.Function):
    """A batch norm: by mean and variance of a channel over all images of an architecture.

    Each image (or piece of it) is summed up by itself, then these few sums for each architecture: so the large sums
    are over the same axes as a plain norm's, whatever K is.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, parts: tuple[int, int, int], eps: float
    ) -> Tensor:
        """(B * F, C, …) to the same shape and precision.

        Args:
            weight, bias: (C,)
            parts: R, K and F.
        """
        exact = precise(x)
        cut = in_pieces(exact)  # (B * F, P, C, …)
        if cut.dim() > 3:
            variances, means = torch.var_mean(cut, tuple(range(3, cut.dim())), correction=0)  # (B * F, P, C)
        else:
            variances, means = torch.zeros_like(cut), cut
        means, variances = of_architectures(means, parts), of_architectures(variances, parts)
        mean = means.mean((0, 2))  # (K, C)
        variance = (variances + (means - mean[:, None]).square()).mean((0, 2))
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.parts, ctx.shifts = parts, bias is not None
        centred = exact - of_rows(mean, parts, x)
        factor = of_rows(scale if weight is None else scale * weight, parts, x)
        if bias is None:
            return as_precise_as(x, centred * factor)
        return as_precise_as(x, torch.addcmul(bias.view(-1, *[1] * (x.dim() - 2)), centred, factor))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        """Of x, weight and bias."""
        x, weight, mean, scale = ctx.saved_tensors
        parts = ctx.parts
        # Statistics are float32 at least, and so is what comes of them and of the half precision of a layer's output.
        gradient, centred = gradients[0], x - of_rows(mean, parts, x)
        total, along = (of_each(part, parts, mean.dtype) for part in (gradient, gradient * centred))  # (K, C)
        count = x.numel() // total.numel()
        factor = scale if weight is None else scale * weight
        shift, lean = total * factor / count, along * scale.square() * factor / count
        beside = torch.addcmul(of_rows(shift, parts, x), centred, of_rows(lean, parts, x))
        dx = gradient * of_rows(factor, parts, x) - beside
        of_weight = None if weight is None else (along * scale).sum(0)
        return as_precise_as(x, dx), of_weight, total.sum(0) if ctx.shifts else None, None, None


class NormalizeChannels(torch.autograd.Function):
    """A layer norm: by mean and variance of the channels of one place that are on."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        on: Tensor,
        count: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        axis: int,
        eps: float,
    ) -> Tensor:
        """(B * F, …) to the same shape, in float32 at least.

        Args:
            on: which channels are, and
            count: how many, so that they spread over x.
            weight, bias: (C, 1…), so that they do.
            axis: of the channels, from the front.
        """
        exact = torch.where(on, precise(x), 0.0)
        mean = exact.sum(axis, keepdim=True) / count
        centred = torch.where(on, exact - mean, 0.0)
        scale = torch.rsqrt(centred.square().sum(axis, keepdim=True) / count + eps)
        ctx.save_for_backward(x, on, count, weight, mean, scale)
        ctx.axis, ctx.shifts = axis, bias is not None
        y = centred * scale
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        """Of x, weight and bias."""
        x, on, count, weight, mean, scale = ctx.saved_tensors
        gradient = precise(gradients[0])
        normal = torch.where(on, precise(x) - mean, 0.0) * scale
        inner = torch.where(on, gradient if weight is None else gradient * weight, 0.0)
        total = inner.sum(ctx.axis, keepdim=True)
        along = (inner * normal).sum(ctx.axis, keepdim=True)
        dx = torch.where(on, (inner - total / count - normal * (along / count)) * scale, 0.0)
        over = [axis for axis in range(x.dim()) if axis != ctx.axis]
        spread = (-1, *[1] * (x.dim() - 1 - ctx.axis))
        of_weight = None if weight is None else (gradient * normal).sum(over).view(spread)
        of_bias = gradient.sum(over).view(spread) if ctx.shifts else None
        return as_precise_as(x, dx), None, None, of_weight, of_bias, None, None


def precise(x: Tensor) -> Tensor:
    """In float32 at least, as plain norms compute."""
    return x if x.dtype == torch.float64 else x.float()


def as_precise_as(x: Tensor, y: Tensor) -> Tensor:
    """y in the precision of x.

    Not by `to` alone: where that has nothing to do, `torch.compile` of PyTorch 2.11 takes the output of a forward for
    one of its inputs, and all gradients become zero.
    """
    return y if y.dtype == x.dtype else y.to(x.dtype)


def of_each(x: Tensor, parts: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    """(B * F, C, …) to (K, C), the sums of each architecture."""
    cut = in_pieces(x)  # (B * F, P, C, …)
    sums = cut.sum(tuple(range(3, cut.dim())), dtype=dtype) if cut.dim() > 3 else cut
    return of_architectures(sums, parts).sum((0, 2), dtype=dtype)


def of_architectures(sums: Tensor, parts: tuple[int, int, int]) -> Tensor:
    """(B * F, P, C) to (R, K, F * P, C)."""
    repeats, architectures, _ = parts
    return sums.reshape(repeats, architectures, -1, sums.shape[2])


def in_pieces(x: Tensor) -> Tensor:
    """(B * F, C, H, …) to (B * F, P, C, H / P, …), a view with P so large that sums of pieces keep a GPU busy."""
    if x.dim() == 2:
        return x[:, None]
    pieces = _pieces(x.shape[2], x.shape[0] * x.shape[1])
    return x.view(*x.shape[:2], pieces, x.shape[2] // pieces, *x.shape[3:]).transpose(1, 2)


def _pieces(height: int, sums: int) -> int:
    for pieces in range(1, height):
        if height % pieces == 0 and sums * pieces >= ENOUGH_SUMS:
            return pieces
    return 1


def of_rows(values: Tensor, parts: tuple[int, int, int], x: Tensor) -> Tensor:
    """(K, C) to (B * F, C, 1…), each row that of its architecture: a small table, for all places of an image."""
    repeats, architectures, folded = parts
    rows = values[None, :, None].expand(repeats, architectures, folded, -1)
    return rows.reshape(len(x), -1, *[1] * (x.dim() - 2))
