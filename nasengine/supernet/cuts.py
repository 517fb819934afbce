"""Cuts: which part of a shared tensor an architecture uses, and one step of autograd that takes all cuts at once.

A part that is a rectangle of the shared tensor is a view of it and costs no memory; a part that is not (the input
channels behind a concatenation) is gathered by index. For a run all parts that are not dense are copied side by side
into one buffer, so that every layer sees dense weights and computes exactly what the plain network computes; the
backward writes all their gradients into one zeroed buffer: the cost grows neither with the number of axes that are
cut nor, in launched kernels, with the number of tensors. Nothing waits for a device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasengine.build.devices import new_stream

Shape = tuple[int, ...]


class Indices(tuple[int, ...]):
    """Hashed once and one object for equal ones: by these many numbers their copies on a device are found."""

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Indices:
        """The one of these numbers."""
        if len(_interned) >= MOST_INDICES:
            _interned.clear()
        made = cls(numbers)
        return _interned.setdefault(made, made)

    def __hash__(self) -> int:
        own = vars(self)
        if "hash" not in own:
            own["hash"] = super().__hash__()
        return int(own["hash"])


Axis = slice | tuple[int, ...]
MOST_INDICES = 50_000  # kept at a time
_interned: dict[Indices, Indices] = {}
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


MOST_PARTS = 100_000
_indices: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}


def indices(axis: Axis, device: torch.device) -> Tensor:
    """The indices of an axis on a device; copied there once, without waiting for what the device is at.

    They are there when this returns: whichever stream asks next may read them.
    """
    assert isinstance(axis, tuple)
    key = (axis, device)
    if len(_indices) >= MOST_INDICES:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # what is at work may read them
        _indices.clear()
    if key not in _indices:
        with torch.inference_mode(False):
            _indices[key] = _copied(torch.tensor(axis, dtype=torch.long), device)
    return _indices[key]


def _copied(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return tensor.to(device)
    stream = _stream(device)  # on which nothing else is waited for
    with torch.cuda.stream(stream):
        copy = tensor.to(device, non_blocking=True)
    while not stream.query():
        pass
    return copy


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return new_stream(device)


@dataclass(frozen=True, slots=True)
class Part:
    """A cut of one shared tensor, with all that can be known before it is used.

    Args:
        cut: which part.
        whole: of which tensor.
        view: of the whole, without gradients; None where the part is gathered.
        dense: whether the view lies in memory without gaps.
        strides: of a dense copy, its axes in the order of the whole's in memory.
        room: elements that a copy takes in a buffer, and the whole in another.
        is_whole: whether it is all of the tensor.
        is_learned: whether the tensor is a parameter.
        memory: where the whole began when this was made.
    """

    cut: Cut
    whole: Tensor
    view: Tensor | None
    dense: bool
    strides: Shape
    room: tuple[int, int]
    is_whole: bool
    is_learned: bool
    memory: int

    @property
    def in_place(self) -> bool:
        """Whether the whole lies where it did: given other memory, it is not what the view shows."""
        return self.whole.data_ptr() == self.memory

    @classmethod
    def of(cls, cut: Cut, whole: Tensor) -> Part:
        """The same from a cut and a tensor."""
        view = cut.of(whole.detach()) if cut.is_view else None
        strides = dense_strides(cut.shape, whole.stride())
        dense = view is not None and view.stride() == strides
        room = _aligned(math.prod(cut.shape)), _aligned(whole.numel())
        is_whole = view is not None and cut.shape == whole.shape
        learned = isinstance(whole, nn.Parameter)
        return cls(cut, whole, view, dense, strides, room, is_whole, learned, whole.data_ptr())


class Shelf:
    """The parts of one set of weights that have been used, so that another network with a known block finds them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Part] = {}

    def part(self, cut: Cut, whole: Tensor) -> Part:
        """The part; found again by the very cut and tensor, which it keeps alive, while the tensor stays in place."""
        key = id(cut), id(whole)
        found = self._known.get(key)
        if found is None or not found.in_place:
            if len(self._known) >= MOST_PARTS:
                self._known.clear()
            found = self._known[key] = Part.of(cut, whole)
        return found


class Bundle:
    """The parts that one network takes of shared parameters in one step.

    Args:
        parts: what is taken.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.wholes = tuple(part.whole for part in self.parts)
        # A CUDA graph reads them whenever it is replayed, as long as it has this bundle.
        self.indices = [
            indices(axis, part.whole.device)
            for part in self.parts
            if part.view is None
            for axis in part.cut.axes
            if not isinstance(axis, slice)
        ]
        self.starts: list[tuple[int, int]] = []  # of each part among the copies, and of its whole among the gradients
        copied = length = 0
        for part in self.parts:
            self.starts.append((copied, length))
            length += part.room[1]
            copied += 0 if part.dense else part.room[0]
        self.copied, self.length = copied, length

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
        taken, places, values = [], [], []
        for part, (start, _), whole in zip(self.parts, self.starts, wholes, strict=True):
            view = part.view
            if part.dense:
                assert view is not None
                taken.append(view.detach())
                continue
            place = buffer.as_strided(part.cut.shape, part.strides, start)
            taken.append(place)
            places.append(place)
            values.append(part.cut.of(whole) if view is None else view)
        if places:
            torch._foreach_copy_(places, values)
        return tuple(taken)


def dense_strides(shape: Shape, like: Shape) -> Shape:
    """Strides of a tensor without gaps whose axes lie in memory in the order of other strides (NCHW or NHWC)."""
    strides = [0] * len(shape)
    step = 1
    for axis in sorted(range(len(shape)), key=lambda axis: (like[axis], -axis)):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


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
        for gradient, (_, start), part in zip(gradients, bundle.starts, bundle.parts, strict=True):
            if gradient is None:
                results.append(None)
                continue
            whole, view = part.whole, part.view
            result = buffer.as_strided(whole.shape, whole.stride(), start)
            results.append(result)
            if view is None:
                part.cut.write(result, gradient)
            else:
                offset = start + view.storage_offset() - whole.storage_offset()
                places.append(buffer.as_strided(part.cut.shape, whole.stride(), offset))
                values.append(gradient)
        if places:
            torch._foreach_copy_(places, values)
        return (None, *results)
