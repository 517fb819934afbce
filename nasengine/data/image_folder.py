"""A folder of your own images: one subfolder per class, decoded once to the space's input and kept in memory.

    FOLDER/train/CLASS/*.png    FOLDER/test/CLASS/*.png     two parts (`val` or `validation` serve as the test part)
    FOLDER/CLASS/*.png                                      one part: a fifth of every class becomes the test part

Images are cut to the shape asked for around their middle (the shorter side fits), turned as their camera says,
and read as grey or colour. Classes are the names of the subfolders, sorted.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from nasengine.data.dataset import DataRequest, Dataset, channel_statistics
from nasengine.data.split import SplitSettings, stratified_split
from nasengine.errors import InputError, Problem

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
TEST_NAMES = ("test", "val", "validation")
TEST_SHARE = 0.2
MEMORY_SHARE = 0.6  # of the machine's memory that the decoded images may take
ADVICE = "expected FOLDER/train/CLASS/*.png and FOLDER/test/CLASS/*.png, or FOLDER/CLASS/*.png"
LISTED = 20  # unreadable files named one by one
MODES = {1: "L", 3: "RGB"}

Files = list[tuple[Path, int]]  # path, class number


def load_image_folder(request: DataRequest) -> Dataset:
    """The images below `request.folder`, as (N, C, H, W) of `request.shape` (3x32x32 where nothing is said).

    Raises:
        InputError: no folder, no class, no image, classes that differ between the parts, files that are no images,
            or more images than fit into memory.
    """
    folder = request.folder
    if folder is None:
        raise InputError(Problem("data set 'image_folder' needs a folder (--data-dir)", expected=ADVICE))
    if not folder.is_dir():
        raise InputError(Problem(f"there is no folder {str(folder)!r}", expected=ADVICE))
    shape = request.shape or (3, 32, 32)
    if shape[0] not in MODES:
        found = f"images cannot be read as {shape[0]} channels"
        raise InputError(Problem(found, expected="expected 1 (grey) or 3 (colour) in task.input of the space"))
    class_names, train_files, test_files = _list_parts(folder)
    _check_memory(len(train_files) + len(test_files), shape)
    train_images, test_images = _decode_all([train_files, test_files], shape)
    mean, std = channel_statistics(train_images)
    return Dataset(
        name="image_folder",
        train_images=train_images,
        train_labels=torch.tensor([label for _, label in train_files]),
        test_images=test_images,
        test_labels=torch.tensor([label for _, label in test_files]),
        mean=mean,
        std=std,
        class_names=class_names,
        about=f"images in {folder.name}: {len(train_files):,} to train, {len(test_files):,} to test",
    )


def _list_parts(folder: Path) -> tuple[tuple[str, ...], Files, Files]:
    test_folder = next((folder / name for name in TEST_NAMES if (folder / name).is_dir()), None)
    if (folder / "train").is_dir() and test_folder is not None:
        names, train_files = _list_classes(folder / "train")
        test_names, test_files = _list_classes(test_folder)
        if names != test_names:
            only = sorted(set(names) ^ set(test_names))
            found = f"the classes of train and {test_folder.name} differ: {', '.join(only[:LISTED])}"
            raise InputError(Problem(found, expected="expected the same subfolders in both"))
        return names, train_files, _mixed(test_files)
    names, files = _list_classes(folder / "train" if (folder / "train").is_dir() else folder)
    labels = np.array([label for _, label in files])
    kept, held_out = stratified_split(labels, SplitSettings(validation=TEST_SHARE))
    if not len(held_out):
        raise InputError(
            Problem(f"{str(folder)!r} holds too few images to set some aside for the test", expected=ADVICE)
        )
    return names, [files[position] for position in kept], [files[position] for position in held_out]


def _mixed(files: Files) -> Files:
    """The same files in a fixed order that mixes the classes (for norms that take statistics of the batch)."""
    return [files[position] for position in np.random.default_rng(0).permutation(len(files))]


def _list_classes(folder: Path) -> tuple[tuple[str, ...], Files]:
    """Class names, and the files of all classes in a fixed order."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        found = f"{str(folder)!r} has {len(classes)} class folders"
        raise InputError(Problem(found, expected=f"{ADVICE}; at least two classes"))
    files: Files = []
    problems = []
    for label, path in enumerate(classes):
        inside = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
        if not inside:
            found = f"the class folder {str(path)!r} holds no image"
            problems.append(Problem(found, expected=f"expected files ending in {', '.join(sorted(SUFFIXES))}"))
        files += [(file, label) for file in inside]
    if problems:
        raise InputError(problems)
    return tuple(path.name for path in classes), files


def _check_memory(images: int, shape: tuple[int, int, int]) -> None:
    needed = images * shape[0] * shape[1] * shape[2]
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > MEMORY_SHARE * present:
        found = f"{images:,} images of {shape[0]}x{shape[1]}x{shape[2]} take {needed / 2**30:.1f} GiB"
        expected = (
            f"expected at most {MEMORY_SHARE * present / 2**30:.1f} GiB here: fewer images, or a smaller task.input"
        )
        raise InputError(Problem(found, expected=expected))


def _decode_all(parts: list[Files], shape: tuple[int, int, int]) -> list[torch.Tensor]:
    """(N, C, H, W) uint8 for each part; all unreadable files of all parts in one error."""
    problems: list[Problem] = []
    decoded = []
    for files in parts:
        images = np.zeros((len(files), *shape), np.uint8)
        for position, (path, _) in enumerate(files):
            try:
                images[position] = _decode(path, shape)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
                problems.append(Problem(f"{str(path)!r} cannot be read as an image: {error}"))
        decoded.append(torch.from_numpy(images))
    if len(problems) > LISTED:
        problems = [*problems[:LISTED], Problem(f"… and {len(problems) - LISTED} more files")]
    if problems:
        raise InputError(problems)
    return decoded


def _decode(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert(MODES[channels])
    fitted = ImageOps.fit(upright, (width, height), method=Image.Resampling.BILINEAR)
    pixels = np.asarray(fitted).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1)  # (C, H, W)
