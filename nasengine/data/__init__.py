"""Data sets: `load_data(name, folder)` gives uint8 images in memory; `split` divides their training part.

To add one: a function `DataRequest -> Dataset` in one file, and one line in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nasengine.data.cifar import load_cifar10
from nasengine.data.dataset import DataRequest, Dataset, Part, channel_statistics, check_fits, shared_tensor
from nasengine.data.fashion import load_fashion
from nasengine.data.image_folder import load_image_folder
from nasengine.data.split import SplitSettings, split, stratified_split
from nasengine.data.synthetic import load_synthetic
from nasengine.registry import look_up

Loader = Callable[[DataRequest], Dataset]

DATASETS: dict[str, Loader] = {
    "fashion": load_fashion,
    "cifar10": load_cifar10,
    "image_folder": load_image_folder,
    "synthetic": load_synthetic,
}
DEFAULT_DATASET = "fashion"


def load_data(
    name: str = DEFAULT_DATASET,
    folder: str | Path | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> Dataset:
    """The data set called `name`.

    Args:
        name: an entry of `DATASETS`.
        folder: where it lies; None for sets that need no folder.
        shape: (C, H, W) of the networks to be trained; with `classes`, it must fit (height and width may differ).
        classes: number of classes of the networks to be trained.

    Raises:
        UnknownNameError: no such data set.
        InputError: it is missing, damaged, or does not fit; the message says where to get it.
    """
    loader = look_up(DATASETS, name, "data set")
    dataset = loader(DataRequest(Path(folder).expanduser() if folder else None, shape, classes))
    if shape is not None:
        check_fits(dataset, shape, classes)
    return dataset


__all__ = [
    "DATASETS",
    "DEFAULT_DATASET",
    "DataRequest",
    "Dataset",
    "Loader",
    "Part",
    "SplitSettings",
    "channel_statistics",
    "check_fits",
    "load_data",
    "shared_tensor",
    "split",
    "stratified_split",
]
