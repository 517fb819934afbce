"""Optimizers: what their settings mean to torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasengine.errors import InputError
from nasengine.training.optimizers import SGD, AdamW, parameter_groups
from tests.training.networks import small_network


def test_sgd_takes_the_step_of_its_formula():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    optimizer = SGD(rate=0.1, momentum=0.5, weight_decay=0.01, nesterov=True).build(network)
    weight, buffer = 2.0, 0.0
    for step in range(3):
        optimizer.zero_grad()
        (3 * network.weight).sum().backward()
        optimizer.step()
        gradient = 3 + 0.01 * weight
        buffer = gradient if step == 0 else 0.5 * buffer + gradient
        weight -= 0.1 * (gradient + 0.5 * buffer)
        assert network.weight.item() == pytest.approx(weight, rel=1e-6)


def test_adamw_decays_weights_apart_from_the_gradient():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    optimizer = AdamW(rate=0.1, weight_decay=0.5).build(network)
    network.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    assert network.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5), rel=1e-6)


def test_norms_and_biases_keep_out_of_the_decay_where_asked():
    groups = parameter_groups(small_network(), 0.1, "weights")
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])
    everything = list(small_network().parameters())
    assert sum(len(group["params"]) for group in groups) == len(everything)
    assert [len(group["params"]) for group in parameter_groups(small_network(), 0.1, "all")] == [len(everything)]


def test_frozen_parameters_are_left_out():
    network = small_network()
    network[0].weight.requires_grad_(False)
    (group,) = parameter_groups(network, 0.0, "all")
    assert all(p is not network[0].weight for p in group["params"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SGD(rate=-0.1), "rate"),
        (lambda: SGD(momentum=1.0), "momentum"),
        (lambda: SGD(momentum=0.0, nesterov=True), "nesterov without momentum"),
        (lambda: SGD(weight_decay=float("nan")), "weight_decay"),
        (lambda: AdamW(betas=(0.9,)), "two shares"),
        (lambda: AdamW(betas=(0.9, 1.0)), r"betas\.1"),
    ],
)
def test_settings_out_of_bounds_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
