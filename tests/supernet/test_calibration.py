"""Statistics of batch norms for an evaluation: equal to averages computed by hand, on buffers of their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasengine.supernet.calibration import batch_statistics, depends_on_batch, keeps_averages, recalibrated


def network(**norm):
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, **norm), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(3, 4, 1)]
    made = nn.Sequential(*layers, nn.BatchNorm2d(4, **norm)).double()
    for module in made:
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.fill_(7.0)
            module.running_var.fill_(9.0)
    return made


def batches(count=3, size=5):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 2, 6, 6, generator=generator, dtype=torch.float64) * (2 + i) for i in range(count)]


def averages(made, inputs):
    """By hand: layer after layer, each batch normalised by its own statistics on its way to the second norm."""
    first, second = made[1], made[5]
    hidden = [made[0](x) for x in inputs]
    mean = torch.stack([x.mean((0, 2, 3)) for x in hidden]).mean(0)
    variance = torch.stack([x.var((0, 2, 3), unbiased=True) for x in hidden]).mean(0)
    normed = [
        (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + first.eps).sqrt()
        for x in hidden
    ]
    deeper = [made[4](F.relu(x)) for x in normed]
    second_mean = torch.stack([x.mean((0, 2, 3)) for x in deeper]).mean(0)
    second_variance = torch.stack([x.var((0, 2, 3), unbiased=True) for x in deeper]).mean(0)
    assert first.weight is None or torch.equal(first.weight, torch.ones_like(first.weight))
    assert second.eps == first.eps
    return mean, variance, second_mean, second_variance


def test_recalibrated_averages_are_those_computed_by_hand():
    made, inputs = network(), batches()
    with torch.no_grad():
        wanted = averages(made, inputs)
    with recalibrated(made, inputs):
        found = made[1].running_mean, made[1].running_var, made[5].running_mean, made[5].running_var
        for value, expected in zip(found, wanted, strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
        assert not any(module.training for module in made.modules())


def test_nothing_stays_of_a_recalibration():
    made = network()
    buffers = dict(made.named_buffers())
    before = {name: value.clone() for name, value in buffers.items()}
    with recalibrated(made, batches()):
        assert not torch.equal(made[1].running_mean, before["1.running_mean"])
    after = dict(made.named_buffers())
    assert all(after[name] is buffers[name] for name in buffers)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {module.momentum for module in made if isinstance(module, nn.BatchNorm2d)} == {0.1}
    assert all(parameter.grad is None for parameter in made.parameters())


def test_what_was_recalibrated_before_has_no_part_in_the_averages():
    made = network()
    with recalibrated(made, batches(2)):
        first = made[5].running_var.clone()
    with recalibrated(made, batches(5)):
        assert not torch.equal(made[5].running_var, first)
    with recalibrated(made, batches(2)):
        assert torch.equal(made[5].running_var, first)


def test_a_network_is_put_back_when_what_is_done_in_between_fails():
    made = network()
    buffers = dict(made.named_buffers())
    for context in (recalibrated(made, batches()), batch_statistics(made)):
        with pytest.raises(KeyError), context:
            raise KeyError
        assert all(value is buffers[name] for name, value in made.named_buffers())
    with pytest.raises(ValueError, match="no batch"), recalibrated(made, []):
        pass
    assert all(value is buffers[name] for name, value in made.named_buffers())


def test_with_the_statistics_of_the_batch_a_norm_in_evaluation_computes_what_one_in_training_does():
    made, (x, *_) = network().eval(), batches()
    before = {name: value.clone() for name, value in made.named_buffers()}
    with torch.no_grad():
        running = made(x)
        with batch_statistics(made):
            found = made(x)
        made.train()
        made[3].eval()  # without dropout
        expected = made(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert not torch.allclose(found, running)
    made = network()
    with batch_statistics(made), torch.no_grad():
        made.eval()(x)
    assert all(torch.equal(value, before[name]) for name, value in made.named_buffers())


@pytest.mark.parametrize("norm", [{}, {"affine": False}, {"track_running_stats": False}])
def test_several_batches_at_once_are_normed_each_by_its_own_statistics(norm):
    made = network(**norm).eval()
    buffers = dict(made.named_buffers())
    with torch.no_grad():
        for module in made:
            if isinstance(module, nn.BatchNorm2d) and module.affine:
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
        inputs = batches(4)
        with batch_statistics(made):
            alone = torch.cat([made(x) for x in inputs])
            assert not torch.allclose(made(torch.cat(inputs)), alone)
        with batch_statistics(made, groups=4):
            torch.testing.assert_close(made(torch.cat(inputs)), alone, rtol=1e-12, atol=1e-12)
        assert all(value is buffers[name] for name, value in made.named_buffers())
        made = made.to(torch.bfloat16)
        with batch_statistics(made, groups=4):
            assert made(torch.cat(inputs).to(torch.bfloat16)).dtype == torch.bfloat16
    assert not any("forward" in vars(module) for module in made.modules())


def test_norms_without_averages_are_left_as_they_are():
    made = network(track_running_stats=False)
    assert not keeps_averages(made)
    assert depends_on_batch(made)
    with recalibrated(made, []):  # nothing to be made of batches
        assert depends_on_batch(made)
    kept = network()
    assert keeps_averages(kept)
    assert not depends_on_batch(kept)
    with batch_statistics(kept):
        assert depends_on_batch(kept)
    assert not depends_on_batch(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
