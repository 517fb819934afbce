"""Shared weights of which the norms belong to one architecture each."""

from __future__ import annotations

import pytest
import torch

from nasengine.errors import InputError
from nasengine.preparation import SharedWeights
from nasengine.supernet.artifact import SupernetArtifact
from nasengine.supernet.errors import SupernetError
from nasengine.supernet.own_norms import SupernetWithOwnNorms
from tests.preparation.small import inputs, pooling_space
from tests.search.small import small_space


def test_a_step_changes_the_norms_of_its_own_architecture_and_the_weights_of_all():
    space = pooling_space()
    supernet = SupernetWithOwnNorms(space)
    one, other, _ = space.enumerate()
    before = {key: value.clone() for key, value in supernet.state().items()}
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    supernet(torch.randn(4, 1, 8, 8), one).square().sum().backward()
    optimizer.step()
    changed = {key for key, value in supernet.state().items() if not torch.equal(value, before[key])}
    assert any(key.endswith(f"norm.weight@{one.key}") for key in changed)
    assert any(key.endswith(f"norm.running_mean@{one.key}") for key in changed)
    assert not any(key.endswith(other.key) for key in changed)
    assert any("conv" in key for key in changed)
    assert not any("norm" in key for key in changed if "@" not in key)


def test_a_copy_and_a_reading_have_the_norms_of_the_architecture(tmp_path):
    settings = SharedWeights({"type": "balanced_mixture", "models": 2}, norms="own")
    settings.prepare(inputs(tmp_path, network={}))
    read = SupernetArtifact.read(tmp_path).supernet(pooling_space()).eval()
    assert isinstance(read, SupernetWithOwnNorms)
    images = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        for architecture in pooling_space().enumerate():
            for model in (0, 1):
                alone = read.subnet(architecture, model=model)
                assert torch.equal(alone(images), read(images, architecture, model=model))
    one, other, _ = pooling_space().enumerate()
    means = [read.subnet(each).state_dict()["stem.norm.running_var"] for each in (one, other)]
    assert not torch.equal(*means)


def test_norms_of_searched_width_and_large_spaces_are_refused():
    with pytest.raises(SupernetError, match="as wide as is searched"):
        SupernetWithOwnNorms(small_space())
    with pytest.raises(InputError, match="norms is"):
        SharedWeights(norms="mine")
