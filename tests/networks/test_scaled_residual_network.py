"""A residual network whose blocks run at scales of their own is the pooled one where scales only rise."""

from __future__ import annotations

import pytest
import torch

import nasengine as nas
from nasengine.networks.blocks.at_scale import AtScale
from nasengine.networks.residual_network import ResidualNetwork
from nasengine.networks.scaled_residual_network import ScaledResidualNetwork

WIDTHS = [4, 4, 6, 6]


@pytest.mark.parametrize(
    ("scales", "pools"), [([1, 1, 2, 4], [3, 4]), ([2, 2, 2, 4], [1, 4]), ([1, 2, 2, 2], [2]), ([1, 1, 1, 1], [])]
)
def test_rising_scales_compute_what_pools_before_the_blocks_do(scales, pools):
    torch.manual_seed(0)
    scaled = ScaledResidualNetwork(3, 5, widths=WIDTHS, scales=scales, stem_width=4).double()
    pooled = ResidualNetwork(3, 5, widths=WIDTHS, stem_width=4, downsample="max_pool", downsample_at=pools).double()
    state = {name.replace(".body.", "."): value for name, value in scaled.state_dict().items()}
    pooled.load_state_dict(state)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(scaled(images), pooled(images), rtol=0, atol=1e-12)  # in training: batch statistics too


def test_a_block_at_a_scale_sees_the_pooled_map_and_gives_each_pixel_back_to_a_square():
    at_scale = AtScale(torch.nn.Conv2d(1, 2, 3, padding=1), scale=2)
    images = torch.randn(1, 1, 4, 4)
    given = at_scale(images)
    small = at_scale.body(torch.nn.functional.max_pool2d(images, 2))
    assert given.shape == (1, 2, 4, 4)
    for row in range(4):
        for column in range(4):
            assert torch.equal(given[:, :, row, column], small[:, :, row // 2, column // 2])


@pytest.mark.parametrize("scales", [[1, 2], [1, 2, 4, 0]])
def test_other_than_one_scale_for_each_block_is_refused(scales):
    with pytest.raises(ValueError, match="one for each of the 4 blocks"):
        ScaledResidualNetwork(3, 5, widths=WIDTHS, scales=scales)


def test_the_space_has_the_published_size_and_the_costs_of_the_pooled_networks():
    """Javan Roshtkhari et al. 2023, arXiv 2306.11982: 19,683 networks (two rows of table 1 print 19,638)."""
    space, pooled = nas.load_space("pooling_resnet20_scales"), nas.load_space("pooling_resnet20")
    assert space.size() == 3**9 == 19_683
    for name in ("default", "best_of_36"):
        theirs = nas.costs(pooled, pooled.known[name].architecture)
        mine = nas.costs(space, space.known[name].architecture)
        assert (mine.macs, mine.params) == (theirs.macs, theirs.params)
