"""Counts of ViT-ResNAS (Liao, Karaman, Sze 2021, arXiv 2109.00642), exact, in whole and in parts.

MACs are counted by hooks written here, independently of nasengine.costs: linear layers, convolutions, and both
products of attention, seen through the layer that makes queries, keys and values; batch 1, everything else is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nasengine.costs import Pricer, costs
from nasengine.costs.counting import count, count_modules
from nasengine.networks.blocks.spatial_reduction import SpatialReduction
from nasengine.networks.blocks.transformer import Attention, TransformerBlock
from nasengine.networks.vit_resnas import PatchEmbedding, VitResNas
from nasengine.space import load_space

Stage = tuple[int, Sequence[int], Sequence[int]]  # width, heads and hidden width of each block
NARROW, EQUAL = (32, 48, 64), (64, 64, 64)  # widths of the heads in each stage

NETWORKS: dict[str, tuple[tuple[int, int, int], list[Stage]]] = {
    "ViT-Res-Tiny": (EQUAL, [(192, [3] * 4, [768] * 4), (384, [6] * 4, [1536] * 4), (768, [12] * 4, [3072] * 4)]),
    "ViT-ResNAS-Tiny": (NARROW, [
        (176, [3, 3, 3, 4, 4], [704, 576, 640, 576, 704]),
        (352, [10, 8, 8, 8, 10, 10], [1408, 1408, 1280, 1408, 1280, 1024]),
        (704, [10, 10, 10, 8, 8], [2560, 1792, 2816, 2816, 2560]),
    ]),
    "ViT-ResNAS-Small": (NARROW, [
        (220, [5, 5, 7, 5, 5, 5], [880, 880, 800, 720, 720, 720]),
        (440, [10, 10, 10, 10, 12, 12], [1760, 1440, 1920, 1600, 1600, 1440]),
        (880, [16, 12, 16, 12, 14], [3200, 3200, 2880, 2240, 2560]),
    ]),
    "ViT-ResNAS-Medium": (NARROW, [
        (240, [7, 6, 7, 8, 7, 8, 6], [960, 960, 800, 960, 880, 880, 800]),
        (640, [10, 14, 14, 16, 14, 16, 16], [1120, 1760, 1920, 1760, 1440, 1760, 1920]),
        (880, [16, 10, 16, 12, 16, 14], [3200, 3840, 3840, 3200, 3520, 3520]),
    ]),
    "Tiny, largest": (NARROW, [(256, [6] * 6, [768] * 6), (512, [12] * 6, [1536] * 6), (1024, [12] * 6, [3072] * 6)]),
    "Small, largest": (NARROW, [(320, [8] * 7, [960] * 7), (640, [16] * 7, [1920] * 7), (1280, [16] * 7, [3840] * 7)]),
    "Tiny, smallest": (NARROW, [(160, [3] * 3, [384] * 3), (320, [6] * 3, [768] * 3), (640, [6] * 3, [1536] * 3)]),
    "Small, smallest": (NARROW, [(200, [5] * 4, [480] * 4), (400, [10] * 4, [960] * 4), (800, [10] * 4, [1920] * 4)]),
}  # fmt: skip

# MACs, parameters with the patch head, parameters as deployed.
PUBLISHED = {
    "ViT-Res-Tiny": (1_794_378_240, 42_781_736, 42_012_736),
    "ViT-ResNAS-Tiny": (1_782_630_272, 41_498_552, 40_793_552),
    "ViT-ResNAS-Small": (2_845_501_856, 64_605_108, 63_724_108),
    "ViT-ResNAS-Medium": (4_513_135_936, 97_323_672, 96_442_672),
    "Tiny, largest": (3_497_553_920, 85_839_464, 84_814_464),
    "Small, largest": (6_260_342_784, 156_599_528, 155_318_528),
    "Tiny, smallest": (752_489_984, 16_133_576, 15_492_576),
    "Small, smallest": (1_470_482_304, 33_910_160, 33_109_160),
}

# Part -> (MACs, parameters); what is None is not printed.
BREAKDOWN = {
    "ViT-ResNAS-Tiny": {
        "stem": (191_170_560, 218_312), "tokens": (0, 45_408), "stage 1": (459_770_944, 1_519_488),
        "reduction 1": (35_746_304, 643_104), "stage 2": (616_416_320, 9_174_624),
        "reduction 2": (35_932_160, 2_491_456), "stage 3": (442_889_984, 25_994_752), "norm": (0, 1_408),
        "head": (704_000, 705_000),
    },
    "ViT-ResNAS-Small": {
        "stem": (204_417_024, 270_100), "stage 1": (900_593_792, 2_993_632), "reduction 1": (55_853_600, 997_480),
        "stage 2": (935_667_200, 14_030_336), "reduction 2": (56_144_000, 3_888_720),
        "stage 3": (691_946_240, 40_604_320), "head": (880_000, None),
    },
    "ViT-ResNAS-Medium": {
        "stem": (210_438_144, 293_640), "stage 1": (1_363_753_024, 4_521_504), "reduction 1": (88_627_200, 1_578_720),
        "stage 2": (1_811_056_000, 27_291_360), "reduction 2": (81_664_000, 5_649_120),
        "stage 3": (956_717_568, 56_163_648), "head": (880_000, None),
    },
}  # fmt: skip


def network(name: str, size: int = 224, **settings: Any) -> VitResNas:
    head_widths, stages = NETWORKS[name]
    with torch.device("meta"):
        built = [
            {
                "width": width,
                "blocks": [
                    TransformerBlock(width, heads=h, head_dim=head_width, mlp_width=f)
                    for h, f in zip(heads, mlps, strict=True)
                ],
            }
            for head_width, (width, heads, mlps) in zip(head_widths, stages, strict=True)
        ]
        return VitResNas(3, 1000, input_size=size, stages=built, **settings)


def image(size: int = 224) -> torch.Tensor:
    return torch.empty(1, 3, size, size, device="meta")


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def hooked_macs(module: nn.Module, size: int = 224) -> int:
    total = 0

    def see(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1] * output.numel()
        elif isinstance(layer, nn.Linear):
            total += layer.in_features * output.numel()
        elif isinstance(layer, Attention):
            total += 2 * inputs[0].shape[1] ** 2 * layer.heads * layer.head_dim

    handles = [layer.register_forward_hook(see) for layer in module.modules()]
    with torch.no_grad():
        module.eval()(image(size))
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_network_has_its_macs_and_parameters(name):
    macs, _, deployed = PUBLISHED[name]
    plain = network(name)
    assert hooked_macs(plain) == macs
    assert parameters(plain) == deployed
    counted = count(plain, image())
    assert (counted.macs, counted.params) == (macs, deployed)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_patch_head_has_parameters_and_takes_no_macs(name):
    macs, with_patch_head, _ = PUBLISHED[name]
    counted = count(network(name, patch_head=True), image())
    assert (counted.macs, counted.params) == (macs, with_patch_head)


def part_of(name: str) -> str:
    """The part of a network in which a module is: "stages.1.0.mlp" -> "stage 2"."""
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    if first in ("stages", "reductions"):
        return f"stage {int(number) + 1}" if first == "stages" else f"reduction {number}"
    return {"": "tokens", "patches": "stem", "norm": "norm", "classifier": "head"}[first]


@pytest.mark.parametrize("name", BREAKDOWN)
def test_each_part_costs_what_it_must(name):
    found: dict[str, tuple[int, int]] = {}
    for module, cost in count_modules(network(name), image()).items():
        macs, params = found.get(part_of(module), (0, 0))
        found[part_of(module)] = macs + cost.macs, params + cost.params
    for part, (macs, params) in BREAKDOWN[name].items():
        assert found[part] == (macs, found[part][1] if params is None else params), part


@pytest.mark.parametrize(("size", "macs", "params"), [
    (280, 7_219_069_888, 96_508_192), (336, 10_739_099_456, 96_588_272), (392, 15_200_890_816, 96_682_912),
])  # fmt: skip
def test_larger_images_cost_more_macs_and_position_embeddings_alone(size, macs, params):
    larger = network("ViT-ResNAS-Medium", size)
    assert hooked_macs(larger, size) == count(larger, image(size)).macs == macs
    assert parameters(larger) == params


@pytest.mark.parametrize("name", ["ViT-Res-Tiny", "ViT-ResNAS-Small"])
def test_the_closed_forms_give_every_part(name):
    head_widths, stages = NETWORKS[name]
    plain = network(name)
    amounts = count_modules(plain, image())

    def macs(prefix: str) -> int:
        return sum(cost.macs for part, cost in amounts.items() if f"{part}.".startswith(f"{prefix}."))

    for number, (width, heads, mlps) in enumerate(stages):
        tokens = 1 + (16 // 2**number) ** 2
        for place, (h, hidden) in enumerate(zip(heads, mlps, strict=True)):
            inner = h * head_widths[number]
            block = plain.stages[number][place]
            assert isinstance(block, TransformerBlock)
            assert macs(f"stages.{number}.{place}") == (
                4 * tokens * width * inner + 2 * tokens**2 * inner + 2 * tokens * width * hidden
            )
            assert parameters(block) == 4 * width * inner + 3 * inner + 2 * width * hidden + hidden + 6 * width
        if number:
            before, grid = stages[number - 1][0], 16 // 2**number
            assert isinstance(plain.reductions[number], SpatialReduction)
            assert macs(f"reductions.{number}") == 9 * grid**2 * before * width + before * width
            assert parameters(plain.reductions[number]) == 10 * before * width + 2 * before + (2 + grid**2) * width
    first, last = stages[0][0], stages[-1][0]
    assert isinstance(plain.patches, PatchEmbedding)
    assert (macs("patches"), parameters(plain.patches)) == (138_184_704 + 301_056 * first, 11_160 + 1_177 * first)
    assert plain.class_token.numel() + plain.position.numel() == 258 * first
    assert (macs("classifier"), parameters(plain.classifier)) == (1000 * last, 1000 * last + 1000)
    assert parameters(plain.norm) == 2 * last


@pytest.mark.parametrize(("space", "known", "name"), [
    ("vit_resnas_tiny", "default", "ViT-Res-Tiny"), ("vit_resnas_tiny", "vit_resnas_tiny", "ViT-ResNAS-Tiny"),
    ("vit_resnas_small", "default", "ViT-ResNAS-Small"), ("vit_resnas_medium", "default", "ViT-ResNAS-Medium"),
])  # fmt: skip
def test_the_published_networks_are_in_the_spaces_and_in_their_windows(space, known, name):
    searched = load_space(space)
    counted = costs(searched, searched.known[known].architecture)
    macs, _, deployed = PUBLISHED[name]
    assert (counted.macs, counted.params) == (macs, deployed)
    (window,) = searched.constraints
    assert window.low <= macs <= window.high
    assert window.low == pytest.approx(0.975 * window.high, rel=1e-9)


def test_the_shipped_spaces_have_as_many_networks_as_published():
    tiny, small, medium = (load_space(f"vit_resnas_{name}") for name in ("tiny", "small", "medium"))
    assert tiny.size() == 125 * 28**9 * 29**9
    assert small.size() == medium.size() == 125 * 28**12 * 29**9
    assert (f"{tiny.size():.2e}", f"{small.size():.2e}") == ("1.92e+28", "4.21e+32")


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "smallest", "largest", "mean", "deviation", "shares"), [
    ("tiny", "Tiny, smallest", "Tiny, largest", 1.70e9, 0.23e9, {(1_749_540_000, 1_794_400_000): 0.066}),
    ("small", "Small, smallest", "Small, largest", 3.18e9, 0.41e9,
     {(2_827_500_000, 2_900_000_000): 0.059, (4_485_000_000, 4_600_000_000): 0.0009}),
])  # fmt: skip
def test_macs_of_the_spaces_are_spread_as_published(name, smallest, largest, mean, deviation, shares):
    """Every choice drawn uniformly, as the paper draws; all MACs by tables, which the extremes prove."""
    space = load_space(f"vit_resnas_{name}")
    pricer = Pricer(space)
    low, high = pricer.bounds("macs")
    assert (low.amount, high.amount) == (PUBLISHED[smallest][0], PUBLISHED[largest][0])
    rows = space.sample_encoded(np.random.default_rng(0), 200_000, by="choice")
    macs = pricer.price_encoded(rows, ["macs"])["macs"]
    assert macs.mean() == pytest.approx(mean, abs=0.005e9)
    assert macs.std() == pytest.approx(deviation, abs=0.005e9)
    for (lowest, highest), share in shares.items():
        found = ((macs >= lowest) & (macs <= highest)).mean()
        assert found == pytest.approx(share, rel=0.12 if share < 0.01 else 0.08)
