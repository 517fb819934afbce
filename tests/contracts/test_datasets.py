"""What every data set promises, where it can be had: arrays of one kind, labels of all classes, always the same."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from nasengine.data import DATASETS, DataRequest
from nasengine.errors import InputError


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """Two classes of grey squares."""
    folder = tmp_path_factory.mktemp("images")
    for name, colour in (("dark", 10), ("bright", 240)):
        for index in range(10):
            (folder / name).mkdir(exist_ok=True)
            Image.new("L", (8, 8), colour + index).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.data, pytest.mark.slow] if name == "cifar10" else []) for name in DATASETS
    ],
)
def loaded(request):
    """A data set's name, what its loader is asked, and what it answers."""
    folder = None
    if request.param == "image_folder":
        folder = request.getfixturevalue("image_folder")
    if request.param == "cifar10":
        folder = request.getfixturevalue("data_folder") / "cifar10"
    return request.param, DataRequest(folder), DATASETS[request.param](DataRequest(folder))


def test_a_data_set_knows_its_name_and_its_classes(loaded):
    name, _, dataset = loaded
    assert dataset.name == name
    assert len(set(dataset.class_names)) == dataset.classes >= 2


def test_images_and_labels_are_of_the_promised_kinds(loaded):
    _, _, dataset = loaded
    for images, labels in ((dataset.train_images, dataset.train_labels), (dataset.test_images, dataset.test_labels)):
        assert images.dtype == torch.uint8
        assert images.shape == (len(labels), *dataset.shape)
        assert labels.dtype == torch.int64
        assert sorted(set(labels.tolist())) == list(range(dataset.classes))
    assert len(dataset.mean) == len(dataset.std) == dataset.shape[0]
    assert all(0 < value < 1 for value in (*dataset.mean, *dataset.std))


def test_every_batch_of_the_test_part_mixes_the_classes(loaded):
    """Norms that take statistics of the batch would otherwise see one class at a time."""
    _, _, dataset = loaded
    if len(dataset.test_labels) >= 100:
        assert len(set(dataset.test_labels[:100].tolist())) > dataset.classes / 2


def test_loading_again_gives_the_same(loaded):
    name, asked, dataset = loaded
    again = DATASETS[name](asked)
    assert torch.equal(again.train_images, dataset.train_images)
    assert torch.equal(again.test_labels, dataset.test_labels)
    assert again.mean == dataset.mean


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_that_is_not_there_is_an_input_error_with_advice(name, tmp_path):
    with pytest.raises(InputError) as caught:
        DATASETS[name](DataRequest(tmp_path / "nowhere"))
    assert all(problem.expected for problem in caught.value.problems)
