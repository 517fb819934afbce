"""What only a GPU can show: the graphed step trains like the eager one, and nothing is left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nasengine.training import evaluate, train, training_settings
from nasengine.training.step import GraphedStep
from tests.training.networks import TASK, small_network, synthetic_part, weights

pytestmark = pytest.mark.gpu
BASE = {"batch": 32, "augmentation": "none", "precision": "float32", "optimizer": {"type": "sgd", "rate": 0.05}}


class Deciding(nn.Module):
    """A network that looks at a tensor's values, which no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_network()

    def forward(self, images):
        return self.inner(images if images.mean().item() < 100 else -images)


def trained(network, settings, *, epochs=4, **more):
    part = synthetic_part(512).to(torch.device("cuda"))
    report = train(network, part, TASK, settings=settings, budget={"epochs": epochs}, seed=0, **more)
    return network, report, evaluate(network, part, TASK)


@pytest.mark.parametrize(
    "more", [{}, {"ema": 0.9, "clip_norm": 1.0}, {"optimizer": "adamw"}], ids=["sgd", "rich", "adamw"]
)
def test_a_graph_trains_like_eager_steps(more):
    eager, _, _ = trained(small_network(), training_settings({**BASE, **more, "cuda_graph": False}))
    graphed, report, measured = trained(small_network(), training_settings({**BASE, **more}))
    for name, value in weights(eager).items():
        assert torch.allclose(value.double(), weights(graphed)[name].double(), rtol=1e-2, atol=1e-3), name
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]
    assert measured["accuracy"] > 0.5


def test_a_graph_is_used_where_shapes_are_fixed(monkeypatch):
    captures = []
    honest = GraphedStep._capture
    monkeypatch.setattr(GraphedStep, "_capture", lambda self, *a: (captures.append(1), honest(self, *a))[1])
    trained(small_network(dropout=0.1), training_settings(BASE))
    assert captures == [1]


def test_a_network_that_waits_for_the_device_goes_on_eagerly(monkeypatch):
    captures = []
    monkeypatch.setattr(GraphedStep, "_capture", lambda self, *a: captures.append(1))
    _, _, measured = trained(Deciding(), training_settings(BASE), epochs=8)
    assert captures == []
    assert measured["accuracy"] > 0.5


def test_half_precision_learns_too():
    _, report, measured = trained(small_network(), training_settings({**BASE, "precision": "auto"}), epochs=8)
    assert measured["accuracy"] > 0.5
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]


def test_dropout_in_a_graph_draws_anew_each_step_and_leaves_the_global_generator_alone():
    torch.cuda.manual_seed(3)
    state = torch.cuda.get_rng_state()
    first, _, _ = trained(small_network(dropout=0.5), training_settings(BASE))
    assert torch.equal(torch.cuda.get_rng_state(), state)
    plain, _, _ = trained(small_network(dropout=0.0), training_settings(BASE))
    assert not torch.equal(weights(first)["0.weight"], weights(plain)["0.weight"])


def test_a_training_leaves_no_memory_behind():
    for _ in range(2):
        trained(small_network(), training_settings(BASE))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    trained(small_network(), training_settings(BASE))
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - before < 2**20


@pytest.mark.slow
def test_a_graph_is_faster_for_a_small_network():
    def deep() -> nn.Module:
        blocks = [
            nn.Sequential(nn.Conv2d(16 if index else 1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            for index in range(12)
        ]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))

    rates = []
    for graph in (False, True):
        settings = training_settings({**BASE, "precision": "auto", "cuda_graph": graph})
        rates.append(trained(deep(), settings, epochs=40)[1].images_per_second)
    assert rates[1] > 1.3 * rates[0], rates
