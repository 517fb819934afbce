"""Cuts: which part of a shared tensor an architecture uses, and one step of autograd that takes all cuts at once.

A part that is a rectangle of the shared tensor is a view of it and costs no memory; a part that is not (the input
channels behind a concatenation) is gathered by index. For a run all parts that are not dense are copied side by side
into one buffer, so that every layer sees dense weights and computes exactly what the plain network computes; the
backward writes all their gradients into one zeroed buffer: the cost grows neither with the number of axes that are
cut nor, in launched kernels, with the number of tensors. Nothing waits for a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
Axis = slice | tuple[int, ...]
ALIGNMENT = 64  # elements; so that every tensor in a buffer begins where wide loads may


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a tensor.

    Args:
        axes: for each axis the slice, or the indices, that the part takes.
        shape: of the part.
    """

    axes: tuple[Axis, ...]
    shape: Shape

    @property
    def is_view(self) -> bool:
        """Whether the part shares the memory of the whole."""
        return all(isinstance(axis, slice) for axis in self.axes)

    def of(self, whole: Tensor) -> Tensor:
        """The part: a view, or a copy where it is gathered."""
        part = whole[tuple(axis if isinstance(axis, slice) else slice(None) for axis in self.axes)]
        for number, axis in enumerate(self.axes):
            if not isinstance(axis, slice):
                part = part.index_select(number, indices(axis, whole.device))
        return part

    def write(self, whole: Tensor, part: Tensor) -> None:
        """Copy a part into its place."""
        place = whole[tuple(axis if isinstance(axis, slice) else slice(None) for axis in self.axes)]
        gathered = [number for number, axis in enumerate(self.axes) if not isinstance(axis, slice)]
        for number in gathered[1:]:
            length = [*part.shape]
            length[number] = place.shape[number]
            part = part.new_zeros(length).index_copy_(number, indices(self.axes[number], part.device), part)
        if gathered:
            place.index_copy_(gathered[0], indices(self.axes[gathered[0]], whole.device), part)
        else:
            place.copy_(part)


MOST_INDICES = 50_000  # kept at a time
_indices: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}


def indices(axis: Axis, device: torch.device) -> Tensor:
    """The indices of an axis on a device; copied there once, without waiting for it."""
    assert isinstance(axis, tuple)
    key = (axis, device)
    if len(_indices) >= MOST_INDICES:
        _indices.clear()
    if key not in _indices:
        with torch.inference_mode(False):
            _indices[key] = torch.tensor(axis, dtype=torch.long).to(device, non_blocking=True)
    return _indices[key]


class Bundle:
    """The cuts that one network takes of shared parameters, with all that can be known before it runs.

    Args:
        cuts: what is taken.
        wholes: of which parameters.
    """

    def __init__(self, cuts: Sequence[Cut], wholes: Sequence[Tensor]) -> None:
        self.cuts, self.wholes = tuple(cuts), tuple(wholes)
        self.views = tuple(
            cut.of(whole.detach()) if cut.is_view else None for cut, whole in zip(cuts, wholes, strict=True)
        )
        # A CUDA graph reads them whenever it is replayed, as long as it has this bundle.
        self.indices = [
            indices(axis, whole.device)
            for cut, whole in zip(cuts, wholes, strict=True)
            for axis in cut.axes
            if not isinstance(axis, slice)
        ]
        # A part that begins the whole and is as long in all axes but the first is dense as it is.
        self.dense = tuple(view is not None and is_dense(view) for view in self.views)
        self.places: list[tuple[Shape, Shape, int]] = []
        self.wholes_at: list[int] = []
        self.copied = self.length = 0
        for cut, whole in zip(cuts, wholes, strict=True):
            self.places.append((cut.shape, dense_strides(cut.shape, whole.stride()), self.copied))
            self.wholes_at.append(self.length)
            self.length += _aligned(whole.numel())
            self.copied += _aligned(_count(cut.shape))

    def take(self) -> tuple[Tensor, ...]:
        """The parts as dense tensors, gradients flowing to the wholes where they are recorded."""
        if not self.wholes:
            return ()
        if torch.is_grad_enabled():
            taken: tuple[Tensor, ...] = TakeParts.apply(self, *self.wholes)  # type: ignore[no-untyped-call]
            return taken
        # They say that they need gradients as parameters do: PyTorch chooses between kernels by that, gradients or not.
        return tuple(part.detach().requires_grad_() for part in self.copies(self.wholes))

    def copies(self, wholes: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The parts as dense tensors."""
        buffer = wholes[0].new_empty(self.copied)
        parts, places, views = [], [], []
        for cut, view, dense, (shape, strides, start), whole in zip(
            self.cuts, self.views, self.dense, self.places, wholes, strict=True
        ):
            if dense:
                assert view is not None
                parts.append(view.detach())
                continue
            place = buffer.as_strided(shape, strides, start)
            parts.append(place)
            places.append(place)
            views.append(cut.of(whole) if view is None else view)
        if places:
            torch._foreach_copy_(places, views)
        return tuple(parts)


def dense_strides(shape: Shape, like: Shape) -> Shape:
    """Strides of a tensor without gaps whose axes lie in memory in the order of other strides (NCHW or NHWC)."""
    strides = [0] * len(shape)
    step = 1
    for axis in sorted(range(len(shape)), key=lambda axis: (like[axis], -axis)):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def is_dense(part: Tensor) -> bool:
    """Whether a tensor lies in memory without gaps, in whatever order of its axes."""
    return part.stride() == dense_strides(tuple(part.shape), part.stride())


def _count(shape: Shape) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


class TakeParts(torch.autograd.Function):
    """(bundle, its wholes…) -> its parts, whose gradients flow to the wholes."""

    @staticmethod
    def forward(ctx: Any, bundle: Bundle, *wholes: Tensor) -> tuple[Tensor, ...]:
        ctx.bundle = bundle
        ctx.set_materialize_grads(False)
        return bundle.copies(wholes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        bundle: Bundle = ctx.bundle
        like = next((gradient for gradient in gradients if gradient is not None), None)
        if like is None:
            return (None, *gradients)
        buffer = like.new_zeros(bundle.length)
        results: list[Tensor | None] = []
        places, values = [], []
        for gradient, start, whole, cut, view in zip(
            gradients, bundle.wholes_at, bundle.wholes, bundle.cuts, bundle.views, strict=True
        ):
            if gradient is None:
                results.append(None)
                continue
            result = buffer.as_strided(whole.shape, whole.stride(), start)
            results.append(result)
            if view is None:
                cut.write(result, gradient)
            else:
                places.append(
                    buffer.as_strided(cut.shape, whole.stride(), start + view.storage_offset() - whole.storage_offset())
                )
                values.append(gradient)
        if places:
            torch._foreach_copy_(places, values)
        return (None, *results)
