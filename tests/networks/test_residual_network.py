"""The residual family: where it lowers the resolution, how it starts, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nasengine.networks.residual_network import ResidualNetwork


def network(**settings: Any) -> ResidualNetwork:
    return ResidualNetwork(3, 5, **({"stem_width": 4, "widths": [4, 4, 8, 8], "downsample_at": [2, 4]} | settings))


def sizes(module: ResidualNetwork, side: int = 16) -> list[int]:
    """Height of what the stem and each block give."""
    found: list[int] = []
    for part in (module.stem_pool, *module.blocks):
        part.register_forward_hook(lambda _module, _inputs, output: found.append(output.shape[-1]))
    module.eval()(torch.zeros(2, 3, side, side))
    return found


@pytest.mark.parametrize("downsample", ["max_pool", "stride"])
def test_the_named_blocks_halve_the_resolution_and_no_others(downsample):
    assert sizes(network(downsample=downsample)) == [16, 16, 8, 8, 4]
    assert sizes(network(downsample=downsample, downsample_at=[])) == [16] * 5
    assert sizes(network(downsample=downsample, downsample_at=[1, 2, 3, 4])) == [16, 8, 4, 2, 1]


def test_the_large_stem_divides_the_resolution_by_four():
    assert sizes(network(stem="conv_7x7_pool", downsample_at=[]), side=32) == [8] * 5


def test_the_order_of_the_block_numbers_does_not_matter():
    assert sizes(network(downsample_at=[4, 2])) == sizes(network(downsample_at=[2, 4]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"downsample_at": [0]}, "different blocks from 1 to 4"),
        ({"downsample_at": [5]}, "different blocks from 1 to 4"),
        ({"downsample_at": [2, 2]}, "different blocks from 1 to 4"),
        ({"block": "big"}, "block must be 'basic' or 'bottleneck'"),
        ({"stem": "conv"}, "stem must be"),
        ({"downsample": "pool"}, "downsample must be"),
        ({"initial_weights": "zero"}, "initial_weights must be"),
        ({"zero_last_norm": True, "norm": {"affine": False}}, "zero_last_norm needs"),
    ],
)
def test_wrong_arguments_are_refused_in_words(settings, message):
    with pytest.raises(ValueError, match=message):
        network(**settings)


def test_with_zero_last_norms_each_block_starts_as_its_shortcut():
    started = network(zero_last_norm=True).eval()
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(started.blocks[0](x), x)


def test_kaiming_fan_out_sets_the_spread_of_the_convolutions():
    torch.manual_seed(0)
    for conv in network(widths=[64, 64], stem_width=64, downsample_at=[], initial_weights="kaiming_fan_out").modules():
        if isinstance(conv, nn.Conv2d):
            expected = (2 / (conv.out_channels * conv.kernel_size[0] ** 2)) ** 0.5
            assert conv.weight.std().item() == pytest.approx(expected, rel=0.1)


def test_batch_statistics_make_evaluation_equal_training():
    searched = network(norm={"affine": False, "statistics": "batch"})
    x = torch.randn(4, 3, 16, 16)
    assert torch.equal(searched.train()(x), searched.eval()(x))
