"""Cuts: which part of a shared tensor an architecture uses, and one step of autograd that takes all cuts at once.

A part that is a rectangle of the shared tensor is a view of it and costs no memory; a part that is not (the input
channels behind a concatenation) is gathered by index. The step's backward writes the gradients of all parts into
one zeroed buffer, so that its cost does not grow with the number of axes that are cut, and nothing waits for a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
Axis = slice | tuple[int, ...]
ALIGNMENT = 64  # elements; so that every gradient in the buffer begins where wide loads may


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
        gathered = [number for number, axis in enumerate(self.axes) if not isinstance(axis, slice)]
        place = whole[tuple(axis if isinstance(axis, slice) else slice(None) for axis in self.axes)]
        for number in gathered[1:]:
            length = [*part.shape]
            length[number] = place.shape[number]
            part = part.new_zeros(length).index_copy_(number, indices(self.axes[number], part.device), part)
        if gathered:
            place.index_copy_(gathered[0], indices(self.axes[gathered[0]], whole.device), part.to(whole.dtype))
        else:
            place.copy_(part)


_indices: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}


def indices(axis: Axis, device: torch.device) -> Tensor:
    """The indices of an axis on a device; copied there once, without waiting for it."""
    assert isinstance(axis, tuple)
    key = (axis, device)
    if key not in _indices:
        with torch.inference_mode(False):
            _indices[key] = torch.tensor(axis, dtype=torch.long).to(device, non_blocking=True)
    return _indices[key]


class TakeParts(torch.autograd.Function):
    """(cuts, ready parts or None, wholes…) -> the parts, whose gradients flow to the wholes."""

    @staticmethod
    def forward(ctx: Any, cuts: Sequence[Cut], ready: Sequence[Tensor | None], *wholes: Tensor) -> tuple[Tensor, ...]:
        ctx.cuts, ctx.wholes = cuts, [(whole.shape, whole.stride(), whole.numel()) for whole in wholes]
        ctx.set_materialize_grads(False)
        return tuple(
            cut.of(whole.detach()) if part is None else part.detach()
            for cut, part, whole in zip(cuts, ready, wholes, strict=True)
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        like = next((gradient for gradient in gradients if gradient is not None), None)
        if like is None:
            return (None, None, *gradients)
        starts, total = [], 0
        for gradient, (_, _, count) in zip(gradients, ctx.wholes, strict=True):
            starts.append(total)
            if gradient is not None:
                total += -(-count // ALIGNMENT) * ALIGNMENT
        buffer = like.new_zeros(total)
        results: list[Tensor | None] = []
        places, values = [], []
        for gradient, start, (shape, stride, _), cut in zip(gradients, starts, ctx.wholes, ctx.cuts, strict=True):
            if gradient is None:
                results.append(None)
                continue
            whole = buffer.as_strided(shape, stride, start)
            results.append(whole)
            if cut.is_view:
                places.append(whole[cut.axes])
                values.append(gradient)
            else:
                cut.write(whole, gradient)
        if places:
            torch._foreach_copy_(places, values)
        return (None, None, *results)
