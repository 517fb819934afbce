"""Masked passes that stand: what they give for architectures that were put into them."""

from __future__ import annotations

import pytest
import torch

from nasengine.supernet import Supernet
from tests.contracts.examples import parse
from tests.supernet.test_compiled_masks import CNN, VIT, together


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NASENGINE_CACHE", str(tmp_path))


def gradients(supernet, scores):
    found = torch.autograd.grad(scores.square().sum(), supernet.parameters(1), allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("text", [VIT, CNN], ids=["vit", "cnn"])
def test_a_standing_pass_gives_what_a_batch_of_the_architectures_put_last_gives(text):
    supernet = Supernet(parse(text), models=2)
    groups = together(supernet, 4)
    images = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (plan,) = supernet.plans(next(groups))
    standing = supernet.standing(plan)
    places = [mask.data_ptr() for mask in standing._masks]
    different = set()
    for architectures in (plan.architectures, next(groups), next(groups)):
        standing.put(architectures)
        scores = standing(images, model=1)
        expected = supernet.batch(images, architectures, model=1)
        assert torch.equal(scores, expected)
        for one, other in zip(gradients(supernet, scores), gradients(supernet, expected), strict=True):
            assert torch.equal(one, other)
        different.add(float(scores.detach().sum()))
    assert len(different) == 3
    assert [mask.data_ptr() for mask in standing._masks] == places


def test_a_look_leaves_no_trace():
    supernet = Supernet(parse(CNN))
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    (plan,) = supernet.plans(next(together(supernet, 4)))
    standing = supernet.standing(plan)
    before = {key: value.clone() for key, value in supernet.state().items()}
    scores = standing(images)
    standing.look(images)
    assert supernet.training
    assert torch.equal(standing(images), scores)
    assert all(torch.equal(value, before[key]) for key, value in supernet.state().items())
