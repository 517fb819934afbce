"""The embedded set: whole, balanced, mixed, with its notice."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest
import torch

from nasengine.data import load_data
from nasengine.errors import InputError


def test_the_embedded_images_are_the_ones_that_were_packed():
    dataset = load_data("fashion")
    assert dataset.train_images.shape == (10_000, 1, 28, 28)
    assert dataset.test_images.shape == (2_000, 1, 28, 28)
    packed = hashlib.sha256(dataset.train_images.numpy().tobytes()).hexdigest()
    assert packed == "ff0c5378866e69781b59b4aec37351e532ef68b212ee9699048c8218f23389ed"
    tests = sorted(image.numpy().tobytes() for image in dataset.test_images)  # their order is ours
    assert (
        hashlib.sha256(b"".join(tests)).hexdigest()
        == "8e09f0de91153f45a58f7964579e6d2a26e49df7616d34f7b1ef6812f86451ae"
    )


def test_classes_are_balanced_and_the_test_part_is_mixed():
    dataset = load_data("fashion")
    assert torch.bincount(dataset.train_labels).tolist() == [1000] * 10
    assert torch.bincount(dataset.test_labels).tolist() == [200] * 10
    assert len(set(dataset.test_labels[:100].tolist())) == 10


def test_the_notice_ships_beside_the_images():
    notice = resources.files("nasengine.data").joinpath("embedded", "NOTICE").read_text("utf-8")
    assert "Copyright (c) 2017 Zalando SE" in notice
    assert "MIT License" in notice


def test_a_folder_is_refused_with_advice(tmp_path):
    with pytest.raises(InputError, match="image_folder"):
        load_data("fashion", tmp_path)
