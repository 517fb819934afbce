"""The learning rate of each step."""

from __future__ import annotations

import pytest
import torch

from nasengine.errors import InputError
from nasengine.training.schedules import Constant, Cosine, Steps


def test_cosine_is_torchs_cosine():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.001)
    for epoch in range(21):
        assert Cosine(last=0.001).rate(0.1, epoch, 20) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        theirs.step()


def test_a_stated_horizon_makes_the_rate_independent_of_the_budget():
    stated = Cosine(horizon=10)
    assert stated.rate(0.1, 3, 5) == stated.rate(0.1, 3, 10) == Cosine().rate(0.1, 3, 10)
    assert stated.rate(0.1, 12, 20) == 0.0


def test_steps_multiply_at_each_epoch_and_not_before():
    schedule = Steps(at=(80, 120), factor=0.1)
    rates = [schedule.rate(0.1, done, 200) for done in (0, 79.99, 80, 119, 120, 199)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("schedule", [Constant(warm_up=4), Cosine(warm_up=4), Steps(at=(8,), warm_up=4)])
def test_warm_up_is_linear_from_a_hundredth(schedule):
    assert schedule.rate(0.2, 0, 10) == pytest.approx(0.002)
    assert schedule.rate(0.2, 2, 10) == pytest.approx(0.2 * (0.01 + 0.99 / 2))
    assert schedule.rate(0.2, 4, 10) == pytest.approx(0.2)


def test_cosine_after_a_warm_up_covers_the_rest():
    assert Cosine(warm_up=4, last=0.1).rate(0.3, 7, 10) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cosine(last=-1), "last"),
        (lambda: Cosine(horizon=0), "horizon"),
        (lambda: Cosine(warm_up=-1), "warm_up"),
        (lambda: Steps(at=(5, 3)), "ascending"),
        (lambda: Steps(at=(5,), factor=0), "factor"),
    ],
)
def test_settings_out_of_bounds_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
