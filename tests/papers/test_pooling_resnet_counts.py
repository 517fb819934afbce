"""Counts of the pooling study (Javan Roshtkhari, Toews, Pedersoli 2023, arXiv 2306.11982), exact.

MACs are counted by hooks written here, independently of nasengine.costs: convolutions and linear layers,
multiply-accumulate = 1, batch 1; biases, normalisations, activations and pooling are 0.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from nasengine.networks.residual_network import ResidualNetwork

# [b1, b2, b3] -> MMACs of the 36 placements in ResNet-20: units at 32x32, 16x16 and 8x8, the stem among b1.
MILLION_MACS = {
    (1, 1, 8): 18.60, (1, 2, 7): 19.48, (1, 3, 6): 20.37, (1, 4, 5): 23.12, (1, 5, 4): 26.66, (1, 6, 3): 30.20,
    (1, 7, 2): 41.21, (1, 8, 1): 55.36, (2, 1, 7): 23.02, (2, 2, 6): 23.90, (2, 3, 5): 26.66, (2, 4, 4): 30.20,
    (2, 5, 3): 33.74, (2, 6, 2): 44.75, (2, 7, 1): 58.90, (3, 1, 6): 27.44, (3, 2, 5): 30.20, (3, 3, 4): 33.74,
    (3, 4, 3): 37.27, (3, 5, 2): 48.28, (3, 6, 1): 62.44, (4, 1, 5): 33.74, (4, 2, 4): 37.27, (4, 3, 3): 40.81,
    (4, 4, 2): 51.82, (4, 5, 1): 65.98, (5, 1, 4): 48.28, (5, 2, 3): 51.82, (5, 3, 2): 62.83, (5, 4, 1): 76.99,
    (6, 1, 3): 65.98, (6, 2, 2): 76.99, (6, 3, 1): 91.14, (7, 1, 2): 91.14, (7, 2, 1): 105.30, (8, 1, 1): 149.34,
}  # fmt: skip

EXACT_MACS = {
    (1, 1, 8): 18_596_480,
    (4, 3, 3): 40_813_184,
    (5, 3, 2): 62_833_280,
    (7, 1, 2): 91_144_832,
    (8, 1, 1): 149_340_800,
}

SEARCH_NORM = {"affine": False, "statistics": "batch"}


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def hooked_macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one image of `shape`, by forward hooks on convolutions and linear layers."""
    total = 0

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            taps = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            total += taps * output.numel()
        elif isinstance(module, nn.Linear):
            total += module.in_features * output.numel()

    handles = [module.register_forward_hook(count) for module in network.modules()]
    with torch.no_grad():
        network.eval()(torch.empty(1, *shape, device="meta"))
    for handle in handles:
        handle.remove()
    return total


def resnet20(pools: tuple[int, ...], **settings: Any) -> nn.Module:
    with torch.device("meta"):
        return ResidualNetwork(
            3,
            10,
            widths=[16, 16, 16, 32, 32, 32, 64, 64, 64],
            stem_width=16,
            downsample="max_pool",
            downsample_at=list(pools),
            **settings,
        )


def resnet50(strides: list[int], classes: int = 101) -> nn.Module:
    with torch.device("meta"):
        return ResidualNetwork(
            3,
            classes,
            widths=[64] * 3 + [128] * 4 + [256] * 6 + [512] * 3,
            block="bottleneck",
            stem="conv_7x7_pool",
            downsample_at=strides,
            norm=SEARCH_NORM,
        )


def test_the_table_holds_all_36_placements():
    assert set(MILLION_MACS) == {(p, q - p, 10 - q) for p, q in itertools.combinations(range(1, 10), 2)}


@pytest.mark.parametrize("placement", MILLION_MACS, ids=str)
def test_each_placement_of_resnet20_has_its_macs_and_the_same_parameters(placement):
    first, second, _ = placement
    network = resnet20((first, first + second), norm=SEARCH_NORM)
    macs = hooked_macs(network, (3, 32, 32))
    assert f"{macs / 1e6:.2f}" == f"{MILLION_MACS[placement]:.2f}"
    assert macs == EXACT_MACS.get(placement, macs)
    assert count_parameters(network) == 270_906


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"norm": SEARCH_NORM}, 270_906), ({"inner_norm": SEARCH_NORM}, 271_802), ({}, 272_474)],
    ids=["search", "retraining", "all affine"],
)
def test_resnet20_has_the_published_parameters_under_each_normalisation(settings, expected):
    assert {count_parameters(resnet20(pools, **settings)) for pools in itertools.combinations(range(1, 10), 2)} == {
        expected
    }


def test_resnet50_for_food101_has_the_published_parameters_and_macs():
    network = resnet50([4, 8, 14])
    assert count_parameters(network) == 23_661_861
    assert hooked_macs(network, (3, 224, 224)) == 4_087_343_104


@pytest.mark.parametrize(
    ("placement", "giga_macs"),
    [((8, 3, 3, 2), "14.92"), ((6, 4, 5), "10.75"), ((4, 5, 6), "8.79"), ((9, 4, 2), "20.16")],
    ids=["[8,3,3,2]", "[6,4,5,1] as run", "[4,5,6,1] as run", "[9,4,2,1] as run"],
)
def test_resnet50_costs_what_the_published_winners_cost(placement, giga_macs):
    """The released code loses a third stride that falls on block 16; without it the figures agree."""
    strides = [1 + sum(placement[: k + 1]) for k in range(len(placement))]
    network = resnet50([stride for stride in strides if stride < 16])
    assert f"{hooked_macs(network, (3, 224, 224)) / 1e9:.2f}" == giga_macs


def test_a_third_stride_on_the_last_block_of_resnet50_is_kept():
    """[9,4,2,1] ends at 7x7, where the released code ends at 14x14."""
    network = resnet50([10, 14, 16])
    sizes = []
    network.blocks[-1].register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[-1]))
    network.eval()(torch.empty(1, 3, 224, 224, device="meta"))
    assert sizes == [7]
