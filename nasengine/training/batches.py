"""The images of an epoch, shuffled, augmented and cut into batches, without leaving the device.

Every draw of epoch e is keyed by (seed, e), so no generator outlives an epoch and a resumed training needs to know
the epoch's number alone. An epoch is augmented in pieces of many batches: a launch per piece, not per batch.

Shapes:  N images   B images of a batch   C channels   H, W height and width
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from nasengine.data import Part
from nasengine.training.augmentation import Augmentation

PIECE_BYTES = 64 * 2**20  # of augmented images at a time


def keyed_seed(*key: int) -> int:
    """A seed for torch generators that differs for every key; 63 bits."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def epoch_order(images: int, wanted: int, *, seed: int, epoch: int) -> np.ndarray:
    """(wanted,) positions: all images in random order, and over again where more are wanted than there are."""
    rng = np.random.default_rng([seed, epoch, 0])
    rounds = -(-wanted // images)
    return np.concatenate([rng.permutation(images) for _ in range(rounds)])[:wanted]


def epoch_batches(
    part: Part, augmentation: Augmentation, *, batch: int, images: int, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (B, C, H, W) uint8 images and (B,) labels; only the last batch may be smaller.

    Args:
        part: on the device where training happens.
        augmentation: applied to every image.
        batch: B.
        images: so many in this epoch.
        seed, epoch: key of the order and of the augmentation.
    """
    device = part.images.device
    order = torch.from_numpy(epoch_order(len(part), images, seed=seed, epoch=epoch)).to(device)
    generator = torch.Generator(device)
    generator.manual_seed(keyed_seed(seed, epoch, 1))
    image_bytes = part.images[0].numel()
    piece = batch * max(1, PIECE_BYTES // (image_bytes * batch))
    for chosen in torch.split(order, piece):
        augmented = augmentation(part.images[chosen], generator)
        yield from zip(torch.split(augmented, batch), torch.split(part.labels[chosen], batch), strict=True)


class Normalize(nn.Module):
    """uint8 pixels to floats of zero mean and unit variance: (B, C, H, W) to the same in channels_last order.

    Args:
        mean, std: per channel, of pixels / 255.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        per_channel = (1, len(mean), 1, 1)
        self.register_buffer("scale", 1 / (255 * torch.tensor(std, dtype=torch.float64)).float().reshape(per_channel))
        shift = -torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64)
        self.register_buffer("shift", shift.float().reshape(per_channel))

    def forward(self, images: Tensor) -> Tensor:
        return images.to(torch.float32, memory_format=torch.channels_last).mul_(self.scale).add_(self.shift)

    def into(self, pixels: Tensor, images: Tensor) -> None:
        """The same, written to (B, C, H, W) floats that are there."""
        pixels.copy_(images).mul_(self.scale).add_(self.shift)
