"""The parts of multi-stage vision transformers: reduction, attention, drop path, slots, heads, what is refused."""

import pytest
import torch
from torch import nn

from nasengine.networks.blocks.drop_path import DropPath
from nasengine.networks.blocks.spatial_reduction import SpatialReduction
from nasengine.networks.blocks.transformer import Attention, TransformerBlock
from nasengine.networks.vit_resnas import VitResNas

HERE, EMPTY = True, False


def block(width: int = 6) -> TransformerBlock:
    return TransformerBlock(width, heads=2, head_dim=4, mlp_width=8)


def small(slots=(HERE, HERE), **settings) -> VitResNas:
    stages = [
        {"width": 6, "blocks": [block() if slot is HERE else None for slot in slots]},
        {"width": 8, "blocks": [block(8)]},
    ]
    return VitResNas(3, 5, input_size=8, stages=stages, patch=2, stem_width=4, stem_stride=1, **settings)


def test_without_weights_a_reduction_averages_patches_and_widens_by_zeros():
    reduction = SpatialReduction(3, 5, grid=4)
    for parameter in (*reduction.patches.parameters(), *reduction.class_token.parameters(), reduction.position):
        nn.init.zeros_(parameter)
    x = torch.randn(2, 17, 3, generator=torch.Generator().manual_seed(0))
    y = reduction(x)
    grid = x[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    averaged = nn.functional.avg_pool2d(grid, 2).flatten(2).transpose(1, 2)
    assert y.shape == (2, 5, 5)
    assert torch.equal(y[:, 0, :3], x[:, 0])
    assert torch.allclose(y[:, 1:, :3], averaged)
    assert not y[..., 3:].any()


def test_a_reduction_sees_normalised_tokens_beside_its_skip():
    """Doubling all tokens doubles the skip alone."""
    reduction = SpatialReduction(4, 4, grid=2)
    x = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    skip = torch.cat((x[:, :1], x[:, 1:].mean(1, keepdim=True)), 1)
    assert torch.allclose(reduction(2 * x) - 2 * skip, reduction(x) - skip, atol=1e-4)


def test_attention_is_that_of_pytorch_with_weights_in_its_order():
    attention = Attention(8, heads=2, head_dim=4)
    reference = nn.MultiheadAttention(8, 2, batch_first=True)
    reference.in_proj_weight = attention.qkv.weight
    reference.in_proj_bias = attention.qkv.bias
    reference.out_proj = attention.project
    x = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(attention(x), reference(x, x, x, need_weights=False)[0], atol=1e-6)


def test_drop_path_keeps_or_drops_whole_images_and_keeps_their_mean():
    drop = DropPath(0.25)
    torch.manual_seed(0)
    dropped = drop(torch.ones(4000, 3, 2))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(2, 3)), torch.ones(2, 3))


def test_rates_of_drop_path_rise_over_slots_with_and_without_blocks():
    def rates(network):
        return {name: module.rate for name, module in network.named_modules() if isinstance(module, DropPath)}

    full, part = rates(small(drop_path=0.3)), rates(small((HERE, EMPTY), drop_path=0.3))
    assert full == {
        "stages.0.0.drop_path": 0.0, "stages.0.1.drop_path": pytest.approx(0.15), "stages.1.0.drop_path": 0.3,
    }  # fmt: skip
    assert part == {name: rate for name, rate in full.items() if name != "stages.0.1.drop_path"}


def test_a_slot_without_a_block_hands_on_and_keeps_the_names_of_the_others():
    full, part = small((HERE, HERE, HERE)), small((HERE, EMPTY, HERE))
    names = {name for name in full.state_dict() if not name.startswith("stages.0.1.")}
    assert set(part.state_dict()) == names
    full.stages[0][1] = nn.Identity()
    part.load_state_dict(full.state_dict())
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(full.eval()(x), part.eval()(x))


def test_the_patch_head_scores_the_last_patches_in_training_alone():
    network = small(patch_head=True).train()
    x = torch.randn(3, 3, 8, 8)
    scores, of_patches = network(x)
    assert scores.shape == (3, 5)
    assert of_patches.shape == (3, 4, 5)
    assert network.eval()(x).shape == (3, 5)


def test_initial_weights_are_those_of_the_released_code():
    torch.manual_seed(0)
    blocks = [TransformerBlock(64, heads=2, head_dim=32, mlp_width=128) for _ in range(2)]
    stages = [{"width": 64, "blocks": [block]} for block in blocks]
    network = VitResNas(3, 10, input_size=28, stages=stages, patch=14)
    for parameter in (network.class_token, network.position, network.reductions[1].position):
        assert parameter.std().item() == pytest.approx(0.02, rel=0.3)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert not module.bias.any()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"width": 6}, r"stages.0 must be a mapping with width, blocks, got \{'width': 6\}"),
        ({"width": "six", "blocks": []}, "stages.0.width must be a whole number from 1, got 'six'"),
        ({"width": 6, "blocks": [{"heads": 2}]}, "stages.0.blocks must be blocks, or None where there is none"),
    ],
)
def test_a_stage_that_is_none_is_refused_by_its_place(stage, message):
    with pytest.raises(ValueError, match=message):
        VitResNas(3, 5, input_size=28, stages=[stage])


def test_images_that_the_patches_do_not_divide_and_narrowing_stages_are_refused():
    stages = [{"width": width, "blocks": []} for width in (8, 6)]
    with pytest.raises(ValueError, match="whose side is a multiple of 28, got 32"):
        VitResNas(3, 5, input_size=32, stages=stages)
    with pytest.raises(ValueError, match="got 8 before 6"):
        VitResNas(3, 5, input_size=28, stages=stages)
    with pytest.raises(ValueError, match="patch must be a multiple of stem_stride"):
        VitResNas(3, 5, input_size=28, stages=stages, patch=7)
    with pytest.raises(ValueError, match="at least one stage"):
        VitResNas(3, 5, input_size=28, stages=[])
