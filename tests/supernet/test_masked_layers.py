"""Masked layers alone: on full width they are plain layers on slices, whatever stands in channels that are off."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from nasengine.networks.blocks.normalization import LayerNorm
from nasengine.supernet.masked_layers import Kernels, Masking, mask
from nasengine.supernet.masking import Gate, Listed, MaskError, Masks, Pick, Prefix

WIDTHS = (8, 4, 6)  # of three architectures
IMAGES = 6


def masks_of(*columns: tuple[int, ...], channels: int = 8, patterns: torch.Tensor | None = None) -> Masks:
    """Masks of three architectures whose first column counts channels."""
    masks = Masks(torch.arange(channels), torch.zeros(channels, dtype=torch.long))
    numbers = torch.tensor(list(zip(*columns, strict=True)))
    masks.set(numbers, torch.ones(3, 0, dtype=torch.bool) if patterns is None else patterns, IMAGES)
    return masks


def spoiled(x: torch.Tensor, axis: int, value: float = float("nan")) -> torch.Tensor:
    """A copy with something terrible in the channels that are off."""
    x = x.clone().movedim(axis, -1)
    for number, width in enumerate(WIDTHS):
        x[number::3, ..., width:] = value
    return x.movedim(-1, axis)


def sliced(layer: nn.Module, width: int) -> nn.Module:
    """The plain layer of an architecture, with the first `width` inputs."""
    plain = copy.deepcopy(layer)
    for name, parameter in list(plain.named_parameters(recurse=False)):
        axis = 1 if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) else 0
        if parameter.dim() > axis and not (name == "bias" and axis == 1):
            setattr(plain, name, nn.Parameter(parameter.detach().narrow(axis, 0, width)))
    if isinstance(plain, nn.LayerNorm):
        plain.normalized_shape = (width,)
    if isinstance(plain, nn.GroupNorm):
        plain.num_channels, plain.num_groups = width, width // 2
    return plain.double()


LAYERS = [
    (nn.Linear(8, 5), (7, 8), -1),
    (nn.Conv1d(8, 5, 3, padding=1), (8, 9), 1),
    (nn.Conv2d(8, 5, 3, stride=2), (8, 7, 7), 1),
    (nn.LayerNorm(8), (7, 8), -1),
    (LayerNorm(8), (8, 3, 3), 1),
    (nn.GroupNorm(4, 8), (8, 3, 3), 1),
    (nn.GroupNorm(4, 8), (8,), 1),
]


@pytest.mark.parametrize(("layer", "shape", "axis"), LAYERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("by_list", [False, True], ids=["prefix", "listed"])
def test_a_masked_layer_is_the_plain_one_on_a_slice(layer, shape, axis, by_list):
    torch.manual_seed(0)
    layer = copy.deepcopy(layer).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    patterns = torch.stack([torch.arange(8) < width for width in WIDTHS])
    masks = masks_of(WIDTHS, (2, 2, 2), patterns=patterns)
    masked = copy.deepcopy(layer)
    which = Listed(0) if by_list else Prefix(0, 0)
    mask(masked, Masking("it", masks, which, group_column=1, groups=4))
    assert type(masked) is not type(layer)
    x = torch.randn(IMAGES, *shape, dtype=torch.double)
    given = spoiled(x, axis).requires_grad_()
    y = masked(given)
    follows = isinstance(layer, (nn.LayerNorm, nn.GroupNorm))
    total = torch.zeros((), dtype=torch.double)
    for number, width in enumerate(WIDTHS):
        own = x[number::3].narrow(axis % x.dim(), 0, width)
        expected = sliced(layer, width)(own)
        got = y[number::3].narrow(axis % y.dim(), 0, width) if follows else y[number::3]
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
        total = total + got.square().sum()
    total.backward()
    assert torch.isfinite(given.grad).all(), "what is off must not spoil gradients"
    assert all(torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0 for p in masked.parameters())


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_masked_batch_norm_takes_the_statistics_of_one_architecture(memory):
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(8).double()
    nn.init.normal_(plain.weight)
    masked = copy.deepcopy(plain)
    mask(masked, Masking("it", masks_of(WIDTHS)))
    x = torch.randn(IMAGES, 8, 3, 5, dtype=torch.double).contiguous(memory_format=memory)
    y = masked(x)
    for number in range(3):
        torch.testing.assert_close(y[number::3], plain(x[number::3]), rtol=1e-12, atol=1e-12)
    assert masked.num_batches_tracked == 0, "running averages are left alone"
    assert y.is_contiguous(memory_format=memory)


def test_each_image_takes_the_kernel_of_its_architecture():
    torch.manual_seed(0)
    for groups in (1, 8):
        plain = nn.Conv2d(8, 8, 5, padding=2, groups=groups).double()
        masked = copy.deepcopy(plain)
        sizes = (((5, 5), (2, 2)), ((3, 3), (1, 1)), ((1, 1), (0, 0)))
        mask(masked, Masking("it", masks_of(WIDTHS, (0, 1, 2)), kernels=Kernels(sizes, 1)))
        x = torch.randn(IMAGES, 8, 6, 6, dtype=torch.double)
        y = masked(x)
        for number, ((size, _), padding) in enumerate(sizes):
            start = (5 - size) // 2
            weight = plain.weight[:, :, start : start + size, start : start + size]
            own = nn.functional.conv2d(x[number::3], weight, plain.bias, padding=padding, groups=groups)
            torch.testing.assert_close(y[number::3], own, rtol=1e-12, atol=1e-12)


def test_attention_over_some_heads_is_attention_of_its_own():
    torch.manual_seed(0)
    plain = nn.MultiheadAttention(8, 4, batch_first=True).double()
    masked = copy.deepcopy(plain)
    mask(masked, Masking("it", masks_of(WIDTHS), Prefix(0, 0)))
    x = torch.randn(IMAGES, 5, 8, dtype=torch.double)
    given = spoiled(x, -1)
    y, _ = masked(given, given, given, need_weights=False)
    for number, width in enumerate(WIDTHS):
        own = nn.MultiheadAttention(width, width // 2, batch_first=True).double()
        rows = torch.cat([torch.arange(width) + third * 8 for third in range(3)])
        with torch.no_grad():
            own.in_proj_weight.copy_(plain.in_proj_weight[rows][:, :width])
            own.in_proj_bias.copy_(plain.in_proj_bias[rows])
            own.out_proj.weight.copy_(plain.out_proj.weight[:width, :width])
            own.out_proj.bias.copy_(plain.out_proj.bias[:width])
        part = x[number::3, :, :width]
        expected, _ = own(part, part, part, need_weights=False)
        torch.testing.assert_close(y[number::3, :, :width], expected, rtol=1e-12, atol=1e-12)


def test_windows_of_an_image_belong_to_its_architecture():
    """Swin-like blocks fold windows into the first axis."""
    torch.manual_seed(0)
    layer = nn.LayerNorm(8).double()
    masked = copy.deepcopy(layer)
    mask(masked, Masking("it", masks_of(WIDTHS), Prefix(0, 0)))
    x = torch.randn(IMAGES, 4, 7, 8, dtype=torch.double)
    y = masked(x.flatten(0, 1)).unflatten(0, (IMAGES, 4))
    for number, width in enumerate(WIDTHS):
        expected = sliced(layer, width)(x[number::3, ..., :width])
        torch.testing.assert_close(y[number::3, ..., :width], expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(MaskError, match="first axis of what goes into it is 5, no multiple of 6 images"):
        masked(x[:5, 0])


def test_an_absent_element_hands_on_its_input_or_nothing_and_learns_nothing():
    for otherwise in ("identity", "zero"):
        element = nn.Linear(8, 8).double()
        gate = Gate(element, "it", masks_of(WIDTHS, (1, 0, 1)), 1, otherwise)
        x = torch.randn(IMAGES, 8, dtype=torch.double, requires_grad=True)
        y = gate(x)
        torch.testing.assert_close(y[0::3], element(x[0::3]))
        torch.testing.assert_close(y[1::3], x[1::3] if otherwise == "identity" else torch.zeros_like(x[1::3]))
        y.square().sum().backward()
        alone = element(torch.cat([x.detach()[0::3], x.detach()[2::3]])).square().sum()
        expected = torch.autograd.grad(alone, element.weight)[0]
        torch.testing.assert_close(element.weight.grad, expected)


def test_an_element_that_changes_the_shape_cannot_be_absent():
    gate = Gate(nn.Linear(8, 4), "it", masks_of(WIDTHS, (1, 0, 1)), 1, "identity")
    with pytest.raises(MaskError, match=r"it is not in every architecture, but maps \(6, 8\) to \(6, 4\)"):
        gate(torch.randn(IMAGES, 8))


def test_each_image_takes_the_option_of_its_architecture():
    options = [nn.Linear(8, 8), nn.Identity(), nn.Linear(8, 8)]
    pick = Pick(options, "it", masks_of(WIDTHS, (1, 0, 0), (0, 1, 0), (0, 0, 0)), [1, 2, 3], "zero")
    x = torch.randn(IMAGES, 8)
    y = pick(x)
    torch.testing.assert_close(y[0::3], options[0](x[0::3]))
    torch.testing.assert_close(y[1::3], x[1::3])
    assert not y[2::3].any(), "none of them is there"


def test_infinities_in_channels_that_are_off_stay_there():
    layer = nn.Linear(8, 5).double()
    mask(layer, Masking("it", masks_of(WIDTHS), Prefix(0, 0)))
    x = spoiled(torch.randn(IMAGES, 8, dtype=torch.double), -1, float("inf"))
    assert torch.isfinite(layer(x)).all()


def test_a_layer_whose_input_never_varies_stays_the_plain_one():
    layer = nn.Linear(8, 5)
    mask(layer, Masking("it", masks_of(WIDTHS)))
    assert type(layer) is nn.Linear
    depthwise = nn.Conv2d(8, 8, 3, groups=8)
    mask(depthwise, Masking("it", masks_of(WIDTHS), Prefix(0, 0)))
    assert type(depthwise) is nn.Conv2d, "its groups keep channels apart by themselves"


def test_images_must_divide_among_the_architectures():
    with pytest.raises(MaskError, match="7 images does not divide among 3"):
        masks_of(WIDTHS).set(torch.zeros(3, 1), torch.zeros(3, 0), 7)


@pytest.mark.parametrize("shape", [(3, 8), (3, 8, 1, 1)], ids=["rows", "images"])
@pytest.mark.parametrize("dense", [True, False])
def test_one_value_of_a_channel_is_refused_as_by_the_plain_norm(shape, dense):
    masks = masks_of(WIDTHS)
    masks.set(masks.numbers, masks.patterns, 3)
    layer = nn.BatchNorm1d(8) if len(shape) == 2 else nn.BatchNorm2d(8)
    mask(layer, Masking("norm", masks))
    x = torch.randn(shape)
    with pytest.raises(ValueError, match=r"value.* channel"):
        layer(x if dense else x.transpose(0, 1).contiguous().transpose(0, 1))
    with pytest.raises(ValueError, match=r"value.* channel"):
        type(layer).__bases__[1](8)(x[:1])
