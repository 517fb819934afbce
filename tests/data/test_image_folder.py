"""A folder of images per class: both layouts, odd files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nasengine.data import image_folder, load_data
from nasengine.errors import InputError


def write_image(path, colour, size=(20, 30), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def two_parts(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
            for index in range(count):
                write_image(tmp_path / part / name / f"{index}.png", colour)
    return tmp_path


def test_classes_are_the_sorted_subfolders_and_images_get_the_shape_asked_for(two_parts):
    dataset = load_data("image_folder", two_parts, shape=(3, 10, 12), classes=2)
    assert dataset.class_names == ("blue", "red")
    assert dataset.train_images.shape == (8, 3, 10, 12)
    assert dataset.test_images.shape == (4, 3, 10, 12)
    for image, label in zip(dataset.train_images, dataset.train_labels, strict=True):
        assert image[:, 5, 5].tolist() == ([0, 0, 200], [200, 0, 0])[int(label)]


@pytest.mark.parametrize("name", ["val", "validation"])
def test_other_names_of_the_test_part_are_known(two_parts, name):
    (two_parts / "test").rename(two_parts / name)
    assert len(load_data("image_folder", two_parts).test_labels) == 4


def test_one_folder_is_split_class_by_class_and_always_alike(tmp_path):
    for name in "abc":
        for index in range(10):
            write_image(tmp_path / name / f"{index}.png", (index, 0, 0))
    first, again = load_data("image_folder", tmp_path), load_data("image_folder", tmp_path)
    assert torch.bincount(first.test_labels).tolist() == [2, 2, 2]
    assert torch.bincount(first.train_labels).tolist() == [8, 8, 8]
    assert torch.equal(first.test_images, again.test_images)


def test_a_camera_turned_image_is_read_upright(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right: bright on the right
    for name in "ab":
        for index in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png", exif=exif)
    image = load_data("image_folder", tmp_path, shape=(3, 16, 16)).train_images[0, 0]
    assert image[:, 12:].min() == 255
    assert image[:, :4].max() == 0


def test_grey_palette_and_transparent_images_are_read_as_asked(tmp_path):
    for name in "ab":
        for index, (mode, colour) in enumerate((("L", 80), ("RGBA", (80, 80, 80, 9)), ("P", 3), ("1", 1), ("I;16", 5))):
            write_image(tmp_path / name / f"{index}.png", colour, mode=mode)
    assert load_data("image_folder", tmp_path, shape=(3, 8, 8)).train_images.shape[1] == 3
    assert load_data("image_folder", tmp_path, shape=(1, 8, 8)).train_images.shape[1] == 1


def test_hidden_and_other_files_are_passed_over(two_parts):
    (two_parts / "train" / "red" / "notes.txt").write_text("no image")
    (two_parts / "train" / "red" / ".cache.png").write_bytes(b"no image")
    (two_parts / "train" / ".git").mkdir()
    assert len(load_data("image_folder", two_parts).train_labels) == 8


def test_every_unreadable_image_is_reported_by_name(two_parts):
    whole = (two_parts / "train" / "red" / "0.png").read_bytes()
    (two_parts / "train" / "red" / "1.png").write_bytes(b"no image")
    (two_parts / "test" / "blue" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as caught:
        load_data("image_folder", two_parts)
    assert len(caught.value.problems) == 2
    assert "1.png" in str(caught.value)


def test_a_long_list_of_unreadable_images_is_cut(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(20):
            (tmp_path / name / f"{index}.png").write_bytes(b"")
    with pytest.raises(InputError, match="20 more files"):
        load_data("image_folder", tmp_path)


def test_an_image_of_enormous_size_is_refused(two_parts, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="decompression bomb"):
        load_data("image_folder", two_parts)


def test_parts_with_different_classes_are_refused(two_parts):
    write_image(two_parts / "test" / "green" / "0.png", (0, 200, 0))
    with pytest.raises(InputError, match="differ: green"):
        load_data("image_folder", two_parts)


def test_a_class_without_images_is_refused(two_parts):
    (two_parts / "train" / "green").mkdir()
    with pytest.raises(InputError, match="green' holds no image"):
        load_data("image_folder", two_parts)


@pytest.mark.parametrize("made", [None, "nowhere", "."])
def test_a_folder_that_is_missing_or_empty_is_refused_with_the_layout(tmp_path, made):
    with pytest.raises(InputError, match="FOLDER/CLASS"):
        load_data("image_folder", made and tmp_path / made)


def test_images_in_other_than_one_or_three_channels_are_refused(two_parts):
    with pytest.raises(InputError, match="as 4 channels"):
        load_data("image_folder", two_parts, shape=(4, 8, 8))


def test_more_images_than_fit_into_memory_are_refused_before_any_is_read(two_parts, monkeypatch):
    monkeypatch.setattr(image_folder, "MEMORY_SHARE", 1e-12)
    with pytest.raises(InputError, match="GiB here"):
        load_data("image_folder", two_parts)


def test_many_classes_are_read(tmp_path):
    for label in range(150):
        for index in range(2):
            write_image(tmp_path / f"class_{label:03}" / f"{index}.png", (label, 0, 0), size=(4, 4))
    with pytest.raises(InputError, match="too few images"):
        load_data("image_folder", tmp_path, shape=(3, 4, 4))
    for label in range(150):
        for index in range(2, 5):
            write_image(tmp_path / f"class_{label:03}" / f"{index}.png", (label, 0, 0), size=(4, 4))
    dataset = load_data("image_folder", tmp_path, shape=(3, 4, 4), classes=150)
    assert dataset.train_images[:, 0, 0, 0].tolist() == dataset.train_labels.tolist()
