"""What single layers and blocks compute, against the papers and against PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasengine.networks.blocks.activation import ACTIVATIONS, Activation, make_activation
from nasengine.networks.blocks.convolution import Conv, ConvNormActivation, DepthwiseSeparable, ReluConvNorm
from nasengine.networks.blocks.heads import Linear, LinearHead
from nasengine.networks.blocks.mbconv import MBConv, SqueezeExcite
from nasengine.networks.blocks.normalization import BatchNorm, GroupNorm, LayerNorm, make_norm
from nasengine.networks.blocks.pooling import AveragePool, GlobalAveragePool, MaxPool
from nasengine.networks.blocks.residual_block import BasicBlock, Bottleneck
from nasengine.networks.blocks.simple import Subsample, Zero


def images(channels: int, side: int = 8, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("side", [8, 9])
def test_an_odd_kernel_gives_the_size_divided_by_the_stride_rounded_up(kernel, stride, dilation, side):
    conv = Conv(3, 5, kernel=kernel, stride=stride, dilation=dilation)
    assert conv(images(3, side)).shape == (2, 5, -(-side // stride), -(-side // stride))


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel must be odd"):
        Conv(3, 5, kernel=4)


@pytest.mark.parametrize("argument", ["width", "stride", "dilation", "groups"])
@pytest.mark.parametrize("value", [0, -3])
def test_a_convolution_of_no_channels_or_steps_is_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, got {value}"):
        Conv(**{"in_channels": 6, "width": 6, argument: value})


def test_a_linear_layer_without_outputs_is_refused():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        Linear(6, 0)


def test_pooling_with_an_odd_kernel_and_stride_1_keeps_the_size():
    for pool in (MaxPool(), AveragePool(), MaxPool(5), AveragePool(5)):
        assert pool(images(3)).shape == (2, 3, 8, 8)
    assert MaxPool(2, 2)(images(3, 9)).shape == (2, 3, 4, 4)
    assert MaxPool(3, 2)(images(3, 9)).shape == (2, 3, 5, 5)


def test_pooling_with_an_even_kernel_and_stride_1_is_refused():
    for pool in (MaxPool, AveragePool):
        with pytest.raises(ValueError, match="cannot keep the size"):
            pool(2, 1)


def test_the_mean_of_a_window_at_the_border_ignores_the_padding():
    ones = torch.ones(1, 1, 4, 4)
    assert torch.equal(AveragePool(3)(ones), ones)


def test_global_average_pool_gives_one_mean_for_each_channel():
    x = images(3)
    assert torch.equal(GlobalAveragePool()(x), x.mean((2, 3)))


def test_batch_statistics_are_those_of_the_batch_in_evaluation_too():
    norm = BatchNorm(4, affine=False, statistics="batch").eval()
    x = 3 + 2 * images(4, batch=16)
    y = norm(x)
    assert y.mean((0, 2, 3)).abs().max() < 1e-5
    assert (y.var((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-3
    assert list(norm.state_dict()) == []


def test_running_statistics_are_kept_by_default():
    assert set(BatchNorm(4).state_dict()) == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_layer_norm_normalises_the_channels_of_each_pixel():
    x = images(6)
    y = LayerNorm(6)(x)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(y, expected, atol=1e-5)


def test_a_norm_is_made_from_a_small_mapping():
    assert isinstance(make_norm(8), BatchNorm)
    assert isinstance(make_norm(8, {"kind": "group", "groups": 2}), GroupNorm)
    assert isinstance(make_norm(8, {"kind": "layer", "affine": False}), LayerNorm)
    assert isinstance(make_norm(8, {"kind": "none"}), nn.Identity)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ({"kind": "bach"}, "unknown kind of normalisation 'bach'; expected one of batch"),
        ({"groups": 2}, "normalisation 'batch': .*groups"),
        ({"kind": "group", "groups": 3}, "channels divisible by groups"),
        ({"statistics": "all"}, "statistics must be"),
    ],
)
def test_a_wrong_norm_is_refused_in_words(norm, message):
    with pytest.raises(ValueError, match=message):
        make_norm(8, norm)


def test_every_activation_keeps_the_shape():
    for kind in ACTIVATIONS:
        assert Activation(kind)(images(3)).shape == (2, 3, 8, 8)


def test_an_unknown_activation_is_refused_in_words():
    with pytest.raises(ValueError, match="unknown activation 'swish'; expected one of relu"):
        make_activation("swish")


def test_zero_is_zero_in_the_shape_of_its_input_subsampled():
    assert torch.equal(Zero()(images(3)), torch.zeros(2, 3, 8, 8))
    assert torch.equal(Zero(2)(images(3, 9)), torch.zeros(2, 3, 5, 5))


def test_relu_conv_norm_applies_the_relu_first():
    block = ReluConvNorm(3, kernel=1).eval()
    x = images(3)
    assert torch.equal(block(x), block(x.clamp(min=0)))
    assert block(x).min() < 0


def test_depthwise_separable_has_the_parameters_of_mobilenet():
    """arXiv 1704.04861, section 3.1: Dk·Dk·M + M·N, and two normalisations."""
    assert parameters(DepthwiseSeparable(32, 64)) == 3 * 3 * 32 + 32 * 64 + 2 * 32 + 2 * 64


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # features.2 of MobileNetV2 (arXiv 1801.04381, table 2): 16 -> 24, expansion 6, 3x3.
        ({"in_channels": 16, "width": 24, "expansion": 6, "stride": 2}, 5_136),
        # features.1: 32 -> 16, no expansion.
        ({"in_channels": 32, "width": 16, "expansion": 1}, 896),
        # features.4 of MobileNetV3-Large (arXiv 1905.02244, table 1): 24 -> 40, 72 expanded, 5x5, squeeze to 24.
        ({"in_channels": 24, "width": 40, "expansion": 3, "kernel": 5, "stride": 2, "squeeze_excite": True}, 10_328),
    ],
    ids=["V2 bottleneck 2", "V2 bottleneck 1", "V3 bottleneck 4"],
)
def test_mbconv_has_the_parameters_of_the_published_networks(arguments, expected):
    assert parameters(MBConv(**arguments)) == expected


def test_mbconv_adds_its_input_where_shapes_allow_and_only_there():
    assert MBConv(8, 8).skip
    assert not MBConv(8, 8, stride=2).skip
    assert not MBConv(8, 12).skip
    assert not MBConv(8, 8, skip=False).skip
    with pytest.raises(ValueError, match="skip needs equal shapes"):
        MBConv(8, 12, skip=True)


def test_mbconv_with_a_skip_is_its_input_plus_its_branch():
    torch.manual_seed(0)
    with_skip, without = MBConv(8, 8).eval(), MBConv(8, 8, skip=False).eval()
    without.load_state_dict(with_skip.state_dict())
    x = images(8)
    assert torch.allclose(with_skip(x), x + without(x))


@pytest.mark.parametrize(("channels", "squeezed"), [(16, 8), (72, 24), (120, 32), (480, 120), (672, 168), (960, 240)])
def test_squeeze_excite_has_the_widths_of_mobilenet_v3(channels, squeezed):
    assert SqueezeExcite(channels).reduce.out_channels == squeezed


def test_squeeze_excite_scales_channels_by_gates_between_0_and_1():
    x = images(16).abs() + 1
    ratio = SqueezeExcite(16)(x) / x
    assert torch.allclose(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert (ratio >= 0).all()
    assert (ratio <= 1).all()


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_pooling_and_striding_need_the_same_parameters(block):
    for width in (4, 8, 16):
        plain, strided, pooled = block(16, width), block(16, width, stride=2), block(16, width, pool=2)
        assert (
            [p.shape for p in plain.parameters()]
            == [p.shape for p in strided.parameters()]
            == [p.shape for p in pooled.parameters()]
        )
        assert strided(images(16)).shape == pooled(images(16)).shape == (2, plain.out_channels, 4, 4)


def test_a_pool_comes_before_branch_and_shortcut():
    block = BasicBlock(8, 8, pool=2).eval()
    unpooled = BasicBlock(8, 8).eval()
    unpooled.load_state_dict(block.state_dict())
    x = images(8)
    assert torch.equal(block(x), unpooled(F.max_pool2d(x, 2)))


def test_a_block_that_strides_without_changing_its_width_has_a_shortcut_without_parameters():
    block = BasicBlock(8, 8, stride=2)
    assert isinstance(block.shortcut, Subsample)
    x = images(8)
    assert torch.equal(block.shortcut(x), x[:, :, ::2, ::2])


def test_a_block_that_changes_its_width_projects():
    assert isinstance(BasicBlock(8, 12).shortcut, ConvNormActivation)
    assert isinstance(Bottleneck(16, 4).shortcut, nn.Identity)


def test_the_stride_of_a_bottleneck_is_in_its_3x3_convolution():
    block = Bottleneck(16, 4, stride=2)
    strides = {name: m.stride for name, m in block.named_modules() if isinstance(m, nn.Conv2d)}
    assert strides == {"first.conv": (1, 1), "middle.conv": (2, 2), "last.conv": (1, 1)}


def test_inner_norms_are_those_before_the_last_of_a_branch():
    plain = {"affine": False, "statistics": "batch"}
    block = Bottleneck(8, 4, inner_norm=plain)
    affine = {name for name, m in block.named_modules() if isinstance(m, BatchNorm) and m.affine}
    assert affine == {"last.norm", "shortcut.norm"}


def test_a_head_without_a_hidden_layer_is_one_linear_layer():
    assert set(LinearHead(6, 5).state_dict()) == {"classifier.weight", "classifier.bias"}
    assert parameters(LinearHead(6, 5, hidden=7)) == 6 * 7 + 7 + 7 * 5 + 5
