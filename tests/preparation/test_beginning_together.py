"""Models that begin as copies of one: what is copied, where it lies, and that a kill changes nothing of it."""

from __future__ import annotations

import pytest
import torch

from nasengine.preparation import train_shared_weights
from nasengine.preparation.copying import begin_as
from nasengine.training.checkpoint import optimizer_tensors
from tests.preparation.small import begun, same, weights, width_space

TOGETHER = {"type": "balanced_mixture", "models": 3, "together": 0.5}
FOUR = {"epochs": 4}  # of four steps; the models part before the third


def of_model(state, model):
    return {name.partition("/")[2]: value for name, value in state.items() if name.startswith(f"{model}/")}


def everything(training):
    """All that a training has learned, as tensors."""
    found = weights(training)
    for model, optimizer in enumerate(training.optimizers):
        found |= {f"optimizer {model} {name}": value.clone() for name, value in optimizer_tensors(optimizer).items()}
    for average in training.averages:
        found |= {f"average {name}": value.clone() for name, value in average.values.items()}
    return found


def stepped(training, steps):
    for _ in range(steps):
        training.step()
    return training


def test_until_the_parting_one_model_is_trained_as_a_single_path_is(tmp_path):
    mixture = stepped(begun(tmp_path / "mixture", TOGETHER, budget=FOUR), 8)
    path = stepped(begun(tmp_path / "path", "single_path", budget=FOUR), 8)
    before = begun(tmp_path / "fresh", TOGETHER, budget=FOUR)
    assert same(of_model(weights(mixture), 0), of_model(weights(path), 0))
    assert not same(of_model(weights(mixture), 0), of_model(weights(before), 0))
    for model in (1, 2):
        assert same(of_model(weights(mixture), model), of_model(weights(before), model)), "not trained yet"


@pytest.mark.parametrize("optimizer", ["sgd", {"type": "sgd", "momentum": 0}, "adamw"], ids=str)
@pytest.mark.parametrize("norms", ["shared", "own"])
def test_at_the_parting_all_models_are_one_and_every_tensor_stays_where_it_is(tmp_path, optimizer, norms):
    settings = {"optimizer": optimizer, "ema": 0.9, "norms": norms}
    training = stepped(begun(tmp_path, TOGETHER, settings, budget=FOUR, network={}), 8)
    training._collect()
    training._end_epoch()
    places = {name: value.data_ptr() for name, value in training.supernet.state().items()}
    states = [{id(value) for state in each.state.values() for value in state.values()} for each in training.optimizers]
    before = everything(training)
    training._begin_epoch()
    after = everything(training)
    assert {name: value.data_ptr() for name, value in training.supernet.state().items()} == places
    assert states == [
        {id(value) for state in each.state.values() for value in state.values()} for each in training.optimizers
    ]
    assert not same(of_model(before, 1), of_model(after, 1))
    for model in (1, 2):
        assert same(of_model(after, 0), of_model(after, model))
        assert same(of_model(training.averages[0].values, 0), of_model(training.averages[model].values, model))
        assert training.averages[model].steps == training.averages[0].steps == 8
    own = [{name: value for name, value in after.items() if name.startswith(f"optimizer {m}")} for m in range(3)]
    for model in (1, 2):
        assert [*map(torch.Tensor.tolist, own[0].values())] == [*map(torch.Tensor.tolist, own[model].values())]
    assert (optimizer == {"type": "sgd", "momentum": 0}) == (not own[0])
    assert same(of_model(before, 0), of_model(after, 0))


@pytest.mark.parametrize("steps", [6, 8, 9, 10, 14])
def test_killed_before_at_or_after_the_parting_it_goes_on_bit_for_bit(tmp_path, steps):
    settings = {"ema": 0.9, "optimizer": {"type": "sgd", "rate": 0.1, "nesterov": True}}
    whole = begun(tmp_path / "whole", TOGETHER, settings, budget=FOUR)
    train_shared_weights([whole])
    stepped(begun(tmp_path / "pieces", TOGETHER, settings, budget=FOUR), steps)
    resumed = begun(tmp_path / "pieces", TOGETHER, settings, budget=FOUR)
    assert resumed.epoch == (steps - 1) // 4, "the last epoch whose end was seen"
    train_shared_weights([resumed])
    assert same(everything(whole), everything(resumed))
    assert whole.sampler.state() == resumed.sampler.state()
    without_seconds = [[{**line, "seconds": 0} for line in each.history] for each in (whole, resumed)]
    assert without_seconds[0] == without_seconds[1]


def test_after_the_parting_models_go_their_own_ways(tmp_path):
    training = begun(tmp_path, TOGETHER, budget=FOUR)
    train_shared_weights([training])
    assert [line["shares"][0] for line in training.history[:2]] == [1, 1]
    assert all(max(line["shares"]) < 0.5 for line in training.history[2:])
    assert sum(map(sum, training.sampler.table()["visits"])) == 16
    trained = [model for model in range(3) if sum(row[model] for row in training.sampler.table()["visits"])]
    assert len(trained) > 1
    assert not same(*(of_model(weights(training), model) for model in trained[:2]))


class Plain(torch.optim.Optimizer):
    """Makes its state in its first step, and not all of it tensors, as one of a plug-in may."""

    def __init__(self, parameters, rate=0.1):
        super().__init__(parameters, {"lr": rate})

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    state["steps"] = state.get("steps", 0) + 1
                    state["last"] = parameter.grad.clone()


def test_state_that_only_one_of_two_optimisers_has_is_made_or_forgotten(tmp_path):
    training = begun(tmp_path, {"type": "balanced_mixture", "models": 2}, space=width_space())
    optimizers = [Plain(training.supernet.parameters(model)) for model in range(2)]
    (one, other, *_), (own, others, *_) = (training.supernet.parameters(model) for model in range(2))
    one.grad, others.grad = torch.full_like(one, 2.0), torch.ones_like(others)
    for optimizer in optimizers:
        optimizer.step()
    begin_as({1: 0}, supernet=training.supernet, optimizers=optimizers, averages=[])
    assert optimizers[1].state[own]["steps"] == 1
    assert torch.equal(optimizers[1].state[own]["last"], one.grad)
    assert optimizers[1].state[own]["last"] is not optimizers[0].state[one]["last"]
    assert others not in optimizers[1].state
    assert other not in optimizers[0].state
