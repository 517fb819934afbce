"""Fashion-MNIST, the embedded default: 10,000 + 2,000 real grey photos of clothes, 28x28, ten classes.

A subset of the original with a division of its own, so accuracies on it are not those published for
Fashion-MNIST. Copyright (c) 2017 Zalando SE, MIT licence: see `embedded/NOTICE`.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
        Algorithms", 2017, arXiv:1708.07747
"""

from __future__ import annotations

import io
import lzma
from importlib import resources

import numpy as np
import torch

from nasengine.data.dataset import DataRequest, Dataset, channel_statistics
from nasengine.errors import InputError, Problem

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FILE = "fashion_mnist_12k.npz.xz"


def load_fashion(request: DataRequest) -> Dataset:
    """The embedded set; images are (N, 1, 28, 28).

    Raises:
        InputError: a folder was named, which this set does not have.
    """
    if request.folder is not None:
        raise InputError(
            Problem(
                f"data set 'fashion' is inside the package, but the folder {str(request.folder)!r} was named",
                expected="expected no folder; your own images are read by the data set image_folder",
            )
        )
    packed = resources.files("nasengine.data").joinpath("embedded", FILE).read_bytes()
    arrays = np.load(io.BytesIO(lzma.decompress(packed)), allow_pickle=False)
    train_images = torch.from_numpy(arrays["x_train"]).unsqueeze(1)  # (10000, 1, 28, 28)
    mean, std = channel_statistics(train_images)
    # The file holds the test images class by class; networks whose norms take statistics of the batch need them mixed.
    order = np.random.default_rng(0).permutation(len(arrays["y_test"]))
    return Dataset(
        name="fashion",
        train_images=train_images,
        train_labels=torch.from_numpy(arrays["y_train"].astype(np.int64)),
        test_images=torch.from_numpy(arrays["x_test"][order]).unsqueeze(1),  # (2000, 1, 28, 28)
        test_labels=torch.from_numpy(arrays["y_test"][order].astype(np.int64)),
        mean=mean,
        std=std,
        class_names=CLASSES,
        about="Fashion-MNIST, a subset of 12,000 images divided anew: not comparable with published figures",
    )
