"""Norms by the statistics of one architecture: their backward passes are those that autograd finds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasengine.supernet.own_statistics import NormalizeChannels, NormalizeImages

PARTS = (2, 3, 2)  # two images of each of three architectures, folded into two rows each
ROWS = 12
NEAR = {"rtol": 1e-10, "atol": 1e-12}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.double, generator=generator).requires_grad_()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(ROWS, 4), (ROWS, 4, 3), (ROWS, 4, 3, 2)], ids=["rows", "signals", "images"])
def test_a_batch_norm_of_each_architecture_has_the_gradients_of_plain_ones(shape, affine):
    x = drawn(*shape)
    plain = nn.BatchNorm1d(4, affine=affine).double()
    weight, bias = (drawn(4, seed=1), drawn(4, seed=2)) if affine else (None, None)
    y = NormalizeImages.apply(x, weight, bias, PARTS, plain.eps)
    rows = torch.arange(ROWS).view(PARTS)
    expected = torch.empty_like(y)
    for architecture in range(3):
        own = rows[:, architecture].flatten()
        flat = x[own].flatten(2) if x.dim() > 2 else x[own]
        normal = nn.functional.batch_norm(flat, None, None, weight, bias, training=True, eps=plain.eps)
        expected = expected.index_put((own,), normal.view(len(own), *shape[1:]))
    torch.testing.assert_close(y, expected, **NEAR)
    given = [tensor for tensor in (x, weight, bias) if tensor is not None]
    by = drawn(*shape, seed=3).detach()
    for mine, theirs in zip(torch.autograd.grad(y, given, by), torch.autograd.grad(expected, given, by), strict=True):
        torch.testing.assert_close(mine, theirs, **NEAR)


@pytest.mark.parametrize(("affine", "shifted"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_layer_norm_of_channels_that_are_on_has_the_gradients_that_differences_have(axis, affine, shifted):
    shape = (6, 4, 5)
    spread = (-1, *[1] * (2 - axis))
    wide = shape[axis]
    count = torch.tensor([wide, 1, 3, wide, 1, 3], dtype=torch.double).view(-1, 1, 1)
    on = torch.arange(wide).view(spread) < count
    weight = drawn(wide, seed=1).detach().view(spread).requires_grad_() if affine else None
    bias = drawn(wide, seed=2).detach().view(spread).requires_grad_() if shifted else None
    x = drawn(*shape)

    def run(*given):
        given = iter(given)
        w, b = (next(given) if there is not None else None for there in (weight, bias))
        return NormalizeChannels.apply(next(given), on, count, w, b, axis, 1e-5)

    assert torch.autograd.gradcheck(run, [tensor for tensor in (weight, bias, x) if tensor is not None])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_statistics_of_large_means_are_as_exact_as_those_of_a_plain_norm(layout):
    x = (1e3 + torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))).contiguous(memory_format=layout)
    y = NormalizeImages.apply(x, None, None, (2, 3, 1), 1e-5)
    exact = NormalizeImages.apply(x.double(), None, None, (2, 3, 1), 1e-5).float()
    plain = nn.functional.batch_norm(x[0::3], None, None, training=True)
    assert (y - exact).abs().max() < 2 * (plain - exact[0::3]).abs().max() + 1e-4
    assert y.is_contiguous(memory_format=layout)


def test_in_half_precision_the_statistics_are_not():
    x = drawn(6, 4, 16, 16).detach().to(torch.bfloat16).requires_grad_()
    y = NormalizeImages.apply(x, None, None, (2, 3, 1), 1e-5)
    assert y.dtype == torch.bfloat16
    exact = NormalizeImages.apply(x.double(), None, None, (2, 3, 1), 1e-5)
    torch.testing.assert_close(y.double(), exact, rtol=2**-8, atol=2**-9)
    by = drawn(6, 4, 16, 16, seed=1).detach()
    mine, theirs = torch.autograd.grad(y, x, by.to(y.dtype))[0], torch.autograd.grad(exact, x, by)[0]
    assert (mine - theirs).norm() < 2**-7 * theirs.norm()


def test_gradients_of_gradients_are_refused():
    """The statistics are kept as constants: what autograd would find from them is wrong."""
    x, weight, bias = drawn(6, 4, 5), drawn(4, seed=1), drawn(4, seed=2)
    on, count = torch.ones(1, 4, 1, dtype=torch.bool), torch.full((6, 1, 1), 4.0, dtype=torch.double)
    spread = (-1, 1)
    for y in (
        NormalizeImages.apply(x, weight, bias, (2, 3, 1), 1e-5),
        NormalizeChannels.apply(x, on, count, weight.view(spread), bias.view(spread), 1, 1e-5),
    ):
        first = torch.autograd.grad(y.square().sum(), x, create_graph=True)[0]
        with pytest.raises(RuntimeError, match="differentiate twice"):
            first.sum().backward()
