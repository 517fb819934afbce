"""What every augmentation promises: the same shape, pixels of the image or black, draws from its generator alone."""

from __future__ import annotations

import pytest
import torch

from nasengine.errors import InputError
from nasengine.training import AUGMENTATIONS, make_augmentation

SHAPES = [(64, 3, 32, 32), (64, 1, 28, 28), (64, 3, 10, 16), (1, 1, 9, 9)]


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(shape):
    return torch.randint(0, 256, shape, generator=draw(7), dtype=torch.uint8)


@pytest.fixture(params=AUGMENTATIONS)
def augmentation(request):
    return make_augmentation(request.param)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_and_type_stay_and_the_argument_is_not_changed(augmentation, shape):
    images = images_of(shape)
    before = images.clone()
    changed = augmentation(images, draw())
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(images, before)


def test_no_pixel_is_invented(augmentation):
    images = images_of((64, 1, 12, 12))
    for image, changed in zip(images, augmentation(images, draw()), strict=True):
        assert set(changed.flatten().tolist()) <= {0, *image.flatten().tolist()}


def test_images_keep_their_places(augmentation):
    images = torch.arange(1, 65, dtype=torch.uint8).reshape(64, 1, 1, 1).expand(64, 1, 16, 16).clone()
    changed = augmentation(images, draw())
    assert changed.flatten(1).amax(1).tolist() == list(range(1, 65))


def test_the_generator_decides_and_nothing_else_is_drawn_from(augmentation):
    images = images_of((64, 3, 16, 16))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (augmentation(images, draw(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    if not torch.equal(first, images):
        assert not torch.equal(first, other)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_unknown_argument_is_reported(name):
    with pytest.raises(InputError, match="unknown argument 'colour'"):
        make_augmentation({"type": name, "colour": 1})


@pytest.mark.gpu
def test_augmentation_works_on_a_gpu(augmentation):
    images = images_of((64, 3, 16, 16)).cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    assert augmentation(images, generator).shape == images.shape
