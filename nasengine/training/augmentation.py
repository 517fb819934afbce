"""Augmentations: random changes of training images, whole pieces of an epoch at once, on the device, as uint8.

Each is drawn from the generator it is given, anew for every image. What is shifted in or cut out is black.

Shapes:  N images   C channels   H, W height and width
Sources: crop and flip: He et al., "Deep Residual Learning", CVPR 2016, arXiv:1512.03385, sec. 4.2
         cutout: DeVries, Taylor, "Improved Regularization of CNNs with Cutout", 2017, arXiv:1708.04552
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from nasengine.errors import InputError, Problem
from nasengine.training.components import make_component


class Augmentation(Protocol):
    """What an entry of `AUGMENTATIONS` makes."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """(N, C, H, W) uint8 -> the same shape, uint8, on the same device; the argument is left as it is."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """No augmentation."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """See `Augmentation`."""
        return images


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirror half of the images, left to right."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """See `Augmentation`."""
        return _pick(images, 0, None, _coins(len(images), generator))


@dataclass(frozen=True, slots=True)
class Crop:
    """Shift by up to `pad` pixels along both axes.

    Args:
        pad: at least 1.
    """

    pad: int = 4

    def __post_init__(self) -> None:
        _check_pixels("crop", "pad", self.pad)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """See `Augmentation`."""
        return _pick(images, self.pad, _offsets(len(images), self.pad, generator), None)


@dataclass(frozen=True, slots=True)
class CropFlip:
    """Shift by up to `pad` pixels along both axes, and mirror half of the images.

    Args:
        pad: at least 1.
    """

    pad: int = 4

    def __post_init__(self) -> None:
        _check_pixels("crop_flip", "pad", self.pad)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """See `Augmentation`."""
        offsets = _offsets(len(images), self.pad, generator)
        return _pick(images, self.pad, offsets, _coins(len(images), generator))


@dataclass(frozen=True, slots=True)
class Cutout:
    """Black out one square of each image; its centre is anywhere, so it may hang over the border.

    Args:
        size: side of the square in pixels.
    """

    size: int = 8

    def __post_init__(self) -> None:
        _check_pixels("cutout", "size", self.size)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """See `Augmentation`."""
        n, _, height, width = images.shape
        inside = []
        for length in (height, width):
            centre = torch.randint(length, (n, 1), generator=generator, device=images.device)
            first = centre - self.size // 2
            place = torch.arange(length, device=images.device)
            inside.append((place >= first) & (place < first + self.size))  # (N, length)
        square = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (N, 1, H, W)
        return images.masked_fill(square, 0)


@dataclass(frozen=True, slots=True)
class InTurn:
    """Several augmentations, one after another; made by `in_turn`."""

    parts: tuple[Augmentation, ...]

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """See `Augmentation`."""
        for part in self.parts:
            images = part(images, generator)
        return images


def in_turn(of: Sequence[str | Mapping[str, object]] = ("crop_flip", "cutout")) -> InTurn:
    """Several augmentations, one after another.

    Args:
        of: each a name or a mapping with `type`.

    Raises:
        InputError: every problem of the list.
    """
    return InTurn(tuple(make_augmentation(item) for item in of))


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "none": Unchanged,
    "flip": Flip,
    "crop": Crop,
    "crop_flip": CropFlip,
    "cutout": Cutout,
    "in_turn": in_turn,
}


def make_augmentation(value: object) -> Augmentation:
    """From a name or a mapping with `type`.

    Raises:
        InputError: every problem of the value.
    """
    return make_component(AUGMENTATIONS, value, kind="augmentation")


def _offsets(n: int, pad: int, generator: Generator) -> Tensor:
    return torch.randint(2 * pad + 1, (2, n, 1), generator=generator, device=generator.device)


def _coins(n: int, generator: Generator) -> Tensor:
    return torch.randint(2, (n, 1), generator=generator, device=generator.device, dtype=torch.bool)


def _pick(images: Tensor, pad: int, offsets: Tensor | None, mirrored: Tensor | None) -> Tensor:
    """One window of each image, read backwards where mirrored: a single gather.

    Args:
        images: (N, C, H, W).
        pad: width of the black border that windows may reach into.
        offsets: (2, N, 1) first row and column of each window in the padded image; None: the image itself.
        mirrored: (N, 1) bool; None: none is.

    Returns: (N, C, H, W), in the memory order of channels_last.
    """
    n, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(n, height)
    columns = torch.arange(width, device=device).expand(n, width)
    if mirrored is not None:
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if offsets is not None:
        rows, columns = rows + offsets[0], columns + offsets[1]
    pixels = F.pad(images, (pad,) * 4).permute(0, 2, 3, 1)  # (N, H + 2 pad, W + 2 pad, C)
    image = torch.arange(n, device=device)[:, None, None]
    return pixels[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _check_pixels(name: str, key: str, value: int) -> None:
    if value < 1:
        raise InputError(Problem(f"{key} of augmentation {name!r} is {value!r}", expected="expected at least 1 pixel"))
