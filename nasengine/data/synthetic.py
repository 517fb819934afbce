"""Made-up images that a small network learns in seconds: each class is a smooth random pattern, seen through noise.

For tests and for trying things out where no data set is at hand. Always the same images for the same shape.
"""

from __future__ import annotations

import numpy as np
import torch

from nasengine.data.dataset import DataRequest, Dataset, channel_statistics
from nasengine.errors import InputError, Problem

TRAIN_IMAGES, TEST_IMAGES = 512, 256
NOISE = 0.6  # standard deviation, in units of the pattern's


def load_synthetic(request: DataRequest) -> Dataset:
    """512 + 256 images of the shape and number of classes asked for (1x8x8 and 4 where nothing is said).

    Raises:
        InputError: a folder was named, which this set does not have.
    """
    if request.folder is not None:
        found = f"data set 'synthetic' is made up, but the folder {str(request.folder)!r} was named"
        raise InputError(Problem(found, expected="expected no folder"))
    channels, height, width = request.shape or (1, 8, 8)
    classes = request.classes or 4
    rng = np.random.default_rng([8, channels, height, width, classes])
    patterns = np.kron(
        rng.normal(size=(classes, channels, 4, 4)), np.ones((1, 1, -(-height // 4), -(-width // 4)))
    )  # (classes, C, ≥ H, ≥ W): 4x4 patches of one value
    patterns = patterns[:, :, :height, :width]

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = rng.permutation(np.arange(count) % classes)
        values = patterns[labels] + NOISE * rng.normal(size=(count, channels, height, width))
        pixels = np.clip(127.5 + 50 * values, 0, 255).round().astype(np.uint8)
        return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))

    train_images, train_labels = draw(TRAIN_IMAGES)
    test_images, test_labels = draw(TEST_IMAGES)
    mean, std = channel_statistics(train_images)
    return Dataset(
        name="synthetic",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        mean=mean,
        std=std,
        class_names=tuple(f"pattern {label}" for label in range(classes)),
        about="made-up patterns, for tests",
    )
