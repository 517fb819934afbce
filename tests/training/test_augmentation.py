"""What augmentations do to pixels."""

from __future__ import annotations

import pytest
import torch

from nasengine.errors import InputError
from nasengine.training.augmentation import Crop, CropFlip, Cutout, Flip, InTurn, Unchanged, make_augmentation


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.randint(1, 256, (400, 3, 6, 9), generator=draw(9), dtype=torch.uint8)


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_rest(images):
    flipped = Flip()(images, draw())
    mirrored = [torch.equal(out, image.flip(-1)) for out, image in zip(flipped, images, strict=True)]
    unchanged = [torch.equal(out, image) for out, image in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, unchanged, strict=True))
    assert 150 < sum(mirrored) < 250


@pytest.mark.parametrize(("augmentation", "mirrors"), [(Crop(pad=2), False), (CropFlip(pad=2), True)])
def test_every_crop_is_a_window_of_the_padded_image_and_every_window_occurs(images, augmentation, mirrors):
    cropped = augmentation(images, draw())
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    seen = set()
    for out, image in zip(cropped, padded, strict=True):
        windows = {
            (row, column, mirror): window.flip(-1) if mirror else window
            for row in range(5)
            for column in range(5)
            for window in [image[:, row : row + 6, column : column + 9]]
            for mirror in ((False, True) if mirrors else (False,))
        }
        seen |= {place for place, window in windows.items() if torch.equal(out, window)}
        assert any(torch.equal(out, window) for window in windows.values())
    assert len(seen) == (50 if mirrors else 25)


def test_cutout_blacks_out_one_square_and_nothing_else(images):
    cut = Cutout(size=4)(images, draw())
    for out, image in zip(cut, images, strict=True):
        black = (out == 0).all(0)
        rows, columns = black.any(1).nonzero(), black.any(0).nonzero()
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert int(black.sum()) == height * width
        assert 1 <= height <= 4
        assert 1 <= width <= 4
        assert torch.equal(out[:, ~black], image[:, ~black])
    assert any((out == 0).all(0).sum() == 16 for out in cut)


def test_a_list_is_done_in_turn(images):
    both = make_augmentation({"type": "in_turn", "of": ["crop_flip", {"type": "cutout", "size": 3}]})
    assert both == InTurn((CropFlip(), Cutout(size=3)))
    generator = draw(5)
    expected = Cutout(size=3)(CropFlip()(images, generator), generator)
    assert torch.equal(both(images, draw(5)), expected)


def test_none_changes_nothing(images):
    assert make_augmentation("none") == Unchanged()
    assert Unchanged()(images, draw()) is images


@pytest.mark.parametrize(
    "value",
    [
        "crop_flop",
        {"type": "in_turn", "of": ["crop_flop"]},
        {"type": "crop", "pads": 3},
        {"pad": 4},
        {"type": "crop", "pad": 0},
        7,
    ],
)
def test_what_is_no_augmentation_is_refused(value):
    with pytest.raises(InputError):
        make_augmentation(value)
