"""Data sets in memory: what is checked, how pixels are described, how images are resized."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nasengine.data import channel_statistics, check_fits, load_data
from nasengine.errors import InputError, UnknownNameError


def test_channel_statistics_are_those_of_the_pixels_divided_by_255():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (50, 3, 6, 7)).astype(np.uint8))
    mean, std = channel_statistics(images)
    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(pixels.std((0, 2, 3), unbiased=False).tolist(), abs=1e-12)


def test_a_channel_of_one_value_has_a_deviation_above_zero():
    _, std = channel_statistics(torch.full((4, 1, 3, 3), 7, dtype=torch.uint8))
    assert std == (1 / 255,)


def test_wrong_arrays_are_all_reported():
    good = load_data("synthetic")
    with pytest.raises(InputError) as caught:
        dataclasses.replace(good, train_images=good.train_images.float(), test_labels=good.test_labels + 2)
    assert len(caught.value.problems) == 2


def test_resizing_keeps_the_mean_and_the_type():
    part = load_data("synthetic").train.resized(12, 20)
    assert part.images.shape == (512, 1, 12, 20)
    assert part.images.dtype == torch.uint8
    before = float(load_data("synthetic").train_images.float().mean())
    assert float(part.images.float().mean()) == pytest.approx(before, rel=0.02)


def test_resizing_to_the_same_size_is_no_work():
    part = load_data("synthetic").train
    assert part.resized(8, 8) is part


def test_resizing_in_pieces_is_resizing_at_once(monkeypatch):
    part = load_data("synthetic").train
    whole = part.resized(5, 5).images
    monkeypatch.setattr("nasengine.data.dataset.RESIZE_PIECE", 100)
    assert torch.equal(part.resized(5, 5).images, whole)


def test_a_set_that_does_not_fit_the_space_says_what_would():
    with pytest.raises(InputError) as caught:
        check_fits(load_data("synthetic"), (3, 8, 8), 10)
    text = str(caught.value)
    assert "1 channels" in text
    assert "task.classes 4" in text


def test_load_data_checks_the_fit():
    with pytest.raises(InputError, match="10 classes, the space's task has 100"):
        load_data("fashion", shape=(1, 28, 28), classes=100)


def test_an_unknown_set_is_reported_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'cifar10'"):
        load_data("cifar_10")
