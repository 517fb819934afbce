"""What every optimizer promises: it makes a loss smaller, always alike, and its state survives a checkpoint."""

from __future__ import annotations

import pytest
import torch

from nasengine.errors import InputError
from nasengine.training import OPTIMIZERS, CheckpointFolder, make_component, train, training_settings
from tests.training.networks import TASK, same, small_network, synthetic_part, weights


@pytest.fixture(params=OPTIMIZERS)
def name(request):
    return request.param


def steps(network, optimizer, count):
    """Follow the gradient of the mean square of all parameters."""
    for _ in range(count):
        optimizer.zero_grad()
        sum(p.square().sum() for p in network.parameters()).backward()
        optimizer.step()


def test_an_optimizer_works_without_arguments_and_makes_a_loss_smaller(name):
    network = small_network()
    before = sum(float(p.detach().square().sum()) for p in network.parameters())
    optimizer = OPTIMIZERS[name]().build(network)
    steps(network, optimizer, 3)
    assert sum(float(p.detach().square().sum()) for p in network.parameters()) < before


def test_settings_are_frozen_comparable_and_have_a_rate(name):
    assert OPTIMIZERS[name]() == OPTIMIZERS[name]()
    assert OPTIMIZERS[name](rate=0.25).rate == 0.25
    with pytest.raises(AttributeError):
        OPTIMIZERS[name]().rate = 1.0


def test_the_rate_of_the_groups_is_the_rate_of_the_settings_and_can_be_changed(name):
    network = small_network()
    optimizer = OPTIMIZERS[name](rate=0.25, weight_decay=0.0).build(network)
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}
    before = weights(network)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    steps(network, optimizer, 1)
    assert same(before, weights(network))


def test_the_state_is_tensors_and_goes_on_bit_for_bit_from_a_checkpoint(name, tmp_path):
    network, resumed = small_network(0), small_network(1)
    optimizer = OPTIMIZERS[name]().build(network)
    steps(network, optimizer, 3)
    checkpoints = CheckpointFolder(tmp_path, "key")
    checkpoints.save(3, network=network, optimizer=optimizer, average=None, curve=[])
    other = OPTIMIZERS[name]().build(resumed)
    assert checkpoints.load(network=resumed, optimizer=other, average=None).epoch == 3
    steps(network, optimizer, 3)
    steps(resumed, other, 3)
    assert same(weights(network), weights(resumed))


def test_an_unknown_argument_is_reported_with_the_nearest(name):
    with pytest.raises(InputError, match="did you mean 'rate'"):
        make_component(OPTIMIZERS, {"type": name, "rates": 0.1}, kind="optimizer")


def test_two_trainings_agree_bit_for_bit(name):
    networks = [small_network(), small_network()]
    settings = training_settings({"optimizer": name, "batch": 64, "augmentation": "none"})
    for network in networks:
        train(network, synthetic_part(128), TASK, settings=settings, budget={"epochs": 2}, seed=0)
    assert same(*map(weights, networks))
    assert all(torch.isfinite(value).all() for value in weights(networks[0]).values())
