"""A data set in memory: uint8 images and labels in two parts, and how the training part is split.

Pixels stay uint8 wherever they are kept (a quarter of the memory, and of the way to the device) and become
normalised floats one batch at a time, on the device.

Shapes:  N images   C channels   H, W height and width
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nasengine.errors import InputError, Problem

RESIZE_PIECE = 1024  # images resized at a time: bounds the memory that floats take


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What a loader is asked for.

    Args:
        folder: where the set lies; None for what ships in the package or is made up.
        shape: (C, H, W) that the space's networks take; sets of files (image_folder) are decoded to it.
        classes: how many classes the space's networks tell apart; None where nobody has said.
    """

    folder: Path | None = None
    shape: tuple[int, int, int] | None = None
    classes: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some of the images of a data set, all on one device.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        mean, std: per channel, of pixels / 255.
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: np.ndarray) -> Part:
        """The images at these positions, in this order."""
        chosen = torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int64)).to(self.labels.device)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def to(self, device: torch.device) -> Part:
        """The same images on `device`."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def resized(self, height: int, width: int) -> Part:
        """The same images at another resolution: bilinear, antialiased, rounded back to uint8."""
        if self.images.shape[-2:] == (height, width):
            return self
        pieces = [
            F.interpolate(piece.float(), size=(height, width), mode="bilinear", antialias=True)
            .round_()
            .clamp_(0, 255)
            .to(torch.uint8)
            for piece in torch.split(self.images, RESIZE_PIECE)
        ]  # each (≤ RESIZE_PIECE, C, height, width)
        return replace(self, images=torch.cat(pieces))


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images, labels and what is known of them. Only `retrain` reads `test`.

    Args:
        name: as in the table of data sets.
        train_images, test_images: (N, C, H, W) uint8.
        train_labels, test_labels: (N,) int64, in 0 … classes - 1.
        mean, std: per channel, of the training pixels / 255.
        class_names: one per class, in the order of the labels.
        about: one line for reports (a subset, a copy that is not exact), may be empty.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    about: str = ""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for part, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            found = f"the {part} part of data set {self.name!r}"
            if images.dtype != torch.uint8 or images.ndim != 4:
                expected = "expected uint8 (N, C, H, W)"
                problems.append(Problem(f"{found} has images {images.dtype} {tuple(images.shape)}", expected=expected))
            if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
                expected = f"expected int64 ({len(images)},)"
                problems.append(Problem(f"{found} has labels {labels.dtype} {tuple(labels.shape)}", expected=expected))
            elif len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
                expected = f"expected 0 … {self.classes - 1}, one for each class name"
                problems.append(Problem(f"{found} has labels outside its {self.classes} classes", expected=expected))
        if problems:
            raise InputError(problems)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Dataset:
        """What `arrays` made, without copying an image; arrays that must not be written to will do."""
        return cls(
            name=str(arrays["name"]),
            train_images=shared_tensor(arrays["train_images"]),
            train_labels=shared_tensor(arrays["train_labels"]),
            test_images=shared_tensor(arrays["test_images"]),
            test_labels=shared_tensor(arrays["test_labels"]),
            mean=tuple(arrays["mean"].tolist()),
            std=tuple(arrays["std"].tolist()),
            class_names=tuple(arrays["class_names"].tolist()),
            about=str(arrays["about"]),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as plain arrays, which processes can share; the images are not copied."""
        return {
            "name": np.array(self.name),
            "train_images": self.train_images.numpy(),
            "train_labels": self.train_labels.numpy(),
            "test_images": self.test_images.numpy(),
            "test_labels": self.test_labels.numpy(),
            "mean": np.array(self.mean, dtype=np.float64),
            "std": np.array(self.std, dtype=np.float64),
            "class_names": np.array(self.class_names),
            "about": np.array(self.about),
        }

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        channels, height, width = self.train_images.shape[1:]
        return int(channels), int(height), int(width)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def train(self) -> Part:
        return Part(self.train_images, self.train_labels, self.mean, self.std)

    @property
    def test(self) -> Part:
        return Part(self.test_images, self.test_labels, self.mean, self.std)


def shared_tensor(array: NDArray[Any]) -> Tensor:
    """The array as a tensor on the same memory. Nothing here writes to images or labels, so it may be read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixels / 255, computed exactly (from counts of the 256 values).

    Args:
        images: (N, C, H, W) uint8.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].reshape(-1), minlength=256).double()
        mean = (counts * levels).sum() / counts.sum()
        variance = (counts * (levels - mean) ** 2).sum() / counts.sum()
        means.append(float(mean))
        stds.append(max(float(variance) ** 0.5, 1 / 255))  # one grey level: a constant channel must not divide by 0
    return tuple(means), tuple(stds)


def check_fits(dataset: Dataset, shape: tuple[int, int, int], classes: int | None) -> None:
    """See that the networks of a space can be trained on a data set (heights and widths are resized, so may differ).

    Raises:
        InputError: another number of channels or of classes.
    """
    problems = []
    if dataset.shape[0] != shape[0]:
        problems.append(
            Problem(
                f"data set {dataset.name!r} has {dataset.shape[0]} channels, the space's task takes {shape[0]}",
                expected=f"expected a data set of {shape[0]} channels, or task.input [{dataset.shape[0]}, …]",
            )
        )
    if classes is not None and dataset.classes != classes:
        problems.append(
            Problem(
                f"data set {dataset.name!r} has {dataset.classes} classes, the space's task has {classes}",
                expected=f"expected a data set of {classes} classes, or task.classes {dataset.classes} in the space",
            )
        )
    if problems:
        raise InputError(problems)
