"""CIFAR-10 in both layouts, on small files made for the test; the real set where it is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nasengine.data import cifar, load_data
from nasengine.errors import InputError


@pytest.fixture
def small(monkeypatch):
    """Layouts of two training files and one test file, six images each."""
    monkeypatch.setattr(cifar, "ROWS", 2)
    monkeypatch.setattr(cifar, "COLUMNS", 3)
    monkeypatch.setattr(cifar, "MOSAICS", {"train": 2, "test": 1})
    monkeypatch.setattr(
        cifar, "OFFICIAL", {"train": ("data_batch_1.bin", "data_batch_2.bin"), "test": ("test_batch.bin",)}
    )
    monkeypatch.setattr(cifar, "BATCH", 6)


IMAGES = np.random.default_rng(0).integers(0, 256, (18, 3, 32, 32)).astype(np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, 18).astype(np.uint8)


def write_binary(folder: Path) -> Path:
    records = np.concatenate([LABELS[:, None], IMAGES.reshape(18, -1)], 1)
    for name, start in (("data_batch_1.bin", 0), ("data_batch_2.bin", 6), ("test_batch.bin", 12)):
        (folder / name).write_bytes(records[start : start + 6].tobytes())
    return folder


def write_mosaic(folder: Path, *, sums: bool = True) -> Path:
    for name, start in (("train_00", 0), ("train_01", 6), ("test_00", 12)):
        tiles = IMAGES[start : start + 6].reshape(2, 3, 3, 32, 32).transpose(0, 3, 1, 4, 2).reshape(64, 96, 3)
        Image.fromarray(tiles).save(folder / f"{name}.webp", lossless=True)
    np.save(folder / "train_labels.npy", LABELS[:12])
    np.save(folder / "test_labels.npy", LABELS[12:])
    if sums:
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.iterdir())]
        (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("write", [write_binary, write_mosaic])
def test_both_layouts_give_the_same_images_and_labels(small, tmp_path, write):
    dataset = load_data("cifar10", write(tmp_path))
    assert torch.equal(dataset.train_images, torch.from_numpy(IMAGES[:12]))
    assert torch.equal(dataset.test_images, torch.from_numpy(IMAGES[12:]))
    assert dataset.train_labels.tolist() == LABELS[:12].tolist()
    assert dataset.test_labels.tolist() == LABELS[12:].tolist()
    assert dataset.class_names[0] == "airplane"
    assert dataset.class_names[9] == "truck"


def test_the_folder_above_the_official_one_will_do(small, tmp_path):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    write_binary(tmp_path / "cifar-10-batches-bin")
    assert len(load_data("cifar10", tmp_path).train_labels) == 12


def test_a_changed_file_is_noticed_by_its_checksum(small, tmp_path):
    write_mosaic(tmp_path)
    np.save(tmp_path / "train_labels.npy", LABELS[:12][::-1])
    with pytest.raises(InputError, match=r"train_labels\.npy' is not the file that SHA256SUMS describes"):
        load_data("cifar10", tmp_path)


def test_every_missing_mosaic_is_reported(small, tmp_path):
    write_mosaic(tmp_path, sums=False)
    (tmp_path / "train_01.webp").unlink()
    (tmp_path / "train_labels.npy").unlink()
    with pytest.raises(InputError) as caught:
        load_data("cifar10", tmp_path)
    assert len(caught.value.problems) == 2


def test_a_mosaic_of_another_size_or_kind_is_refused(small, tmp_path):
    write_mosaic(tmp_path, sums=False)
    Image.new("RGB", (64, 64)).save(tmp_path / "train_00.webp")
    (tmp_path / "train_01.webp").write_bytes(b"no picture")
    with pytest.raises(InputError) as caught:
        load_data("cifar10", tmp_path)
    assert "64x64" in str(caught.value)
    assert "cannot be decoded" in str(caught.value)


def test_a_file_cut_short_is_refused_with_its_size(small, tmp_path):
    write_binary(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"18,437 bytes\n  expected 18,438"):
        load_data("cifar10", tmp_path)


def test_a_label_that_is_no_class_is_refused(small, tmp_path):
    write_binary(tmp_path)
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(InputError, match=r"go from \d to 10"):
        load_data("cifar10", tmp_path)


def test_labels_that_are_pickled_are_not_loaded(small, tmp_path):
    write_mosaic(tmp_path, sums=False)
    np.save(tmp_path / "train_labels.npy", np.array([object()] * 12, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="no plain array"):
        load_data("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1", "cifar-10-batches-py/data_batch_1"])
def test_the_pickled_version_is_refused_with_advice(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x80\x02}.")
    with pytest.raises(InputError, match=r"(?s)pickle can run code.*binary version"):
        load_data("cifar10", tmp_path)


@pytest.mark.parametrize("folder", [None, "nowhere", "."])
def test_a_missing_set_says_where_to_get_it(tmp_path, folder):
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz"):
        load_data("cifar10", folder and tmp_path / folder)


@pytest.mark.data
@pytest.mark.slow
def test_the_real_set_has_the_published_statistics(data_folder):
    dataset = load_data("cifar10", data_folder / "cifar10")
    assert dataset.mean == pytest.approx((0.49140, 0.48216, 0.44653), abs=1e-5)
    assert dataset.std == pytest.approx((0.24703, 0.24348, 0.26159), abs=1e-5)
    assert torch.bincount(dataset.train_labels).tolist() == [5000] * 10
    assert dataset.about == "CIFAR-10 (99.83 % bit-exact copy)"
