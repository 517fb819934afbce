"""CIFAR-10 from a folder: 50,000 + 10,000 colour photos, 32x32, ten classes, in one of two layouts.

    mosaic    train_00.webp … train_49.webp, test_00.webp … test_09.webp: 1,000 images each, 25 rows of 40 tiles,
              lossless; train_labels.npy, test_labels.npy; optionally SHA256SUMS, then every file read is checked
    binary    the official `cifar-10-binary.tar.gz`, unpacked: data_batch_1.bin … data_batch_5.bin, test_batch.bin

The official "python version" is pickled, and a pickle can run code when it is read, so it is refused with advice.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto, 2009
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from nasengine.data.dataset import DataRequest, Dataset, channel_statistics
from nasengine.errors import InputError, Problem

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE, PIXELS = 32, 3 * 32 * 32
ROWS, COLUMNS = 25, 40  # of tiles in a mosaic
BATCH = 10_000  # images in an official file
MOSAICS = {"train": 50, "test": 10}
OFFICIAL = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
# sha256 of the 50,000 decoded training images (N, H, W, C) of a public copy in which 103 of 60,000 images are not exact
NEARLY_EXACT = "391c66085200960a6ffe96cc2d902c857d16235878ca2b86439dcda39af89e25"
ADVICE = (
    "expected the folder of the official 'CIFAR-10 binary version' (cifar-10-binary.tar.gz from the CIFAR-10 page "
    "of the University of Toronto, unpacked), named with --data-dir"
)


def load_cifar10(request: DataRequest) -> Dataset:
    """The set in `request.folder`, or in its subfolder `cifar-10-batches-bin`; images are (N, 3, 32, 32).

    Raises:
        InputError: no folder, a folder in no known layout, or files that are missing, cut short or changed.
    """
    if request.folder is None:
        raise InputError(Problem("data set 'cifar10' is not in the package, and no folder was named", expected=ADVICE))
    folder = request.folder
    if not folder.is_dir():
        raise InputError(
            Problem(f"there is no folder {str(folder)!r} to read data set 'cifar10' from", expected=ADVICE)
        )
    if (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    if (folder / "train_00.webp").is_file():
        parts = {part: _read_mosaics(folder, part) for part in MOSAICS}
    elif (folder / OFFICIAL["train"][0]).is_file():
        parts = {part: _read_official(folder, part) for part in OFFICIAL}
    elif (folder / "data_batch_1").is_file() or (folder / "cifar-10-batches-py").is_dir():
        raise InputError(
            Problem(
                f"{str(folder)!r} holds the pickled 'python version' of CIFAR-10, which is not read: "
                "a pickle can run code",
                expected=ADVICE,
            )
        )
    else:
        raise InputError(Problem(f"{str(folder)!r} holds CIFAR-10 in no layout that is known", expected=ADVICE))
    (train_images, train_labels), (test_images, test_labels) = parts["train"], parts["test"]
    mean, std = channel_statistics(train_images)
    return Dataset(
        name="cifar10",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        mean=mean,
        std=std,
        class_names=CLASSES,
        about=_fidelity(train_images),
    )


def _fidelity(train_images: torch.Tensor) -> str:
    decoded = np.ascontiguousarray(train_images.permute(0, 2, 3, 1).numpy())
    nearly = hashlib.sha256(decoded.data).hexdigest() == NEARLY_EXACT
    return "CIFAR-10 (99.83 % bit-exact copy)" if nearly else "CIFAR-10"


def _read_mosaics(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """((N, 3, 32, 32) uint8, (N,) int64) of one part; every file that is wrong is reported."""
    sums = _read_sums(folder)
    problems: list[Problem] = []
    decoded = []
    for index in range(MOSAICS[part]):
        content = _read_checked(folder / f"{part}_{index:02d}.webp", sums, problems)
        if content is None:
            continue
        try:
            mosaic = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            problems.append(Problem(f"{str(folder / f'{part}_{index:02d}.webp')!r} cannot be decoded: {error}"))
            continue
        if mosaic.shape != (ROWS * SIDE, COLUMNS * SIDE, 3):
            found = f"{part}_{index:02d}.webp is {mosaic.shape[1]}x{mosaic.shape[0]}"
            problems.append(Problem(found, expected=f"expected {COLUMNS * SIDE}x{ROWS * SIDE}: 25 rows of 40 images"))
            continue
        tiles = mosaic.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 4, 1, 3)  # (25, 40, 3, 32, 32)
        decoded.append(tiles.reshape(-1, 3, SIDE, SIDE))
    content = _read_checked(folder / f"{part}_labels.npy", sums, problems)
    if problems or content is None:
        raise InputError(problems)
    try:
        labels = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise InputError(f"{str(folder / f'{part}_labels.npy')!r} is no plain array: {error}") from error
    return _checked(np.concatenate(decoded), labels, folder)


def _read_official(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Records of 1 + 3,072 bytes: the label, then the red, green and blue planes row by row."""
    problems: list[Problem] = []
    records = []
    for name in OFFICIAL[part]:
        content = _read_checked(folder / name, {}, problems)
        if content is None:
            continue
        if len(content) != BATCH * (1 + PIXELS):
            found = f"{str(folder / name)!r} has {len(content):,} bytes"
            problems.append(Problem(found, expected=f"expected {BATCH * (1 + PIXELS):,}: unpack the archive again"))
            continue
        records.append(np.frombuffer(content, np.uint8).reshape(BATCH, 1 + PIXELS))
    if problems:
        raise InputError(problems)
    joined = np.concatenate(records)
    return _checked(joined[:, 1:].reshape(-1, 3, SIDE, SIDE), joined[:, 0], folder)


def _checked(images: np.ndarray, labels: np.ndarray, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        found = f"the labels in {str(folder)!r} are {labels.dtype} {labels.shape}"
        raise InputError(Problem(found, expected=f"expected integers ({len(images)},), one for each image"))
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        found = f"the labels in {str(folder)!r} go from {labels.min()} to {labels.max()}"
        raise InputError(Problem(found, expected="expected 0 … 9"))
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64))


def _read_sums(folder: Path) -> Mapping[str, str]:
    """File name -> sha256, from the folder's SHA256SUMS if it has one."""
    path = folder / "SHA256SUMS"
    if not path.is_file():
        return {}
    pairs = (line.split(maxsplit=1) for line in path.read_text("utf-8", "replace").splitlines())
    return {pair[1].lstrip("*").strip(): pair[0].lower() for pair in pairs if len(pair) == 2}


def _read_checked(path: Path, sums: Mapping[str, str], problems: list[Problem]) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError as error:
        problems.append(Problem(f"{str(path)!r} cannot be read: {error.strerror}", expected=ADVICE))
        return None
    if path.name in sums and hashlib.sha256(content).hexdigest() != sums[path.name]:
        found = f"{str(path)!r} is not the file that SHA256SUMS describes"
        problems.append(Problem(found, expected="expected an unchanged copy: fetch the folder again"))
        return None
    return content
