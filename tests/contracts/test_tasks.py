"""What every task promises: its metrics are what it measures, per image; its loss can be made small."""

from __future__ import annotations

import pytest
import torch

from nasengine.objectives import DIRECTIONS
from nasengine.tasks import TASKS


@pytest.fixture(params=TASKS, ids=str)
def task(request):
    return TASKS[request.param]()


@pytest.fixture
def batch(task):
    """(N, K) outputs and (N,) targets."""
    generator = torch.Generator().manual_seed(0)
    classes = task.classes
    return torch.randn(12, classes, generator=generator), torch.randint(classes, (12,), generator=generator)


def test_each_metric_has_a_direction_and_is_measured_for_each_image(task, batch):
    measured = task.measure(*batch)
    assert measured.keys() == task.metrics.keys()
    assert set(task.metrics.values()) <= set(DIRECTIONS)
    for values in measured.values():
        assert values.shape == (12,)
        assert values.is_floating_point()
        assert values.isfinite().all()


def test_a_metric_of_an_image_does_not_depend_on_its_batch(task, batch):
    outputs, targets = batch
    whole, first = task.measure(outputs, targets), task.measure(outputs[:5], targets[:5])
    for name in task.metrics:
        assert torch.allclose(whole[name][:5], first[name])


def test_the_loss_is_a_scalar_that_following_its_gradient_makes_smaller(task, batch):
    outputs, targets = batch[0].clone().requires_grad_(), batch[1]
    before = task.loss(outputs, targets)
    assert before.shape == ()
    before.backward()
    assert task.loss(outputs - 0.1 * outputs.grad, targets) < before


def test_measuring_works_in_half_precision(task, batch):
    outputs, targets = batch
    for values in task.measure(outputs.bfloat16(), targets).values():
        assert values.isfinite().all()
