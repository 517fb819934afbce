"""Relaxed training takes turns: probabilities by the held-out images, weights by the others; a kill changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nasengine.algorithms.probabilities import PROBABILITIES, Probabilities
from nasengine.errors import InputError
from nasengine.preparation import Relaxed, RelaxedTraining
from nasengine.space import SearchSpace, space_from_mapping
from nasengine.supernet.artifact import SupernetArtifact
from tests.preparation.small import BATCH_NORM, inputs

SCALES = {
    "name": "scales",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "scaled_residual_network",
        "stem_width": 4,
        "widths": [4, 8],
        "scales": [{"choice": [1, 2, 4]}, {"choice": [1, 2, 4]}],
    },
}
USELESS = {
    "name": "useless",
    "task": {"kind": "image_classification", "input": [1, 8, 8], "classes": 4},
    "network": {
        "type": "sequential",
        "layers": [
            {"choice": {"conv": {"type": "conv_norm_activation", "width": 8, "kernel": 3}, "zero": {
                "type": "sequential", "layers": [{"type": "conv", "width": 8}, {"type": "zero"}]}}},
            {"type": "global_average_pool"},
            {"type": "linear_head"},
        ],
    },
}  # fmt: skip


def scales() -> SearchSpace:
    return space_from_mapping(SCALES, "scales.yaml")


def begun(folder: Path, settings: dict[str, Any] | None = None, **more: Any) -> RelaxedTraining:
    return Relaxed(**(settings or {})).begin(inputs(folder, scales(), network=BATCH_NORM, **more))


def batch(part: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return part.images[:16], part.labels[:16]


def copies(training: RelaxedTraining) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return [p.detach().clone() for p in training.weights], [p.detach().clone() for p in training.logits]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_step_moves_logits_by_held_out_images_and_then_weights_by_the_others(tmp_path):
    settings = {
        "optimizer": {"type": "sgd", "rate": 0.1, "momentum": 0.0},
        "choice_optimizer": {"type": "sgd", "rate": 0.5, "momentum": 0.0},
        "schedule": "constant",
    }
    training, expected = begun(tmp_path / "a", settings), begun(tmp_path / "b", settings)
    held_out, others = batch(training.validation), batch(training.training)
    for optimizer in (training.weights_optimizer, expected.weights_optimizer):
        optimizer.param_groups[0]["lr"] = 0.1
    training.step(held_out, others, choose=True)

    def loss(images, labels):
        scores = expected.relaxed(expected.normalize(images))
        return torch.nn.functional.cross_entropy(scores, labels)

    gradients = torch.autograd.grad(loss(*held_out), expected.logits)
    with torch.no_grad():
        for logits, gradient in zip(expected.logits, gradients, strict=True):
            logits -= 0.5 * gradient
    gradients = torch.autograd.grad(loss(*others), expected.weights)  # with the new probabilities
    with torch.no_grad():
        for weight, gradient in zip(expected.weights, gradients, strict=True):
            weight -= 0.1 * gradient
    for mine, theirs in zip(copies(training), copies(expected), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other)
    assert not equal(copies(training)[1], copies(begun(tmp_path / "c", settings))[1])


def test_while_it_warms_up_only_the_weights_learn(tmp_path):
    training = begun(tmp_path, {"warm_up": 1}, budget={"epochs": 1})
    weights, logits = copies(training)
    training.run()
    assert equal(copies(training)[1], logits)
    assert not equal(copies(training)[0], weights)
    assert "held_out_loss" not in training.history[0]


def test_a_training_that_is_gone_on_with_ends_bit_for_bit_the_same(tmp_path):
    whole = begun(tmp_path / "whole", budget={"epochs": 4})
    whole.run()

    class KilledError(Exception):
        pass

    def kill(epoch):
        if epoch.epoch == 2:
            raise KilledError

    settings = Relaxed()
    cut = settings.begin(inputs(tmp_path / "cut", scales(), network=BATCH_NORM, budget={"epochs": 4}), kill)
    with pytest.raises(KilledError):
        cut.run()
    resumed = begun(tmp_path / "cut", budget={"epochs": 4})
    assert resumed.epoch == 2
    resumed.run()
    for mine, theirs in zip(copies(whole), copies(resumed), strict=True):
        assert equal(mine, theirs)
    lines = [[{**line, "seconds": 0} for line in training.history] for training in (whole, resumed)]
    assert lines[0] == lines[1]


def test_an_option_that_helps_becomes_more_probable_than_one_that_gives_nothing(tmp_path):
    space = space_from_mapping(USELESS, "useless.yaml")
    settings = Relaxed(choice_optimizer={"type": "adam", "rate": 0.1}, optimizer={"type": "sgd", "rate": 0.2})
    training = settings.begin(inputs(tmp_path, space, network={}, budget={"epochs": 6}))
    training.run()
    assert training.relaxed.probabilities()["network.layers.0"][0] > 0.7


def test_it_leaves_probabilities_and_weights_that_later_phases_can_read(tmp_path):
    space = scales()
    given = inputs(tmp_path, space, network=BATCH_NORM, budget={"epochs": 2})
    told = []
    summary = Relaxed().prepare(given, told.append)
    assert summary.startswith("2 epochs, training loss ")
    assert [epoch.epoch for epoch in told] == [1, 2]
    found = Probabilities.read(tmp_path, space)
    assert set(found.of) == {"network.scales.0", "network.scales.1"}
    assert all(sum(row) == pytest.approx(1) for row in found.of.values())
    supernet = SupernetArtifact.read(tmp_path).supernet(space)
    assert supernet(torch.randn(4, 1, 8, 8), found.architecture()).shape == (4, 4)
    assert not (tmp_path / "checkpoints").exists()
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert set(lines[-1]["probabilities"]) == set(found.of)
    assert json.loads((tmp_path / PROBABILITIES).read_text())["choices"]["network.scales.0"]["options"] == [1, 2, 4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "sdg"}, "did you mean 'sgd'"),
        ({"choice_optimizer": {"type": "adam", "rates": 1}}, "did you mean 'rate'"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"precision": "float8"}, "precision"),
    ],
)
def test_wrong_settings_are_refused_when_they_are_read(settings, message):
    with pytest.raises(InputError, match=message):
        Relaxed(**settings)


@pytest.mark.gpu
def test_replayed_steps_on_a_gpu_train_like_eager_ones(tmp_path):
    given = {"budget": {"epochs": 6}, "device": "cuda"}
    eager = begun(tmp_path / "eager", {"precision": "float32", "cuda_graph": False, "warm_up": 1}, **given)
    replayed = begun(tmp_path / "replayed", {"precision": "float32", "warm_up": 1}, **given)
    eager.run()
    replayed.run()
    assert replayed.graphs is not None
    assert (replayed.graphs.captured, replayed.graphs.eager) == (2, 2)  # with and without a step of the logits
    assert replayed.graphs.replayed == 6 * 4 - 4
    for mine, theirs in zip(copies(eager), copies(replayed), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
def test_the_first_epoch_on_a_gpu_is_that_on_a_cpu(tmp_path):
    given = {"budget": {"epochs": 1}, "augmentation": "none"}
    on_cpu = begun(tmp_path / "cpu", {"precision": "float32"}, **given)
    on_gpu = begun(tmp_path / "gpu", {"precision": "float32"}, device="cuda", **given)
    on_cpu.run()
    on_gpu.run()
    for mine, theirs in zip(copies(on_cpu), copies(on_gpu), strict=True):
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other.cpu(), rtol=1e-2, atol=1e-3)


def test_a_last_batch_that_is_not_dropped_is_filled_up(tmp_path):
    training = begun(tmp_path, {"drop_last": False, "augment_held_out": True}, batch=96, budget={"epochs": 1})
    sizes = []
    training.step = lambda held_out, learnt, **_: sizes.append((len(held_out[0]), len(learnt[0])))
    training.run()
    assert sizes == [(96, 96)] * 3
    assert len(training.training) < training.history[0]["images"] == 3 * 96
