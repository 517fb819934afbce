"""Batches for the steps of a training, normalised, where the graphs of steps read them.

They are sent while the device is still at work on the step before and the processor waits for what comes of it, so
that what happens in here costs a step nothing.

Shapes:  B images of a batch   C channels   H, W height and width
"""

from __future__ import annotations

import torch
from torch import Tensor

from nasengine.data import Part
from nasengine.errors import InputError, Problem
from nasengine.training.batches import Normalize


class Staging:
    """Holds one batch to learn from and one to be measured on.

    Args:
        training, validation: parts on the device; images of the second are shown as they are, without the rest.
        batch, validation_batch: images of a batch.
        in_place: keep whole batches in buffers that stay where they are; else each batch is a tensor of its own.
    """

    def __init__(self, training: Part, validation: Part, *, batch: int, validation_batch: int, in_place: bool) -> None:
        self.validation, self.validation_batch = validation, validation_batch
        self.normalize = Normalize(training.mean, training.std).to(training.images.device)
        self._learnt = _buffers(training, batch) if in_place else None
        self._shown = _buffers(validation, validation_batch) if in_place else None

    @property
    def batches(self) -> int:
        """Whole batches of the validation part."""
        return len(self.validation) // self.validation_batch

    def learn(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) float32 and (B,) of a batch of uint8 images, to learn from."""
        return self._put(self._learnt, images, labels)

    def show(self, index: int) -> tuple[Tensor, Tensor]:
        """The same of a batch of the validation part, numbered from 0, to be measured on."""
        begin = index * self.validation_batch
        end = begin + self.validation_batch
        return self._put(self._shown, self.validation.images[begin:end], self.validation.labels[begin:end])

    def stays(self, pixels: Tensor) -> bool:
        """Whether a batch to learn from lies where all others will lie."""
        return self._learnt is not None and pixels is self._learnt[0]

    def _put(self, buffers: tuple[Tensor, Tensor] | None, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if buffers is None or images.shape != buffers[0].shape:
            return self.normalize(images), labels
        pixels, places = buffers
        self.normalize.into(pixels, images)
        places.copy_(labels)
        return pixels, places


def no_images(part: str) -> InputError:
    """The error that a part of the images, training or validation, is empty and is needed."""
    return InputError(Problem(f"there are no {part} images", expected="expected data.validation such as 0.5"))


def _buffers(part: Part, batch: int) -> tuple[Tensor, Tensor]:
    images = part.images[:batch]
    return torch.empty_like(images, dtype=torch.float32, memory_format=torch.channels_last), part.labels[:batch].clone()
