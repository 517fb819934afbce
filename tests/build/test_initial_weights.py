"""Initial weights are left out exactly where they would have no memory."""

import torch
from torch import nn

from nasengine.build.initial_weights import WithoutInitialWeights


def test_weights_with_memory_are_drawn_as_without_it():
    torch.manual_seed(0)
    expected = nn.Linear(4, 3).weight
    torch.manual_seed(0)
    with WithoutInitialWeights():
        drawn = nn.Linear(4, 3).weight
        filled = nn.init.constant_(torch.empty(2), 5.0)
    assert torch.equal(drawn, expected)
    assert filled.tolist() == [5.0, 5.0]


def test_weights_without_memory_have_their_shape_and_cost_no_draw():
    state = torch.get_rng_state()
    with torch.device("meta"), WithoutInitialWeights():
        layer = nn.Conv2d(3, 8, 3)
        nn.init.trunc_normal_(layer.weight, std=0.02)
        layer.weight.data.normal_(std=0.02)
    assert layer.weight.shape == (8, 3, 3, 3)
    assert layer.weight.is_meta
    assert layer.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
